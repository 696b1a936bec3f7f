"""From an open case to its end: asked about contact by contact, answered, corrected and closed."""

import uuid
from collections.abc import Sequence
from datetime import date, datetime, timedelta

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from server import clock, settings
from server.absence import contacts, rules
from server.absence.models import AbsenceCase, AbsenceStep
from server.absence.rules import AbsencePolicy, CaseState, Reason, Why
from server.attendance import rules as days
from server.attendance import service as attendance
from server.attendance.models import PupilDay
from server.calendar import service as calendar
from server.leave import service as leave
from server.leave.models import Leave, LeaveKind, LeaveState
from server.notify import service as notify
from server.outbox.models import InboundText
from server.people.models import Pupil, SchoolClass
from server.schools.models import School

ANSWERS_FOR = timedelta(hours=20)  # a reply belongs to a question of the same day
SEEN = {days.State.PRESENT, days.State.LATE}
MISSED = {days.State.ABSENT, days.State.UNCONFIRMED}


def judge(session: Session, school: School, keys: Sequence[tuple[uuid.UUID, date]], now: datetime) -> None:
    """Judge these days from what is known this second; whatever comes out is told as always."""
    notify.announce(school, attendance.apply(school, keys, now), now)
    session.flush()
    session.expire_all()


def verdict_of(row: PupilDay) -> days.Day:
    """The verdict that stands in a row."""
    return msgspec.convert(row.verdict, days.Day)


def due(session: Session, now: datetime) -> list[uuid.UUID]:
    """Cases whose ladder goes on now."""
    states = (CaseState.ASKING, CaseState.ANSWERED)
    query = select(AbsenceCase.id).where(AbsenceCase.state.in_(states), AbsenceCase.next_at <= now)
    return list(session.scalars(query.order_by(AbsenceCase.next_at).limit(200)))


def climb(session: Session, case_id: uuid.UUID, now: datetime) -> None:
    """One rung: judge the day anew, then ask the next contact, or hand over to a person."""
    case = session.get(AbsenceCase, case_id, with_for_update=True)
    if (
        case is None
        or case.state not in (CaseState.ASKING, CaseState.ANSWERED)
        or not case.next_at
        or case.next_at > now
    ):
        return
    school = session.get_one(School, case.school_id)
    judge(session, school, [(case.pupil_id, case.date)], now)
    case = session.get_one(AbsenceCase, case_id, with_for_update=True)
    if settle(session, school, case, now):
        return
    policy = settings.policy(school.id, AbsencePolicy)
    if policy.stopped or not policy.alerts:
        move(case, CaseState.HELD, now)
        case.why = [Why.STOPPED]
    elif case.state == CaseState.ANSWERED:  # "on the way", and still not here
        move(case, CaseState.PERSON, now)
    else:
        ask_next(session, school, case, policy, now)


def ask_next(session: Session, school: School, case: AbsenceCase, policy: AbsencePolicy, now: datetime) -> None:
    """Ask the first contact who was not asked yet; when there is none, or all have had their time, a person calls."""
    asked, rest = contacts.unasked(session, case)
    step = rules.climb(asked, asked + len(rest), policy, now)
    if step.contact is None:
        move(case, CaseState.PERSON, now)
        return
    contacts.ask(session, school, case, step.contact, rest[0], now)
    move(case, CaseState.ASKING, now)
    case.next_at = step.next_at


def move(case: AbsenceCase, state: CaseState, now: datetime) -> None:
    """Into another state, which nothing ends by itself yet."""
    case.state, case.changed_at, case.next_at = state, now, None


def settle(session: Session, school: School, case: AbsenceCase, now: datetime) -> bool:
    """Close the case if its day does not say "missing" any more, and tell who was asked; whether it is at rest now."""
    verdict, state = reading_of(session, school, case)
    if state == days.State.ABSENT:
        return False
    if state == days.State.UNCONFIRMED:
        return not case.released_at and _held_again(case, Why.GATE_SILENT, now)
    if state == days.State.PENDING:
        return _too_early(session, case, now)
    if verdict is not None and state in SEEN:
        _found(session, school, case, verdict, now)
        return True
    contacts.take_back(session, school, case, "excused" if state else "none", now, now)
    move(case, CaseState.CLOSED, now)
    return True


def reading_of(session: Session, school: School, case: AbsenceCase) -> tuple[days.Day | None, days.State | None]:
    """The verdict on the case's day, and what it says of the case's session."""
    row = session.get(PupilDay, (case.pupil_id, case.date))
    verdict = verdict_of(row) if row and row.verdict else days.Day()
    room = session.get_one(SchoolClass, session.get_one(Pupil, case.pupil_id).class_id)
    lessons = calendar.sessions_on(school.id, room.timetable, case.date)
    lesson = next((each for each in lessons if each.name == case.session), None)
    key = (case.pupil_id, case.date)
    away = leave.approved_on(session, school, [case.pupil_id], [case.date]).get(key, ())
    return verdict, rules.reading(lesson, verdict, away)


