"""Open pages and what is new for them: one poller in the web process asks the database, and wakes the streams."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from server import clock
from server.absence.models import AbsenceCase
from server.absence.rules import CaseState
from server.accounts import service as accounts
from server.attendance.models import ManualPassage
from server.db import db
from server.gates.models import Gateway
from server.outbox.models import InboundText, OutboxText
from server.register.models import ClassRegister
from server.rollcall.models import RollCall, Visit
from server.taps.models import Tap

POLL = 0.3  # seconds between two questions to the database while somebody watches
BEAT = 4.0  # seconds between two signs of life; the page says that it is cut off after 10
LOGIN_EVERY = 5.0  # seconds between two looks whether the streams' sessions still stand
REFRESH = 30.0  # seconds after which a page fetches itself anew, whatever was noticed
KEPT_FREE = 24  # threads that streams never take, so that pages are always served


@dataclass(eq=False)
class Stream:
    """One open page."""

    school_id: str
    timezone: str
    token: str
    ended: bool = False


class Hub:
    """All streams of this process. The poller's thread lives only while there is one."""

    def __init__(self, app: Flask, threads: int) -> None:
        self.app = app
        self.most = max(1, threads - KEPT_FREE)
        self.streams: set[Stream] = set()
        self.marks: dict[str, str] = {}  # newest() of each watched school
        self.changed = threading.Condition()
        self.poller: threading.Thread | None = None

    def mark(self, school_id: str) -> str:
        """What a page of an earlier feature says that it has seen: see newest."""
        return newest(school_id)

    def join(self, school_id: str, timezone: str, token: str) -> Stream | None:
        """A new stream; None when there are as many as this process can bear."""
        with self.changed:
            if len(self.streams) >= self.most:
                return None
            stream = Stream(school_id, timezone, token)
            self.streams.add(stream)
            if self.poller is None:
                self.poller = threading.Thread(target=self._poll, name="live", daemon=True)
                self.poller.start()
            return stream

    def leave(self, stream: Stream) -> None:
        """The page is gone; leaving twice is harmless."""
        with self.changed:
            stream.ended = True
            self.streams.discard(stream)
            self.changed.notify_all()

    def events(self, stream: Stream, seen: str) -> Iterator[str]:
        """What goes down the wire: `changed` at most once a second (less often with many streams), else a `beat`.

        `seen` is the mark of what the page showed when it was made, so nothing is missed between page and stream.
        """
        try:
            yield _event("beat", stream)
            told = time.monotonic()
            while not stream.ended:
                self._wait(stream, seen, told + self.pace())
                if stream.ended:
                    break
                mark, age = self.marks.get(stream.school_id, seen), time.monotonic() - told
                if age > REFRESH or (mark != seen and age >= self.pace()):
                    seen, told = mark, time.monotonic()
                    yield _event("changed", stream)
                else:
                    yield _event("beat", stream)
        finally:
            self.leave(stream)

    def pace(self) -> float:
        """Seconds between two `changed` of one stream, so that all pages together cost well under a core."""
        return max(1.0, 0.1 * len(self.streams))

    def _wait(self, stream: Stream, seen: str, not_before: float) -> None:
        with self.changed:
            self.changed.wait_for(lambda: stream.ended or self.marks.get(stream.school_id, seen) != seen, BEAT)
            rest = not_before - time.monotonic()
            if rest > 0 and not stream.ended:
                self.changed.wait_for(lambda: stream.ended, min(rest, BEAT))

    def _poll(self) -> None:
        looked = time.monotonic()
        while self._watched():
            try:
                self._notice()
                if time.monotonic() - looked > LOGIN_EVERY:
                    looked = time.monotonic()
                    self._end_logged_out()
            except SQLAlchemyError:
                self.app.logger.exception("live pages: the database does not answer; the next look is in a moment")
            time.sleep(POLL)

    def _watched(self) -> bool:
        with self.changed:
            if not self.streams:
                self.poller = None
                self.marks.clear()
            return bool(self.streams)

    def _notice(self) -> None:
        with self.app.app_context():
            for school_id in {stream.school_id for stream in tuple(self.streams)}:
                mark = newest(school_id)
                if self.marks.get(school_id) != mark:
                    with self.changed:
                        self.marks[school_id] = mark
                        self.changed.notify_all()

    def _end_logged_out(self) -> None:
        with self.app.app_context():
            for stream in tuple(self.streams):
                if accounts.session_of(stream.token, clock.now()) is None:
                    self.leave(stream)


def newest(school_id: str) -> str:
    """A value that is another one after each tap, change of a text or case, reply, gate's word, or look."""
    tap = select(func.max(Tap.received_at)).where(Tap.school_id == school_id).scalar_subquery()
    text = select(func.max(OutboxText.changed_at)).where(OutboxText.school_id == school_id).scalar_subquery()
    heard = select(func.max(Gateway.heard_at)).where(Gateway.school_id == school_id).scalar_subquery()
    online = select(func.count()).where(Gateway.school_id == school_id, Gateway.online.is_(True)).scalar_subquery()
    since = (clock.now() - timedelta(days=1)).date()
    cases = (AbsenceCase.school_id == school_id, AbsenceCase.date >= since)
    case = select(func.max(AbsenceCase.changed_at)).where(*cases).scalar_subquery()
    open_ = select(func.count()).where(*cases, AbsenceCase.state == CaseState.HELD).scalar_subquery()
    replies = (InboundText.school_id == school_id, InboundText.received_at > clock.now() - timedelta(days=2))
    reply = select(func.max(InboundText.received_at)).where(*replies).scalar_subquery()
    taken = select(func.max(InboundText.handled_at)).where(*replies).scalar_subquery()
    looked = select(func.max(ClassRegister.changed_at)).where(ClassRegister.school_id == school_id).scalar_subquery()
    written = select(func.max(ManualPassage.made_at)).where(ManualPassage.school_id == school_id).scalar_subquery()
    roll = select(func.max(RollCall.changed_at)).where(RollCall.school_id == school_id).scalar_subquery()
    visit = select(func.max(Visit.changed_at)).where(Visit.school_id == school_id).scalar_subquery()
    row = db.session.execute(
        select(tap, text, heard, online, case, open_, reply, taken, looked, written, roll, visit)
    ).one()
    return "-".join(str(clock.to_millis(part) if isinstance(part, datetime) else part) for part in row)


def _event(name: str, stream: Stream) -> str:
    """With the time at the school, so that a page which is cut off can say when its numbers stopped."""
    return f"event: {name}\ndata: {clock.local(clock.now(), stream.timezone):%H:%M:%S}\n\n"
