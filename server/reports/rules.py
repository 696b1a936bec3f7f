"""What is counted in a report and how: spans of days, codes of sessions, tallies that add up, the rate. Pure.

A session is *possible* when it was held for the pupil and the school knows how it went. Attended: present, late, or
elsewhere on the school's business. Not attended: authorised (approved leave) or unauthorised (no approved leave).
Counted apart: what a silent gate left unsure, what is not over, what a code leaves out. Rate: attended / possible.
"""

import calendar
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from operator import attrgetter
from typing import Annotated

import msgspec

from server.attendance.rules import State
from server.attendance.summary import Said

NO_TERM_DAYS = 120  # how far back a "term" reaches in a school that has set none
UNKNOWN_LEAVE = "personal"  # leave judged before its kind was kept


class Period(StrEnum):
    """How long a time a report is about."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TERM = "term"


@dataclass(frozen=True)
class Span:
    """Days from the first to the last, both included."""

    first: dt.date
    last: dt.date


def span(period: Period, day: dt.date, terms: Sequence[Span]) -> Span:
    """The day, week from Monday, month or term in which a day lies; between two terms it is the one before."""
    if period is Period.DAY:
        return Span(day, day)
    if period is Period.WEEK:
        monday = day - dt.timedelta(days=day.weekday())
        return Span(monday, monday + dt.timedelta(days=6))
    if period is Period.MONTH:
        return Span(day.replace(day=1), day.replace(day=calendar.monthrange(day.year, day.month)[1]))
    begun = [term for term in terms if term.first <= day]
    return max(begun, key=lambda term: term.first) if begun else Span(day - dt.timedelta(days=NO_TERM_DAYS), day)


def before(period: Period, here: Span, terms: Sequence[Span]) -> Span | None:
    """The span of the same kind that came before; None when there was no term before."""
    if period is not Period.TERM:
        return span(period, here.first - dt.timedelta(days=1), terms)
    earlier = [term for term in terms if term.last < here.first]
    return max(earlier, key=lambda term: term.first) if earlier else None


class Counts(StrEnum):
    """As what a code goes into the rate."""

    ATTEND = "attend"
    AUTHORISED = "authorised"
    UNAUTHORISED = "unauthorised"
    NOT_COUNTED = "not_counted"


class Key(StrEnum):
    """What a session can be in a register; leave by its kind."""

    MORNING = "morning"  # present in the first session of a day
    PRESENT = "present"
    LATE = "late"
    CLOSED = "closed"  # came when the register was closed
    ABSENT = "absent"
    SICK = "sick"
    PERSONAL = "personal"
    OFFICIAL = "official"
    TRIP = "trip"
    UNCONFIRMED = "unconfirmed"
    PENDING = "pending"


@dataclass(frozen=True)
class Code:
    """What stands in a register, and as what it counts."""

    code: Annotated[str, msgspec.Meta(min_length=1, max_length=4)]
    counts_as: Counts


_A, _AUTH, _UN, _NOT = Counts.ATTEND, Counts.AUTHORISED, Counts.UNAUTHORISED, Counts.NOT_COUNTED

CHINA: Mapping[Key, Code] = {
    Key.MORNING: Code("√", _A),
    Key.PRESENT: Code("√", _A),
    Key.LATE: Code("迟", _A),
    Key.CLOSED: Code("迟", _A),
    Key.ABSENT: Code("缺", _UN),
    Key.SICK: Code("病", _AUTH),
    Key.PERSONAL: Code("事", _AUTH),
    Key.OFFICIAL: Code("公", _A),
    Key.TRIP: Code("研", _A),
    Key.UNCONFIRMED: Code("?", _NOT),
    Key.PENDING: Code("·", _NOT),
}
# Department for Education, "Working together to improve school attendance", codes from 19 August 2024.
ENGLAND: Mapping[Key, Code] = {
    Key.MORNING: Code("/", _A),
    Key.PRESENT: Code("\\", _A),
    Key.LATE: Code("L", _A),
    Key.CLOSED: Code("U", _UN),
    Key.ABSENT: Code("N", _UN),
    Key.SICK: Code("I", _AUTH),
    Key.PERSONAL: Code("C", _AUTH),
    Key.OFFICIAL: Code("B", _A),
    Key.TRIP: Code("V", _A),
    Key.UNCONFIRMED: Code("?", _NOT),
    Key.PENDING: Code("·", _NOT),
}


class CodeSet(StrEnum):
    """The sets that are shipped."""

    CHINA = "cn"
    ENGLAND = "en-dfe"


_SETS = {CodeSet.CHINA: CHINA, CodeSet.ENGLAND: ENGLAND}


@dataclass(frozen=True)
class Policy:
    """Which codes a school's registers use: a set, single codes of the school's own over it, and how long a register
    is open, in minutes after the bell."""

    codes: CodeSet = CodeSet.CHINA
    register_open: int = field(default=30, metadata={"least": 5, "most": 240})
    own: dict[Key, Code] = field(default_factory=dict)

    @property
    def used(self) -> Mapping[Key, Code]:
        """The set with the school's own codes."""
        return {**_SETS[self.codes], **self.own}


