"""Reports: what the days of visible pupils add up to, counted by the database in one statement a span."""

import datetime as dt
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Integer, and_, cast, extract, func, or_, select, true

from server import clock, settings
from server.absence.models import AbsenceCase
from server.accounts.models import User
from server.attendance import summary
from server.attendance.models import PupilDay
from server.attendance.rules import State
from server.calendar.models import Term
from server.calendar.service import first_bell
from server.db import db
from server.errors import NotFound
from server.gates.models import Silence
from server.people import service as people
from server.people.models import Pupil, SchoolClass
from server.reports import rules
from server.reports.rules import Period, Span, Tally
from server.schools.models import School


@dataclass(frozen=True)
class Whose:
    """Of whom a report is: one pupil, one class, one grade, or all that the user may see."""

    school_class: SchoolClass | None = None
    pupil: Pupil | None = None
    grade: int | None = None

    @property
    def subject(self) -> str:
        """For the trail of who looked."""
        if self.pupil is not None:
            return f"pupil:{self.pupil.id}"
        if self.school_class is not None:
            return f"class:{self.school_class.id}"
        return "school" if self.grade is None else f"grade:{self.grade}"

    @property
    def condition(self) -> ColumnElement[bool]:
        """On Pupil and SchoolClass."""
        if self.pupil is not None:
            return Pupil.id == self.pupil.id
        if self.school_class is not None:
            return SchoolClass.id == self.school_class.id
        return true() if self.grade is None else SchoolClass.grade == self.grade

    @property
    def unit(self) -> Any:
        """What a line of the table is."""
        return Pupil.class_id if self.school_class is None else Pupil.id


@dataclass(frozen=True)
class Lot:
    """So many equal days of one unit."""

    unit: Hashable
    date: dt.date
    summary: str
    pupils: int


