"""Taking a class register: who may, what is said of a pupil, taking it back, correcting it, and finishing."""

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Select, delete, or_, select
from sqlalchemy.orm import Session

from server import clock, settings
from server.accounts import service as accounts
from server.accounts.models import User
from server.attendance import marks
from server.attendance import rules as days
from server.attendance import service as attendance
from server.attendance.models import TeacherMark
from server.attendance.rules import MarkKind
from server.audit import service as audit
from server.calendar import rules as bells
from server.calendar import service as calendar
from server.db import db, insert_new, new_id, table
from server.errors import NotAllowed, NotFound, Refused
from server.leave.models import Leave, LeaveKind, LeaveState
from server.notify import service as notify
from server.people import service as people
from server.people.models import Pupil, SchoolClass
from server.register import rules, sheet
from server.register.models import ClassRegister, RegisterEntry
from server.register.rules import Found, RegisterPolicy
from server.schools.models import School

TEACHERS = frozenset({"class_teacher", "subject_teacher", "grade_head"})
OFFICE = frozenset({"office", "head"})
MAY_TAKE = TEACHERS | OFFICE
LONGEST_LATE = 600  # minutes

_register = table(ClassRegister)
_entry = table(RegisterEntry)


class NoSuchSession(Refused):
    """A register of lessons that are not given; the text says what to do."""


@dataclass(frozen=True)
class Place:
    """Whose register: one class in one session of one date."""

    room: SchoolClass
    day: date
    session: bells.Session


@dataclass(frozen=True)
class Saying:
    """What a person says of one pupil; `reason` for what is said afterwards."""

    pupil_id: uuid.UUID
    mark: MarkKind
    minutes: int = 0
    reason: str = ""


def may_take(user: User, room: SchoolClass) -> bool:
    """Whether this user may say who is in this class: by a grant over it as teacher, grade head, office or head."""
    scope = accounts.scope_of(user, MAY_TAKE)
    return user.school_id == room.school_id and (scope.whole or room.grade in scope.grades or room.id in scope.classes)


def taken_by(user: User) -> Select[SchoolClass]:
    """The classes whose register this user may take."""
    scope = accounts.scope_of(user, MAY_TAKE)
    query = select(SchoolClass).where(SchoolClass.school_id == user.school_id)
    if scope.whole:
        return query
    return query.where(or_(SchoolClass.grade.in_(scope.grades), SchoolClass.id.in_(scope.classes)))


def room_of(user: User, class_id: uuid.UUID) -> SchoolClass:
    """A class whose register this user may take. Raises NotFound or NotAllowed."""
    room = people.visible_class(user, class_id)
    if not may_take(user, room):
        raise NotAllowed
    return room


def pupil_of(user: User, pupil_id: uuid.UUID) -> tuple[Pupil, SchoolClass]:
    """A pupil of such a class. Raises NotFound or NotAllowed."""
    pupil, room = people.visible_pupil(user, pupil_id)
    if not may_take(user, room):
        raise NotAllowed
    return pupil, room


def may_correct(user: User, school: School, room: SchoolClass, day: date) -> bool:
    """Today always; days that have passed for as long as the school lets teachers, the office without end."""
    today = clock.local_day(clock.now(), school.timezone)
    if day > today or not may_take(user, room):
        return False
    back = settings.policy(school.id, RegisterPolicy).correct_days
    return accounts.scope_of(user, OFFICE).whole or day >= today - timedelta(days=back)


def say(session: Session, user: User, place: Place, saying: Saying, now: datetime) -> TeacherMark | None:
    """Keep what a teacher says, judge the day and tell whom it concerns. None when it stands there already."""
    school = _allowed(session, user, place)
    _members(session, place, {saying.pupil_id})
    register = _locked(session, user, place, now)
    standing = _standing(session, place, {saying.pupil_id}).get(saying.pupil_id)
    minutes = min(max(saying.minutes, 0), LONGEST_LATE) if saying.mark is MarkKind.LATE else 0
    if standing is not None and (standing.mark, standing.minutes) == (saying.mark, minutes):
        return None
    seen = marks.Seen(saying.pupil_id, place.day, place.session.name, saying.mark, minutes, saying.reason)
    [made] = marks.add(session, school.id, user.id, [seen], now)
    _note(user, saying.pupil_id, place, now, mark=saying.mark.value, minutes=minutes, reason=saying.reason)
    _judge(school, place, {saying.pupil_id}, now)
    _said(session, school, place, register, now)
    return made


