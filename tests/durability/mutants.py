"""Wrong ways to keep a tap, each of which a test of this folder must find out. None of this is in the product.

Names for a child's command line: `normal` (disk writes are not waited for), `forgets` (the spool throws a stored tap
away at once), `reuses` (its numbers begin again when it is empty), `answers-first` (Stored before the commit),
`by-number` (the server takes spool and number for the identity of a tap).
"""

import time
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Engine, event, tuple_
from sqlalchemy.orm import Session

from gateway import spool as product
from gateway import wire
from gateway.salvage import Row
from gateway.spool import Spool, Touch
from gateway.wire import Kind, Tap
from server import db, ingest
from server.taps import service as taps

ANSWERED_EARLY_S = 3.0  # longer than a gateway takes to write down that its taps are stored


class Watched(Spool):
    """The product's spool, which also tells the test's lights which taps they are shown for."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.new: deque[Tap] = deque()

    def put(self, touches: Sequence[Touch]) -> list[Tap]:
        taps = super().put(touches)
        self.new.extend(taps)
        return taps


class Normal(Watched):
    """A commit returns before the disk has it, as many tuning guides recommend."""

    def _connect(self) -> None:
        super()._connect()
        self._db.execute("PRAGMA synchronous = NORMAL")


class Forgets(Watched):
    """Keeps nothing for a Resync, so what the server forgets is gone."""

    def done(self, ids: Collection[str]) -> None:
        self._begin()
        self._db.executemany("DELETE FROM tap WHERE id = ?", [(id,) for id in ids])

    def _restore(self, rescued: Collection[Row]) -> None:
        """Nothing: what was thrown away still stands in the WAL for a while."""


class Reuses(Forgets):
    """INTEGER PRIMARY KEY without AUTOINCREMENT: an empty spool begins again at 1."""

    def _number(self) -> None:
        self.id = self._db.execute("SELECT value FROM meta WHERE key = 'spool'").fetchone()[0]
        self.next_seq = self._db.execute("SELECT coalesce(max(seq), 0) + 1 FROM tap").fetchone()[0]


SPOOLS: dict[str, type[Watched]] = {"": Watched, "normal": Normal, "forgets": Forgets, "reuses": Reuses}


def choose_spool(name: str) -> type[Watched]:
    """The spool of this name, its schema too."""
    if name == "reuses":
        product.SCHEMA = product.SCHEMA.replace(" AUTOINCREMENT", "")
    return SPOOLS[name]


def spoil_server(name: str) -> None:
    """Make this process's server do wrong."""
    {"": lambda: None, "normal": _normal, "answers-first": _answers_first, "by-number": _by_number}[name]()


def _normal() -> None:
    tuned = db.tune

    def tune(engine: Engine) -> None:
        tuned(engine)

        @event.listens_for(engine, "connect")
        def hurry(connection: Any, _record: Any) -> None:
            connection.execute("PRAGMA synchronous = NORMAL")

    db.tune = tune


class AnswersFirst(ingest.Ingest):
    """Says Stored for what it has only heard."""

    def _keep(self, batch: Sequence[ingest.Incoming]) -> None:
        for incoming in batch:
            school, gateway, kind = wire.address(incoming.message.topic)
            if kind is Kind.TAP:
                heard = msgspec.json.decode(incoming.message.payload, type=wire.Taps)
                self._send(school, gateway, Kind.STORED, wire.Stored(ids=[tap.id for tap in heard.taps]))
        time.sleep(ANSWERED_EARLY_S)
        super()._keep(batch)


def _answers_first() -> None:
    ingest.Ingest = AnswersFirst  # type: ignore[misc]


def _by_number() -> None:
    stored = taps.store

    def store(session: Session, new: Sequence[taps.NewTap]) -> list[taps.NewTap]:
        number = tuple_(taps.Tap.spool, taps.Tap.seq)
        found = session.execute(
            taps.select(taps.Tap.spool, taps.Tap.seq).where(number.in_([(tap.spool, tap.seq) for tap in new]))
        )
        known = {(spool, seq) for spool, seq in found}
        return stored(session, [tap for tap in new if (tap.spool, tap.seq) not in known])

    taps.store = store
