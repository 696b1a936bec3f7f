"""What needs a person now: each row names the thing, says why, and what the family knows."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import and_, func, select

from server.accounts import service as accounts
from server.accounts.models import User
from server.attendance.models import PupilDay
from server.attendance.rules import Status
from server.cards.models import Card, CardState
from server.db import db
from server.gates.models import SpoolGap
from server.outbox.models import OutboxText
from server.outbox.rules import TextState
from server.overview.service import Gate, gate_names
from server.people import service as people
from server.people.models import Pupil, SchoolClass
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


def todos(user: User, day: dt.date, gates: list[Gate]) -> list[Todo]:
    """What needs a person, the most urgent first. Gates and cards are shown to those who see the whole school."""
    found = list(_unexplained(user, day))
    if accounts.scope_of(user).whole:
        found += _silent(gates)
        found += _cards(user.school_id, day)
        found += _gaps(user.school_id)
        found += _refused(user.school_id, day)
    return found + list(_failed(user, day))


def _unexplained(user: User, day: dt.date) -> Iterator[Todo]:
    query = people.visible_pupils(user).join(PupilDay, and_(PupilDay.pupil_id == Pupil.id, PupilDay.date == day))
    missing = query.where(PupilDay.status == Status.UNEXPLAINED).order_by(
        SchoolClass.grade, SchoolClass.name, Pupil.seat
    )
    rows = db.session.execute(missing).all()
    if rows:
        yield Todo("unexplained", len(rows), pupils=tuple((row[0], row[1]) for row in rows[:NAMED]))


def _silent(gates: list[Gate]) -> Iterator[Todo]:
    for gate in gates:
        if gate.state == "silent":
            yield Todo("silent", at=gate.since, until=gate.until, gate=gate.name)


def _cards(school_id: str, day: dt.date) -> Iterator[Todo]:
    """Cards that nobody holds, and cards reported lost: the newest tap of each."""
    newest = func.max(Tap.at)
    query = (
        select(Tap.card, newest, func.max(Tap.gateway_id), func.count(), Card.state, Card.pupil_id)
        .outerjoin(Card, and_(Card.school_id == Tap.school_id, Card.text == Tap.card))
        .where(Tap.school_id == school_id, Tap.day == day, Tap.pupil_id.is_(None))
        .group_by(Tap.card, Card.state, Card.pupil_id)
        .order_by(newest.desc())
    )
    rows = db.session.execute(query.limit(MOST_CARDS)).all()
    names = gate_names(school_id)
    for card, at, gateway, count, state, holder in rows:
        lost = state in {CardState.LOST, CardState.BLOCKED}
        pupils = tuple(_holder(holder)) if lost and holder else ()
        gate = names.get(gateway, gateway)
        yield Todo("lost" if lost else "unknown", count, at, gate=gate, card_end=card[-4:].upper(), pupils=pupils)


def _holder(pupil_id: object) -> list[tuple[Pupil, SchoolClass]]:
    query = select(Pupil, SchoolClass).join(SchoolClass, SchoolClass.id == Pupil.class_id).where(Pupil.id == pupil_id)
    return [(row[0], row[1]) for row in db.session.execute(query)]


def _gaps(school_id: str) -> Iterator[Todo]:
    query = select(SpoolGap).where(SpoolGap.school_id == school_id, SpoolGap.closed_at.is_(None))
    names = gate_names(school_id)
    for gap in db.session.scalars(query.order_by(SpoolGap.seen_at.desc()).limit(MOST_CARDS)):
        count = gap.last_seq - gap.first_seq + 1
        yield Todo("gap", count, gap.since, gap.until, names.get(gap.gateway_id, gap.gateway_id))


def _refused(school_id: str, day: dt.date) -> Iterator[Todo]:
    """Payloads of this school's gateways that could not be understood; their topic names the school."""
    since = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC) - dt.timedelta(hours=14)
    query = select(RefusedPayload).where(RefusedPayload.last_at >= since, RefusedPayload.topic.like(f"%/{school_id}/%"))
    rows = db.session.scalars(query.order_by(RefusedPayload.last_at.desc())).all()
    if rows:
        yield Todo("refused", sum(row.count for row in rows), rows[0].last_at, reason=rows[0].reason)


def _failed(user: User, day: dt.date) -> Iterator[Todo]:
    query = (
        select(func.count(), func.max(OutboxText.changed_at))
        .join(Pupil, Pupil.id == OutboxText.pupil_id)
        .join(SchoolClass, SchoolClass.id == Pupil.class_id)
        .where(OutboxText.school_id == user.school_id, OutboxText.day == day, people.in_scope(user))
        .where(OutboxText.state.in_((TextState.FAILED, TextState.EXPIRED)))
    )
    count, at = db.session.execute(query).one()
    if count:
        yield Todo("failed", count, at)
