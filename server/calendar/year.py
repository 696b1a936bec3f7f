"""A year as its page shows it: months of days, each with what it is."""

import calendar
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select

from server.calendar import rules, service
from server.calendar.models import CalendarDay, DayKind, Term
from server.calendar.proposals import set_days
from server.db import db

KINDS = {DayKind.OFF: "holiday", DayKind.SCHOOL: "makeup", DayKind.HALF: "half", DayKind.EXAM: "exam"}


@dataclass(frozen=True)
class Cell:
    """One day: school, off, or how it differs: holiday, makeup, half, exam."""

    day: dt.date
    look: str
    label: str = ""


@dataclass(frozen=True)
class Month:
    """Weeks from Monday; None is a day of another month."""

    first: dt.date
    weeks: tuple[tuple[Cell | None, ...], ...]


def terms_of(school_id: str) -> list[Term]:
    """All terms in order."""
    return list(db.session.scalars(select(Term).where(Term.school_id == school_id).order_by(Term.starts)))


def months(school_id: str, year: int) -> list[Month]:
    """The twelve months of a year."""
    special = {day.date: day for day in set_days(db.session(), school_id, dt.date(year, 1, 1), dt.date(year, 12, 31))}
    terms = [(term.starts, term.ends) for term in terms_of(school_id)]
    bells = service.bells_of(school_id)
    return [_month(dt.date(year, month, 1), special, terms, bells) for month in range(1, 13)]


def _month(
    first: dt.date,
    special: Mapping[dt.date, CalendarDay],
    terms: list[tuple[dt.date, dt.date]],
    bells: Mapping[str, list[rules.Bell]],
) -> Month:
    weeks = calendar.Calendar().monthdatescalendar(first.year, first.month)
    return Month(
        first,
        tuple(
            tuple(_cell(day, special.get(day), terms, bells) if day.month == first.month else None for day in week)
            for week in weeks
        ),
    )


def _cell(
    day: dt.date,
    set_: CalendarDay | None,
    terms: list[tuple[dt.date, dt.date]],
    bells: Mapping[str, list[rules.Bell]],
) -> Cell:
    special = service.special_of(set_) if set_ else None
    weekday = rules.weekday(day, terms=terms, special=special)
    if set_ is not None and (weekday is not None or set_.kind == DayKind.OFF):
        return Cell(day, KINDS[DayKind(set_.kind)], set_.label)
    rings = weekday is not None and any(rules.sessions(day, weekday=weekday, bells=those) for those in bells.values())
    return Cell(day, "school" if rings else "off")