def _held_again(case: AbsenceCase, why: Why, now: datetime) -> bool:
    """Doubt came up after the question: nobody further is asked."""
    if case.state == CaseState.ASKING:
        move(case, CaseState.HELD, now)
        case.why = [why]
    return case.state != CaseState.ANSWERED


def _too_early(session: Session, case: AbsenceCase, now: datetime) -> bool:
    """The bells were moved: it is not yet the time to miss anybody. A case that nobody was told of has never been."""
    if case.state not in (CaseState.HELD, CaseState.ASKING) or contacts.unasked(session, case)[0]:
        return _held_again(case, Why.BELLS, now)
    session.delete(case)
    return True


def _found(session: Session, school: School, case: AbsenceCase, verdict: days.Day, now: datetime) -> None:
    """Seen since, by the gate or, when that saw nothing, by a teacher; a correction says when the child came in."""
    stay = verdict.stays[-1] if verdict.stays else None
    by_teacher = case.session in verdict.by_teacher
    at = now if by_teacher or stay is None else clock.at_local(case.date, stay.entered, school.timezone)
    contacts.take_back(session, school, case, "seen" if by_teacher else "found", at, now)
    move(case, CaseState.FOUND, now)


def look_again(session: Session, school: School, now: datetime) -> int:
    """Settle the open cases of today whose days have changed; how many."""
    day = clock.local_day(now, school.timezone)
    query = select(AbsenceCase).where(AbsenceCase.school_id == school.id, AbsenceCase.state.in_(rules.OPEN))
    cases = session.scalars(query.where(AbsenceCase.date == day).with_for_update()).all()
    settled = sum(
        settle(session, school, case, now)
        for case in cases
        if case.state != CaseState.HELD or reading_of(session, school, case)[1] not in MISSED
    )
    old = session.scalars(query.where(AbsenceCase.date < day)).all()
    for case in old:  # a day that is over is asked about no more
        move(case, CaseState.CLOSED, now)
    return settled


def answer(session: Session, reply: InboundText, now: datetime) -> str | None:
    """Take a family's reply to our question: "absence", or None when we had asked that number nothing today."""
    query = (
        select(AbsenceStep, AbsenceCase)
        .join(AbsenceCase, AbsenceCase.id == AbsenceStep.case_id)
        .where(AbsenceStep.school_id == reply.school_id, AbsenceStep.recipient == reply.sender)
        .where(AbsenceStep.asked_at > now - ANSWERS_FOR, AbsenceCase.state.in_(rules.OPEN))
    )
    rows = session.execute(query.with_for_update()).all()
    if not rows:
        return None
    reason = rules.reason_of(reply.body)
    for step, case in rows:
        step.answered_at = now
        _answered(session, case, step, reason, reply.body, now)
    return "absence"


def _answered(
    session: Session, case: AbsenceCase, step: AbsenceStep, reason: Reason, words: str, now: datetime
) -> None:
    school = session.get_one(School, case.school_id)
    move(case, CaseState.ANSWERED, now)
    case.reason, case.answered_by, case.words = reason, step.guardian_id, words
    case.next_at = rules.waits(reason, settings.policy(school.id, AbsencePolicy), now)
    if reason is Reason.ILL and case.leave_id is None:
        case.leave_id = asked_leave(session, school, case, step.guardian_id, now)


def asked_leave(
    session: Session,
    school: School,
    case: AbsenceCase,
    guardian_id: uuid.UUID | None,
    now: datetime,
    *,
    kind: LeaveKind = LeaveKind.SICK,
) -> uuid.UUID:
    """The leave that a guardian's "ill" asks for: from this session on, for the rest of the day."""
    room = session.get_one(SchoolClass, session.get_one(Pupil, case.pupil_id).class_id)
    lessons = calendar.sessions_on(school.id, room.timetable, case.date)
    starts = next((each.starts for each in lessons if each.name == case.session), 0)
    row = Leave(school_id=school.id, pupil_id=case.pupil_id, kind=kind, state=LeaveState.ASKED)
    row.starts_at = clock.at_local(case.date, starts, school.timezone)
    row.ends_at = clock.at_local(case.date + timedelta(days=1), 0, school.timezone)
    row.guardian_id, row.asked_at = guardian_id, now
    session.add(row)
    session.flush()
    return row.id
