"""Where gate and class disagree, who forgets the card, and which registers are still open."""

import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.sql import Select

from server import clock, settings
from server.accounts import service as accounts
from server.accounts.models import User
from server.attendance import gatebook
from server.attendance import rules as days
from server.attendance.models import ManualPassage, PupilDay, TeacherMark
from server.calendar import rules as bells
from server.calendar import service as calendar
from server.db import db
from server.people import service as people
from server.people.models import Pupil, SchoolClass
from server.register import rules, service, sheet
from server.register.models import ClassRegister
from server.register.rules import RegisterPolicy
from server.schools.models import School

WEEK = 7
NOT_IN_CLASS = "seen_by_gate_not_class"


@dataclass(frozen=True)
class Line:
    """One pupil on a list; `count` and `at` where the list has them."""

    pupil: Pupil
    room: SchoolClass
    session: str = ""
    at: datetime | None = None
    count: int = 0


@dataclass(frozen=True)
class Differences:
    """The lists of one day."""

    not_in_class: list[Line]  # the gate saw them, the teacher does not: a person now
    unlooked: list[Line]  # nobody saw them, and the register was finished
    forgotten: list[Line]  # the teacher or the guard saw them, the gate read no card
    forgetters: list[Line]  # so often in a week


@dataclass(frozen=True)
class Open:
    """One class and its register of the session in hand: `open` (not begun or not finished), `due` or `done`."""

    room: SchoolClass
    session: bells.Session | None
    state: str
    register: ClassRegister | None = None
    overdue: tuple[bells.Session, ...] = ()


def registers(user: User, school: School, now: datetime) -> list[Open]:
    """The classes whose register this user may take, with how far it is."""
    day = clock.local_day(now, school.timezone)
    second = clock.local_seconds(now, day, school.timezone)
    rooms = sorted(db.session.scalars(service.taken_by(user)), key=people.class_order)
    lessons = calendar.timetables_on(school.id, {room.timetable for room in rooms}, day)
    query = select(ClassRegister).where(ClassRegister.school_id == school.id, ClassRegister.date == day)
    known = {(each.class_id, each.session): each for each in db.session.scalars(query)}
    policy = settings.policy(school.id, RegisterPolicy)
    return [_open(room, lessons[room.timetable], second, policy, known) for room in rooms]


def _open(
    room: SchoolClass,
    lessons: tuple[bells.Session, ...],
    second: int,
    policy: RegisterPolicy,
    known: dict[tuple[uuid.UUID, str], ClassRegister],
) -> Open:
    current = rules.pick(lessons, second)
    if current is None:
        return Open(room, None, "off")
    register = known.get((room.id, current.name))
    missing = tuple(
        each for each in rules.overdue(lessons, second, policy) if not _finished(known.get((room.id, each.name)))
    )
    state = "done" if _finished(register) else "due" if current in missing else "open"
    return Open(room, current, state, register, missing)


def _finished(register: ClassRegister | None) -> bool:
    return register is not None and register.finished_at is not None


def overdue(user: User, school: School, now: datetime) -> list[Open]:
    """The registers of the session in hand that should have been finished; none once its lessons are over."""
    second = clock.local_seconds(now, clock.local_day(now, school.timezone), school.timezone)
    if not service.MAY_TAKE & accounts.roles_of(user):
        return []
    found = registers(user, school, now)
    return [each for each in found if each.state == "due" and each.session and second < each.session.ends]


def differences(user: User, school: School, day: date) -> Differences:
    """Where gate and class disagree, in the classes of this user."""
    found = _by_mark(user, day)
    return Differences(
        not_in_class=found["absent"],
        unlooked=found["unlooked"],
        forgotten=[*found["present"], *found["late"], *_written(user, day, day)],
        forgetters=_forgetters(user, school, day),
    )


def urgent(user: User, day: date) -> tuple[list[Line], list[Line]]:
    """Whom the gate saw and the teacher does not, and whom nobody has seen: one statement, for Today."""
    found = _by_mark(user, day)
    return found["absent"], found["unlooked"]


