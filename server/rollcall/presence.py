"""Who is inside now, or may be: pupils from their day, visitors from the desk, staff from badge and desk."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Select, and_, select
from sqlalchemy.orm import Session

from server import clock
from server.attendance import boarding
from server.attendance.models import PupilDay
from server.calendar import service as calendar
from server.gates import service as gates
from server.gates.models import Gateway
from server.people.models import Pupil, SchoolClass
from server.rollcall import rules
from server.rollcall.models import StaffMember, Visit
from server.rollcall.rules import Standing
from server.schools.models import School
from server.taps import rules as passages
from server.taps.models import Tap

_SHOWN = (
    *(Pupil.id, Pupil.class_id, Pupil.name, Pupil.seat),
    *(PupilDay.status, PupilDay.inside, PupilDay.last_out, PupilDay.verdict),
)


@dataclass(frozen=True)
class Person:
    """Somebody who is or may be inside."""

    part: str
    key: str  # pupil:<id>, visitor:<id>, staff:<id>
    name: str
    standing: Standing
    pupil_id: uuid.UUID | None = None
    seat: int = 0
    seen_at: datetime | None = None
    place: str = ""


@dataclass(frozen=True)
class Sight:
    """The newest tap of one card or pupil."""

    at: datetime
    direction: str
    gate: str


def everybody(session: Session, school: School, now: datetime) -> list[Person]:
    """All who are or may be inside, pupils by class and seat, then visitors, then staff."""
    rows = select(Pupil, SchoolClass).join(SchoolClass, SchoolClass.id == Pupil.class_id)
    whole = rows.where(Pupil.school_id == school.id, Pupil.active)
    return [*pupils(session, school, whole, now), *visitors(session, school.id), *staff(session, school, now)]


def pupils(session: Session, school: School, which: Select[Pupil, SchoolClass], now: datetime) -> list[Person]:
    """Those of these pupils who are or may be inside."""
    day = clock.local_day(now, school.timezone)
    blind, usual = _blind_until(school, day, now), _usual_status(school.id, day)
    overnight = boarding.inside_overnight(session, school, now)
    with_day = which.outerjoin(PupilDay, and_(PupilDay.pupil_id == Pupil.id, PupilDay.date == day))
    query: Any = with_day.with_only_columns(*_SHOWN).order_by(Pupil.seat, Pupil.number)  # no objects: half the time
    sights = sights_on(session, school.id, day)
    found = []
    for row in session.execute(query):
        known = rules.Known(usual, inside=row.id in overnight) if row.status is None else _known(row, day, school)
        why = rules.standing(known, blind)
        if why is not None:
            found.append(_pupil(row, why, sights.get(row.id)))
    return found


def _pupil(row: Any, why: Standing, sight: Sight | None) -> Person:
    return Person(
        part=str(row.class_id),
        key=f"pupil:{row.id}",
        name=row.name,
        standing=why,
        pupil_id=row.id,
        seat=row.seat,
        seen_at=sight.at if sight else None,
        place=sight.gate if sight else "",
    )


def _blind_until(school: School, day: date, now: datetime) -> int | None:
    second = clock.local_seconds(now, day, school.timezone)
    return max((min(gap.ends, second) for gap in gates.gaps_on(school.id, day) if gap.starts < second), default=None)


def _usual_status(school_id: str, day: date) -> str:
    return "not_yet" if calendar.is_school_day(school_id, day) else "off"


def _known(row: Any, day: date, school: School) -> rules.Known:
    said = row.verdict.get("sessions", {}).get(row.verdict.get("current"), {})
    out = None if row.last_out is None else clock.local_seconds(row.last_out, day, school.timezone)
    return rules.Known(
        status=row.status,
        inside=row.inside,
        absent_by_teacher=said.get("state") == "absent",
        exit_unknown="exit_unknown" in row.verdict.get("flags", ()),
        last_out=out,
    )


def sights_on(session: Session, school_id: str, day: date) -> Mapping[uuid.UUID, Sight]:
    """The newest tap of each pupil on a day, with what staff call the gate."""
    query = (
        select(Tap.pupil_id, Tap.at, Tap.direction, Gateway.name, Tap.gateway_id)
        .outerjoin(Gateway, (Gateway.school_id == Tap.school_id) & (Gateway.id == Tap.gateway_id))
        .where(Tap.school_id == school_id, Tap.day == day, Tap.pupil_id.is_not(None))
        .order_by(Tap.at)
    )
    return {
        row.pupil_id: Sight(row.at, row.direction, next(iter((row.name or "").split()), row.gateway_id))
        for row in session.execute(query)
    }


def since(session: Session, school_id: str, pupils: Collection[uuid.UUID], at: datetime) -> Mapping[uuid.UUID, Sight]:
    """The newest tap of each of these pupils after a moment: a roll call shows it beside the name."""
    query = select(Tap.pupil_id, Tap.at, Tap.direction, Tap.gateway_id).where(
        Tap.school_id == school_id, Tap.at > at, Tap.pupil_id.in_(pupils)
    )
    rows = session.execute(query.order_by(Tap.at))
    return {row.pupil_id: Sight(row.at, row.direction, row.gateway_id) for row in rows if row.pupil_id}


def visitors(session: Session, school_id: str) -> list[Person]:
    """Who signed in at the desk and not out."""
    query = select(Visit).where(Visit.school_id == school_id, Visit.left_at.is_(None)).order_by(Visit.arrived_at)
    return [
        Person(
            part=rules.VISITORS,
            key=f"visitor:{visit.id}",
            name=visit.name,
            standing=Standing.INSIDE,
            seen_at=visit.arrived_at,
            place=visit.host_name or visit.purpose[:64],
        )
        for visit in session.scalars(query)
    ]


def staff(session: Session, school: School, now: datetime) -> list[Person]:
    """Staff whose badge went in last today, or whom the desk signed in after that."""
    members = active_staff(session, school.id)
    entered = staff_inside(session, school, members, now)
    return [
        Person(rules.STAFF, f"staff:{member.id}", member.name, Standing.INSIDE, seen_at=entered[member.id])
        for member in members
        if member.id in entered
    ]


def active_staff(session: Session, school_id: str) -> list[StaffMember]:
    """Everybody who works here, by name."""
    query = select(StaffMember).where(StaffMember.school_id == school_id, StaffMember.active)
    return list(session.scalars(query.order_by(StaffMember.name, StaffMember.id)))


def staff_inside(
    session: Session, school: School, members: Sequence[StaffMember], now: datetime
) -> Mapping[uuid.UUID, datetime]:
    """Who of the staff is inside, since when: the newer of the badge's last passage and the desk's last word."""
    taps = _badge_passages(session, school, [member.card for member in members if member.card], now)
    found = {}
    for member in members:
        at, inside = taps.get(member.card or "", (None, False))
        if member.signed_at and (at is None or member.signed_at > at):
            at, inside = member.signed_at, member.signed_in and _is_today(member.signed_at, now, school)
        if at is not None and inside:
            found[member.id] = at
    return found


def _is_today(at: datetime, now: datetime, school: School) -> bool:
    return clock.local_day(at, school.timezone) == clock.local_day(now, school.timezone)


def _badge_passages(
    session: Session, school: School, cards: Sequence[str], now: datetime
) -> Mapping[str, tuple[datetime, bool]]:
    """Card -> when it passed last today, and whether that was inwards."""
    day = clock.local_day(now, school.timezone)
    query = select(Tap.card, Tap.at, Tap.direction, Tap.clock).where(
        Tap.school_id == school.id, Tap.day == day, Tap.card.in_(cards), Tap.pupil_id.is_(None)
    )
    seen: dict[str, list[passages.Passage]] = {}
    for card, at, direction, trust in session.execute(query):
        second = clock.local_seconds(at, day, school.timezone)
        seen.setdefault(card, []).append(passages.Passage(second, direction, trust != passages.UNSYNCED))
    last = {card: passages.directed(each)[-1] for card, each in seen.items()}
    return {
        card: (clock.at_local(day, each.at, school.timezone), each.direction == "in") for card, each in last.items()
    }
