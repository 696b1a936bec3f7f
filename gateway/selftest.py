"""The self-test before the bell: every part asked a real question, and the answers in words for the server.

A reader that must be asked has to answer a question put after the test began; one that speaks by itself has to have
its port, and no storm of faults. The spool takes a real write with its fsync. The command has just come from the
server and says what time it is there.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.spool import Spool
from gateway.status import Record, undervoltage
from gateway.wire import ClockState, ReaderHealth, SelfTest, Tested, Trouble

OK = "ok"
ANSWER_S = 6.0  # a reader has so long to answer
STORM = 60  # faults at one reader in two minutes
LOW_BYTES = 50 << 20
CLOCK_S = 60.0
PROVE_S = 60.0
WAIT_S = 60.0  # so long may a tap wait for its Stored


@dataclass(frozen=True)
class Asked:
    """A reader at one moment: `asked` when it must be asked, `answered` when it last did (monotonic seconds)."""

    record: Record
    asked: bool = False
    answered: float = 0.0


@dataclass(frozen=True)
class Surroundings:
    """What else a test looks at."""

    spool: Spool
    clock: Clock
    full: bool  # the last tap found no room


class Writing:
    """Whether taps can be written: a real write once a minute, which is what an SD card can bear for years."""

    def __init__(self) -> None:
        self._due = 0.0

    def works(self, spool: Spool, now: float) -> bool:
        """False when only a new process, or a person, can help; a full disk is no such case."""
        if os.statvfs(spool.path.parent).f_flag & os.ST_RDONLY:
            return False
        if now < self._due:
            return True
        try:
            spool.prove()
        except sqlite3.OperationalError as error:
            return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL
        self._due = now + PROVE_S
        return True


class Examination:
    """At most one test at a time; a later command takes the place of the one before."""

    def __init__(self) -> None:
        self.found: Tested | None = None
        self._command: SelfTest | None = None
        self._began = 0.0
        self._heard = 0  # by our clock, when the command came

    def begin(self, command: SelfTest, now: float, clock: Clock) -> None:
        """A command has come; `now` is monotonic."""
        self._command, self._began, self._heard = command, now, clock.now()

    def is_over(self, readers: Sequence[Asked], around: Surroundings, now: float) -> bool:
        """Whether a test has ended just now; what it found is in `found`."""
        command = self._command
        patient = now - self._began < ANSWER_S
        if command is None or (patient and any(_is_open(reader, self._began) for reader in readers)):
            return False
        checks = dict(_checks(around, command.sent, self._heard))
        checks |= {f"reader {each.record.section.id}": _of_reader(each, self._began) for each in readers}
        self.found, self._command = Tested(number=command.number, at=around.clock.now(), checks=checks), None
        return True


def _is_open(reader: Asked, began: float) -> bool:
    """Whether the reader may still answer."""
    return reader.asked and reader.record.health is ReaderHealth.UP and reader.answered <= began


def _of_reader(reader: Asked, began: float) -> str:
    record = reader.record
    if record.why == Trouble.STUCK:
        return Trouble.STUCK
    if record.health is not ReaderHealth.UP:
        return f"{record.health} {record.why}".strip()[:64]
    if reader.asked and reader.answered <= began:
        return Trouble.NO_ANSWER
    return "faults" if record.lately() > STORM else OK


def _checks(around: Surroundings, sent: int, heard: int) -> Iterator[tuple[str, str]]:
    yield "spool", _of_spool(around.spool)
    yield "room", _of_room(around)
    yield "server", _of_server(around)
    yield "clock", _of_clock(around.clock, sent, heard)
    yield "power", "weak" if undervoltage() else OK


def _of_spool(spool: Spool) -> str:
    try:
        spool.prove()
    except sqlite3.OperationalError:
        return "unwritten"
    return OK


def _of_room(around: Surroundings) -> str:
    if around.full or around.spool.is_full():
        return "full"
    disk = os.statvfs(around.spool.path.parent)
    free = disk.f_bavail * disk.f_frsize
    return f"low {free >> 20}" if free < LOW_BYTES else OK


def _of_server(around: Surroundings) -> str:
    oldest = around.spool.oldest()
    waits = oldest is not None and around.clock.base.elapsed_ms(oldest, around.clock.now()) > WAIT_S * 1000
    return "waiting" if waits else OK


def _of_clock(clock: Clock, sent: int, heard: int) -> str:
    if clock.state() is ClockState.UNSYNCED:
        return ClockState.UNSYNCED
    ahead = round(clock.base.elapsed_ms(sent, heard) / 1000)
    return f"wrong {ahead:+d}" if abs(ahead) > CLOCK_S else OK
