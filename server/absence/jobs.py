"""Opening, asking and correcting, every few seconds; a school where nothing has changed is looked at each minute."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flask import current_app
from sqlalchemy import func, select

from server import clock
from server.absence import opening, rules, service
from server.absence.models import AbsenceCase
from server.attendance.models import PupilDay
from server.attendance.rules import Status
from server.db import db, transaction
from server.jobs import every
from server.schools.models import School

Mark = tuple[object, ...]


@dataclass
class Looked:
    """What each school's missing pupils and open cases looked like when they were last looked at."""

    marks: dict[str, Mark] = field(default_factory=dict)


@every(seconds=3)
def ask_for_the_missing() -> None:
    """Open cases, climb ladders, correct what has changed."""
    looked: Looked = current_app.extensions.setdefault("gatebell-absence", Looked())
    marks = _marks(clock.now())
    for school_id in sorted(marks):
        if looked.marks.get(school_id) != marks[school_id]:
            _look(school_id)
            looked.marks[school_id] = marks[school_id]
    for case_id in service.due(db.session(), clock.now()):
        with transaction() as session:
            service.climb(session, case_id, clock.now())


def _look(school_id: str) -> None:
    with transaction() as session:
        service.look_again(session, session.get_one(School, school_id), clock.now())
    with transaction() as session:
        opening.open_cases(session, session.get_one(School, school_id), clock.now())


def _marks(now: datetime) -> Mapping[str, Mark]:
    """A school's mark changes when somebody goes missing or a day with an open case is judged anew."""
    days = [(now + timedelta(days=n)).date() for n in (-1, 0, 1)]
    missing = (
        select(PupilDay.school_id, func.count(), func.max(PupilDay.judged_at))
        .where(PupilDay.status.in_((Status.UNEXPLAINED, Status.UNCONFIRMED)), PupilDay.date.in_(days))
        .group_by(PupilDay.school_id)
    )
    open_ = (
        select(AbsenceCase.school_id, func.count(), func.max(PupilDay.judged_at), func.min(AbsenceCase.date))
        .join(PupilDay, (PupilDay.pupil_id == AbsenceCase.pupil_id) & (PupilDay.date == AbsenceCase.date))
        .where(AbsenceCase.state.in_(rules.OPEN))
        .group_by(AbsenceCase.school_id)
    )
    found: dict[str, Mark] = {}
    for query in (missing, open_):
        for school_id, *rest in db.session.execute(query):
            found[school_id] = (*found.get(school_id, ()), *rest)
    minute = now.replace(second=0, microsecond=0)  # who was marked absent early is due at the cut-off, without news
    return {school_id: (*mark, minute) for school_id, mark in found.items()}