def undo(session: Session, user: User, place: Place, mark_id: uuid.UUID, now: datetime) -> bool:
    """Take one mark back: what was said before it counts again. False when it was taken back already."""
    school = _allowed(session, user, place)
    register = _locked(session, user, place, now)
    mark = session.get(TeacherMark, mark_id, populate_existing=True)
    if mark is None or (mark.school_id, mark.date, mark.session) != (school.id, place.day, place.session.name):
        raise NotFound
    _members(session, place, {mark.pupil_id})
    if mark.undone_at is not None:
        return False
    _undone(session, user, place, [mark], now, reason="")
    _said(session, school, place, register, now)
    return True


def take_back(session: Session, user: User, place: Place, pupil_id: uuid.UUID, now: datetime, reason: str = "") -> bool:
    """Take back all that was said of a pupil, so that the gate's word counts; False when nothing was."""
    school = _allowed(session, user, place)
    _members(session, place, {pupil_id})
    register = _locked(session, user, place, now)
    query = select(TeacherMark).where(TeacherMark.school_id == school.id, TeacherMark.pupil_id == pupil_id)
    query = query.where(TeacherMark.date == place.day, TeacherMark.session == place.session.name)
    said = session.scalars(query.where(TeacherMark.undone_at.is_(None))).all()
    if not said:
        return False
    _undone(session, user, place, said, now, reason=reason)
    _said(session, school, place, register, now)
    return True


def _undone(
    session: Session, user: User, place: Place, said: Sequence[TeacherMark], now: datetime, *, reason: str
) -> None:
    pupil_id = said[0].pupil_id
    marks.undo(session, user.school_id, user.id, [mark.id for mark in said], now)
    _note(user, pupil_id, place, now, mark="taken_back", minutes=0, reason=reason)
    _judge(session.get_one(School, user.school_id), place, {pupil_id}, now)


def ask_leave(session: Session, user: User, place: Place, pupil_id: uuid.UUID, now: datetime) -> bool:
    """A teacher knows of a leave that nobody has written down: it is asked for, the office decides, nothing is excused.

    Whatever was said of the pupil is taken back, for a pupil on leave is not called absent. False: asked already.
    """
    school = _allowed(session, user, place)
    _members(session, place, {pupil_id})
    take_back(session, user, place, pupil_id, now)
    starts = clock.at_local(place.day, place.session.starts, school.timezone)
    ends = clock.at_local(place.day, place.session.ends, school.timezone)
    known = select(Leave.id).where(Leave.school_id == school.id, Leave.pupil_id == pupil_id)
    standing = known.where(Leave.state.in_((LeaveState.ASKED, LeaveState.APPROVED)))
    if session.scalars(standing.where(Leave.starts_at < ends, Leave.ends_at > starts)).first():
        return False
    leave = Leave(school_id=school.id, pupil_id=pupil_id, kind=LeaveKind.PERSONAL, state=LeaveState.ASKED)
    leave.starts_at, leave.ends_at, leave.asked_by, leave.asked_at = starts, ends, user.id, now
    session.add(leave)
    _note(user, pupil_id, place, now, mark="leave_asked", minutes=0, reason="")
    return True


def finish(session: Session, user: User, place: Place, now: datetime) -> ClassRegister:
    """All that can be seen has been looked at: keep what was found of each pupil. Finishing twice changes nothing.

    Whom neither the gate nor the teacher saw is marked as not looked at, which makes nobody present or absent; who is
    called absent by the gate's word already, and whose family may have been asked, stays so: a ladder is not stopped.
    """
    school = _allowed(session, user, place)
    register = _locked(session, user, place, now)
    looked = sheet.read(session, school, place.room, place.day, place.session)
    silent = [row for row in looked.rows if row.found is Found.UNLOOKED]
    unsaid = [row.pupil.id for row in silent if row.mark is None and row.state != days.State.ABSENT]
    name = place.session.name
    seen = [marks.Seen(pupil_id, place.day, name, MarkKind.UNLOOKED) for pupil_id in unsaid]
    marks.add(session, school.id, user.id, seen, now)
    _keep(session, register, looked)
    if register.finished_at is None:
        register.finished_by, register.finished_at = user.id, now
        detail = {"date": f"{place.day}", "session": name, "not_looked_at": len(silent)}
        audit.record(user, "register.finished", f"class:{place.room.id}", now, detail)
    register.changed_at = now
    _judge(school, place, set(unsaid), now)
    return register


