"""Finding pupils who are away too long or too often, from the verdicts on their days and their approved leave."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from server import clock, settings
from server.accounts.models import User
from server.attendance.models import PupilDay
from server.attendance.rules import Status
from server.calendar import rules as calendar_rules
from server.calendar import service as calendar
from server.db import db, insert_new, new_id, table
from server.errors import NotFound
from server.leave import access
from server.leave import rules as leave_rules
from server.leave import service as leave
from server.leavedesk import rules
from server.leavedesk.models import AbsenceWarning
from server.leavedesk.rules import Past, Warn, WarningPolicy
from server.people.models import Pupil, SchoolClass
from server.schools.models import School

LOOK_BACK = timedelta(days=70)
AWAY = (Status.UNEXPLAINED, Status.EXCUSED)
UNKNOWN = (Status.OFF, Status.NOT_YET, Status.UNCONFIRMED)  # says nothing of whether the pupil was there
_warning = table(AbsenceWarning)


def look(session: Session, school: School, now: datetime) -> int:
    """Note what today gives reason to ask; what it does not any more, and nobody has seen, goes. How many are new."""
    today = clock.local_day(now, school.timezone)
    away = _away_on(session, school.id, today)
    policy = settings.policy(school.id, WarningPolicy)
    past = pasts(session, school, away, today)
    found = {pupil_id: rules.warnings(days, policy) for pupil_id, days in past.items()}
    _forget(session, school.id, today, found)
    rows = [_row(school.id, pupil_id, warn, today, now) for pupil_id, warns in found.items() for warn in warns]
    return len(session.execute(insert_new(_warning, _warning.c.id), rows).all()) if rows else 0


def _row(school_id: str, pupil_id: uuid.UUID, warn: Warn, today: date, now: datetime) -> dict[str, object]:
    return {
        "id": new_id(),
        "school_id": school_id,
        "pupil_id": pupil_id,
        "kind": warn.kind,
        "count": warn.count,
        "since": warn.since,
        "urgent": warn.urgent,
        "date": today,
        "made_at": now,
    }


def _away_on(session: Session, school_id: str, day: date) -> list[uuid.UUID]:
    query = (
        select(PupilDay.pupil_id)
        .join(Pupil, Pupil.id == PupilDay.pupil_id)
        .where(PupilDay.school_id == school_id, PupilDay.date == day, PupilDay.status.in_(AWAY))
        .where(PupilDay.first_in.is_(None), Pupil.active)
    )
    return list(session.scalars(query))


def _forget(session: Session, school_id: str, today: date, found: Mapping[uuid.UUID, Sequence[Warn]]) -> None:
    """A pupil who came after all, or whose leave turned out to be a trip, is not asked about; more days hold fewer."""
    query = select(AbsenceWarning).where(AbsenceWarning.school_id == school_id, AbsenceWarning.seen_at.is_(None))
    for row in session.scalars(query):
        now = {(warn.kind, warn.since): warn.count for warn in found.get(row.pupil_id, ())}
        count = now.get((row.kind, row.since))
        if (count != row.count) if row.date == today else (count or 0) > row.count:
            session.execute(delete(AbsenceWarning).where(AbsenceWarning.id == row.id))


def pasts(session: Session, school: School, pupils: Collection[uuid.UUID], today: date) -> dict[uuid.UUID, list[Past]]:
    """The school days of these pupils up to today. A day for the school's own reasons is none of theirs."""
    if not pupils:
        return {}
    query = select(PupilDay.pupil_id, PupilDay.date, PupilDay.status, PupilDay.first_in)
    query = query.where(PupilDay.pupil_id.in_(pupils), PupilDay.date <= today, PupilDay.date > today - LOOK_BACK)
    rows = session.execute(query.order_by(PupilDay.date)).all()
    dates = {row.date for row in rows}
    school_days = {day for day in dates if calendar.is_school_day(school.id, day)}
    given = leave.approved_on(session, school, pupils, dates)
    found: dict[uuid.UUID, list[Past]] = {}
    for row in rows:
        kinds = _kinds(given.get((row.pupil_id, row.date), ()))
        if row.date in school_days and row.status not in UNKNOWN and not kinds & leave_rules.SCHOOL_KINDS:
            away = row.status in AWAY and row.first_in is None
            found.setdefault(row.pupil_id, []).append(Past(row.date, away, sick=away and "sick" in kinds))
    return {pupil_id: days for pupil_id, days in found.items() if days[-1].date == today}


def _kinds(given: Sequence[calendar_rules.Leave]) -> frozenset[str]:
    return frozenset(str(each.kind) for each in given)


def unseen(user: User) -> list[tuple[AbsenceWarning, Pupil, SchoolClass]]:
    """What nobody has taken care of yet, of the pupils whom the user looks after; the longest absence first."""
    query = (
        select(AbsenceWarning, Pupil, SchoolClass)
        .join(Pupil, Pupil.id == AbsenceWarning.pupil_id)
        .join(SchoolClass, SchoolClass.id == Pupil.class_id)
        .where(AbsenceWarning.school_id == user.school_id, AbsenceWarning.seen_at.is_(None))
        .where(Pupil.active, access.looked_after(user))
        .order_by(AbsenceWarning.urgent.desc(), AbsenceWarning.count.desc(), SchoolClass.grade, Pupil.name)
    )
    return [(row[0], row[1], row[2]) for row in db.session.execute(query)]


def seen(session: Session, user: User, warning_id: uuid.UUID, now: datetime) -> AbsenceWarning:
    """Somebody has taken care of it. Raises NotFound, also for another's pupil."""
    row = session.get(AbsenceWarning, warning_id, with_for_update=True)
    if row is None or row.school_id != user.school_id:
        raise NotFound
    access.pupil(user, row.pupil_id)
    if row.seen_at is None:
        row.seen_by, row.seen_at = user.id, now
    return row
