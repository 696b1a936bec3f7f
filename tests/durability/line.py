"""The line as children that can be killed: a card on a pseudo-terminal, a gateway, and the server's processes."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.timebase import VARIABLE, Timebase
from server import clock
from tests.gateway.ends import GATE, SCHOOL, Cable
from tests.server import gate

ROOT = Path(__file__).parents[2]


def card(n: int) -> str:
    """The n-th card."""
    return f"em4100:{n:010X}"


def seven_o_clock() -> str:
    """GATEBELL_CLOCK for children whose school day begins now."""
    seven = clock.to_millis(gate.SEVEN)
    return str(Timebase(start=seven, begins=time.time_ns() // 1_000_000, until=seven))


class Child:
    """A Python module as a process, with a log; started and killed as often as the test likes."""

    def __init__(self, log: Path, *words: str, clock: str = "") -> None:
        self.log = log
        self.words = words
        self.wrapper: Sequence[str] = ()
        self.environment = os.environ | {"PYTHONPATH": str(ROOT), VARIABLE: clock}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        self._spawn([*self.wrapper, sys.executable, "-m", *self.words])

    def _spawn(self, command: Sequence[str], pass_fds: Sequence[int] = ()) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, pass_fds=pass_fds
            )

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)
            self.process = None

    def tail(self) -> str:
        """The end of what it said."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return f"== {self.log.name}\n" + "\n".join(text.splitlines()[-12:])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def server(
    role: str, folder: Path, database: Path, broker: str, *, mutant: str = "", clock: str = "", port: int = 8000
) -> Child:
    """`ingest`, `jobs` or `web` (at `port`) of a server whose key and wake-up socket lie in `folder`."""
    words = ("tests.durability.server_child", role, str(folder), f"sqlite:///{database}", broker, mutant, str(port))
    return Child(folder / f"{role}.log", *words, clock=clock)


class Gate(Child):
    """A gateway with one reader; `greens` are the ids of the taps whose light was green, with their cards.

    `lit` says when, in nanoseconds of CLOCK_MONOTONIC.
    """

    def __init__(
        self, folder: Path, data: Path, broker: str, *, mutant: str = "", clock: str = "", name: str = GATE
    ) -> None:
        self.toml = folder / "gateway.toml"
        self.spool = data / "spool.db"
        self.cable = Cable(folder / "reader")
        self.greens: dict[str, str] = {}
        self.lit: dict[str, int] = {}
        self._reader: threading.Thread | None = None
        self.toml.write_text(
            f'school = "{SCHOOL}"\ngateway = "{name}"\ndata_dir = "{data}"\nclock = "trust"\nheartbeat_s = 2\n'
            f'[mqtt]\nurls = ["{broker}"]\n[spool]\nreserve_mb = 1\n'
            f'[[reader]]\nid = "east"\nprofile = "rdm6300"\nport = "{self.cable.name}"\ndirection = "in"\n'
        )
        self.mutant = mutant
        self.starts = 0
        super().__init__(folder / "gateway.log", clock=clock)

    def start(self) -> None:
        """Start it and listen to its lamp."""
        self.starts += 1
        read, write = os.pipe()
        self.words = ("tests.durability.gate_child", str(self.toml), str(write), self.mutant)
        self._spawn([*self.wrapper, sys.executable, "-m", *self.words], pass_fds=(write,))
        os.close(write)
        self._reader = threading.Thread(target=self._watch, args=(read,))
        self._reader.start()

    def _watch(self, pipe: int) -> None:
        with open(pipe, encoding="ascii") as lamp:
            for line in lamp:
                if line.endswith("\n"):
                    tap, card, when = line.split()
                    self.lit[tap] = int(when)
                    self.greens[tap] = card

    def kill(self) -> None:
        """kill -9; every light that it showed has been seen after."""
        super().kill()
        if self._reader is not None:
            self._reader.join(20)
            self._reader = None

    def listens(self) -> bool:
        """Whether this start has opened the port; what a reader said before is thrown away."""
        return self.log.read_text("utf-8").count("reader east up") >= self.starts

    def unsent(self) -> int | None:
        """How many taps its spool has left to send; None when that cannot be read now."""
        with contextlib.suppress(sqlite3.OperationalError):
            return ask(self.spool, "SELECT count(*) FROM tap WHERE stored_at IS NULL")[0][0]
        return None

    def __enter__(self) -> Self:
        self.cable.plug()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self.cable.unplug()


def ask(path: Path, sql: str) -> list[tuple[object, ...]]:
    """Look into a SQLite file that others write."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        return connection.execute(sql).fetchall()


def kept(database: Path) -> Counter[str]:
    """How often each tap stands in the server's table, by id."""
    return Counter(str(uuid.UUID(str(id))) for (id,) in ask(database, "SELECT id FROM tap"))
