"""What needs a person now: each row names the thing, says why, and what the family knows."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import and_, func, select

from server import clock
from server.accounts import service as accounts
from server.accounts.models import User
from server.attendance.models import PupilDay
from server.attendance.rules import Status
from server.cards.models import Card, CardState
from server.db import db
from server.gates.models import SpoolGap
from server.overview.service import Counts, Gate
from server.people import service as people
from server.people.models import Pupil, SchoolClass
from server.register import lists as registers
from server.schools.models import School
from server.taps.models import RefusedPayload, Tap

MOST_CARDS = 3
NAMED = 3


@dataclass(frozen=True)
class Todo:
    """One thing; the template has the words for each `kind`."""

    kind: str
    count: int = 1
    at: dt.datetime | None = None
    until: dt.datetime | None = None
    gate: str = ""
    card_end: str = ""
    reason: str = ""
    pupils: tuple[tuple[Pupil, SchoolClass], ...] = ()
    rooms: tuple[SchoolClass, ...] = ()


@dataclass(frozen=True)
class Known:
    """What the page has already asked for."""

    counts: Counts
    gates: list[Gate]
    failed_texts: int

    def gate(self, gateway: str) -> str:
        """What staff call a gate."""
        return next((gate.short for gate in self.gates if gate.id == gateway), gateway)


def todos(user: User, day: dt.date, known: Known) -> list[Todo]:
    """What needs a person, the most urgent first. Gates and cards are shown to those who see the whole school."""
    found = list(_unexplained(user, day, known.counts.of[Status.UNEXPLAINED]))
    found += _registers(user, day)
    if accounts.scope_of(user).whole:
        found += _silent(known.gates)
        found += _cards(user.school_id, day, known)
        found += _gaps(user.school_id, known)
        found += _refused(user.school_id, day)
    if known.failed_texts:
        found.append(Todo("failed", known.failed_texts))
    return found


def _unexplained(user: User, day: dt.date, count: int) -> Iterator[Todo]:
    if count:
        query = people.visible_pupils(user).join(PupilDay, and_(PupilDay.pupil_id == Pupil.id, PupilDay.date == day))
        missing = query.where(PupilDay.status == Status.UNEXPLAINED)
        rows = db.session.execute(missing.order_by(SchoolClass.grade, SchoolClass.name, Pupil.seat).limit(NAMED))
        yield Todo("unexplained", count, pupils=tuple((row[0], row[1]) for row in rows))


def _registers(user: User, day: dt.date) -> Iterator[Todo]:
    """Where gate and class disagree, whom nobody has seen, and registers that should be finished by now."""
    school = db.session.get_one(School, user.school_id)
    for kind, lines in zip(("not_in_class", "unlooked"), registers.urgent(user, day), strict=True):
        if lines:
            yield Todo(kind, len(lines), pupils=tuple((line.pupil, line.room) for line in lines[:NAMED]))
    open_ = registers.overdue(user, school, clock.now())
    if open_:
        yield Todo("register", len(open_), rooms=tuple(each.room for each in open_[:NAMED]))


def _silent(gates: list[Gate]) -> Iterator[Todo]:
    for gate in gates:
        if gate.state == "silent":
            yield Todo("silent", at=gate.since, until=gate.until, gate=gate.name)


def _cards(school_id: str, day: dt.date, known: Known) -> Iterator[Todo]:
    """Cards that nobody holds, and cards reported lost: the newest tap of each."""
    newest = (
        select(Tap.card, func.max(Tap.at).label("at"), func.max(Tap.gateway_id).label("gate"), func.count().label("n"))
        .where(Tap.school_id == school_id, Tap.day == day, Tap.pupil_id.is_(None))
        .group_by(Tap.card)
        .order_by(func.max(Tap.at).desc())
        .limit(MOST_CARDS)
        .subquery()
    )
    query = (
        select(newest, Card.state, Pupil, SchoolClass)
        .outerjoin(Card, and_(Card.school_id == school_id, Card.text == newest.c.card))
        .outerjoin(Pupil, Pupil.id == Card.pupil_id)
        .outerjoin(SchoolClass, SchoolClass.id == Pupil.class_id)
    )
    for card, at, gateway, count, state, pupil, school_class in db.session.execute(query.order_by(newest.c.at.desc())):
        lost = state in {CardState.LOST, CardState.BLOCKED}
        pupils = ((pupil, school_class),) if lost and pupil else ()
        kind, gate = "lost" if lost else "unknown", known.gate(gateway)
        yield Todo(kind, count, at, gate=gate, card_end=card[-4:].upper(), pupils=pupils)


def _gaps(school_id: str, known: Known) -> Iterator[Todo]:
    query = select(SpoolGap).where(SpoolGap.school_id == school_id, SpoolGap.closed_at.is_(None))
    for gap in db.session.scalars(query.order_by(SpoolGap.seen_at.desc()).limit(MOST_CARDS)):
        count = gap.last_seq - gap.first_seq + 1
        yield Todo("gap", count, gap.since, gap.until, known.gate(gap.gateway_id))


def _refused(school_id: str, day: dt.date) -> Iterator[Todo]:
    """Payloads of this school's gateways that could not be understood; their topic names the school."""
    since = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC) - dt.timedelta(hours=14)
    query = select(RefusedPayload.count, RefusedPayload.last_at, RefusedPayload.reason)
    query = query.where(RefusedPayload.last_at >= since, RefusedPayload.topic.like(f"%/{school_id}/%"))
    rows = db.session.execute(query.order_by(RefusedPayload.last_at.desc())).all()
    if rows:
        yield Todo("refused", sum(count for count, _, _ in rows), rows[0].last_at, reason=rows[0].reason)
