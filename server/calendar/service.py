"""When a school's pupils are expected, from its terms, single days and bells as staff have set them."""

import uuid
from collections.abc import Collection, Iterable
from datetime import date, datetime, timedelta

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session as Database

from server import clock
from server.calendar import rules
from server.calendar.models import BellTime, CalendarDay, DayKind, StaleDay, Term
from server.db import db
from server.errors import Refused
from server.schools.models import School

LOOK_BACK_DAYS = 400  # days whose verdicts a change of the calendar still moves
BREAK_DAYS = 3  # days off in a row after which a school day is easily forgotten
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_TERMS = select(Term.starts, Term.ends).where(Term.school_id == bindparam("school"))
_SPECIAL = select(CalendarDay.kind, CalendarDay.as_weekday).where(
    CalendarDay.school_id == bindparam("school"), CalendarDay.date == bindparam("day")
)
_BELLS = select(
    BellTime.timetable, BellTime.session, BellTime.starts, BellTime.ends, BellTime.since, BellTime.weekdays
).where(BellTime.school_id == bindparam("school"))


class BadCalendar(Refused):
    """What was asked for cannot stand in a calendar; the text says what to write instead."""


def sessions_on(school_id: str, timetable: str, day: date) -> tuple[rules.Session, ...]:
    """The sessions of one timetable on a date, in the order of the day; none on a day off.

    A timetable without bells keeps the school's default ones.
    """
    return timetables_on(school_id, [timetable], day)[timetable]


def timetables_on(school_id: str, timetables: Iterable[str], day: date) -> dict[str, tuple[rules.Session, ...]]:
    """The sessions of several timetables on a date, with the same three look-ups as for one."""
    weekday = _weekday(school_id, day)
    if weekday is None:
        return dict.fromkeys(timetables, ())
    bells = _bells(school_id)
    usual = bells.get(rules.DEFAULT_TIMETABLE) or rules.DEFAULT_BELLS
    return {name: rules.sessions(day, weekday=weekday, bells=bells.get(name) or usual) for name in timetables}


def is_school_day(school_id: str, day: date) -> bool:
    """Whether any timetable of the school has lessons on that date."""
    return any(_all_on(school_id, day))


def is_unusual(school_id: str, day: date) -> bool:
    """Whether a school day is one that families may have got wrong: a make-up day, or the first after a break."""
    row = db.session.execute(_SPECIAL, {"school": school_id, "day": day}).first()
    if row is not None and row.kind == DayKind.SCHOOL:
        return True
    before = [day - timedelta(days=n) for n in range(1, BREAK_DAYS + 1)]
    return is_school_day(school_id, day) and not any(is_school_day(school_id, each) for each in before)


def first_bell(school_id: str, day: date) -> int | None:
    """When the first lessons of any timetable begin, in seconds after midnight; None on a day off."""
    return min((session.starts for sessions in _all_on(school_id, day) for session in sessions), default=None)


def boundaries(school_id: str, day: date, *, minutes_after_start: Collection[int]) -> tuple[datetime, ...]:
    """The moments of a date at which time alone can change a verdict, in order; see rules.boundaries."""
    school = db.session.get_one(School, school_id)
    waits = [minutes * 60 for minutes in minutes_after_start]
    seconds = rules.boundaries(_all_on(school_id, day), after_start=waits)
    return tuple(clock.at_local(day, second, school.timezone) for second in seconds)


def _all_on(school_id: str, day: date) -> list[tuple[rules.Session, ...]]:
    names = {rules.DEFAULT_TIMETABLE, *_bells(school_id)}
    return list(timetables_on(school_id, names, day).values())


def _weekday(school_id: str, day: date) -> int | None:
    terms = db.session.execute(_TERMS, {"school": school_id})
    row = db.session.execute(_SPECIAL, {"school": school_id, "day": day}).first()
    special = rules.Special(row.kind == DayKind.SCHOOL, row.as_weekday) if row else None
    return rules.weekday(day, terms=[(term.starts, term.ends) for term in terms], special=special)


