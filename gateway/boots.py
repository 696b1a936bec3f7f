"""The starts of this machine in their order, and at what time of the world each of them was: kept beside the spool.

Ticks go on evenly within a boot, whatever the wall clock does, so one trusted moment dates every tap of it. A boot
without one lies between the boots around it. `boots.json` is replaced as a whole and synced: a pulled plug leaves the
old one or the new one.
"""

import logging
import os
from pathlib import Path
from typing import NamedTuple

import msgspec

log = logging.getLogger("gateway.boots")

MOST = 200  # boots that are remembered; taps of older ones have left the spool long ago
SAVE_MS = 300_000  # ticks between two savings while nothing has happened: what a pulled plug may widen a bracket by
SLACK_MS = 2_000  # a trusted moment may be so much off


class Boot(msgspec.Struct):
    """One start of the machine."""

    id: str
    seen: int = 0  # milliseconds that it is known to have lasted
    offset: int | None = None  # UTC milliseconds at its ticks 0, once a trusted clock has said so
    doubted: bool = False  # trusted clocks have said different things: it dates nothing
    corrected: bool = False  # it was doubted, or dated wrongly, and the server has settled it

    @property
    def starts(self) -> int | None:
        """UTC milliseconds at its ticks 0; None when that is not known for certain."""
        return None if self.doubted else self.offset


class Book(msgspec.Struct):
    """What stands in the file."""

    boots: list[Boot] = []
    birth: int = 0  # of the newest connection: the next one must be newer, whatever the clock says then


class Bracket(NamedTuple):
    """UTC milliseconds between which something happened; None where no bound is known."""

    earliest: int | None
    latest: int | None

    def holds(self, moment: int) -> bool:
        """Whether it may have happened then."""
        return (self.earliest or 0) <= moment and (self.latest is None or moment <= self.latest)


class Boots:
    """The book of boots; `open` before anything else. Without a path it is kept in memory only."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.here = Boot("")
        self._book = Book()
        self._saved_at = 0

    def open(self, boot: str) -> None:
        """Read the book, and write this boot into it before its first tap can come."""
        self._book = self._read()
        known = self._find(boot)
        if known is None:
            known = Boot(boot)
            self._book.boots = [*self._book.boots[1 - MOST :], known]
        self.here = known
        self.save()

    @property
    def birth(self) -> int:
        """Of the newest connection that was made."""
        return self._book.birth

    def born(self, birth: int) -> None:
        """A connection was made."""
        self._book.birth = max(self._book.birth, birth)
        self.save()

    def lasts(self, ticks: int) -> None:
        """This boot goes on."""
        self.here.seen = max(self.here.seen, ticks)
        if self.here.seen - self._saved_at >= SAVE_MS:
            self.save()

    def starts(self, boot: str) -> int | None:
        """UTC milliseconds at ticks 0 of a boot; None when nobody knows."""
        known = self._find(boot)
        return known.starts if known else None

    def was_doubted(self, boot: str) -> bool:
        """Whether a trusted clock may have told taps of this boot a wrong time."""
        known = self.here if boot == self.here.id else self._find(boot)
        return known is not None and (known.doubted or known.corrected)

    def bracket(self, boot: str, ticks: int) -> Bracket:
        """Between which times of the world these ticks were, by the trusted boots before and after."""
        place = next((n for n, each in enumerate(self._book.boots) if each.id == boot), None)
        if place is None:
            return Bracket(None, None)
        earliest, latest = self._after(place, ticks), self._before(place, ticks)
        if earliest is not None and latest is not None and earliest > latest:
            return Bracket(None, None)  # some clock was wrong: believe none
        return Bracket(earliest, latest)

    def _after(self, place: int, ticks: int) -> int | None:
        """Everything that is known to have passed since the last trusted moment has passed."""
        passed = ticks - SLACK_MS
        for boot in reversed(self._book.boots[:place]):
            if boot.starts is not None:
                return max(0, boot.starts + boot.seen + passed)
            passed += boot.seen
        return None

    def _before(self, place: int, ticks: int) -> int | None:
        """And everything that is known to have passed until the next one."""
        left = max(0, self._book.boots[place].seen - ticks) - SLACK_MS
        for boot in self._book.boots[place + 1 :]:
            if boot.starts is not None:
                return max(0, boot.starts - left)
            left += boot.seen
        return None

    def clear_before(self, offset: int) -> None:
        """This boot began at `offset`, beyond doubt: earlier ones that are dated behind it were dated wrongly."""
        for boot in self._book.boots:
            if boot is not self.here and boot.starts is not None and boot.starts + boot.seen > offset + SLACK_MS:
                boot.doubted = True

    def _find(self, boot: str) -> Boot | None:
        return next((each for each in reversed(self._book.boots) if each.id == boot), None)

    def _read(self) -> Book:
        if self.path is None:
            return Book()
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Book)
        except FileNotFoundError:
            return Book()
        except (OSError, msgspec.DecodeError) as error:
            log.error("%s cannot be read, earlier boots are forgotten: %s", self.path, error)
            return Book()

    def save(self) -> None:
        """To disk. If that fails the taps go on: their brackets will be wider."""
        self._saved_at = self.here.seen
        if self.path is None:
            return
        try:
            _replace(self.path, msgspec.json.encode(self._book))
        except OSError as error:
            log.warning("%s cannot be written: %s", self.path, error.strerror)


def _replace(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
