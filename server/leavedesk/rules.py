"""When a pupil has been away so long, or so regularly, that somebody should ask. Pure."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

WEEKDAYS = 5  # of the same weekday that are looked at
FIRST = {"least": 1, "most": 60}


class WarningKind(StrEnum):
    """What speaks for asking."""

    IN_A_ROW = "in_a_row"
    WEEKDAY = "weekday"  # the same weekday again and again
    SICK = "sick"  # ill often


@dataclass(frozen=True)
class WarningPolicy:
    """After how many school days away somebody asks, and from how many on it stands on Today. Only whole days count."""

    first: int = field(default=1, metadata=FIRST)
    second: int = field(default=3, metadata=FIRST)
    third: int = field(default=5, metadata=FIRST)
    fourth: int = field(default=10, metadata=FIRST)
    today_from: int = field(default=3, metadata=FIRST)
    same_weekday: int = field(default=3, metadata={"least": 2, "most": WEEKDAYS})
    sick_days: int = field(default=5, metadata={"least": 2, "most": 60})
    sick_within: int = field(default=20, metadata={"least": 5, "most": 60})

    @property
    def steps(self) -> tuple[int, ...]:
        """The numbers of days in a row that are told of."""
        return tuple(sorted({self.first, self.second, self.third, self.fourth}))


@dataclass(frozen=True)
class Past:
    """One school day of one pupil, as far as it is known: a day that nothing is known of is left out."""

    date: date
    away: bool
    sick: bool = False


@dataclass(frozen=True)
class Warn:
    """One thing to ask about."""

    kind: WarningKind
    count: int
    since: date
    urgent: bool


def warnings(past: Collection[Past], policy: WarningPolicy) -> list[Warn]:
    """What the newest of these school days gives reason to ask; nothing when the pupil was there on it."""
    days = sorted(past, key=lambda day: day.date)
    if not days or not days[-1].away:
        return []
    return [*_in_a_row(days, policy), *_weekday(days, policy), *_sick(days, policy)]


def _in_a_row(days: Sequence[Past], policy: WarningPolicy) -> Iterator[Warn]:
    count = next((n for n, day in enumerate(reversed(days)) if not day.away), len(days))
    since = days[-count].date
    reached = max((step for step in policy.steps if step <= count), default=0)
    if reached:
        yield Warn(WarningKind.IN_A_ROW, reached, since, urgent=reached >= policy.today_from)


def _weekday(days: Sequence[Past], policy: WarningPolicy) -> Iterator[Warn]:
    """The same weekday: one long illness is away on all weekdays and is told of already."""
    newest = days[-1]
    same = [day for day in days if day.date.weekday() == newest.date.weekday()][-WEEKDAYS:]
    away = [day for day in same if day.away and _is_single(days, day)]
    if newest in away and len(away) >= policy.same_weekday:
        yield Warn(WarningKind.WEEKDAY, len(away), away[0].date, urgent=True)


def _is_single(days: Sequence[Past], day: Past) -> bool:
    """Whether the pupil was there on the school day before or after."""
    place = days.index(day)
    beside = [*days[max(0, place - 1) : place], *days[place + 1 : place + 2]]
    return not beside or any(not each.away for each in beside)


def _sick(days: Sequence[Past], policy: WarningPolicy) -> Iterator[Warn]:
    """Ill often: so many days of the last ones, in more than one stretch."""
    lately = days[-policy.sick_within :]
    sick = [place for place, day in enumerate(lately) if day.sick]
    stretches = sum(place - 1 not in sick for place in sick)
    if lately[-1].sick and len(sick) >= policy.sick_days and stretches > 1:
        yield Warn(WarningKind.SICK, len(sick), lately[sick[0]].date, urgent=True)
