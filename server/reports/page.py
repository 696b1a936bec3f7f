"""What a report page shows, put together from counted days: lines of the table, trend, arrivals, reasons."""

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext

from server.accounts.models import User
from server.people import service as people
from server.people.models import Pupil, SchoolClass
from server.reports import chart, rules, service
from server.reports.rules import Key, Period, Span, Tally
from server.reports.service import Counted, Whose
from server.schools.models import School

WIDTHS = (760, 340)
KEYS = {
    Key.MORNING: lazy_gettext("Present, first session"),
    Key.PRESENT: lazy_gettext("Present"),
    Key.LATE: lazy_gettext("Late"),
    Key.CLOSED: lazy_gettext("Came after the register closed"),
    Key.ABSENT: lazy_gettext("Absent without approved leave"),
    Key.SICK: lazy_gettext("Sick leave"),
    Key.PERSONAL: lazy_gettext("Personal leave"),
    Key.OFFICIAL: lazy_gettext("Away for the school"),
    Key.TRIP: lazy_gettext("School trip"),
    Key.UNCONFIRMED: lazy_gettext("Unconfirmed: a gate was silent"),
    Key.PENDING: lazy_gettext("Not over yet"),
}
ANSWERS = {
    "ill": lazy_gettext("Ill"),
    "late": lazy_gettext("Comes late"),
    "on_way": lazy_gettext("On the way"),
    "words": lazy_gettext("In own words"),
    "leave": lazy_gettext("Leave written down by staff"),
    "mistake": lazy_gettext("The record was wrong"),
    "": lazy_gettext("No answer yet"),
}
PLAINER = {Key.MORNING: Key.PRESENT, Key.CLOSED: Key.LATE}
COUNTS = {
    rules.Counts.ATTEND: lazy_gettext("attended"),
    rules.Counts.AUTHORISED: lazy_gettext("authorised absence"),
    rules.Counts.UNAUTHORISED: lazy_gettext("unauthorised absence"),
    rules.Counts.NOT_COUNTED: lazy_gettext("counted apart"),
}
PERIODS = {
    Period.DAY: lazy_gettext("One day"),
    Period.WEEK: lazy_gettext("Week"),
    Period.MONTH: lazy_gettext("Month"),
    Period.TERM: lazy_gettext("Term"),
}


@dataclass(frozen=True)
class Line:
    """One line of the table: a grade, a class, a pupil or a day, with the same of the span before."""

    words: str
    tally: Tally
    before: Tally = Tally()
    grade: int | None = None
    class_id: uuid.UUID | None = None
    pupil_id: uuid.UUID | None = None
    day: dt.date | None = None


@dataclass(frozen=True)
class Report:
    """All that one page shows."""

    period: Period
    span: Span
    earlier: Span | None
    lines: tuple[Line, ...]
    times: tuple[Line, ...]  # by day or week
    total: Tally
    before: Tally
    arrivals: tuple[chart.Bar, ...]
    late: tuple[chart.Bar, ...]
    kinds: tuple[tuple[str, int], ...]
    answers: tuple[tuple[str, int], ...]
    codes: tuple[tuple[str, str, str], ...]

    def charts(self, bars: tuple[chart.Bar, ...]) -> list[chart.Chart]:
        """For wide and for narrow screens."""
        return [chart.draw(bars, width) for width in WIDTHS]


def report(user: User, school: School, of: Whose, *, period: Period, day: dt.date, now: dt.datetime) -> Report:
    """The report on a span, against the one before."""
    known = service.terms(school.id)
    span = rules.span(period, day, known)
    earlier = rules.before(period, span, known)
    here = service.counted(user, of, span)
    before = service.counted(user, of, earlier) if earlier else Counted((), here.policy)
    times = service.by_time(period, here.dates)
    arrived = service.arrivals(user, school, of, span)
    bell = service.bell(school, span, here.dates)
    return Report(
        period=period,
        span=span,
        earlier=earlier,
        lines=tuple(_lines(user, of, here, before)),
        times=tuple(Line("", tally, day=date) for date, tally in times),
        total=here.total,
        before=before.total,
        arrivals=tuple(chart.arrival_bars(arrived, bell, service.silences(school, span, now))),
        late=tuple(chart.Bar(f"{date:%m-%d}", tally.late, tally.unconfirmed > 0) for date, tally in times),
        kinds=tuple((str(KEYS[Key(kind)]), n) for kind, n in here.excused.most_common() if kind in rules.LEAVES),
        answers=tuple((str(ANSWERS[why]), n) for why, n in service.answers(user, of, span).most_common()),
        codes=tuple(legend(here.policy)),
    )


def _lines(user: User, of: Whose, here: Counted, before: Counted) -> Iterator[Line]:
    if of.pupil is not None:
        return
    if of.school_class is not None:
        for pupil, _class in service.pupils(user, of):
            yield _pupil(pupil, here, before)
        return
    classes = [each for each in people.visible_classes(user) if of.grade in {None, each.grade}]
    for grade in sorted({each.grade for each in classes}):
        mine = [each for each in classes if each.grade == grade]
        yield Line(_("Grade %(n)s", n=grade), _sum(mine, here), _sum(mine, before), grade=grade)
        yield from (_class_line(each, here, before) for each in mine)


def _pupil(pupil: Pupil, here: Counted, before: Counted) -> Line:
    return Line(pupil.name, _of(here, pupil.id), _of(before, pupil.id), pupil_id=pupil.id)


def _class_line(school_class: SchoolClass, here: Counted, before: Counted) -> Line:
    return Line("", _of(here, school_class.id), _of(before, school_class.id), class_id=school_class.id)


def _of(counted: Counted, unit: uuid.UUID) -> Tally:
    return counted.units.get(unit, Tally())


def _sum(classes: list[SchoolClass], counted: Counted) -> Tally:
    return rules.total(_of(counted, each.id) for each in classes)


def legend(policy: rules.Policy) -> Iterator[tuple[str, str, str]]:
    """Code, what it means, as what it counts; where two things have one code and count alike, the plainer one."""
    used = policy.used
    for key, code in used.items():
        if used.get(PLAINER.get(key, key)) != code or key not in PLAINER:
            yield code.code, str(KEYS[key]), str(COUNTS[code.counts_as])


def per_cent(tally: Tally) -> str:
    """97.3 %, or a dash where nothing was possible."""
    return "–" if tally.rate is None else f"{tally.rate * 100:.1f} %"


def change(line: Any) -> str:
    """Points of per cent against the span before: +0.4, -1.2."""
    if line.tally.rate is None or line.before.rate is None:
        return "–"
    points = round((line.tally.rate - line.before.rate) * 100, 1)
    return f"{points:+.1f}".replace("-", "−") if points else "±0"


def year(day: dt.date) -> int:
    """2026"""
    return day.year
