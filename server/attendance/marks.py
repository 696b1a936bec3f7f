"""What people of the school saw: marks are added and undone, never edited; the newest one left counts."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from server.attendance import rules
from server.attendance.models import TeacherMark
from server.errors import NotFound

Key = tuple[uuid.UUID, date]

_OF_DAYS = (
    select(TeacherMark)
    .where(TeacherMark.date.in_(bindparam("days", expanding=True)))
    .where(TeacherMark.pupil_id.in_(bindparam("pupils", expanding=True)), TeacherMark.undone_at.is_(None))
    .order_by(TeacherMark.made_at, TeacherMark.id)
)


@dataclass(frozen=True)
class Seen:
    """What somebody saw of one pupil in one session, to be kept."""

    pupil_id: uuid.UUID
    date: date
    session: str
    mark: rules.MarkKind
    minutes: int = 0
    reason: str = ""


def add(session: Session, school_id: str, by: uuid.UUID, seen: Sequence[Seen], now: datetime) -> list[TeacherMark]:
    """Keep these marks; whoever calls judges their days again in the same transaction."""
    made = [
        TeacherMark(
            school_id=school_id,
            pupil_id=each.pupil_id,
            date=each.date,
            session=each.session,
            mark=each.mark,
            minutes=each.minutes if each.mark is rules.MarkKind.LATE else 0,
            reason=each.reason[:200],
            made_by=by,
            made_at=now,
        )
        for each in seen
    ]
    session.add_all(made)
    session.flush()
    return made


def undo(session: Session, school_id: str, by: uuid.UUID, marks: Collection[uuid.UUID], now: datetime) -> set[Key]:
    """Take marks back: what was marked before them counts again. The days to judge again. Raises NotFound for none."""
    where = (TeacherMark.school_id == school_id, TeacherMark.id.in_(marks), TeacherMark.undone_at.is_(None))
    keys = {
        (pupil, day) for pupil, day in session.execute(select(TeacherMark.pupil_id, TeacherMark.date).where(*where))
    }
    if not keys:
        raise NotFound
    session.execute(update(TeacherMark).where(*where).values(undone_by=by, undone_at=now))
    return keys


def standing(
    session: Session, pupils: Collection[uuid.UUID], days: Collection[date]
) -> Mapping[Key, list[TeacherMark]]:
    """The marks that count, one of each pupil, day and session."""
    newest = {
        (mark.pupil_id, mark.date, mark.session): mark
        for mark in session.scalars(_OF_DAYS, {"pupils": sorted(pupils), "days": sorted(days)})
    }
    found: dict[Key, list[TeacherMark]] = {}
    for (pupil_id, day, _session), mark in newest.items():
        found.setdefault((pupil_id, day), []).append(mark)
    return found


def facts(marks: Collection[TeacherMark]) -> tuple[rules.Mark, ...]:
    """As a day is judged from them."""
    return tuple(rules.Mark(mark.session, mark.mark, mark.minutes) for mark in marks)