def _keep(session: Session, register: ClassRegister, looked: sheet.Sheet) -> None:
    """What the register found of each pupil, in place of what it had found before."""
    session.execute(delete(RegisterEntry).where(RegisterEntry.register_id == register.id))
    of = {"register_id": register.id, "school_id": register.school_id}
    rows = [of | {"pupil_id": row.pupil.id, "found": row.found.value} for row in looked.rows]
    if rows:
        session.execute(_entry.insert(), rows)


def _said(session: Session, school: School, place: Place, register: ClassRegister, now: datetime) -> None:
    """Something was said or taken back: open pages hear of it, and a finished register keeps what is found now."""
    register.changed_at = now
    if register.finished_at is not None:
        session.flush()
        _keep(session, register, sheet.read(session, school, place.room, place.day, place.session))


def history(user: User, pupil_id: uuid.UUID, day: date) -> list[tuple[TeacherMark, str, str]]:
    """Every mark of a pupil's day, undone ones too, with the names of who made it and who took it back."""
    pupil_of(user, pupil_id)
    query = select(TeacherMark).where(TeacherMark.school_id == user.school_id, TeacherMark.pupil_id == pupil_id)
    found = list(db.session.scalars(query.where(TeacherMark.date == day).order_by(TeacherMark.made_at)))
    names = names_of(user.school_id, [each.made_by for each in found] + [each.undone_by for each in found])
    return [(each, names.get(each.made_by, "?"), names.get(each.undone_by, "")) for each in found]


def names_of(school_id: str, users: Iterable[uuid.UUID | None]) -> dict[uuid.UUID | None, str]:
    """What these users are called."""
    query = select(User.id, User.name).where(User.school_id == school_id, User.id.in_([i for i in users if i]))
    return {row.id: row.name for row in db.session.execute(query)}


def _allowed(session: Session, user: User, place: Place) -> School:
    school = session.get_one(School, user.school_id)
    if not may_take(user, place.room) or not may_correct(user, school, place.room, place.day):
        raise NotAllowed
    if not rules.is_open(place.session, clock.local_seconds(clock.now(), place.day, school.timezone)):
        raise NoSuchSession("These lessons are still to come: a register is taken of what can be seen.")
    return school


def _members(session: Session, place: Place, pupils: Collection[uuid.UUID]) -> None:
    """Raises NotFound for a pupil of another class."""
    query = select(Pupil.id).where(Pupil.id.in_(pupils), Pupil.class_id == place.room.id, Pupil.active)
    if set(session.scalars(query)) != set(pupils):
        raise NotFound


def _locked(session: Session, user: User, place: Place, now: datetime) -> ClassRegister:
    """The register, made if it is the first look, and held: two teachers at once write one after the other."""
    key = {"school_id": user.school_id, "class_id": place.room.id, "date": place.day, "session": place.session.name}
    row = key | {"id": new_id(), "opened_by": user.id, "opened_at": now, "changed_at": now}
    session.execute(insert_new(_register), [row])
    return session.scalars(select(ClassRegister).filter_by(**key).with_for_update()).one()


def _standing(session: Session, place: Place, pupils: Collection[uuid.UUID]) -> dict[uuid.UUID, TeacherMark]:
    return {
        mark.pupil_id: mark
        for those in marks.standing(session, pupils, [place.day]).values()
        for mark in those
        if mark.session == place.session.name
    }


def _judge(school: School, place: Place, pupils: Collection[uuid.UUID], now: datetime) -> None:
    changes = attendance.apply(school, {(pupil_id, place.day) for pupil_id in pupils}, now)
    notify.announce(school, changes, now)


def _note(
    user: User, pupil_id: uuid.UUID, place: Place, now: datetime, *, mark: str, minutes: int, reason: str
) -> None:
    detail = {"date": f"{place.day}", "session": place.session.name, "mark": mark, "minutes": minutes}
    audit.record(user, "register.marked", f"pupil:{pupil_id}", now, detail | {"reason": reason})


def place_of(user: User, room: SchoolClass, day: date, name: str) -> Place:
    """The register of a session of that name. Raises NoSuchSession when the class has none that day."""
    sessions = calendar.sessions_on(user.school_id, room.timetable, day)
    found = next((each for each in sessions if each.name == name), None)
    if found is None:
        raise NoSuchSession("This class has no such lessons on that day: choose one of those that the page shows.")
    return Place(room, day, found)
