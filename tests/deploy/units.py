"""systemd's unit files of the gate and of the server, and what they allow."""

import functools
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "firmware-config" / "pi" / "systemd", ROOT / "deploy" / "systemd")
UNITS = sorted(path for folder in FOLDERS for path in folder.iterdir())
SERVICES = [path for path in UNITS if path.suffix == ".service"]


def named(name: str) -> Path:
    """The unit file of this name."""
    return next(path for path in UNITS if path.name == name)


def values(unit: Path, key: str) -> list[str]:
    """Every value of a key, in order."""
    return [line.partition("=")[2] for line in unit.read_text().splitlines() if line.startswith(f"{key}=")]


@functools.cache
def _sets() -> dict[str, list[str]]:
    """systemd's groups of system calls: name -> calls and other groups."""
    told = subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True, check=True).stdout
    found: dict[str, list[str]] = {}
    for line in told.splitlines():
        if line.startswith("@"):
            found[line] = []
        elif line.startswith("    ") and not line.lstrip().startswith("#"):
            found[list(found)[-1]].append(line.strip())
    return found


def _calls(word: str) -> set[str]:
    if not word.startswith("@"):
        return {word}
    return {call for inner in _sets()[word] for call in _calls(inner)}


def allowed(unit: Path) -> set[str]:
    """The system calls that a unit's SystemCallFilter lets through: lines add, lines with '~' take away, in order."""
    found: set[str] = set()
    for line in values(unit, "SystemCallFilter"):
        named_here = {call for word in line.lstrip("~").split() for call in _calls(word)}
        found = found - named_here if line.startswith("~") else found | named_here
    return found


def made(trace: Path) -> set[str]:
    """The system calls in an strace -f of a process, without execve, which comes before the filter."""
    return set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(errors="replace"), re.M)) - {"execve"}


def maps_code(trace: Path) -> list[str]:
    """Lines that MemoryDenyWriteExecute=yes refuses: memory to write and run, or made runnable afterwards."""
    wanted = re.compile(r"mmap\([^)]*PROT_WRITE\|PROT_EXEC|mprotect\([^)]*PROT_EXEC|shmat\([^)]*SHM_EXEC")
    return [line for line in trace.read_text(errors="replace").splitlines() if wanted.search(line)]
