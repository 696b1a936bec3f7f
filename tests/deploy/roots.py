"""Roots to install into: a small one made by hand, and what a whole tree looks like, to be compared."""

import hashlib
import os
import stat
import subprocess
from pathlib import Path

PI = Path(__file__).parents[2] / "firmware-config" / "pi"
CONSOLE = "console=serial0,115200 console=tty1 root=PARTUUID=aa-02 rootfstype=ext4 fsck.repair=yes rootwait"
PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
FSTAB = """proc /proc proc defaults 0 0
PARTUUID=aa-01  /boot/firmware  vfat    defaults          0       2
PARTUUID=aa-02  /               ext4    defaults,noatime  0       1
"""
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
    "etc/group": "root:x:0:\ndialout:x:20:\n",
    "etc/shadow": "",
    "etc/gshadow": "",
    "etc/fstab": FSTAB,
    "boot/firmware/cmdline.txt": CONSOLE + "\n",
    "boot/firmware/config.txt": "dtparam=audio=on\n[all]\n",
    "var/lib/dpkg/status": "Package: base-files\nStatus: install ok installed\n\n",
}


def by_hand(folder: Path) -> Path:
    """What install.sh looks at in Raspberry Pi OS, without the rest."""
    return _written(folder, FILES)


def like_a_pi(root: Path) -> Path:
    """A Debian with what Raspberry Pi OS adds and install.sh changes."""
    return _written(root, {name: text for name, text in FILES.items() if name.startswith(("boot", "etc/fstab"))})


def _written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def install(root: Path, *options: str, script: Path = PI / "install.sh") -> subprocess.CompletedProcess[str]:
    """Run install.sh on a root."""
    command = [str(script), "--root", str(root), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Every path with its kind, mode, owner, time of change and content."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(folder, name)
            at = path.lstat()
            found[str(path.relative_to(root))] = (at.st_mode, at.st_uid, at.st_gid, at.st_mtime_ns, _content(path, at))
    return found


def _content(path: Path, at: os.stat_result) -> str:
    if stat.S_ISLNK(at.st_mode):
        return os.readlink(path)
    return hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(at.st_mode) else ""


def inside(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a root, with its own /proc and this machine's /sys for reading, gone afterwards."""
    mounts = 'mount -t proc proc "$0/proc" && mount --rbind -o ro /sys "$0/sys" && exec chroot "$0" "$@"'
    words = ["unshare", "--mount", "--fork", "sh", "-c", mounts, str(root), "env", "-i", PATH, "HOME=/root", *command]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def lines(text: str, word: str) -> list[str]:
    """Lines that begin with a word, the word and its colon cut off."""
    return [line.removeprefix(f"{word}: ") for line in text.splitlines() if line.startswith(f"{word}: ")]


def copy(root: Path, target: Path) -> Path:
    """Another root like this one, owners and times included."""
    subprocess.run(["cp", "-a", root, target], check=True)
    return target
