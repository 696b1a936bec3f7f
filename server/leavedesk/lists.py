"""What the leave desk's pages show: the inbox with its counts, one leave with its story, what a pupil's page says."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from server import clock, settings
from server.accounts.models import User
from server.audit.models import AuditEntry
from server.db import db
from server.leave import access
from server.leave.models import Leave, LeaveKind, LeaveState
from server.leave.rules import LeavePolicy
from server.people import service as people
from server.people.models import Pupil, SchoolClass
from server.schools.models import School

MOST = 200
PAST_DAYS = timedelta(days=120)
FOUND = 12


class Tab(StrEnum):
    """One part of the inbox."""

    ASKED = "asked"
    TODAY = "today"
    COMING = "coming"
    PAST = "past"


@dataclass(frozen=True)
class Row:
    """One leave of a list."""

    leave: Leave
    pupil: Pupil
    room: SchoolClass
    relation: str | None


@dataclass(frozen=True)
class Sought:
    """What a list is narrowed to."""

    tab: Tab
    class_id: uuid.UUID | None = None
    kind: LeaveKind | None = None
    words: str = ""


@dataclass(frozen=True)
class Step:
    """One act in a leave's story: by somebody of the staff, or by the family."""

    action: str
    at: datetime
    name: str | None


def _when(tab: Tab, school: School, now: datetime) -> ColumnElement[bool]:
    midnight = clock.at_local(clock.local_day(now, school.timezone), 0, school.timezone)
    tomorrow = clock.at_local(clock.local_day(now, school.timezone) + timedelta(days=1), 0, school.timezone)
    approved = Leave.state == LeaveState.APPROVED
    match tab:
        case Tab.ASKED:
            return Leave.state == LeaveState.ASKED
        case Tab.TODAY:
            return and_(approved, Leave.starts_at < tomorrow, Leave.ends_at > midnight)
        case Tab.COMING:
            return and_(approved, Leave.starts_at >= tomorrow)
        case Tab.PAST:
            gone = or_(and_(approved, Leave.ends_at <= midnight), Leave.state.in_(("declined", "withdrawn")))
            return and_(gone, Leave.ends_at > midnight - PAST_DAYS)


def counts(user: User, school: School, now: datetime) -> dict[Tab, int]:
    """How many leaves are in each part."""
    mine = access.leaves(user).with_only_columns(*(_count(_when(tab, school, now)) for tab in Tab))
    return dict(zip(Tab, (each or 0 for each in db.session.execute(mine).one()), strict=True))


def _count(condition: ColumnElement[bool]) -> Any:
    return func.count().filter(condition)


def rows(user: User, school: School, sought: Sought, now: datetime) -> list[Row]:
    """One part of the inbox: who waits longest first, what comes next first, what is past last first."""
    query = access.leaves(user).where(_when(sought.tab, school, now))
    if sought.class_id:
        query = query.where(SchoolClass.id == sought.class_id)
    if sought.kind:
        query = query.where(Leave.kind == sought.kind)
    if sought.words:
        query = query.where(Pupil.name.contains(sought.words, autoescape=True))
    order = {Tab.ASKED: Leave.asked_at, Tab.PAST: Leave.ends_at.desc()}.get(sought.tab, Leave.starts_at)
    return _rows(query.order_by(order, Leave.id).limit(MOST))


def of_pupil(user: User, pupil_id: uuid.UUID, since: datetime) -> list[Row]:
    """The newest leaves of one pupil, as far as the user may see them."""
    mine = access.leaves(user).where(Leave.pupil_id == pupil_id, Leave.ends_at > since)
    return _rows(mine.order_by(Leave.starts_at.desc()).limit(6))


def waiting(user: User, now: datetime) -> list[Row]:
    """Requests that wait for longer than the school wants them to."""
    minutes = settings.policy(user.school_id, LeavePolicy).wait_minutes
    late = access.leaves(user).where(
        Leave.state == LeaveState.ASKED, Leave.asked_at <= now - timedelta(minutes=minutes)
    )
    return _rows(late.order_by(Leave.asked_at).limit(MOST))


def row(user: User, leave_id: uuid.UUID) -> Row:
    """One leave. Raises NotFound, also when it is another's."""
    found, pupil, room = access.leave(user, leave_id)
    relations = people.relations([pupil.id])
    return _row((found, pupil, room), relations)


def _rows(query: Select[Leave, Pupil, SchoolClass]) -> list[Row]:
    found = db.session.execute(query).all()
    relations = people.relations({each[1].id for each in found}) if found else {}
    return [_row((each[0], each[1], each[2]), relations) for each in found]


def _row(found: tuple[Leave, Pupil, SchoolClass], relations: dict[tuple[uuid.UUID, uuid.UUID], str]) -> Row:
    leave, pupil, room = found
    relation = relations.get((pupil.id, leave.guardian_id)) if leave.guardian_id else None
    return Row(leave, pupil, room, relation)


def steps(leave: Leave) -> list[Step]:
    """Who did what with a leave, in order."""
    query = (
        select(AuditEntry.action, AuditEntry.at, User.name)
        .outerjoin(User, User.id == AuditEntry.user_id)
        .where(AuditEntry.school_id == leave.school_id, AuditEntry.subject == f"leave:{leave.id}")
        .order_by(AuditEntry.at)
    )
    return [Step(action, at, name) for action, at, name in db.session.execute(query)]


def classes(user: User) -> list[SchoolClass]:
    """The classes whose leave the user may see, youngest first."""
    query = select(SchoolClass).where(SchoolClass.school_id == user.school_id, access.looked_after(user))
    return sorted(db.session.scalars(query), key=people.class_order)


def found(user: User, words: str) -> Sequence[tuple[Pupil, SchoolClass]]:
    """Pupils whose name or number has the words, to write a leave down for."""
    if not words:
        return []
    name = Pupil.name.contains(words, autoescape=True)
    query = access.pupils(user).where(or_(name, Pupil.number.startswith(words, autoescape=True)))
    return [(each[0], each[1]) for each in db.session.execute(query.order_by(Pupil.name).limit(FOUND))]


def of_class(user: User, class_id: uuid.UUID) -> list[Pupil]:
    """The pupils of one class by seat; none of a class that is another's."""
    query = access.pupils(user).where(Pupil.class_id == class_id).order_by(Pupil.seat, Pupil.number)
    return [each[0] for each in db.session.execute(query)]
