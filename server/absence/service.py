"""From a missing pupil to an answer: cases are opened, asked about contact by contact, corrected and closed."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from server import clock, settings
from server.absence import brake, contacts, rules
from server.absence.models import AbsenceCase, AbsenceStep
from server.absence.rules import AbsencePolicy, CaseState, Reason, Why
from server.attendance import rules as days
from server.attendance import service as attendance
from server.attendance.models import PupilDay
from server.calendar import rules as bells
from server.calendar import service as calendar
from server.leave.models import Leave, LeaveKind, LeaveState
from server.notify import service as notify
from server.outbox.models import InboundText
from server.people.models import Pupil, SchoolClass
from server.schools.models import School

ANSWERS_FOR = timedelta(hours=20)  # a reply belongs to a question of the same day
SEEN = {days.State.PRESENT, days.State.LATE}


def open_cases(session: Session, school: School, now: datetime) -> int:
    """A case for each pupil whose session has just turned out to be missed; how many. Judged anew before anybody is."""
    policy, day = settings.policy(school.id, AbsencePolicy), clock.local_day(now, school.timezone)
    suspects = _unasked(session, school.id, day)
    if not policy.alerts or not suspects:
        return 0
    judge(session, school, [(pupil_id, day) for pupil_id in suspects], now)
    missing = _unasked(session, school.id, day)
    if not missing:
        return 0
    lessons = _lessons(session, school.id, day)
    look = brake.look(session, school, day, _current(lessons, school, day, now))
    for pupil_id, (room, verdict) in missing.items():
        session.add(_case(school, day, pupil_id, verdict, lessons[room.timetable], look.why(room.id, policy), now))
    session.flush()
    return len(missing)


def judge(session: Session, school: School, keys: Sequence[tuple[uuid.UUID, date]], now: datetime) -> None:
    """Judge these days from what is known this second; whatever comes out is told as always."""
    notify.announce(school, attendance.apply(school, keys, now), now)
    session.flush()
    session.expire_all()


def _unasked(session: Session, school_id: str, day: date) -> dict[uuid.UUID, tuple[SchoolClass, days.Day]]:
    """Pupils who are missing without a word now, and have no case for that session."""
    query = (
        select(PupilDay, SchoolClass)
        .join(Pupil, Pupil.id == PupilDay.pupil_id)
        .join(SchoolClass, SchoolClass.id == Pupil.class_id)
        .where(PupilDay.school_id == school_id, PupilDay.date == day, PupilDay.status == days.Status.UNEXPLAINED)
        .where(Pupil.active)
    )
    rows = session.execute(query).all()
    cases = select(AbsenceCase.pupil_id, AbsenceCase.session).where(
        AbsenceCase.school_id == school_id, AbsenceCase.date == day
    )
    known = {(pupil_id, name) for pupil_id, name in session.execute(cases)}
    found = {row.pupil_id: (room, verdict_of(row)) for row, room in rows}
    return {
        pupil_id: (room, verdict)
        for pupil_id, (room, verdict) in found.items()
        if verdict.current and not verdict.closed and (pupil_id, verdict.current) not in known
    }


def verdict_of(row: PupilDay) -> days.Day:
    """The verdict that stands in a row."""
    return msgspec.convert(row.verdict, days.Day)


def _lessons(session: Session, school_id: str, day: date) -> Mapping[str, tuple[bells.Session, ...]]:
    names = set(session.scalars(select(SchoolClass.timetable).where(SchoolClass.school_id == school_id).distinct()))
    return calendar.timetables_on(school_id, names, day)


def _current(
    lessons: Mapping[str, tuple[bells.Session, ...]], school: School, day: date, now: datetime
) -> dict[str, str]:
    second = clock.local_seconds(now, day, school.timezone)
    begun = ((timetable, bells.begun(those, second)) for timetable, those in lessons.items())
    return {timetable: name for timetable, name in begun if name}


def _case(
    school: School,
    day: date,
    pupil_id: uuid.UUID,
    verdict: days.Day,
    lessons: Sequence[bells.Session],
    why: Sequence[Why],
    now: datetime,
) -> AbsenceCase:
    name = verdict.current or ""
    return AbsenceCase(
        school_id=school.id,
        pupil_id=pupil_id,
        date=day,
        session=name,
        n=1 + [each.name for each in lessons].index(name),
        state=CaseState.HELD if why else CaseState.ASKING,
        why=list(why),
        opened_at=now,
        changed_at=now,
        next_at=None if why else now,
    )


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
    if policy.stopped:
        _move(case, CaseState.HELD, now)
        case.why = [Why.STOPPED]
        return
    if case.state == CaseState.ANSWERED:  # "on the way", and still not here
        _move(case, CaseState.PERSON, now)
        return
    people = contacts.contacts_of(session, [case.pupil_id]).get(case.pupil_id, [])
    asked = len(session.scalars(select(AbsenceStep.id).where(AbsenceStep.case_id == case.id)).all())
    step = rules.climb(asked, len(people), policy, now)
    if step.contact is None:
        _move(case, CaseState.PERSON, now)
        return
    contacts.ask(session, school, case, step.contact, people[step.contact], now)
    _move(case, CaseState.ASKING, now)
    case.next_at = step.next_at


def _move(case: AbsenceCase, state: CaseState, now: datetime) -> None:
    case.state, case.changed_at, case.next_at = state, now, None
    if state is not CaseState.HELD:
        case.why = []


def settle(session: Session, school: School, case: AbsenceCase, now: datetime) -> bool:
    """Close the case if its day does not say "missing" any more, and tell who was asked; whether it did."""
    row = session.get(PupilDay, (case.pupil_id, case.date))
    verdict = verdict_of(row) if row and row.verdict else None
    found = verdict.sessions.get(case.session) if verdict else None
    if found is not None and found.state == days.State.ABSENT:
        return False
    if found is not None and found.state == days.State.UNCONFIRMED:
        if case.state == CaseState.ASKING:
            _move(case, CaseState.HELD, now)
            case.why = [Why.GATE_SILENT]
        return case.state != CaseState.ANSWERED
    if found is not None and found.state in SEEN:
        by_teacher = verdict is not None and case.session in verdict.by_teacher
        at = row.first_in if row and row.first_in and not by_teacher else now
        contacts.take_back(session, school, case, "seen" if by_teacher else "found", at, now)
        _move(case, CaseState.FOUND, now)
        return True
    if case.reason is None:
        contacts.take_back(session, school, case, "excused", now, now)
    _move(case, CaseState.CLOSED, now)
    return True


def look_again(session: Session, school: School, now: datetime) -> int:
    """Settle the open cases of today whose days have changed; how many."""
    day = clock.local_day(now, school.timezone)
    query = select(AbsenceCase).where(AbsenceCase.school_id == school.id, AbsenceCase.state.in_(rules.OPEN))
    cases = session.scalars(query.where(AbsenceCase.date == day).with_for_update()).all()
    settled = sum(
        settle(session, school, case, now) for case in cases if case.state != CaseState.HELD or _changed(session, case)
    )
    old = session.scalars(query.where(AbsenceCase.date < day)).all()
    for case in old:  # a day that is over is asked about no more
        _move(case, CaseState.CLOSED, now)
    return settled


def _changed(session: Session, case: AbsenceCase) -> bool:
    """A held case waits for a person, or for its pupil to be seen; that the day is in doubt is why it is held."""
    row = session.get(PupilDay, (case.pupil_id, case.date))
    found = verdict_of(row).sessions.get(case.session) if row and row.verdict else None
    return found is None or found.state not in {days.State.ABSENT, days.State.UNCONFIRMED}


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
    _move(case, CaseState.ANSWERED, now)
    case.reason, case.answered_by, case.words = reason, step.guardian_id, words
    case.next_at = rules.waits(reason, settings.policy(school.id, AbsencePolicy), now)
    if reason is Reason.ILL and case.leave_id is None:
        case.leave_id = _asked_leave(session, school, case, step.guardian_id, now)


def _asked_leave(
    session: Session, school: School, case: AbsenceCase, guardian_id: uuid.UUID, now: datetime
) -> uuid.UUID:
    """The leave that a guardian's "ill" asks for: from this session on, for the rest of the day."""
    room = session.get_one(SchoolClass, session.get_one(Pupil, case.pupil_id).class_id)
    lessons = calendar.sessions_on(school.id, room.timetable, case.date)
    starts = next((each.starts for each in lessons if each.name == case.session), 0)
    row = Leave(school_id=school.id, pupil_id=case.pupil_id, kind=LeaveKind.SICK, state=LeaveState.ASKED)
    row.starts_at = clock.at_local(case.date, starts, school.timezone)
    row.ends_at = clock.at_local(case.date + timedelta(days=1), 0, school.timezone)
    row.guardian_id, row.asked_at = guardian_id, now
    session.add(row)
    session.flush()
    return row.id
