"""Who else has a serial port: found in /proc, named, with the sentence that gets rid of it.

Another user's open files are hidden from an ordinary user; what is not hidden is who holds a lock (/proc/locks), whose
controlling terminal a device is (a login prompt's), and which of the usual culprits run at all.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REMEDIES = {
    "ModemManager": "it tries every serial port as a modem: sudo apt purge modemmanager",
    "brltty": "it takes CH340, CP210x and FTDI adapters for Braille displays: sudo apt purge brltty",
    "getty": "the Pi's login console is on this line: sudo raspi-config nonint do_serial_cons 1, then restart",
    "gpsd": "it takes serial adapters for GPS receivers: sudo systemctl disable --now gpsd.socket gpsd",
    "gatebell-gateway": "another gateway: sudo systemctl stop gatebell-gateway",
}
SUSPECTS = ("ModemManager", "brltty", "gpsd")  # they take ports that nobody gave them
TTY_NR = 7  # the field of /proc/<pid>/stat with the controlling terminal (proc(5))


@dataclass(frozen=True)
class Holder:
    """A process; `sure` is false for one that runs and is known to take ports, but cannot be seen to have this one."""

    pid: int
    name: str
    sure: bool = True

    def __str__(self) -> str:
        told = f"{self.name} (process {self.pid})" if self.sure else f"perhaps {self.name}, which runs here"
        return f"{told}; {REMEDIES.get(self.name, 'stop that program, or give it another port')}"


def of(port: str, proc: Path = Path("/proc")) -> Holder | None:
    """Who has the port beside this process, as far as can be seen; None when nobody is."""
    try:
        status = os.stat(port)
    except OSError:
        return suspect(proc)
    for pid in _pids(proc):
        if pid != os.getpid() and (_has_open(proc / str(pid), status) or _is_terminal_of(proc / str(pid), status)):
            return Holder(pid, _name(proc / str(pid)))
    pid = _locker(proc, status)
    return Holder(pid, _name(proc / str(pid))) if pid else suspect(proc)


def suspect(proc: Path = Path("/proc")) -> Holder | None:
    """One of the usual culprits, when it runs."""
    running = {_name(proc / str(pid)): pid for pid in _pids(proc)}
    return next((Holder(running[name], name, sure=False) for name in SUSPECTS if name in running), None)


def _pids(proc: Path) -> Iterator[int]:
    return (int(entry.name) for entry in proc.iterdir() if entry.name.isdigit())


def _has_open(process: Path, status: os.stat_result) -> bool:
    try:
        with os.scandir(process / "fd") as entries:
            return any(_is_same(Path(entry.path), status) for entry in entries)
    except OSError:  # gone, or another user's
        return False


def _is_same(file: Path, status: os.stat_result) -> bool:
    try:
        found = os.stat(file)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino)


def _is_terminal_of(process: Path, status: os.stat_result) -> bool:
    try:
        fields = (process / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        number = int(fields[TTY_NR - 3])  # the fields begin with the third here
    except (OSError, ValueError, IndexError):
        return False
    # major in bits 15..8, minor in bits 31..20 and 7..0
    device = os.makedev(number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00)
    return number != 0 and device == status.st_rdev and "getty" in _name(process)


def _locker(proc: Path, status: os.stat_result) -> int:
    """The process with a lock on the file. A line: `1: FLOCK ADVISORY WRITE 412 00:06:1234 0 EOF`."""
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        lines = (proc / "locks").read_text("ascii", "replace").splitlines()
    except OSError:
        return 0
    found = (re.search(rf" (\d+) {place} ", line) for line in lines)
    return next((int(match[1]) for match in found if match and int(match[1]) != os.getpid()), 0)


def _name(process: Path) -> str:
    """What a person calls it: `agetty` and its kin are getty, a Python program is its script."""
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        name = (process / "comm").read_text("utf-8", "replace").strip()
    except OSError:
        return "a program"
    if any(word.endswith(b"gatebell-gateway") for word in words[:2]) or words[1:3] == [b"-m", b"gateway"]:
        return "gatebell-gateway"
    return "getty" if name.endswith("getty") else name