class Counted:
    """The days of a span, counted; every sum below comes from the same lots, so that all levels agree."""

    def __init__(self, lots: Iterable[Lot], policy: rules.Policy) -> None:
        self.lots = tuple(lots)
        self.policy = policy
        self._known: dict[str, Tally] = {}

    def of(self, line: str) -> Tally:
        """What one pupil's day with this summary counts."""
        if line not in self._known:
            self._known[line] = rules.tally(summary.read(line), self.policy)
        return self._known[line]

    def by(self, name: Callable[[Lot], Any]) -> dict[Any, Tally]:
        """Sums of the lots that have one name; equal days are put together first, for a term has 15,000 lots."""
        found: dict[Any, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for lot in self.lots:
            found[name(lot)][lot.summary] += lot.pupils
        return {each: rules.total(self.of(line) * n for line, n in lines.items()) for each, lines in found.items()}

    @cached_property
    def units(self) -> dict[Any, Tally]:
        """By class, or by pupil."""
        return self.by(lambda lot: lot.unit)

    @cached_property
    def dates(self) -> dict[dt.date, Tally]:
        """By school day."""
        return self.by(lambda lot: lot.date)

    @cached_property
    def total(self) -> Tally:
        """All of it."""
        return rules.total(self.units.values())

    @cached_property
    def excused(self) -> Counter[str]:
        """Excused sessions by kind of leave."""
        lines: Counter[str] = Counter()
        for lot in self.lots:
            lines[lot.summary] += lot.pupils
        found: Counter[str] = Counter()
        for line, pupils in lines.items():
            for said in summary.read(line):
                if said.state is State.EXCUSED:
                    found[said.kind or rules.UNKNOWN_LEAVE] += pupils
        return found


def terms(school_id: str) -> list[Span]:
    """The school's terms, oldest first."""
    query = select(Term.starts, Term.ends).where(Term.school_id == school_id).order_by(Term.starts)
    return [Span(starts, ends) for starts, ends in db.session.execute(query)]


def whose(
    user: User, *, class_id: uuid.UUID | None = None, pupil_id: uuid.UUID | None = None, grade: int | None = None
) -> Whose:
    """Of whom, as far as the user may see them. Raises NotFound."""
    if pupil_id is not None:
        pupil, school_class = people.visible_pupil(user, pupil_id)
        return Whose(school_class, pupil)
    if class_id is not None:
        return Whose(people.visible_class(user, class_id))
    if grade is not None and all(each.grade != grade for each in people.visible_classes(user)):
        raise NotFound
    return Whose(grade=grade)


def policy(school_id: str, span: Span) -> rules.Policy:
    """The codes that held at the end of a span."""
    return settings.policy(school_id, rules.Policy, on=span.last)


def counted(user: User, of: Whose, span: Span) -> Counted:
    """The days of a span in lots of equal ones."""
    query = people.visible_pupils(user).with_only_columns(of.unit, PupilDay.date, PupilDay.summary, func.count())
    query = query.join(PupilDay, PupilDay.pupil_id == Pupil.id).where(
        of.condition, _in_span(user, of, span), PupilDay.summary != ""
    )
    rows = db.session.execute(query.group_by(of.unit, PupilDay.date, PupilDay.summary))
    return Counted((Lot(*row) for row in rows), policy(user.school_id, span))


def _in_span(user: User, of: Whose, span: Span) -> ColumnElement[bool]:
    """Days of a span. The pupils are the school's own; few of them are found by their key, if it is not named again."""
    dates = PupilDay.date.between(span.first, span.last)
    few = of.school_class is not None or of.pupil is not None
    return dates if few else and_(PupilDay.school_id == user.school_id, dates)


def pupils(user: User, of: Whose) -> list[tuple[Pupil, SchoolClass]]:
    """The visible pupils of a report by class and seat."""
    rows = db.session.execute(people.visible_pupils(user).where(of.condition)).all()
    found = [(pupil, school_class) for pupil, school_class in rows]
    return sorted(found, key=lambda row: (people.class_order(row[1]), row[0].seat, row[0].number))


def of_pupils(user: User, of: Whose, span: Span) -> list[tuple[Pupil, SchoolClass, Tally]]:
    """Each pupil's sum, for exports."""
    query = people.visible_pupils(user).with_only_columns(Pupil.id, PupilDay.date, PupilDay.summary, func.count())
    query = query.join(PupilDay, PupilDay.pupil_id == Pupil.id).where(
        of.condition, _in_span(user, of, span), PupilDay.summary != ""
    )
    rows = db.session.execute(query.group_by(Pupil.id, PupilDay.date, PupilDay.summary))
    sums = Counted((Lot(*row) for row in rows), policy(user.school_id, span)).units
    return [(pupil, school_class, sums.get(pupil.id, Tally())) for pupil, school_class in pupils(user, of)]


def days_of(user: User, of: Whose, span: Span) -> dict[tuple[uuid.UUID, dt.date], str]:
    """Each visible pupil's days as summaries: what a register is written from."""
    query = people.visible_pupils(user).with_only_columns(Pupil.id, PupilDay.date, PupilDay.summary)
    query = query.join(PupilDay, PupilDay.pupil_id == Pupil.id).where(
        of.condition, _in_span(user, of, span), PupilDay.summary != ""
    )
    return {(pupil_id, date): line for pupil_id, date, line in db.session.execute(query)}


def arrivals(user: User, school: School, of: Whose, span: Span) -> Counter[int]:
    """How many first came in at each minute after the school's midnight, over all days of a span."""
    minute = cast(extract("epoch", PupilDay.first_in), Integer) // 60
    query = people.visible_pupils(user).with_only_columns(PupilDay.date, minute, func.count())
    query = query.join(PupilDay, PupilDay.pupil_id == Pupil.id).where(of.condition, PupilDay.first_in.is_not(None))
    query = query.where(_in_span(user, of, span))
    found: Counter[int] = Counter()
    for date, since_epoch, count in db.session.execute(query.group_by(PupilDay.date, minute)):
        at = clock.from_millis(since_epoch * 60_000)
        found[clock.local_seconds(at, date, school.timezone) // 60] += count
    return found


def bell(school: School, span: Span, dates: Iterable[dt.date]) -> int:
    """When lessons first begin, in seconds after midnight, on the newest day of a report."""
    return first_bell(school.id, max(dates, default=span.first)) or 8 * 3600


def silences(school: School, span: Span, now: dt.datetime) -> list[tuple[int, int]]:
    """When a gate was silent, in seconds of the day; of a single day only: in a month they would hide each other."""
    if span.first != span.last:
        return []
    day, zone = span.first, school.timezone
    begins, ends = (clock.at_local(each, 0, zone) for each in (day, day + dt.timedelta(days=1)))
    query = select(Silence.starts, Silence.ends).where(Silence.school_id == school.id, Silence.starts < ends)
    rows = db.session.execute(query.where(or_(Silence.ends.is_(None), Silence.ends > begins)).order_by(Silence.starts))
    return [tuple(clock.local_seconds(each or now, day, zone) for each in row) for row in rows]  # type: ignore[misc]


def answers(user: User, of: Whose, span: Span) -> Counter[str]:
    """What families answered when a pupil was missing; an empty reason: nobody has answered."""
    query = people.visible_pupils(user).with_only_columns(AbsenceCase.reason, func.count())
    query = query.join(AbsenceCase, AbsenceCase.pupil_id == Pupil.id).where(of.condition)
    query = query.where(AbsenceCase.school_id == user.school_id, AbsenceCase.date.between(span.first, span.last))
    return Counter({reason or "": count for reason, count in db.session.execute(query.group_by(AbsenceCase.reason))})


def by_time(period: Period, dates: dict[dt.date, Tally]) -> list[tuple[dt.date, Tally]]:
    """School days in order; of a term its weeks, each by its Monday."""
    if period is not Period.TERM:
        return sorted(dates.items())
    weeks: dict[dt.date, list[Tally]] = defaultdict(list)
    for date, tally in dates.items():
        weeks[date - dt.timedelta(days=date.weekday())].append(tally)
    return [(monday, rules.total(weeks[monday])) for monday in sorted(weeks)]
