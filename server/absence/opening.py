"""A case for each pupil whose session has just turned out to be missed, held wherever something speaks for looking."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from server import clock, settings
from server.absence import brake, rules, service
from server.absence.models import AbsenceCase
from server.absence.rules import AbsencePolicy, CaseState, Why
from server.attendance import rules as days
from server.attendance.models import PupilDay
from server.attendance.rules import Status
from server.calendar import rules as bells
from server.calendar import service as calendar
from server.leave import service as leave
from server.people.models import Pupil, SchoolClass
from server.schools.models import School

NOT_SEEN = (Status.UNEXPLAINED, Status.UNCONFIRMED)
Lessons = Mapping[str, tuple[bells.Session, ...]]  # by timetable


@dataclass(frozen=True)
class Missing:
    """A pupil past the cut-off of a session, of whom nobody knows anything."""

    pupil_id: uuid.UUID
    room: SchoolClass
    verdict: days.Day
    lesson: bells.Session
    n: int  # of the day's sessions
    since: int  # seconds since the cut-off

    def why(self) -> list[Why]:
        """What holds this pupil alone."""
        found = [Why.LATE] if self.since > rules.LOOKED_LATE else []
        if self.verdict.sessions[self.lesson.name].state == days.State.UNCONFIRMED:
            found.append(Why.CLOCK if "time_uncertain" in self.verdict.flags else Why.GATE_SILENT)
        return found


def open_cases(session: Session, school: School, now: datetime) -> int:
    """Open the cases that are due; how many. Whoever stands for missing is judged anew before anybody is asked."""
    policy, day = settings.policy(school.id, AbsencePolicy), clock.local_day(now, school.timezone)
    lessons = _lessons(session, school.id, day)
    past = _past(lessons, school, day, now)
    if not policy.alerts or not past:
        return 0
    doubtful = _of_status(session, school.id, day, (*NOT_SEEN, Status.NOT_YET), timetables=past)
    if not doubtful:
        return 0
    # All who are still waited for, too: half a school judged looks like a few pupils missing.
    service.judge(session, school, [(row.pupil_id, day) for row, _ in doubtful], now)
    missing = _unasked(session, school, day, lessons, now)
    if not missing:
        return 0
    look = brake.look(session, school, day, past, now)
    for each in missing:
        why = sorted({*look.why(each.room.id, policy), *each.why()})
        session.add(_case(school, day, each, why, now))
    session.flush()
    return len(missing)


def _lessons(session: Session, school_id: str, day: date) -> Lessons:
    names = set(session.scalars(select(SchoolClass.timetable).where(SchoolClass.school_id == school_id).distinct()))
    return calendar.timetables_on(school_id, names, day)


def _past(lessons: Lessons, school: School, day: date, now: datetime) -> dict[str, str]:
    """The newest session of each timetable whose cut-off has come."""
    wait = settings.policy(school.id, days.Policy, on=day).absent_after * days.MINUTE
    second = clock.local_seconds(now, day, school.timezone) - wait
    begun = ((timetable, bells.begun(those, second)) for timetable, those in lessons.items())
    return {timetable: name for timetable, name in begun if name}


def _of_status(
    session: Session, school_id: str, day: date, states: Sequence[Status], *, timetables: Mapping[str, str]
) -> list[tuple[PupilDay, SchoolClass]]:
    query = (
        select(PupilDay, SchoolClass)
        .join(Pupil, Pupil.id == PupilDay.pupil_id)
        .join(SchoolClass, SchoolClass.id == Pupil.class_id)
        .where(PupilDay.school_id == school_id, PupilDay.date == day, PupilDay.status.in_(states))
        .where(Pupil.active, SchoolClass.timetable.in_(timetables))
    )
    known = select(AbsenceCase.pupil_id).where(
        AbsenceCase.school_id == school_id, AbsenceCase.date == day, AbsenceCase.pupil_id == PupilDay.pupil_id
    )
    newest = {name for name in timetables.values()}
    rows = session.execute(query.where(~known.where(AbsenceCase.session.in_(newest)).exists()))
    return [(row, room) for row, room in rows]


def _unasked(session: Session, school: School, day: date, lessons: Lessons, now: datetime) -> list[Missing]:
    """Pupils who are missing without a word now, and have no case for that session."""
    rows = _of_status(session, school.id, day, NOT_SEEN, timetables=_past(lessons, school, day, now))
    away = leave.approved_on(session, school, {row.pupil_id for row, _ in rows}, {day})
    policy = settings.policy(school.id, days.Policy, on=day)
    second = clock.local_seconds(now, day, school.timezone)
    found = []
    for row, room in rows:
        verdict, those = service.verdict_of(row), bells.in_order(lessons[room.timetable])
        n, lesson = next(((n, each) for n, each in enumerate(those, 1) if each.name == verdict.current), (0, None))
        excuse = away.get((row.pupil_id, day), ())
        if lesson is None or verdict.closed or rules.reading(lesson, verdict, excuse) not in service.MISSED:
            continue
        since = rules.since_cut_off(lesson, excuse, policy, second)
        if since >= 0:
            found.append(Missing(row.pupil_id, room, verdict, lesson, n, since))
    return found


def _case(school: School, day: date, missing: Missing, why: Sequence[Why], now: datetime) -> AbsenceCase:
    return AbsenceCase(
        school_id=school.id,
        pupil_id=missing.pupil_id,
        date=day,
        session=missing.lesson.name,
        n=missing.n,
        state=CaseState.HELD if why else CaseState.ASKING,
        why=list(why),
        opened_at=now,
        changed_at=now,
        next_at=None if why else now,
    )
