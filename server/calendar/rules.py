"""When a pupil is expected: the sessions of a day, and what approved leave leaves of them. No clock, no database.

Times are whole seconds after the school's midnight.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta


@dataclass(frozen=True)
class Session:
    """One span of lessons."""

    name: str
    starts: int
    ends: int


@dataclass(frozen=True)
class Leave:
    """Approved leave, from <= t < to."""

    starts: int
    ends: int
    kind: str


def in_order(sessions: Iterable[Session]) -> tuple[Session, ...]:
    """Sessions as the day runs."""
    return tuple(sorted(sessions, key=lambda session: (session.starts, session.ends, session.name)))


def begun(sessions: Iterable[Session], at: int) -> str | None:
    """The name of the latest session that had started by then."""
    return next((session.name for session in reversed(in_order(sessions)) if session.starts <= at), None)


def shortened(session: Session, leave: Sequence[Leave]) -> tuple[int, int]:
    """What leave at either end leaves of a session, start and end; start >= end when it leaves nothing.

    A leave that ends with the session covers its end, or a pupil with leave until the last bell would leave early.
    """
    starts, ends = session.starts, session.ends
    while True:
        start = max((away.ends for away in leave if away.starts <= starts < away.ends), default=starts)
        end = min((away.starts for away in leave if away.starts < ends <= away.ends), default=ends)
        if (start, end) == (starts, ends):
            return starts, ends
        starts, ends = start, end


DEFAULT_TIMETABLE = "default"
MONDAY_TO_FRIDAY = 0b0011111


@dataclass(frozen=True)
class Bell:
    """The hours of one session from a date on, on the weekdays of a mask (bit 0 is Monday)."""

    session: Session
    since: date
    weekdays: int = MONDAY_TO_FRIDAY


@dataclass(frozen=True)
class Special:
    """A single day that is not what its weekday says: off, lessons as on another weekday, half a day, or exams."""

    lessons: bool
    as_weekday: int | None = None
    until: int | None = None  # nothing begins from then on
    own: tuple[tuple[str, Session], ...] = ()  # bells of this day alone; "" stands for every timetable


@dataclass(frozen=True)
class BoardingPolicy:
    """Whose classes board, and when boarders must be back: a boarding week begins on that weekday (0 Monday)."""

    timetables: tuple[str, ...] = ()
    return_weekday: int = field(default=6, metadata={"least": 0, "most": 6})
    return_minute: int = field(default=18 * 60 + 20, metadata={"least": 0, "most": 1439, "shown": "time"})
    warn: bool = True


def week_begins(day: date, policy: BoardingPolicy) -> date:
    """The day of return with which the boarding week of a date begins."""
    return day - timedelta(days=(day.weekday() - policy.return_weekday) % 7)


# What holds for a school that has set no bells yet, so that the first tap of a fresh school has a day to count for.
DEFAULT_BELLS = (
    Bell(Session("am", 28_200, 42_600), date.min),  # 07:50-11:50
    Bell(Session("pm", 48_600, 61_200), date.min),  # 13:30-17:00
)


def weekday(day: date, *, terms: Sequence[tuple[date, date]], special: Special | None) -> int | None:
    """The weekday (0 Monday) whose lessons are given on a date, None on a day off.

    Outside every term no day is a school day; a school that has set no term yet is in term always.
    """
    if terms and not any(first <= day <= last for first, last in terms):
        return None
    if special is None:
        return day.weekday()
    if not special.lessons:
        return None
    return day.weekday() if special.as_weekday is None else special.as_weekday


def sessions(day: date, *, weekday: int, bells: Iterable[Bell]) -> tuple[Session, ...]:
    """What the bells of one timetable ring on a date: of each session the newest row that counts already."""
    newest: dict[str, Bell] = {}
    for bell in sorted(bells, key=lambda bell: bell.since):
        if bell.since <= day:
            newest[bell.session.name] = bell
    return in_order(bell.session for bell in newest.values() if bell.weekdays >> weekday & 1)


def adapted(name: str, usual: tuple[Session, ...], special: Special | None) -> tuple[Session, ...]:
    """A timetable's sessions on a single day: exams in their place, and nothing after the end of a half day.

    A session that runs when the half day ends, ends with it.
    """
    if special is None:
        return usual
    own = in_order(session for timetable, session in special.own if timetable in ("", name))
    found, until = own or usual, special.until
    if until is None:
        return found
    return tuple(replace(each, ends=min(each.ends, until)) for each in found if each.starts < until)


def boundaries(days: Iterable[Sequence[Session]], *, after_start: Iterable[int]) -> tuple[int, ...]:
    """Seconds at which time alone can change a verdict, given the sessions of each timetable.

    These are every start, `after_start` seconds after it, and the hour after the last end when exits are forgotten.
    """
    found: set[int] = set()
    waits = (0, *after_start)
    for day in days:
        found.update(session.starts + wait for session in day for wait in waits)
        found.update([max(session.ends for session in day) + 3600] if day else [])
    return tuple(sorted(found))
