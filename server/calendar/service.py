"""When a school's pupils are expected, from its terms, single days and bells as staff have set them."""

import uuid
from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session as Database

from server import clock
from server.calendar import rules
from server.calendar.models import BellTime, CalendarDay, DayKind, StaleDay, Term
from server.db import db
from server.errors import NotFound, Refused
from server.people.models import SchoolClass
from server.schools.models import School

LOOK_BACK_DAYS = 400  # days whose verdicts a change of the calendar still moves
BREAK_DAYS = 3  # days off in a row after which a school day is easily forgotten
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_TERMS = select(Term.starts, Term.ends).where(Term.school_id == bindparam("school"))
_SPECIAL = select(CalendarDay.kind, CalendarDay.as_weekday, CalendarDay.until, CalendarDay.bells).where(
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
    special = _special(school_id, day)
    weekday = _weekday(school_id, day, special)
    if weekday is None:
        return dict.fromkeys(timetables, ())
    bells = _bells(school_id)
    usual = bells.get(rules.DEFAULT_TIMETABLE) or rules.DEFAULT_BELLS
    ringing = {name: rules.sessions(day, weekday=weekday, bells=bells.get(name) or usual) for name in timetables}
    return {name: rules.adapted(name, sessions, special) for name, sessions in ringing.items()}


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


def _special(school_id: str, day: date) -> rules.Special | None:
    row = db.session.execute(_SPECIAL, {"school": school_id, "day": day}).first()
    return special_of(row) if row else None


def special_of(row: Any) -> rules.Special:
    """A single day as the rules see it."""
    own = tuple((timetable, rules.Session(name, starts, ends)) for timetable, name, starts, ends in row.bells or ())
    return rules.Special(row.kind != DayKind.OFF, row.as_weekday, row.until, own)


def _weekday(school_id: str, day: date, special: rules.Special | None) -> int | None:
    terms = db.session.execute(_TERMS, {"school": school_id})
    return rules.weekday(day, terms=[(term.starts, term.ends) for term in terms], special=special)


def bells_of(school_id: str) -> dict[str, list[rules.Bell]]:
    """The bells of every timetable; the default one has some always."""
    found = _bells(school_id)
    return {rules.DEFAULT_TIMETABLE: list(rules.DEFAULT_BELLS)} | found


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
    passed(session, school_id, starts, ends)
    return term


def set_off(session: Database, school_id: str, *, days: Iterable[date], label: str = "") -> None:
    """Make each of these dates a day off, whatever it was set to before."""
    for day in days:
        set_day(session, CalendarDay(school_id=school_id, date=day, kind=DayKind.OFF, label=label))


def set_make_up(session: Database, school_id: str, *, day: date, as_weekday: int, label: str = "") -> None:
    """Make a date a school day with the lessons of a weekday (调休)."""
    kind = DayKind.SCHOOL
    set_day(session, CalendarDay(school_id=school_id, date=day, kind=kind, as_weekday=as_weekday, label=label))


def set_half(session: Database, school_id: str, *, day: date, until: int, label: str = "") -> None:
    """Let nothing begin on a date from `until` on (seconds after midnight). Raises BadCalendar."""
    if not 0 < until < 86_400:
        raise BadCalendar("a half day ends on the same day; write when, as in 12:00")
    set_day(session, CalendarDay(school_id=school_id, date=day, kind=DayKind.HALF, until=until, label=label))


def set_exam(
    session: Database, school_id: str, *, day: date, bells: Sequence[tuple[str, rules.Session]], label: str = ""
) -> None:
    """Give a date bells of its own: (timetable, "" for all; session). Raises BadCalendar."""
    for _timetable, each in bells:
        _check_hours(each)
    own = [[timetable, each.name, each.starts, each.ends] for timetable, each in bells]
    set_day(session, CalendarDay(school_id=school_id, date=day, kind=DayKind.EXAM, bells=own, label=label))


def set_ordinary(session: Database, school_id: str, *, day: date) -> None:
    """Let a date be what its weekday says."""
    session.execute(delete(CalendarDay).where(CalendarDay.school_id == school_id, CalendarDay.date == day))
    passed(session, school_id, day, day)


def set_day(session: Database, day: CalendarDay) -> None:
    """Make a date what this row says, whatever it was set to before."""
    where = (CalendarDay.school_id == day.school_id, CalendarDay.date == day.date)
    session.execute(delete(CalendarDay).where(*where))
    session.add(day)
    passed(session, day.school_id, day.date, day.date)


def set_bell(session: Database, school_id: str, *, timetable: str, bell: rules.Bell) -> None:
    """Set the hours of one session of one timetable from a date on. Raises BadCalendar."""
    hours = bell.session
    _check_hours(hours)
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
    passed(session, school_id, bell.since, date.max)


def _check_hours(hours: rules.Session) -> None:
    if not hours.name or len(hours.name) > 16:
        raise BadCalendar("a session needs a name of at most 16 characters, as in am, pm or eve")
    if not 0 <= hours.starts < hours.ends <= 86_400:
        raise BadCalendar(f"session {hours.name}: it must end after it starts, on the same day")


def remove_term(session: Database, school_id: str, term_id: uuid.UUID) -> None:
    """Take a term away. Raises NotFound."""
    term = session.get(Term, term_id)
    if term is None or term.school_id != school_id:
        raise NotFound
    session.delete(term)
    passed(session, school_id, term.starts, term.ends)


def set_timetable(session: Database, school_id: str, *, classes: Collection[uuid.UUID], timetable: str) -> None:
    """Let these classes keep a timetable; today is judged again. Raises BadCalendar and NotFound."""
    if not 1 <= len(timetable) <= 32:
        raise BadCalendar("a timetable needs a name of at most 32 characters")
    where = (SchoolClass.school_id == school_id, SchoolClass.id.in_(classes))
    rooms = session.scalars(select(SchoolClass).where(*where)).all()
    if not classes or len(rooms) < len(set(classes)):
        raise NotFound
    for room in rooms:
        room.timetable = timetable
    today = today_of(session, school_id)
    passed(session, school_id, today, today)


def timetables(school_id: str) -> list[str]:
    """The names of all timetables that have bells or classes, the default one first."""
    rung = db.session.scalars(select(BellTime.timetable).where(BellTime.school_id == school_id).distinct())
    kept = db.session.scalars(select(SchoolClass.timetable).where(SchoolClass.school_id == school_id).distinct())
    names = {*rung, *kept} - {rules.DEFAULT_TIMETABLE}
    return [rules.DEFAULT_TIMETABLE, *sorted(names)]


def today_of(session: Database, school_id: str) -> date:
    """The school's date now."""
    return clock.local_day(clock.now(), session.get_one(School, school_id).timezone)


def past(today: date, first: date, last: date) -> list[date]:
    """The days of a span whose verdicts a change moves: what is still to come is judged when it does."""
    first = max(first, today - timedelta(days=LOOK_BACK_DAYS))
    return [first + timedelta(days=n) for n in range((min(last, today) - first).days + 1)]


def passed(session: Database, school_id: str, first: date, last: date) -> None:
    """Have the days of a span judged again that have come."""
    touched(session, school_id, past(today_of(session, school_id), first, last))
