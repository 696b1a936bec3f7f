"""Asking for leave, deciding it, and changing it afterwards: under a lock on the pupil, in the audit trail."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from server import clock, settings
from server.accounts.models import User
from server.audit.models import AuditEntry
from server.errors import NotFound, Refused
from server.leave import access, rules, service
from server.leave.models import Leave, LeaveKind, LeaveSource, LeaveState
from server.leave.rules import Fault, LeavePolicy
from server.people.models import Guardianship, Pupil, SchoolClass
from server.schools.models import School

OPEN = (LeaveState.ASKED, LeaveState.APPROVED)
WRITTEN_BACK = timedelta(days=31)  # so long afterwards staff may still write a leave down


class CannotLeave(Refused):
    """This leave cannot be asked for, decided or changed; `fault` says why, the desk has the words."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"leave: {fault}")
        self.fault = fault


@dataclass(frozen=True)
class Actor:
    """Who acts: somebody of the staff, or a guardian alone."""

    user: User | None = None
    guardian_id: uuid.UUID | None = None


@dataclass(frozen=True)
class Wanted:
    """A leave as it is asked for; `once` is the form or reply that asks."""

    pupil_id: uuid.UUID
    kind: LeaveKind
    starts_at: datetime
    ends_at: datetime
    source: LeaveSource
    reason: str = ""
    guardian_id: uuid.UUID | None = None  # who excuses
    called: str = ""
    once: str | None = None


@dataclass(frozen=True)
class Decision:
    """What is decided, with the guardian who confirmed to staff, if one did."""

    approve: bool
    guardian_id: uuid.UUID | None = None
    called: str = ""
    note: str = ""


def ask(session: Session, school: School, wanted: Wanted, actor: Actor, now: datetime) -> Leave:
    """Write a request down; the same one again is the one that stands. Raises CannotLeave, NotFound."""
    pupil, room = locked(session, school, wanted.pupil_id)
    same = _sent_before(session, pupil, wanted)
    if same is not None:
        return same
    earliest = now - WRITTEN_BACK if actor.user else _midnight(school, now)
    _refuse(rules.span_fault(wanted.starts_at, wanted.ends_at, earliest))
    if wanted.guardian_id is not None:
        check_guardian(session, pupil.id, wanted.guardian_id)
    days = service.school_days(school, room.timetable, wanted.starts_at, wanted.ends_at)
    _refuse(None if days else Fault.NO_LESSONS)
    _refuse(Fault.OVERLAP if overlapping(session, pupil.id, wanted.starts_at, wanted.ends_at) else None)
    row = _row(school, wanted, days, actor, now)
    session.add(row)
    session.flush()
    note(session, row, "leave.asked", actor, now)
    return row


def _row(school: School, wanted: Wanted, days: int, actor: Actor, now: datetime) -> Leave:
    row = Leave(school_id=school.id, pupil_id=wanted.pupil_id, kind=wanted.kind, state=LeaveState.ASKED)
    row.starts_at, row.ends_at, row.school_days = wanted.starts_at, wanted.ends_at, days
    row.reason, row.guardian_id, row.called = wanted.reason or None, wanted.guardian_id, wanted.called or None
    row.source, row.once = wanted.source, wanted.once
    row.asked_by, row.asked_at = actor.user.id if actor.user else None, now
    return row


def _sent_before(session: Session, pupil: Pupil, wanted: Wanted) -> Leave | None:
    """A second click or a reply brought twice; or the very leave that stands already, asked for once more."""
    mine = select(Leave).where(Leave.pupil_id == pupil.id)
    if wanted.once is not None:
        found = session.scalars(mine.where(Leave.once == wanted.once)).first()
        if found is not None:
            return found
    span = (Leave.starts_at == wanted.starts_at, Leave.ends_at == wanted.ends_at, Leave.kind == wanted.kind)
    return session.scalars(mine.where(Leave.state.in_(OPEN), *span)).first()


def decide(
    session: Session, school: School, leave_id: uuid.UUID, decision: Decision, user: User, now: datetime
) -> Leave:
    """Approve or decline; again the same changes nothing. Raises CannotLeave, NotFound."""
    leave, room = opened(session, school, leave_id)
    wanted = LeaveState.APPROVED if decision.approve else LeaveState.DECLINED
    if leave.state == wanted:
        return leave
    _refuse(None if leave.state == LeaveState.ASKED else Fault.DECIDED)
    check_power(school, user, room, leave.kind, leave.school_days)
    if decision.guardian_id is not None:
        check_guardian(session, leave.pupil_id, decision.guardian_id)
        leave.guardian_id, leave.called = decision.guardian_id, decision.called or leave.called
    if decision.approve:
        _check_excused(session, leave)
    leave.state, leave.decided_by, leave.decided_at, leave.note = wanted, user.id, now, decision.note[:200]
    service.decided(session, school, leave)
    note(session, leave, f"leave.{wanted}", Actor(user), now)
    return leave


def _check_excused(session: Session, leave: Leave) -> None:
    """Only guardians excuse a pupil; the school's own reasons need nobody."""
    if not rules.needs_guardian(leave.kind):
        return
    if leave.guardian_id is None:
        raise CannotLeave(Fault.GUARDIAN)
    check_guardian(session, leave.pupil_id, leave.guardian_id)


