"""What a process said before its disk had it, read from an strace: needs no root and no power cut."""

import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.gateway.ends import until

CALLS = "write,pwrite64,writev,pwritev,sendto,sendmsg,fsync,fdatasync"
_CALL = re.compile(r"(\d+) +(\w+)\(\d+<([^>]*)>(.*)")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (fsync|fdatasync) resumed>.*= 0$")


def wrapper(output: Path) -> Sequence[str]:
    """The words before a command that is to be watched; -D: it stays our own child, and strace goes when it goes."""
    return ["strace", "-D", "-f", "-y", "-s", "200", "-e", f"trace={CALLS}", "-o", str(output)]


def obstacle(folder: Path) -> str:
    """Why strace cannot watch here; empty when it can."""
    tried = subprocess.run(["strace", "-o", str(folder / "trial"), "true"], check=False, capture_output=True)
    return "" if tried.returncode == 0 else f"strace may not watch: {tried.stderr.decode().strip()}"


def lines(output: Path) -> list[str]:
    """All of an strace whose process has been killed; strace itself ends a moment later. Raises TimeoutError."""
    until(lambda: "+++ killed by" in output.read_text(errors="replace")[-200:])
    return output.read_text(errors="replace").splitlines()


@dataclass
class Verdict:
    """Promises made, and those among them that were made while the file had writes not yet on disk."""

    promises: int = 0
    early: list[str] = field(default_factory=list)


class Judge:
    """Follows the writes to one database file, its WAL and its journal, and every promise."""

    def __init__(self, database: Path, promise: str) -> None:
        self.files = {str(database) + tail for tail in ("", "-wal", "-journal")}
        self.promise = re.compile(promise)
        self.dirty: dict[str, int] = {}  # file -> line of its last write
        self.syncing: dict[str, tuple[str, int]] = {}  # thread -> file and line at which its fsync began
        self.verdict = Verdict()

    def read(self, lines: Iterable[str]) -> Verdict:
        """The verdict on a whole strace."""
        for n, line in enumerate(lines):
            if call := _CALL.match(line):
                self._call(n, *call.groups())
            elif resumed := _RESUMED.match(line):
                self._synced(*self.syncing.pop(resumed[1], ("", 0)))
        return self.verdict

    def _call(self, n: int, thread: str, name: str, path: str, rest: str) -> None:
        if name in {"fsync", "fdatasync"}:
            if rest.endswith("<unfinished ...>"):
                self.syncing[thread] = (path, n)
            elif rest.endswith("= 0"):
                self._synced(path, n)
        elif path in self.files:
            self.dirty[path] = n
        elif self.promise.search(rest):
            self.verdict.promises += 1
            if self.dirty:
                self.verdict.early.append(f"line {n}: {rest[:80]} while {sorted(self.dirty)} was not on disk")

    def _synced(self, path: str, began: int) -> None:
        if self.dirty.get(path, began) < began:
            del self.dirty[path]
