"""Boarders: inside from the tap of return until they leave, days without a tap between; and who is not back in time."""

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.orm import Session

from server import clock, settings
from server.accounts.models import User
from server.attendance import gatebook, rules
from server.attendance.models import PupilDay
from server.audit import service as audit
from server.calendar import rules as calendar_rules
from server.calendar import service as calendar
from server.calendar.rules import BoardingPolicy
from server.db import db
from server.leave import service as leave
from server.people import service as people
from server.people.models import Pupil, SchoolClass
from server.schools.models import School
from server.taps import rules as passages
from server.taps import service as taps

Key = tuple[uuid.UUID, date]
A_DAY = timedelta(days=1)


@dataclass
class Boarders:
    """Who of some pupils boards, and what their boarding weeks mean for single days."""

    session: Session
    school: School
    pupils: Collection[uuid.UUID]
    now: datetime
    policy: BoardingPolicy = field(init=False)
    ids: frozenset[uuid.UUID] = field(init=False)

    def __post_init__(self) -> None:
        """Ask who boards: one look-up for a batch."""
        self.policy = settings.policy(self.school.id, BoardingPolicy)
        query = select(Pupil.id).join(SchoolClass, SchoolClass.id == Pupil.class_id).where(_boards(self.policy))
        self.ids = frozenset(self.session.scalars(query.where(Pupil.id.in_(self.pupils))))

    def after(self, keys: Iterable[Key]) -> set[Key]:
        """The later days of the same boarding weeks, up to today, which a tap of these days may change."""
        today = clock.local_day(self.now, self.school.timezone)
        return {
            (pupil_id, later)
            for pupil_id, day in keys
            if pupil_id in self.ids and day < today
            for later in _until(day + A_DAY, min(today, self._week_ends(day)))
        }

    def nights(self, keys: Collection[Key]) -> Mapping[Key, rules.Night]:
        """What each boarder's day begins with, and whether the week goes on after it."""
        mine = [(pupil_id, day) for pupil_id, day in keys if pupil_id in self.ids]
        weeks = {day: calendar_rules.week_begins(day, self.policy) for _, day in mine}
        earlier = {each for day, begins in weeks.items() for each in _until(begins, day - A_DAY)}
        seen = taps.of_days(self.session, self.school.id, {pupil_id for pupil_id, _ in mine}, earlier)
        written = gatebook.of_days(self.session, self.school.id, {pupil_id for pupil_id, _ in mine}, earlier)
        found = {}
        for pupil_id, day in mine:
            week = [(pupil_id, each) for each in _until(weeks[day], day - A_DAY)]
            sights = ((each, [*seen.get(each, ()), *written.get(each, ())]) for each in week)
            stand = passages.stand_after(
                [passage(self.school, on, *sight) for sight in those] for (_, on), those in sights
            )
            found[pupil_id, day] = rules.Night(stand.inside, stand.unsure, goes_on=day < self._week_ends(day))
        return found

    def _week_ends(self, day: date) -> date:
        return calendar_rules.week_begins(day, self.policy) + timedelta(days=6)


def passage(school: School, day: date, at: datetime, direction: str, trust: str) -> passages.Passage:
    """A tap as a day is judged from."""
    second = clock.local_seconds(at, day, school.timezone)
    return passages.Passage(second, direction, trust != passages.UNSYNCED)


def is_used(session: Session, school_id: str) -> bool:
    """Whether the school has boarders at all."""
    return session.scalar(_of_school(school_id, settings.policy(school_id, BoardingPolicy)).limit(1)) is not None


def deadline(school: School, day: date) -> datetime | None:
    """When boarders must be back on a date; None when it is no day of return, or no school day follows it."""
    policy = settings.policy(school.id, BoardingPolicy, on=day)
    if day.weekday() != policy.return_weekday or not policy.warn:
        return None
    if not any(calendar.is_school_day(school.id, each) for each in (day, day + A_DAY)):
        return None
    return clock.at_local(day, policy.return_minute * 60, school.timezone)


def inside_overnight(session: Session, school: School, now: datetime) -> set[uuid.UUID]:
    """Boarders who are inside since an earlier day and whose day nobody has judged yet, as before the first bell."""
    day = clock.local_day(now, school.timezone)
    judged = select(PupilDay.pupil_id).where(PupilDay.school_id == school.id, PupilDay.date == day)
    query = _of_school(school.id, settings.policy(school.id, BoardingPolicy)).where(Pupil.id.not_in(judged))
    keys = {(pupil_id, day) for pupil_id in session.scalars(query)}
    if not keys:
        return set()
    nights = Boarders(session, school, {pupil_id for pupil_id, _ in keys}, now).nights(keys)
    return {pupil_id for (pupil_id, _), night in nights.items() if night.inside}


def not_back(user: User, school: School, now: datetime) -> list[tuple[Pupil, SchoolClass]]:
    """The boarders, of those whom the user looks after, who are not in school after the deadline of today.

    Who is on approved leave then is not expected.
    """
    day = clock.local_day(now, school.timezone)
    due = deadline(school, day)
    if due is None or now < due:
        return []
    policy = settings.policy(school.id, BoardingPolicy, on=day)
    inside = select(PupilDay.pupil_id).where(PupilDay.date == day, PupilDay.inside)
    query = people.visible_pupils(user).where(_boards(policy), Pupil.id.not_in(inside))
    rows = db.session.execute(query.order_by(SchoolClass.grade, SchoolClass.name, Pupil.seat)).all()
    away = leave.approved_on(db.session(), school, {row[0].id for row in rows}, {day})
    second = clock.local_seconds(now, day, school.timezone)
    return [
        (pupil, room)
        for pupil, room in rows
        if not any(each.starts <= second < each.ends for each in away.get((pupil.id, day), ()))
    ]


def boarders(user: User, school: School) -> list[tuple[Pupil, SchoolClass]]:
    """All boarders whom the user looks after, by class."""
    policy = settings.policy(school.id, BoardingPolicy)
    query = people.visible_pupils(user).where(_boards(policy))
    rows = db.session.execute(query.order_by(SchoolClass.grade, SchoolClass.name, Pupil.seat, Pupil.number))
    return [(pupil, room) for pupil, room in rows]


def set_boarder(user: User, pupil_id: uuid.UUID, *, boards: bool) -> Pupil:
    """Say of one pupil whether it boards; its days of this week are judged again. Raises NotFound."""
    pupil, _room = people.visible_pupil(user, pupil_id)
    pupil.boarder = boards
    session, school_id = db.session(), user.school_id
    today = calendar.today_of(session, school_id)
    audit.record(user, "pupil.boards" if boards else "pupil.boards_no_more", f"pupil:{pupil.id}", clock.now())
    begins = calendar_rules.week_begins(today, settings.policy(school_id, BoardingPolicy))
    calendar.touched(session, school_id, _until(begins, today), pupil_id=pupil_id)
    return pupil


def _of_school(school_id: str, policy: BoardingPolicy) -> Select[uuid.UUID]:
    query = select(Pupil.id).join(SchoolClass, SchoolClass.id == Pupil.class_id)
    return query.where(Pupil.school_id == school_id, Pupil.active, _boards(policy))


def _boards(policy: BoardingPolicy) -> ColumnElement[bool]:
    return or_(Pupil.boarder, SchoolClass.timetable.in_(policy.timetables))


def _until(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