def change(
    session: Session,
    school: School,
    leave_id: uuid.UUID,
    span: tuple[datetime, datetime],
    decision: Decision,
    user: User,
    now: datetime,
) -> Leave:
    """Shorten or extend. What was not excused before needs a guardian again. Raises CannotLeave, NotFound."""
    leave, room = opened(session, school, leave_id)
    _refuse(None if leave.state in OPEN else Fault.DECIDED)
    starts, ends = span
    if (starts, ends) == (leave.starts_at, leave.ends_at):
        return leave
    _refuse(rules.span_fault(starts, ends, min(leave.starts_at, now - WRITTEN_BACK)))
    days = service.school_days(school, room.timetable, starts, ends)
    _refuse(None if days else Fault.NO_LESSONS)
    _refuse(Fault.OVERLAP if overlapping(session, leave.pupil_id, starts, ends, leave.id) else None)
    if leave.state == LeaveState.APPROVED:
        _may_change(session, school, leave, room, span, decision, max(days, leave.school_days), user)
    old = leave.starts_at, leave.ends_at
    leave.starts_at, leave.ends_at, leave.school_days = starts, ends, days
    service.moved(session, school, leave.pupil_id, [old, span])
    note(session, leave, "leave.changed", Actor(user), now, was=[each.isoformat() for each in old])
    return leave


def _may_change(
    session: Session,
    school: School,
    leave: Leave,
    room: SchoolClass,
    span: tuple[datetime, datetime],
    decision: Decision,
    days: int,
    user: User,
) -> None:
    check_power(school, user, room, leave.kind, days)
    longer = span[0] < leave.starts_at or span[1] > leave.ends_at
    if not longer or not rules.needs_guardian(leave.kind):
        return
    if decision.guardian_id is None:
        raise CannotLeave(Fault.GUARDIAN)
    check_guardian(session, leave.pupil_id, decision.guardian_id)
    leave.guardian_id, leave.called = decision.guardian_id, decision.called or leave.called


def withdraw(session: Session, school: School, leave_id: uuid.UUID, actor: Actor, now: datetime) -> Leave:
    """Take it back: the whole leave before it begins, what is left of it afterwards. Raises CannotLeave, NotFound."""
    leave, room = opened(session, school, leave_id)
    if leave.state in {LeaveState.WITHDRAWN, LeaveState.DECLINED}:
        return leave
    if actor.user is None and leave.guardian_id != actor.guardian_id:
        raise NotFound
    if actor.user is not None and leave.state == LeaveState.APPROVED:
        check_power(school, actor.user, room, leave.kind, leave.school_days)
    _refuse(Fault.OVER if leave.ends_at <= now else None)
    was = leave.starts_at, leave.ends_at
    minute = now.replace(second=0, microsecond=0)
    if leave.state == LeaveState.APPROVED and leave.starts_at < minute:
        leave.ends_at = minute
        leave.school_days = max(1, service.school_days(school, room.timetable, leave.starts_at, leave.ends_at))
    else:
        leave.state = LeaveState.WITHDRAWN
    service.moved(session, school, leave.pupil_id, [was])
    note(session, leave, "leave.withdrawn", actor, now)
    return leave


def overlapping(
    session: Session, pupil_id: uuid.UUID, starts: datetime, ends: datetime, but: uuid.UUID | None = None
) -> Leave | None:
    """An open leave of the pupil that shares time with this span."""
    query = select(Leave).where(Leave.pupil_id == pupil_id, Leave.state.in_(OPEN))
    query = query.where(Leave.starts_at < ends, Leave.ends_at > starts)
    return next((each for each in session.scalars(query) if each.id != but), None)


def locked(session: Session, school: School, pupil_id: uuid.UUID) -> tuple[Pupil, SchoolClass]:
    """A pupil of the school whose leave nobody else changes until the transaction ends. Raises NotFound."""
    query = select(Pupil).where(Pupil.id == pupil_id, Pupil.school_id == school.id, Pupil.active)
    pupil = session.scalars(query.with_for_update(key_share=True)).first()
    if pupil is None:
        raise NotFound
    return pupil, session.get_one(SchoolClass, pupil.class_id)


def opened(session: Session, school: School, leave_id: uuid.UUID) -> tuple[Leave, SchoolClass]:
    """A leave of the school, with its pupil locked; as it is now. Raises NotFound."""
    found = session.get(Leave, leave_id)
    if found is None or found.school_id != school.id:
        raise NotFound
    _pupil, room = locked(session, school, found.pupil_id)
    session.refresh(found)
    return found, room


def check_guardian(session: Session, pupil_id: uuid.UUID, guardian_id: uuid.UUID) -> None:
    """Raises CannotLeave for a stranger to this pupil, and for a guardian who is barred."""
    query = select(Guardianship.id).where(
        Guardianship.pupil_id == pupil_id, Guardianship.guardian_id == guardian_id, Guardianship.barred.is_(False)
    )
    if session.scalar(query) is None:
        raise CannotLeave(Fault.STRANGER)


def check_power(school: School, user: User, room: SchoolClass, kind: str, days: int) -> None:
    """Raises CannotLeave when somebody else has to decide a leave of so many school days."""
    if days > power(school, user, room, kind):
        raise CannotLeave(Fault.POWER)


def power(school: School, user: User, room: SchoolClass, kind: str) -> int:
    """How many school days of this kind the user may decide for this class."""
    return rules.most_days(access.roles_over(user, room), kind, settings.policy(school.id, LeavePolicy))


def note(session: Session, leave: Leave, action: str, actor: Actor, now: datetime, **detail: object) -> None:
    """Add to the trail of this leave who did what: a user, or a guardian without one."""
    entry = AuditEntry(school_id=leave.school_id, user_id=actor.user.id if actor.user else None, action=action)
    entry.subject, entry.at = f"leave:{leave.id}", now
    entry.detail = dict(detail) | ({"guardian": str(actor.guardian_id)} if actor.guardian_id else {})
    session.add(entry)


def _refuse(fault: Fault | None) -> None:
    if fault is not None:
        raise CannotLeave(fault)


def _midnight(school: School, now: datetime) -> datetime:
    return clock.at_local(clock.local_day(now, school.timezone), 0, school.timezone)
