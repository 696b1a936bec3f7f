"""Leave as the judgement of a day needs it: what is approved, and which days a decision changes."""

import uuid
from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from server import clock
from server.calendar import rules as calendar_rules
from server.calendar import service as calendar
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
        for day in _dates(school, row.starts_at, row.ends_at):
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
    today = clock.local_day(clock.now(), school.timezone)
    days = [day for day in _dates(school, leave.starts_at, leave.ends_at) if day <= today]
    calendar.touched(session, school.id, days, pupil_id=leave.pupil_id)


def _bounds(school: School, first: date, last: date) -> dict[str, datetime]:
    since, until = first, last + timedelta(days=1)
    return {"since": clock.at_local(since, 0, school.timezone), "until": clock.at_local(until, 0, school.timezone)}


def _dates(school: School, starts: datetime, ends: datetime) -> list[date]:
    return rules.dates(clock.local(starts, school.timezone), clock.local(ends, school.timezone))


def _on(school: School, day: date, row: Any) -> calendar_rules.Leave:
    seconds = (clock.local_seconds(moment, day, school.timezone) for moment in (row.starts_at, row.ends_at))
    return calendar_rules.Leave(*rules.within(*seconds), row.kind)
