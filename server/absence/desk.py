"""What staff do with missing pupils: release, ask the next, confirm, close, seen here, stop; all of it kept."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from server import clock, settings
from server.absence import contacts, service
from server.absence.models import AbsenceCase, AbsenceStep, RegisterCall
from server.absence.rules import OPEN, AbsencePolicy, CaseState, Reason
from server.accounts import service as accounts
from server.accounts.models import User
from server.attendance import marks
from server.attendance.rules import MarkKind
from server.audit import service as audit
from server.db import insert_new, new_id, table
from server.errors import NotAllowed, NotFound, Refused
from server.leave import service as leave
from server.leave.models import Leave, LeaveKind, LeaveState
from server.people import service as people
from server.people.models import Pupil, SchoolClass
from server.schools.models import School

MAY_DECIDE = frozenset({"class_teacher", "grade_head", "office", "head"})
MAY_STOP = frozenset({"office", "head"})
UNDO = timedelta(seconds=20)  # between a release and the first text, so that a wrong press reaches nobody
UNDO_FOR = timedelta(minutes=10)
LEAVE = {Reason.ILL: LeaveKind.SICK, Reason.LEAVE: LeaveKind.PERSONAL}
CLOSING = (Reason.ILL, Reason.LEAVE, Reason.MISTAKE)

_call = table(RegisterCall)
Held = list[tuple[AbsenceCase, SchoolClass]]


class Changed(Refused):
    """Not so many are held any more as the person saw; `count` is how many it would be now."""

    def __init__(self, count: int) -> None:
        super().__init__(_("Meanwhile it is %(n)s. Look again, then send.", n=count))
        self.count = count


def may_decide(user: User, room: SchoolClass) -> bool:
    """Whether the user may release, confirm and close for this class."""
    scope = accounts.scope_of(user, MAY_DECIDE)
    return scope.whole or room.grade in scope.grades or room.id in scope.classes


def may_stop(user: User) -> bool:
    """Whether the user may switch all questions of the school off and on: by a grant over the whole school."""
    return accounts.scope_of(user, MAY_STOP).whole


def release(session: Session, user: User, case_id: uuid.UUID, now: datetime) -> None:
    """A person has looked: the family may be asked after all."""
    case, _room = _mine(session, user, case_id)
    _refuse_stopped(user)
    if case.state == CaseState.HELD:
        _released(user, case, now)


def release_all(session: Session, user: User, rooms: Sequence[uuid.UUID], *, seen: int, now: datetime) -> int:
    """All held ones of these classes, if they are as many as the person saw. Raises Changed."""
    _refuse_stopped(user)
    found = [case for case, _room in held(session, user, rooms)]
    if len(found) != seen:
        raise Changed(len(found))
    for case in found:
        _released(user, case, now)
    return len(found)


def held(session: Session, user: User, rooms: Sequence[uuid.UUID]) -> Held:
    """Today's held cases of these classes that the user may release, locked."""
    day = clock.local_day(clock.now(), session.get_one(School, user.school_id).timezone)
    query = (
        select(AbsenceCase, SchoolClass)
        .join(Pupil, Pupil.id == AbsenceCase.pupil_id)
        .join(SchoolClass, SchoolClass.id == Pupil.class_id)
        .where(AbsenceCase.school_id == user.school_id, AbsenceCase.date == day, Pupil.active)
        .where(AbsenceCase.state == CaseState.HELD, SchoolClass.id.in_(rooms))
        .order_by(AbsenceCase.id)
        .with_for_update(of=AbsenceCase)
    )
    return [(case, room) for case, room in session.execute(query) if may_decide(user, room)]


def _refuse_stopped(user: User) -> None:
    if settings.policy(user.school_id, AbsencePolicy).stopped:
        raise Refused(_("All questions to families are switched off. Switch them on first."))


def _released(user: User, case: AbsenceCase, now: datetime) -> None:
    service.move(case, CaseState.ASKING, now)
    case.released_at, case.released_by, case.next_at = now, user.id, now + UNDO
    audit.record(user, "absence.released", f"pupil:{case.pupil_id}", now, {"why": list(case.why)})


def undoable(session: Session, user: User, now: datetime) -> list[AbsenceCase]:
    """What this user has just released and nobody was asked of yet."""
    query = select(AbsenceCase).where(
        AbsenceCase.school_id == user.school_id,
        AbsenceCase.released_by == user.id,
        AbsenceCase.released_at > now - UNDO_FOR,
        AbsenceCase.state == CaseState.ASKING,
    )
    asked = select(AbsenceStep.id).where(AbsenceStep.case_id == AbsenceCase.id).exists()
    return list(session.scalars(query.where(~asked).order_by(AbsenceCase.id)))


def undo(session: Session, user: User, now: datetime) -> int:
    """Hold again what this user has just released, as far as nothing has left; how many."""
    mine = [case.id for case in undoable(session, user, now)]
    query = select(AbsenceCase).where(AbsenceCase.id.in_(mine)).order_by(AbsenceCase.id).with_for_update()
    found = list(session.scalars(query.execution_options(populate_existing=True)))
    still = {case.id for case in undoable(session, user, now)}
    back = [case for case in found if case.id in still]
    for case in back:
        service.move(case, CaseState.HELD, now)
        case.released_at = case.released_by = None
        audit.record(user, "absence.held", f"pupil:{case.pupil_id}", now)
    return len(back)


