"""What the desk does in one go: a request with its file, a decision with its text, a trip for many pupils."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from server.accounts.models import User
from server.leave import access, files, requests
from server.leave.models import Leave, LeaveKind, LeaveSource
from server.leave.requests import Actor, CannotLeave, Decision, Wanted
from server.leave.rules import Fault
from server.leavedesk import texts
from server.people.models import Pupil
from server.schools.models import School


@dataclass(frozen=True)
class Trip:
    """One span for many pupils."""

    kind: LeaveKind
    starts_at: datetime
    ends_at: datetime
    reason: str
    once: str


def ask(
    session: Session, school: School, wanted: Wanted, actor: Actor, file: tuple[str, bytes] | None, now: datetime
) -> Leave:
    """Write a request down with its file. The family's own request is confirmed to it by text."""
    leave = requests.ask(session, school, wanted, actor, now)
    if leave.asked_at != now:  # sent twice
        return leave
    if file is not None:
        files.add(session, leave, *file, actor.user.id if actor.user else None, now)
    if actor.user is None:
        texts.tell_state(session, school, leave, now)
    return leave


def decide(
    session: Session, school: School, leave_id: uuid.UUID, decision: Decision, user: User, now: datetime
) -> Leave:
    """Approve or decline, and tell the guardian."""
    before, _room = requests.opened(session, school, leave_id)
    state = before.state
    leave = requests.decide(session, school, leave_id, decision, user, now)
    if leave.state != state:
        texts.tell_state(session, school, leave, now)
    return leave


def change(
    session: Session,
    school: School,
    leave_id: uuid.UUID,
    span: tuple[datetime, datetime],
    decision: Decision,
    user: User,
    now: datetime,
) -> Leave:
    """Shorten or extend, and tell the guardian."""
    before, _room = requests.opened(session, school, leave_id)
    old = before.starts_at, before.ends_at
    leave = requests.change(session, school, leave_id, span, decision, user, now)
    if old != span:
        texts.tell(session, school, leave, "changed", now)
    return leave


def withdraw(session: Session, school: School, leave_id: uuid.UUID, actor: Actor, now: datetime) -> Leave:
    """Take it back, and tell the guardian."""
    before, _room = requests.opened(session, school, leave_id)
    old = before.state, before.ends_at
    leave = requests.withdraw(session, school, leave_id, actor, now)
    if leave.state != old[0]:
        texts.tell_state(session, school, leave, now)
    elif leave.ends_at != old[1]:
        texts.tell(session, school, leave, "changed", now)
    return leave


def trip(
    session: Session, school: School, user: User, pupils: Sequence[uuid.UUID], wanted: Trip, now: datetime
) -> list[Pupil]:
    """Approved leave for all of them at once; the answer is those who have another leave in that time."""
    left_out = []
    for pupil_id in sorted(pupils):  # one order for everybody who locks pupils
        pupil, _room = access.pupil(user, pupil_id)
        row = Wanted(
            pupil_id, wanted.kind, wanted.starts_at, wanted.ends_at, LeaveSource.STAFF,
            reason=wanted.reason, once=wanted.once,
        )  # fmt: skip
        try:
            leave = requests.ask(session, school, row, Actor(user), now)
        except CannotLeave as error:
            if error.fault is not Fault.OVERLAP:
                raise
            left_out.append(pupil)
            continue
        requests.decide(session, school, leave.id, Decision(approve=True), user, now)
    return left_out
