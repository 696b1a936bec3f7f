"""What kept lists of holidays and imported files say of dates: proposals, which count when staff have taken them."""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from server.calendar import service
from server.calendar.models import CalendarDay, DayKind, DayProposal

Proposal = CalendarDay | DayProposal


@dataclass(frozen=True)
class Proposed:
    """What a date may become."""

    date: dt.date
    kind: DayKind
    label: str = ""
    as_weekday: int | None = None
    until: int | None = None
    bells: tuple[tuple[str, str, int, int], ...] = ()


def keep(session: Session, school_id: str, days: Collection[Proposed]) -> int:
    """Propose these dates, in the place of what was proposed for them before; how many are news."""
    dates = {each.date for each in days}
    where = (DayProposal.school_id == school_id, DayProposal.date.in_(dates))
    session.execute(delete(DayProposal).where(*where))
    known = {_said(day) for day in set_days(session, school_id, min(dates), max(dates))} if dates else set()
    new = {each.date: each for each in days if _said(each) not in known}
    session.add_all(DayProposal(school_id=school_id, **_values(each)) for each in new.values())
    return len(new)


def set_days(session: Session, school_id: str, first: dt.date, last: dt.date) -> list[CalendarDay]:
    """The single days that are set already, in order."""
    where = (CalendarDay.school_id == school_id, CalendarDay.date.between(first, last))
    return list(session.scalars(select(CalendarDay).where(*where).order_by(CalendarDay.date)))


def waiting(session: Session, school_id: str) -> list[DayProposal]:
    """All that nobody has taken or thrown away yet, in order."""
    query = select(DayProposal).where(DayProposal.school_id == school_id)
    return list(session.scalars(query.order_by(DayProposal.date)))


def take(session: Session, school_id: str, chosen: Mapping[dt.date, int | None]) -> list[dt.date]:
    """Make these proposals count; for a make-up day the number says which weekday's lessons are given."""
    taken = [each for each in waiting(session, school_id) if each.date in chosen]
    for each in taken:
        row = CalendarDay(school_id=school_id, **_values(each))
        if each.kind == DayKind.SCHOOL:
            row.as_weekday = chosen[each.date] if chosen[each.date] is not None else each.as_weekday
        service.set_day(session, row)
        session.delete(each)
    return [each.date for each in taken]


def drop(session: Session, school_id: str) -> None:
    """Throw all proposals away."""
    session.execute(delete(DayProposal).where(DayProposal.school_id == school_id))


def _values(day: Any) -> dict[str, Any]:
    names = ("date", "kind", "label", "as_weekday", "until")
    return {name: getattr(day, name) for name in names} | {"bells": [list(each) for each in day.bells]}


def _said(day: Any) -> tuple[Any, ...]:
    return day.date, str(day.kind), day.label, day.as_weekday, day.until, tuple(map(tuple, day.bells))