def ask_now(session: Session, user: User, case_id: uuid.UUID, *, asked: int, now: datetime) -> None:
    """The ladder waits no longer; `asked` is how many the person saw asked, so that a double click asks one."""
    case, _room = _mine(session, user, case_id)
    if case.state == CaseState.ASKING and contacts.unasked(session, case)[0] == asked:
        case.next_at = case.changed_at = now
        audit.record(user, "absence.hurried", f"pupil:{case.pupil_id}", now)


def confirm(session: Session, user: User, case_id: uuid.UUID, now: datetime) -> None:
    """A guardian's "ill" is approved leave with one click."""
    case, _room = _mine(session, user, case_id)
    if case.state != CaseState.ANSWERED or case.leave_id is None:
        return
    _approve(session, user, case, "", now)
    audit.record(user, "absence.confirmed", f"pupil:{case.pupil_id}", now, {"reason": case.reason})


def close(session: Session, user: User, case_id: uuid.UUID, *, reason: Reason, words: str, now: datetime) -> None:
    """Settled by a person, who says why: "called, is ill". Illness and leave are written down as approved leave."""
    case, _room = _mine(session, user, case_id)
    if case.state not in OPEN:
        return
    case.reason, case.note = reason, words
    school = session.get_one(School, case.school_id)
    if reason in LEAVE:
        if case.leave_id is None:
            kind = LEAVE[reason]
            case.leave_id = service.asked_leave(session, school, case, case.answered_by, now, kind=kind)
        _approve(session, user, case, words, now)
    if case.state in OPEN:
        service.move(case, CaseState.CLOSED, now)
    case.settled_by = user.id
    audit.record(user, "absence.closed", f"pupil:{case.pupil_id}", now, {"reason": reason})


def _approve(session: Session, user: User, case: AbsenceCase, words: str, now: datetime) -> None:
    row = session.get(Leave, case.leave_id, with_for_update=True)
    school = session.get_one(School, case.school_id)
    if row is not None and row.state == LeaveState.ASKED:
        row.state, row.decided_by, row.decided_at = LeaveState.APPROVED, user.id, now
        row.reason, row.asked_by = row.reason or words or case.words, row.asked_by or user.id
        leave.decided(session, school, row)
    case.settled_by = user.id
    _looked_over(session, school, case, now)


def _looked_over(session: Session, school: School, case: AbsenceCase, now: datetime) -> None:
    """Judge the day from what is known now, and end the case if it says so."""
    session.flush()
    service.judge(session, school, [(case.pupil_id, case.date)], now)
    session.refresh(case, with_for_update=True)
    service.settle(session, school, case, now)


def seen_here(session: Session, user: User, case_id: uuid.UUID, now: datetime) -> None:
    """Somebody of the school sees the pupil: a mark, and the correction to everybody who was asked."""
    case, _room = _mine(session, user, case_id)
    if case.state not in OPEN:
        return
    seen = marks.Seen(case.pupil_id, case.date, case.session, MarkKind.PRESENT, reason="absence")
    marks.add(session, case.school_id, user.id, [seen], now)
    case.settled_by = user.id
    _looked_over(session, session.get_one(School, case.school_id), case, now)
    audit.record(user, "absence.seen", f"pupil:{case.pupil_id}", now)


def stop(session: Session, user: User, now: datetime) -> None:
    """No family of the school is asked anything until it is switched on again."""
    _switch(session, user, now, stopped=True)


def go_on(session: Session, user: User, now: datetime) -> None:
    """Families are asked again; whoever is held meanwhile waits for a person."""
    _switch(session, user, now, stopped=False)


def _switch(session: Session, user: User, now: datetime, *, stopped: bool) -> None:
    if not may_stop(user):
        raise NotAllowed
    if settings.policy(user.school_id, AbsencePolicy).stopped != stopped:
        settings.set_policy(session, user.school_id, AbsencePolicy, by=user.id, stopped=stopped)
        audit.record(user, "absence.stopped" if stopped else "absence.went_on", f"school:{user.school_id}", now)


def call_classes(session: Session, user: User, rooms: Sequence[uuid.UUID], now: datetime) -> int:
    """Ask these classes, as far as pupils of them are held, to look who is there; how many were not asked before."""
    wanted = {(room.id, case.date, case.session) for case, room in held(session, user, rooms)}
    rows = [
        {"id": new_id(), "school_id": user.school_id, "class_id": class_id, "date": day, "session": name}
        | {"called_by": user.id, "called_at": now}
        for class_id, day, name in sorted(wanted, key=str)
    ]
    if not rows:
        return 0
    new = session.execute(insert_new(_call, _call.c.class_id), rows).all()
    for (class_id,) in new:
        audit.record(user, "register.called", f"class:{class_id}", now)
    return len(new)


def _mine(session: Session, user: User, case_id: uuid.UUID) -> tuple[AbsenceCase, SchoolClass]:
    """The case, locked; NotFound for one of a pupil whom the user may not see, NotAllowed where others decide."""
    case = session.scalar(select(AbsenceCase).where(AbsenceCase.id == case_id).with_for_update())
    if case is None or case.school_id != user.school_id:
        raise NotFound
    _pupil, room = people.visible_pupil(user, case.pupil_id)
    if not may_decide(user, room):
        raise NotAllowed
    return case, room
