/* LD_PRELOAD shim: every fsync and fdatasync takes SLOW_FLUSH_MS longer, as on an SD card. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int slowly(const char *name, int file)
{
    const char *wait = getenv("SLOW_FLUSH_MS");
    int (*flush)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    usleep(1000 * (wait ? atoi(wait) : 10));
    return flush(file);
}

int fsync(int file) { return slowly("fsync", file); }
int fdatasync(int file) { return slowly("fdatasync", file); }
