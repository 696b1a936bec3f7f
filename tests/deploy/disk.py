"""An image like Raspberry Pi OS Lite's, made here: MBR, a small boot partition, an ext4 root that fills the rest."""

import contextlib
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.deploy import roots

FIRSTBOOT = "quiet init=/usr/lib/raspberrypi-sys-mods/firstboot"
BOOT_MIB = 48


def run(*words: object, text: str | None = None) -> str:
    """A program that must do it."""
    done = subprocess.run([str(word) for word in words], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout.strip()


def make(image: Path, debian: Path, mib: int) -> Path:
    """Write a system into an image of this size."""
    with image.open("wb") as file:
        file.truncate(mib << 20)
    table = f"label: dos\nstart=8192, size={BOOT_MIB}MiB, type=c\nstart={8192 + BOOT_MIB * 2048}, type=83\n"
    run("sfdisk", "--quiet", image, text=table)
    with attached(image) as loop, tempfile.TemporaryDirectory() as folder:
        # A kernel without FAT cannot mount it; to the recipe it is a partition with two files in it.
        fat = re.search(r"\bvfat$", Path("/proc/filesystems").read_text(), re.M)
        run(*(["mkfs.vfat"] if fat else ["mkfs.ext2", "-q"]), f"{loop}p1")
        run("mkfs.ext4", "-q", f"{loop}p2")
        with mounted(f"{loop}p2", Path(folder)):
            run("cp", "-a", f"{debian}/.", folder)
            run("rm", "-rf", f"{folder}/boot/firmware")
            Path(folder, "boot/firmware").mkdir()
            with mounted(f"{loop}p1", Path(folder, "boot/firmware")):
                for name in ("config.txt", "cmdline.txt"):
                    text = (debian / "boot/firmware" / name).read_text()
                    Path(folder, "boot/firmware", name).write_text(text.replace("rootwait", f"rootwait {FIRSTBOOT}"))
    return image


@contextlib.contextmanager
def attached(image: Path) -> Iterator[str]:
    """The image as a disk with partitions."""
    loop = run("losetup", "--find", "--show", "--partscan", image)
    try:
        run("partx", "--update", loop)
        yield loop
    finally:
        run("losetup", "--detach", loop)


@contextlib.contextmanager
def mounted(device: str, folder: Path, options: str = "rw") -> Iterator[Path]:
    """A file system for a while."""
    run("mount", "-o", options, device, folder)
    try:
        yield folder
    finally:
        run("umount", "--recursive", folder)


def partitions(image: Path) -> list[tuple[int, int]]:
    """Start and size of each, in sectors."""
    table = json.loads(run("sfdisk", "--json", image))["partitiontable"]
    return [(each["start"], each["size"]) for each in table["partitions"]]


def start(root: Path, *commands: str) -> str:
    """What a sealed system does at its start, as far as its fstab says it; then commands, one after another.

    In a mount namespace of its own, with fresh memory for /run as after power-on: what is written there is gone after.
    """
    steps = [
        'cd "$0"',
        "mount -t proc proc proc",
        "mount --rbind /sys sys",
        "mount -t tmpfs tmpfs run",
        "mount --rbind /dev dev",
        "mkdir -p run/gatebell-overlay/upper run/gatebell-overlay/work",  # gatebell-overlay.service
        "sed -n '/^# >>> gatebell/,/^# <<< gatebell/p' etc/fstab > run/fstab",
        "chroot . mount --all --fstab /run/fstab",
        *(f"chroot . sh -c '{command}'" for command in commands),
    ]
    return run("unshare", "--mount", "--fork", "env", "-i", roots.PATH, "sh", "-ec", "\n".join(steps), root)