def _bells(school_id: str) -> dict[str, list[rules.Bell]]:
    found: dict[str, list[rules.Bell]] = {}
    for row in db.session.execute(_BELLS, {"school": school_id}):
        session = rules.Session(row.session, row.starts, row.ends)
        found.setdefault(row.timetable, []).append(rules.Bell(session, row.since, row.weekdays))
    return found


def touched(session: Database, school_id: str, days: Iterable[date], *, pupil_id: uuid.UUID | None = None) -> None:
    """Facts of these days have changed, of one pupil or of all: whoever keeps verdicts on them judges anew."""
    session.add_all(StaleDay(school_id=school_id, date=day, pupil_id=pupil_id) for day in days)


def stale(session: Database) -> list[StaleDay]:
    """The days to judge again, the newest date first."""
    return list(session.scalars(select(StaleDay).order_by(StaleDay.date.desc(), StaleDay.school_id)))


def settled(session: Database, days: Iterable[StaleDay]) -> None:
    """These have been judged again."""
    session.execute(delete(StaleDay).where(StaleDay.id.in_([each.id for each in days])))


def add_term(session: Database, school_id: str, *, name: str, starts: date, ends: date) -> Term:
    """Open a term, both days included. Raises BadCalendar when it ends before it starts or overlaps another."""
    if ends < starts:
        raise BadCalendar(f"a term that starts on {starts} cannot end on {ends}; give the first day first")
    for other in session.scalars(select(Term).where(Term.school_id == school_id)):
        if other.starts <= ends and starts <= other.ends:
            raise BadCalendar(f"these dates overlap term {other.name} ({other.starts} to {other.ends})")
    term = Term(school_id=school_id, name=name, starts=starts, ends=ends)
    session.add(term)
    _passed(session, school_id, starts, ends)
    return term


def set_off(session: Database, school_id: str, *, days: Iterable[date], label: str = "") -> None:
    """Make each of these dates a day off, whatever it was set to before."""
    for day in days:
        _set_day(session, CalendarDay(school_id=school_id, date=day, kind=DayKind.OFF, label=label))


def set_make_up(session: Database, school_id: str, *, day: date, as_weekday: int, label: str = "") -> None:
    """Make a date a school day with the lessons of a weekday (调休)."""
    kind = DayKind.SCHOOL
    _set_day(session, CalendarDay(school_id=school_id, date=day, kind=kind, as_weekday=as_weekday, label=label))


def _set_day(session: Database, day: CalendarDay) -> None:
    where = (CalendarDay.school_id == day.school_id, CalendarDay.date == day.date)
    session.execute(delete(CalendarDay).where(*where))
    session.add(day)
    _passed(session, day.school_id, day.date, day.date)


def set_bell(session: Database, school_id: str, *, timetable: str, bell: rules.Bell) -> None:
    """Set the hours of one session of one timetable from a date on. Raises BadCalendar."""
    hours = bell.session
    if not 0 <= hours.starts < hours.ends <= 86_400:
        raise BadCalendar(f"session {hours.name}: it must end after it starts, on the same day")
    where = (
        BellTime.school_id == school_id,
        BellTime.timetable == timetable,
        BellTime.session == hours.name,
        BellTime.since == bell.since,
    )
    session.execute(delete(BellTime).where(*where))
    row = BellTime(school_id=school_id, timetable=timetable, session=hours.name, since=bell.since)
    row.starts, row.ends, row.weekdays = hours.starts, hours.ends, bell.weekdays
    session.add(row)
    _passed(session, school_id, bell.since, date.max)


def _passed(session: Database, school_id: str, first: date, last: date) -> None:
    """Mark the days of a span that have come: what is still to come is judged when it does."""
    school = session.get_one(School, school_id)
    today = clock.local_day(clock.now(), school.timezone)
    first = max(first, today - timedelta(days=LOOK_BACK_DAYS))
    touched(session, school_id, (first + timedelta(days=n) for n in range((min(last, today) - first).days + 1)))
