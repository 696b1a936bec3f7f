"""Tell families what happened at the gate: from changed days to texts in the queue, in sets."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select

from server import clock, settings
from server.attendance import gatebook
from server.attendance.news import Event, Kind
from server.attendance.service import DayChange
from server.db import db
from server.gates.models import Gateway
from server.notify import rules
from server.outbox import service as outbox
from server.outbox.rules import Lane
from server.people.models import Guardian, Guardianship, Pupil
from server.schools.models import School
from server.taps.models import Tap

Day = tuple[uuid.UUID, date]
KEPT = timedelta(days=7)  # longest that a gateway keeps a tap

_OF_PUPILS: Any = bindparam("pupils", expanding=True)
_NAMES = select(Pupil.id, Pupil.name).where(Pupil.id.in_(_OF_PUPILS))
_CONTACTS = (
    select(Guardianship.pupil_id, Guardian.id, Guardian.phone, Guardian.locale)
    .join(Guardian, Guardian.id == Guardianship.guardian_id)
    .where(Guardianship.pupil_id.in_(_OF_PUPILS), Guardianship.gate_texts.is_(True), Guardianship.barred.is_(False))
    .where(Guardian.phone.is_not(None), Guardian.verified_at.is_not(None))
    .order_by(Guardianship.rank, Guardianship.id)
)
_PASSAGES = (
    select(Tap.pupil_id, Tap.day, Tap.at, Tap.direction, Tap.clock, Tap.late, Tap.earliest, Gateway.name)
    .outerjoin(Gateway, (Gateway.school_id == Tap.school_id) & (Gateway.id == Tap.gateway_id))
    .where(Tap.school_id == bindparam("school"), Tap.day.in_(bindparam("days", expanding=True)))
    .where(Tap.pupil_id.in_(_OF_PUPILS))
)


@dataclass(frozen=True)
class _Passage:
    """A tap as a family knows it: exactly when, and at which gate."""

    at: datetime
    direction: str
    gate: str | None
    timed: bool
    since: datetime
    by_guard: bool = False


def announce(school: School, changes: Sequence[DayChange], now: datetime) -> int:
    """Queue the texts that these changes deserve, in the caller's transaction; how many were new."""
    if not changes:
        return 0
    pupils = list({change.pupil_id for change in changes})
    names, contacts = _names(pupils), _contacts(pupils)
    passages = _passages(school.id, pupils, list({change.date for change in changes}))
    policy = settings.policy(school.id, rules.GatePolicy)
    texts = []
    for change in changes:
        seen = passages.get((change.pupil_id, change.date), [])
        notices = rules.plan(
            [_happening(school, change, event, seen) for event in change.change.events],
            pupil=names[change.pupil_id],
            sign=school.sign,
            contacts=contacts.get(change.pupil_id, []),
            policy=policy,
            now=now,
        )
        texts += [_text(change, notice) for notice in notices]
    return outbox.enqueue(db.session(), texts)


def _names(pupils: Sequence[uuid.UUID]) -> Mapping[uuid.UUID, str]:
    return {row.id: row.name for row in db.session.execute(_NAMES, {"pupils": pupils})}


def _contacts(pupils: Sequence[uuid.UUID]) -> Mapping[uuid.UUID, list[rules.Contact]]:
    found = defaultdict(list)
    for row in db.session.execute(_CONTACTS, {"pupils": pupils}):
        found[row.pupil_id].append(rules.Contact(row.id, row.phone, row.locale))
    return found


def _passages(school_id: str, pupils: Sequence[uuid.UUID], days: Sequence[date]) -> Mapping[Day, list[_Passage]]:
    found = defaultdict(list)
    for row in db.session.execute(_PASSAGES, {"school": school_id, "pupils": pupils, "days": days}):
        found[row.pupil_id, row.day].append(_passage(row))
    for key, sights in gatebook.of_days(db.session(), school_id, pupils, days).items():
        found[key] += [
            _Passage(at, direction, None, timed=True, since=at, by_guard=True) for at, direction, _clock in sights
        ]
    return found


def _passage(row: Any) -> _Passage:
    """A tap without a time that was not sent at once can be as old as its bound says, or as gateways keep taps."""
    oldest = (row.earliest or row.at - KEPT) if row.late else row.at
    return _Passage(row.at, row.direction, row.name, timed=row.clock != "unsynced", since=oldest)


def _happening(school: School, change: DayChange, event: Event, seen: Iterable[_Passage]) -> rules.Happening:
    direction = "out" if event.kind is Kind.OUT else "in"
    either = [passage for passage in seen if passage.direction in {direction, "both"}]
    if event.at is None:
        untimed = [passage for passage in either if not passage.timed]
        since = max((passage.since for passage in untimed), default=None)
        return rules.Happening(event, None, _one(untimed), since=since)
    moment = clock.at_local(change.date, event.at, school.timezone)
    there = [passage for passage in either if passage.timed and passage.at.replace(microsecond=0) == moment]
    exact = min((passage.at for passage in there), default=moment)
    by_guard = bool(there) and all(passage.by_guard for passage in there)
    return rules.Happening(event, clock.local(exact, school.timezone), _one(there), by_guard)


def _one(passages: Iterable[_Passage]) -> str | None:
    """The gate, when there is no doubt which it was."""
    gates = {passage.gate for passage in passages}
    return gates.pop() if len(gates) == 1 else None


def _text(change: DayChange, notice: rules.Notice) -> outbox.NewText:
    return outbox.NewText(
        school_id=change.school_id,
        pupil_id=change.pupil_id,
        guardian_id=notice.contact.guardian_id,
        day=change.date,
        kind=notice.event.kind,
        n=notice.event.n,
        phone=notice.contact.phone,
        lane=Lane.GATE,
        wording=notice.wording,
        body=notice.body,
        event_at=notice.event_at,
        expires_at=notice.expires_at,
        values=notice.values,
        late_at=notice.late_at,
        late_body=notice.late_body,
    )