def _by_mark(user: User, day: date) -> dict[str, list[Line]]:
    """The marks by which a class differs from the gate."""
    found: dict[str, list[Line]] = {"absent": [], "unlooked": [], "present": [], "late": []}
    for mark, pupil, room, row in _marks(user, day):
        if _differs(mark, sheet.verdict_of(row)):
            at = row.first_in if row is not None and mark.mark == "absent" else mark.made_at
            found[mark.mark].append(Line(pupil, room, mark.session, at))
    return found


def _differs(mark: TeacherMark, verdict: days.Day) -> bool:
    if mark.mark == "absent":
        return NOT_IN_CLASS in verdict.flags and verdict.sessions.get(mark.session) is not None
    if mark.mark == "unlooked":
        found = verdict.sessions.get(mark.session)
        return found is not None and found.state in {days.State.PENDING, days.State.UNCONFIRMED}
    return mark.session in verdict.by_teacher


def _marks(user: User, day: date) -> list[Any]:
    """The marks of a day that count, with their pupils and verdicts; of each pupil and session the newest."""
    query = _theirs(user, TeacherMark).outerjoin(
        PupilDay, (PupilDay.pupil_id == Pupil.id) & (PupilDay.date == TeacherMark.date)
    )
    query = query.where(TeacherMark.date == day, TeacherMark.undone_at.is_(None)).add_columns(PupilDay)
    rows = db.session.execute(query.order_by(TeacherMark.made_at, TeacherMark.id)).all()
    return list({(row[0].pupil_id, row[0].session): row for row in rows}.values())


def _written(user: User, first: date, last: date) -> list[Line]:
    rows = db.session.execute(_forgotten_between(user, first, last).order_by(ManualPassage.made_at))
    return [Line(pupil, room, at=passage.at) for passage, pupil, room in rows]


def _forgetters(user: User, school: School, day: date) -> list[Line]:
    """Pupils whose card was missing on so many of the last seven days, the most forgetful first."""
    first, least = day - timedelta(days=WEEK - 1), settings.policy(school.id, RegisterPolicy).forgetters
    query = _theirs(user, TeacherMark).outerjoin(
        PupilDay, (PupilDay.pupil_id == Pupil.id) & (PupilDay.date == TeacherMark.date)
    )
    query = query.where(TeacherMark.date.between(first, day), TeacherMark.undone_at.is_(None))
    marked = query.where(TeacherMark.mark.in_(("present", "late"))).add_columns(PupilDay)
    people_of: dict[uuid.UUID, tuple[Pupil, SchoolClass]] = {}
    missed: set[tuple[uuid.UUID, date]] = set()
    for mark, pupil, room, row in db.session.execute(marked):
        if mark.session in sheet.verdict_of(row).by_teacher:
            people_of[pupil.id] = (pupil, room)
            missed.add((pupil.id, mark.date))
    for passage, pupil, room in db.session.execute(_forgotten_between(user, first, day)):
        people_of[pupil.id] = (pupil, room)
        missed.add((pupil.id, passage.day))
    often = Counter(pupil_id for pupil_id, _day in missed)
    return [Line(*people_of[pupil_id], count=n) for pupil_id, n in often.most_common() if n >= least]


def _forgotten_between(user: User, first: date, last: date) -> Select[Any]:
    forgotten = _theirs(user, ManualPassage).where(ManualPassage.day.between(first, last))
    return forgotten.where(ManualPassage.direction == "in", ManualPassage.reason == gatebook.Reason.FORGOTTEN)


def _theirs(user: User, fact: type[Any]) -> Select[Any]:
    """A fact of pupils whose register this user may take, with pupil and class."""
    scope = accounts.scope_of(user, service.MAY_TAKE)
    query: Select[Any] = (
        select(fact, Pupil, SchoolClass)
        .join(Pupil, Pupil.id == fact.pupil_id)
        .join(SchoolClass, SchoolClass.id == Pupil.class_id)
        .where(fact.school_id == user.school_id, Pupil.active)
    )
    if scope.whole:
        return query
    return query.where(or_(SchoolClass.grade.in_(scope.grades), SchoolClass.id.in_(scope.classes)))