_PLAIN = {State.ABSENT: Key.ABSENT, State.UNCONFIRMED: Key.UNCONFIRMED, State.PENDING: Key.PENDING}


def key(said: Said, place: int, register_open: int) -> Key:
    """What a session is in a register; `place` is its number in the day, from 0."""
    if said.state is State.PRESENT:
        return Key.PRESENT if place else Key.MORNING
    if said.state is State.LATE:
        return Key.CLOSED if said.late > register_open else Key.LATE
    if said.state is State.EXCUSED:
        return Key(said.kind if said.kind in LEAVES else UNKNOWN_LEAVE)
    return _PLAIN[said.state]


LEAVES = frozenset({Key.SICK, Key.PERSONAL, Key.OFFICIAL, Key.TRIP})


@dataclass(frozen=True)
class Tally:
    """Sessions by what became of them; tallies add up."""

    present: int = 0
    late: int = 0
    elsewhere: int = 0  # excused, and counts as attended
    authorised: int = 0
    unauthorised: int = 0
    unconfirmed: int = 0
    pending: int = 0
    left_out: int = 0  # known, and not counted by its code
    late_minutes: int = 0
    left_early: int = 0  # of those attended

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, each) + getattr(other, each) for each in _NAMES))

    def __mul__(self, times: int) -> "Tally":
        return Tally(*(count * times for count in _counts(self)))

    @property
    def attended(self) -> int:
        """Present, late or elsewhere on the school's business."""
        return self.present + self.late + self.elsewhere

    @property
    def possible(self) -> int:
        """Held, over, known and counted."""
        return self.attended + self.authorised + self.unauthorised

    @property
    def apart(self) -> int:
        """Neither attended nor missed."""
        return self.unconfirmed + self.pending + self.left_out

    @property
    def rate(self) -> float | None:
        """Attended of possible, 0 to 1; None when nothing was possible."""
        return self.attended / self.possible if self.possible else None


_NAMES = tuple(each.name for each in fields(Tally))
_counts = attrgetter(*_NAMES)
_MISSED = {Counts.AUTHORISED: Tally(authorised=1), Counts.UNAUTHORISED: Tally(unauthorised=1)}
_APART = {State.UNCONFIRMED: Tally(unconfirmed=1), State.PENDING: Tally(pending=1)}


def tally(day: Sequence[Said], policy: Policy) -> Tally:
    """One pupil's day, counted."""
    codes = policy.used
    return total(
        _counted(said, codes[key(said, place, policy.register_open)].counts_as) for place, said in enumerate(day)
    )


def _counted(said: Said, counts: Counts) -> Tally:
    if said.state in _APART:
        return _APART[said.state]
    if counts is Counts.NOT_COUNTED:
        return Tally(left_out=1)
    found = _MISSED[counts] if counts in _MISSED else _attended(said)
    return replace(found, late_minutes=said.late, left_early=int(said.early > 0))


def _attended(said: Said) -> Tally:
    if said.state is State.LATE:
        return Tally(late=1)
    return Tally(present=1) if said.state is State.PRESENT else Tally(elsewhere=1)


def total(tallies: Iterable[Tally]) -> Tally:
    """Their sum."""
    return Tally(*map(sum, zip(*map(_counts, tallies), strict=True)))


def safe(cell: object) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = str(cell)
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
