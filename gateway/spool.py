"""The taps on disk: SQLite that survives a pulled plug, kept until the server says Stored and some days more.

`put` returns after the fsync; only then may a light turn green. A tap leaves by its id in a Stored and in no other way.
Every body carries a crc32, so that rows of a broken file can be told good from bad (see salvage.py), and its card only
sealed for this machine (see seal.py). What is done to the file itself is in spoolfile.py.
"""

import logging
import re
import sqlite3
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from msgspec import UNSET

from gateway import salvage, spoolfile
from gateway.clock import Clock
from gateway.reserve import Reserve
from gateway.salvage import Row
from gateway.seal import Seal
from gateway.spoolfile import NotStored, OtherMachine, SpoolFull, SpoolUnusable
from gateway.trust import BUILT
from gateway.wire import LAST_SEQ, ClockState, Direction, Locked, Tap, new_tap_id

log = logging.getLogger("gateway.spool")

__all__ = ["Limits", "NotStored", "Spool", "SpoolFull", "SpoolUnusable", "Touch"]

SCHEMA_VERSION = spoolfile.FORMAT
SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tap (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, body TEXT NOT NULL, stored_at INTEGER);
CREATE UNIQUE INDEX tap_id ON tap (id);
CREATE INDEX tap_unsent ON tap (seq) WHERE stored_at IS NULL;
CREATE TABLE bad (seq INTEGER PRIMARY KEY, body TEXT NOT NULL, found_at INTEGER NOT NULL);
PRAGMA user_version = {SCHEMA_VERSION};
INSERT INTO meta VALUES ('spool', lower(hex(randomblob(8))));
COMMIT;
"""
PAGE = 4096
FULL_AT = 0.95
SETTLE_S = 1.0
IDLE_S = 5.0
PRUNE_S = 600.0
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Touch:
    """A card at a reader, before it has a place in the spool."""

    reader: str
    direction: Direction
    card: str
    at: int
    clock: ClockState
    ticks: int
    sun: str = ""  # what an NTAG 424 DNA wrote


@dataclass(frozen=True)
class Limits:
    """How much disk the spool may take, in bytes, and for how many days stored taps are kept for a Resync."""

    size: int = 64 << 20
    reserve: int = 8 << 20
    keep_days: int = 7


class Spool:
    """The one file of a gateway; used by one thread. `open` before anything else."""

    def __init__(
        self, path: Path, *, gateway: str, clock: Clock, limits: Limits = Limits(), seal: Seal | None = None
    ) -> None:
        self.path = path
        self.gateway = gateway
        self.seal = seal or Seal(path.parent)
        self.clock = clock
        self.limits = limits
        self.id = ""
        self.next_seq = 1
        self.locked: list[Locked] = []  # what lies beside it, sealed by another machine
        self._reserve = Reserve(path.with_suffix(".reserve"), limits.reserve)
        self._lock: IO[str] | None = None
        self._changed = 0.0  # monotonic time of the last change not yet committed, or 0
        self._moved = 0.0  # monotonic time of the last change not yet moved from the WAL into the file, or 0
        self._pruned = 0.0

    def open(self) -> None:
        """Lock, check, set a bad file aside, bring back what can be read. Raises SpoolUnusable."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = spoolfile.lock(self.path.with_suffix(".lock"))
        except OSError as error:
            folder = f"{self.path.parent} cannot be used: {error.strerror}"
            raise SpoolUnusable(f"{folder}; data_dir must be a folder that this user may write to") from None
        try:
            self._open()
        except sqlite3.OperationalError as error:
            self._let_go()
            raise SpoolUnusable(f"{self.path} cannot be opened: {error}; check the disk and the rights") from None
        except SpoolUnusable:
            self._let_go()
            raise

    def _open(self) -> None:
        self._reserve.drop()  # a full disk must not keep us from starting
        rescued = salvage.rows(spoolfile.wal(self.path), self.seal)
        try:
            self._connect()
        except OtherMachine as error:
            rescued = spoolfile.lock_away(self.path, error)
            self._connect()
        except sqlite3.DatabaseError as error:
            if not spoolfile.is_blamed(error):
                raise
            rescued = spoolfile.set_aside(self.path, error, rescued, self.seal)
            self._connect()
        self._restore([*rescued, *spoolfile.unlocked(self.path, self.seal)])
        self.locked = spoolfile.locked(self.path)
        self._reserve.take()

    def close(self) -> None:
        """Commit what is open and let go of the file; may be called twice."""
        if self._lock is not None:
            self._commit()
            self._db.close()
            self._let_go()

    def _let_go(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # taps in

    def put(self, touches: Sequence[Touch]) -> list[Tap]:
        """Write taps in one commit; back from here they are on disk. Raises NotStored."""
        try:
            self._make_room()
            return self._write(touches)
        except sqlite3.OperationalError as error:
            self._roll_back()
            if not self._reserve.give_up():
                raise spoolfile.not_stored(error) from None
        try:
            return self._write(touches)
        except sqlite3.OperationalError as error:
            self._roll_back()
            raise spoolfile.not_stored(error) from None

    def _write(self, touches: Sequence[Touch]) -> list[Tap]:
        taps = [self._tap(seq, touch) for seq, touch in enumerate(touches, self.next_seq)]
        self._insert(Row(tap, stored=False) for tap in taps)
        self._commit()
        self.next_seq += len(taps)
        return taps

    def _tap(self, seq: int, touch: Touch) -> Tap:
        return Tap(
            id=new_tap_id(touch.at),
            spool=self.id,
            seq=seq,
            gateway=self.gateway,
            reader=touch.reader,
            direction=touch.direction,
            card=touch.card,
            at=touch.at,
            clock=touch.clock,
            boot=self.clock.boot,
            ticks=touch.ticks,
            sun=touch.sun or UNSET,
        )

    def _insert(self, rows: Iterable[Row]) -> None:
        self._begin()
        self._db.executemany(
            "INSERT INTO tap (seq, id, body, stored_at) VALUES (?, ?, ?, ?)",
            [
                (row.tap.seq, row.tap.id, salvage.body(row, self.seal), self.clock.now() if row.stored else None)
                for row in rows
            ],
        )

    # taps out

    def unsent(self, *, limit: int, after: int = 0) -> list[Tap]:
        """The first taps behind seq `after` that the server has not stored. A row that has rotted is put aside."""
        rows = self._db.execute(
            "SELECT seq, body FROM tap WHERE stored_at IS NULL AND seq > ? ORDER BY seq LIMIT ?", (after, limit)
        ).fetchall()
        good = [row.tap for _, body in rows if (row := salvage.own(body, self.seal)) is not None]
        if len(good) < len(rows):
            self._quarantine(seq for seq, body in rows if salvage.own(body, self.seal) is None)
            return self.unsent(limit=limit, after=after)
        return good

    def done(self, ids: Collection[str]) -> None:
        """The server has stored these. Written with the next tap or by `settle`; a crash before sends them again."""
        self._begin()
        now = self.clock.settled_now() or 0
        self._db.executemany(
            "UPDATE tap SET stored_at = ?, body = 'S' || substr(body, 2) WHERE id = ? AND stored_at IS NULL",
            [(now, id) for id in ids],
        )

    def resend(self, start: int) -> int:
        """Take every kept tap from seq `start` on for not stored; gives their number."""
        self._begin()
        sql = "UPDATE tap SET stored_at = NULL, body = 'U' || substr(body, 2) WHERE seq >= ? AND stored_at IS NOT NULL"
        return self._db.execute(sql, (start,)).rowcount

    def depth(self) -> int:
        """Number of taps that the server has not stored."""
        return int(self._db.execute("SELECT count(*) FROM tap WHERE stored_at IS NULL").fetchone()[0])

    def oldest(self) -> int | None:
        """When the first of them was made; None when that is not known."""
        first = self.unsent(limit=1)
        return self.clock.not_before(first[0]) if first else None

    def kept(self, start: int) -> list[int]:
        """The numbers from `start` on that are still here, in order."""
        return [seq for (seq,) in self._db.execute("SELECT seq FROM tap WHERE seq >= ? ORDER BY seq", (start,))]

    # keeping the file

    def prove(self) -> None:
        """Write something that is no tap, down to the disk. Raises sqlite3.OperationalError."""
        self._begin()
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('proven', ?)", (self.clock.now(),))
        self._commit()

    def settle(self, now: float) -> None:
        """Commit marks after a second, empty the WAL when nothing happens, forget what is old. `now` is monotonic."""
        try:
            self._settle(now)
        except sqlite3.OperationalError as error:
            self._roll_back()
            self._moved = self._pruned = now
            log.error("spool cannot be tidied, marks are lost and their taps sent again: %s", error)

    def _settle(self, now: float) -> None:
        if self._changed and now - self._changed > SETTLE_S:
            self._commit()
        if self._moved and not self._changed and now - self._moved > IDLE_S:
            # a flipped bit in a long WAL drops all that follows it: keep it short
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._moved = 0.0
        if now - self._pruned > PRUNE_S:
            self._pruned = now
            self._prune()

    def is_full(self) -> bool:
        """Whether the next tap would find no room, counting the stored ones as room."""
        stored = "SELECT EXISTS (SELECT 1 FROM tap WHERE stored_at IS NOT NULL)"
        return self._used() >= FULL_AT and not self._db.execute(stored).fetchone()[0]

    def _used(self) -> float:
        (pages,), (free,) = (self._db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count"))
        return float((pages - free) * PAGE / self.limits.size)

    def _make_room(self) -> None:
        while self._used() >= FULL_AT:
            self._begin()
            oldest = "SELECT seq FROM tap WHERE stored_at IS NOT NULL ORDER BY seq LIMIT 200"
            if not self._db.execute(f"DELETE FROM tap WHERE seq IN ({oldest})").rowcount:
                raise SpoolFull(f"{self.path} holds {self.depth()} taps that the server has not stored: it is full")
            self._commit()

    def _prune(self) -> None:
        if (now := self.clock.settled_now()) is None:
            return
        self._begin()  # what was stored while the clock was wrong begins its days now
        self._db.execute("UPDATE tap SET stored_at = ? WHERE stored_at NOT BETWEEN ? AND ?", (now, BUILT, now))
        self._db.execute("DELETE FROM tap WHERE stored_at < ?", (now - self.limits.keep_days * DAY_MS,))
        self._commit()

    def _quarantine(self, seqs: Iterable[int]) -> None:
        self._begin()
        for seq in seqs:
            log.error("spool row %d is damaged: kept in table bad, the server will see a gap", seq)
            copy = "INSERT OR REPLACE INTO bad SELECT seq, body, ? FROM tap WHERE seq = ?"
            self._db.execute(copy, (self.clock.now(), seq))
            self._db.execute("DELETE FROM tap WHERE seq = ?", (seq,))
        self._commit()

    # opening

    def _connect(self) -> None:
        self._db = sqlite3.connect(self.path, isolation_level=None)
        self._db.text_factory = spoolfile.text
        try:
            self._prepare()
        except sqlite3.DatabaseError:
            self._db.close()
            raise
        except (UnicodeDecodeError, TypeError) as error:  # bytes or NULL where sqlite3 or we expect words
            self._db.close()
            raise sqlite3.DatabaseError(f"unreadable: {error}") from None

    def _prepare(self) -> None:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "cache_size = -500"):
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise SpoolUnusable(f"{self.path} was written by a newer gateway (format {version}): update this one")
        if not version:
            self._db.executescript(SCHEMA)
        # a quick_check would pass over the indexes
        if self._db.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("the integrity check fails")
        spoolfile.claim(self._db, self.seal)
        self._db.execute(f"PRAGMA max_page_count = {max(16, self.limits.size // PAGE)}").fetchall()
        self._number()

    def _number(self) -> None:
        # only `done` marks both; a flipped bit marks one and would swallow the tap
        self._db.execute("UPDATE tap SET stored_at = NULL WHERE stored_at IS NOT NULL AND body LIKE 'U%'")
        self.id = self._db.execute("SELECT value FROM meta WHERE key = 'spool'").fetchone()[0]
        numbers = "SELECT seq FROM sqlite_sequence WHERE name = 'tap' UNION ALL SELECT seq FROM tap"
        last = self._db.execute(f"SELECT coalesce(max(seq), 0) FROM ({numbers})").fetchone()[0]
        if not re.fullmatch("[0-9a-f]{16}", self.id) or not 0 <= last < LAST_SEQ:
            raise sqlite3.DatabaseError("spool id or numbers are no such")
        self.next_seq = last + 1

    def _restore(self, rescued: Collection[Row]) -> None:
        """Put back the rows that the file lacks, under their ids; the seq is kept where it is this spool's and free."""
        known = {id for (id,) in self._db.execute("SELECT id FROM tap")} if rescued else set()
        missing = [row for row in rescued if row.tap.id not in known and not row.stored]
        for row in sorted(missing, key=lambda row: (row.tap.spool, row.tap.seq)):
            own = row.tap.spool == self.id and row.tap.seq >= self.next_seq
            seq = row.tap.seq if own else self.next_seq
            self._insert([row.moved(spool=self.id, seq=seq)])
            self.next_seq = seq + 1
        self._commit()
        if missing:
            log.warning("%d taps brought back into spool %s", len(missing), self.id)

    # transactions

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        self._changed = time.monotonic()

    def _commit(self) -> None:
        if self._db.in_transaction:
            self._db.execute("COMMIT")
            self._moved = time.monotonic()
        self._changed = 0.0

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._changed = 0.0
