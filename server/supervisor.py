"""Keeps a family of child processes alive: starts them, restarts the dead ones, and stops them all together."""

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

PAUSE = 0.3  # seconds before a dead child is started again
YOUNG = 3.0  # a child that dies sooner than this after its start has not really run
TRIES = 5  # young deaths in a row before the supervisor gives up
GRACE = 3.0  # seconds from SIGTERM to SIGKILL when all are stopped
_PR_SET_PDEATHSIG = 1


class KeepsDying(RuntimeError):
    """A child ended again and again right after its start; the text holds its last words."""


@dataclass
class _Child:
    command: Sequence[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    again: float | None = None
    young_deaths: int = 0


class Supervisor:
    """Children by name, each in its own process group, with its output in `<folder>/<name>.log`, its id in `.pid`.

    Call check() a few times a second: a dead child is named through `say` and started again within half a second.
    """

    def __init__(self, folder: Path, say: Callable[[str], None], *, grace: float = GRACE) -> None:
        self.folder = folder
        self.say = say
        self.grace = grace
        self._children: dict[str, _Child] = {}

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start a child and keep it alive from now on; `environment` is laid over this process's own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{name}.log").unlink(missing_ok=True)
        self._children[name] = _Child(command, environment or {})
        self._spawn(name)

    def check(self) -> None:
        """Start dead children again. Raises KeepsDying when one cannot be kept alive."""
        for name, child in self._children.items():
            if child.again is not None and time.monotonic() >= child.again:
                self._spawn(name)
            elif child.process is not None and child.process.poll() is not None:
                self._bury(name, child, child.process)

    def alive(self, name: str) -> bool:
        """Whether a child runs at this moment."""
        process = self._children[name].process
        return process is not None and process.poll() is None

    def watch(self, stop: threading.Event, each: Callable[[], None] = lambda: None) -> None:
        """Keep the children alive, and call `each` ten times a second, until `stop` is set."""
        while not stop.wait(0.1):
            self.check()
            each()

    def stop(self) -> None:
        """SIGTERM to every group at once, SIGKILL to what is left after `grace` seconds."""
        running = [child.process for child in self._children.values() if child.process is not None]
        self._children = {}
        for process in running:
            _signal_group(process.pid, signal.SIGTERM)
        until = time.monotonic() + self.grace
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.05, until - time.monotonic()))
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()

    def last_words(self, name: str, lines: int = 8) -> str:
        """The end of a child's log."""
        log = self.folder / f"{name}.log"
        return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:]) if log.exists() else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _spawn(self, name: str) -> None:
        child = self._children[name]
        with (self.folder / f"{name}.log").open("ab") as log:
            child.process = subprocess.Popen(
                list(child.command),
                env={**os.environ, **child.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - it only makes one system call
            )
        child.started, child.again = time.monotonic(), None
        (self.folder / f"{name}.pid").write_text(f"{child.process.pid}\n")

    def _bury(self, name: str, child: _Child, process: subprocess.Popen[bytes]) -> None:
        _signal_group(process.pid, signal.SIGKILL)  # a killed parent's workers still hold its port
        young = time.monotonic() - child.started < YOUNG
        child.young_deaths = child.young_deaths + 1 if young else 0
        if child.young_deaths >= TRIES:
            raise KeepsDying(f"{name} {_ending(process.returncode)} {TRIES} times:\n{self.last_words(name)}")
        self.say(f"{name} {_ending(process.returncode)}; starting it again (its log: {self.folder / name}.log)")
        child.process, child.again = None, time.monotonic() + PAUSE


def stop_on_signals() -> threading.Event:
    """An event that SIGINT, SIGTERM and SIGHUP set from now on, instead of ending this process."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # all of the group are gone
        os.killpg(group, number)


_libc = ctypes.CDLL(None)  # loaded here: nothing may be loaded between fork and exec


def _die_with_parent() -> None:
    # A supervisor that is itself killed must not leave a demo running that nobody can stop.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
