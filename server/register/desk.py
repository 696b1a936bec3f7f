"""The guard's page: find a pupil, see what a guard must know, and write down an entry or exit."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server import clock
from server.accounts import service as accounts
from server.accounts.models import User
from server.attendance import gatebook
from server.attendance import service as attendance
from server.attendance.gatebook import Passage, Reason
from server.attendance.models import ManualPassage, PupilDay
from server.audit import service as audit
from server.calendar import rules as bells
from server.calendar import service as calendar
from server.db import db
from server.errors import NotAllowed
from server.leave import service as leave
from server.notify import service as notify
from server.people import service as people
from server.people.models import Pupil, SchoolClass
from server.schools.models import School

DESK = frozenset({"guard", "office", "head"})
MOST = 12
NEWEST = 6
PASS, OVER, LESSONS, OFF = "pass", "over", "lessons", "off"


@dataclass(frozen=True)
class May:
    """Whether a pupil may leave now: a pass with its span, lessons that are over, or neither. Never why."""

    kind: str
    starts: datetime | None = None
    ends: datetime | None = None


@dataclass(frozen=True)
class Person:
    """One pupil as a guard sees one."""

    pupil: Pupil
    room: SchoolClass
    inside: bool
    status: str
    may: May


@dataclass(frozen=True)
class Written:
    """One line of the guard's book."""

    passage: ManualPassage
    pupil: Pupil
    room: SchoolClass


def require(user: User) -> None:
    """Raises NotAllowed for whoever does not stand at the gate or in the office."""
    if not accounts.scope_of(user, DESK).whole:
        raise NotAllowed


def found(user: User, school: School, words: str, now: datetime) -> tuple[list[Person], bool]:
    """Pupils by name or number, and whether there are more than fit."""
    require(user)
    if not words:
        return [], False
    query = people.matching(user, words).order_by(func.length(Pupil.name), Pupil.name, SchoolClass.grade, Pupil.number)
    rows = [(row[0], row[1]) for row in db.session.execute(query.limit(MOST + 1))]
    return persons(school, rows[:MOST], now), len(rows) > MOST


def person(user: User, school: School, pupil_id: uuid.UUID, now: datetime) -> Person:
    """One pupil. Raises NotAllowed, NotFound."""
    require(user)
    return persons(school, [people.visible_pupil(user, pupil_id)], now)[0]


def persons(school: School, rows: Sequence[tuple[Pupil, SchoolClass]], now: datetime) -> list[Person]:
    """These pupils as a guard sees them, with three look-ups for all."""
    day = clock.local_day(now, school.timezone)
    second = clock.local_seconds(now, day, school.timezone)
    ids = [pupil.id for pupil, _room in rows]
    judged = select(PupilDay).where(PupilDay.pupil_id.in_(ids), PupilDay.date == day)
    days = {row.pupil_id: row for row in db.session.scalars(judged)}
    away = leave.approved_on(db.session(), school, ids, [day])
    lessons = calendar.timetables_on(school.id, {room.timetable for _pupil, room in rows}, day)
    return [
        Person(
            pupil=pupil,
            room=room,
            inside=bool(days[pupil.id].inside) if pupil.id in days else False,
            status=days[pupil.id].status if pupil.id in days else ("not_yet" if lessons[room.timetable] else "off"),
            may=_may(school, day, second, lessons[room.timetable], away.get((pupil.id, day), ())),
        )
        for pupil, room in rows
    ]


def _may(school: School, day: date, second: int, lessons: Sequence[bells.Session], away: Sequence[bells.Leave]) -> May:
    for each in away:
        if second < each.ends:
            starts, ends = (clock.at_local(day, at, school.timezone) for at in (each.starts, each.ends))
            return May(PASS, starts, ends)
    if not lessons:
        return May(OFF)
    last = max(each.ends for each in lessons)
    return May(OVER if second >= last else LESSONS)


def record(
    session: Session,
    user: User,
    pupil_id: uuid.UUID,
    *,
    form: uuid.UUID,
    direction: str,
    reason: Reason,
    now: datetime,
    note: str = "",
) -> bool:
    """Write down that a pupil came or went; the day is judged and the family told as by a card. False: sent before."""
    require(user)
    people.visible_pupil(user, pupil_id)
    school = session.get_one(School, user.school_id)
    day = clock.local_day(now, school.timezone)
    passage = Passage(form, school.id, pupil_id, direction, now, day, reason, user.id, now, note)
    if not gatebook.write(session, passage):
        return False
    detail = {"direction": direction, "reason": reason.value}
    audit.record(user, "passage.recorded", f"pupil:{pupil_id}", now, detail)
    changes = attendance.apply(school, {(pupil_id, day)}, now)
    notify.announce(school, changes, now)
    return True


def book(user: User, day: date) -> list[Written]:
    """The newest lines of a day."""
    require(user)
    query = (
        select(ManualPassage, Pupil, SchoolClass)
        .join(Pupil, Pupil.id == ManualPassage.pupil_id)
        .join(SchoolClass, SchoolClass.id == Pupil.class_id)
        .where(ManualPassage.school_id == user.school_id, ManualPassage.day == day)
        .order_by(ManualPassage.made_at.desc())
        .limit(NEWEST)
    )
    return [Written(*row) for row in db.session.execute(query)]
