"""The ledger of a simulation: what was shown to which reader when, which of it must become taps, and which did.

JSON lines: `{"at": <UTC ms>, "reader": "reader-1", "card": "em4100:67003B51C6", "tap": "yes"}` (or `no`,
or `any`), and `{"at": ..., "reader": ..., "fault": "unplug", "seconds": 10}`. `at` is the clock that the gate has, too.
"""

import csv
import datetime as dt
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from gateway import salvage, wire
from gateway.seal import Foreign, Seal
from gateway.simfaults import Expected, Kind

NEAR_MS = 30_000  # between a card at the reader and its tap, should the gate's clock or the machine be slow


class LedgerError(ValueError):
    """A ledger or a list of taps cannot be read; the text says which and why."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A card was held to a reader."""

    at: wire.Millis
    reader: str
    card: str
    tap: Expected


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """A fault began."""

    at: wire.Millis
    reader: str
    fault: Kind
    seconds: float


@dataclass(frozen=True)
class Stored:
    """A tap as the gate or the server keeps it. `at`: UTC milliseconds."""

    at: int
    reader: str
    card: str


@dataclass(frozen=True)
class Comparison:
    """`missing`: had to become a tap and is none; `extra`: a tap that nobody made; `matched`: how many agree."""

    matched: int
    missing: list[Shown]
    extra: list[Stored]

    def __str__(self) -> str:
        lines = [f"{self.matched} taps as they must be, {len(self.missing)} missing, {len(self.extra)} too many"]
        lines += [f"missing: {one.at} {one.reader} {one.card}" for one in self.missing]
        lines += [f"too many: {one.at} {one.reader} {one.card}" for one in self.extra]
        return "\n".join(lines)


class Ledger:
    """Written while the simulation runs; nowhere when it has no file."""

    def __init__(self, file: IO[bytes] | None = None) -> None:
        self.file = file

    def write(self, entry: Shown | Happened) -> None:
        """One line, at once: a trainer may look at it, a test may kill us."""
        if self.file is not None:
            self.file.write(msgspec.json.encode(entry) + b"\n")
            self.file.flush()


def read(path: Path) -> list[Shown]:
    """The cards of a ledger. Raises LedgerError."""
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            if b'"fault"' not in line:
                found.append(msgspec.json.decode(line, type=Shown))
        except msgspec.DecodeError as error:
            raise LedgerError(f"{path}:{number}: {error}") from None
    return found


def taps(path: Path) -> list[Stored]:
    """Taps of a spool.db, of the server's SQLite file, or of a CSV with card, reader and at. Raises LedgerError."""
    try:
        with path.open("rb") as file:
            is_sqlite = file.read(16) == b"SQLite format 3\x00"
        return list(_of_sqlite(path) if is_sqlite else _of_csv(path))
    except Foreign as error:
        raise LedgerError(f"{path}: {error}; compare it on the machine of its gateway") from None
    except (KeyError, ValueError, sqlite3.DatabaseError) as error:
        wanted = "a spool.db, the server's SQLite file, or a CSV with the columns card, reader and at"
        raise LedgerError(f"{path}: {error}; give {wanted}") from None


def _of_sqlite(path: Path) -> Iterator[Stored]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as base:
        names = {name for _, name, *_ in base.execute("PRAGMA table_info(tap)")}
        if "body" in names:
            seal = Seal(path.parent)  # a spool can be read on its own machine only
            rows = (salvage.read(body, seal) for (body,) in base.execute("SELECT body FROM tap"))
            yield from (Stored(row.tap.at, row.tap.reader, row.tap.card) for row in rows if row is not None)
        else:
            for at, reader, card in base.execute("SELECT at, reader_id, card FROM tap"):
                yield Stored(_millis(at), reader, card)


def _of_csv(path: Path) -> Iterator[Stored]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            reader = row["reader_id"] if "reader_id" in row else row["reader"]
            yield Stored(_millis(row["at"]), reader, row["card"])


def _millis(at: int | str) -> int:
    """UTC milliseconds of a number, or of a date and time that is UTC where it names no zone."""
    if isinstance(at, int) or at.isdigit():
        return int(at)
    moment = dt.datetime.fromisoformat(at)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp() * 1000)


def compare(shown: Iterable[Shown], stored: Iterable[Stored]) -> Comparison:
    """Each tap belongs to the nearest card that was shown to its reader and may be one."""
    open_taps: dict[tuple[str, str], list[Stored]] = defaultdict(list)
    for tap in stored:
        open_taps[tap.reader, tap.card].append(tap)
    matched, missing = 0, []
    for one in sorted(shown, key=lambda one: (one.tap is not Expected.YES, one.at)):
        near = [tap for tap in open_taps[one.reader, one.card] if abs(tap.at - one.at) <= NEAR_MS]
        if near and one.tap is not Expected.NO:
            open_taps[one.reader, one.card].remove(min(near, key=lambda tap: abs(tap.at - one.at)))  # noqa: B023
            matched += 1
        elif one.tap is Expected.YES:
            missing.append(one)
    extra = [tap for left in open_taps.values() for tap in left]
    return Comparison(matched, missing, sorted(extra, key=lambda tap: tap.at))
