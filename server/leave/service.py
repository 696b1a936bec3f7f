"""Leave as the judgement of a day needs it: what is approved, and which days a decision changes."""

import uuid
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from server import clock
from server.calendar import rules as calendar_rules
from server.calendar import service as calendar
from server.db import db
from server.gates.rules import ExitPass
from server.leave import rules
from server.leave.models import Leave, LeaveState
from server.schools.models import School

Key = tuple[uuid.UUID, date]

_APPROVED = (
    select(Leave.pupil_id, Leave.starts_at, Leave.ends_at, Leave.kind)
    .where(Leave.school_id == bindparam("school"), Leave.state == LeaveState.APPROVED)
    .where(Leave.ends_at > bindparam("since"), Leave.starts_at < bindparam("until"))
)
_OF_PUPILS = _APPROVED.where(Leave.pupil_id.in_(bindparam("pupils", expanding=True)))


def approved_on(
    session: Session, school: School, pupils: Collection[uuid.UUID], days: Collection[date]
) -> Mapping[Key, list[calendar_rules.Leave]]:
    """The approved leave of these pupils on these days, in seconds of each date."""
    if not pupils or not days:
        return {}
    given = {"school": school.id, "pupils": sorted(pupils)} | _bounds(school, min(days), max(days))
    found: dict[Key, list[calendar_rules.Leave]] = {}
    for row in session.execute(_OF_PUPILS, given):
        for day in dates_of(school, row.starts_at, row.ends_at):
            if day in days:
                found.setdefault((row.pupil_id, day), []).append(_on(school, day, row))
    return found


def ends_on(session: Session, school: School, day: date) -> list[datetime]:
    """The moments of a date at which somebody's approved leave is over: from then on the pupil is expected."""
    rows = session.execute(_APPROVED, {"school": school.id} | _bounds(school, day, day))
    midnight = clock.at_local(day + timedelta(days=1), 0, school.timezone)
    return sorted({row.ends_at for row in rows if row.ends_at < midnight})


def decided(session: Session, school: School, leave: Leave) -> None:
    """The decision on a leave has changed: its days, as far as they have come, are judged again."""
    moved(session, school, leave.pupil_id, [(leave.starts_at, leave.ends_at)])


def moved(session: Session, school: School, pupil_id: uuid.UUID, spans: Iterable[tuple[datetime, datetime]]) -> None:
    """What counts in these spans has changed for a pupil: their days, as far as they have come, are judged again."""
    today = clock.local_day(clock.now(), school.timezone)
    days = {day for starts, ends in spans for day in dates_of(school, starts, ends) if day <= today}
    calendar.touched(session, school.id, sorted(days), pupil_id=pupil_id)


def exit_windows(school_id: str, day: date) -> dict[uuid.UUID, list[tuple[int, int]]]:
    """When each pupil with approved leave may leave by the gate: seconds of that date, from <= t < to, no overlaps."""
    session = db.session()
    school = session.get_one(School, school_id)
    found: dict[uuid.UUID, list[tuple[int, int]]] = {}
    for row in session.execute(_APPROVED, {"school": school_id} | _bounds(school, day, day)):
        span = _on(school, day, row)
        found.setdefault(row.pupil_id, []).append((span.starts, span.ends))
    return {pupil_id: rules.merged(spans) for pupil_id, spans in found.items()}


def exit_passes(school_id: str, starts: datetime, ends: datetime) -> list[ExitPass]:
    """The same over a span, as the gates' lists take it: whom leave lets out when, also for days to come."""
    school = db.session.get_one(School, school_id)
    found: dict[uuid.UUID, list[tuple[datetime, datetime]]] = {}
    for day in dates_of(school, starts, ends):
        for pupil_id, spans in exit_windows(school_id, day).items():
            found.setdefault(pupil_id, []).extend(
                (clock.at_local(day, first, school.timezone), clock.at_local(day, last, school.timezone))
                for first, last in spans
            )
    return [ExitPass(pupil_id, *span) for pupil_id, spans in found.items() for span in rules.merged(spans)]


def school_days(school: School, timetable: str, starts: datetime, ends: datetime) -> int:
    """How many dates of a span have lessons for this timetable that the span touches."""
    return sum(_has_lessons(school, timetable, day, starts, ends) for day in dates_of(school, starts, ends))


def _has_lessons(school: School, timetable: str, day: date, starts: datetime, ends: datetime) -> bool:
    first, last = (clock.local_seconds(moment, day, school.timezone) for moment in (starts, ends))
    lessons = calendar.sessions_on(school.id, timetable, day)
    return any(each.starts < last and first < each.ends for each in lessons)


def _bounds(school: School, first: date, last: date) -> dict[str, datetime]:
    since, until = first, last + timedelta(days=1)
    return {"since": clock.at_local(since, 0, school.timezone), "until": clock.at_local(until, 0, school.timezone)}


def dates_of(school: School, starts: datetime, ends: datetime) -> list[date]:
    """Every date of the school that a span touches."""
    return rules.dates(clock.local(starts, school.timezone), clock.local(ends, school.timezone))


def _on(school: School, day: date, row: Any) -> calendar_rules.Leave:
    seconds = (clock.local_seconds(moment, day, school.timezone) for moment in (row.starts_at, row.ends_at))
    return calendar_rules.Leave(*rules.within(*seconds), row.kind)
