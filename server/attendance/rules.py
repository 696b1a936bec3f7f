"""A pupil's day, judged whole: facts in, verdict out. No clock, no database; `now` is an argument.

All times are whole seconds after the school's midnight of the judged date.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """Verdict on one session."""

    PRESENT = "present"
    LATE = "late"
    ABSENT = "absent"
    EXCUSED = "excused"
    PENDING = "pending"
    UNCONFIRMED = "unconfirmed"


class Status(StrEnum):
    """The one word that a page shows for a pupil now."""

    IN_SCHOOL = "in_school"
    LATE = "late"  # in school, after the bell
    NOT_YET = "not_yet"
    UNEXPLAINED = "unexplained"
    UNCONFIRMED = "unconfirmed"
    EXCUSED = "excused"
    LEFT = "left"
    OFF = "off"  # nothing expected and nobody seen today


@dataclass(frozen=True)
class Session:
    """One span of lessons."""

    name: str
    starts: int
    ends: int


@dataclass(frozen=True)
class Policy:
    """Minutes: late after `grace`, left early before `early`, absent from `absent_after` on."""

    grace: int = 5
    early: int = 5
    absent_after: int = 30


@dataclass(frozen=True)
class Tap:
    """A tap of this pupil on this date; `trusted` is false when its clock proves no time."""

    at: int
    direction: str  # in, out
    trusted: bool = True


@dataclass(frozen=True)
class Leave:
    """Approved leave, from <= t < to."""

    starts: int
    ends: int
    kind: str


@dataclass(frozen=True)
class Mark:
    """What a teacher saw in one session: present, absent or late (with minutes)."""

    session: str
    mark: str
    minutes: int = 0


@dataclass(frozen=True)
class Gap:
    """A time in which taps may be missing."""

    starts: int
    ends: int


@dataclass(frozen=True)
class Verdict:
    """What is said of one session; minutes rounded down."""

    state: State
    late: int = 0
    early: int = 0


@dataclass(frozen=True)
class Stay:
    """A time inside; `left` is None while inside, and when the exit was forgotten."""

    entered: int
    left: int | None = None


@dataclass(frozen=True)
class Day:
    """The whole day of one pupil."""

    sessions: dict[str, Verdict] = field(default_factory=dict)
    inside: bool = False
    flags: tuple[str, ...] = ()
    stays: tuple[Stay, ...] = ()
    exits: tuple[int, ...] = ()  # every trusted exit that ended a stay or stood alone (entry_unknown), in order
    unsure: int = 0  # entries with an untrusted clock


class Kind(StrEnum):
    """What happened at the gate that a family may be told."""

    IN = "in"
    OUT = "out"
    UNSURE = "unsure"  # an entry whose time is not known


@dataclass(frozen=True)
class Event:
    """The n-th entry or exit of the day, n from 1; `late` and `early` are minutes against the session it fell in."""

    kind: Kind
    n: int
    at: int | None
    late: int = 0
    early: int = 0


@dataclass(frozen=True)
class Change:
    """What a new verdict adds to the old one."""

    events: tuple[Event, ...]


def judge(
    *,
    sessions: Sequence[Session],
    policy: Policy,
    now: int,
    taps: Sequence[Tap] = (),
    leave: Sequence[Leave] = (),
    marks: Sequence[Mark] = (),
    gaps: Sequence[Gap] = (),
) -> Day:
    """The verdict on a day from all its facts, in whatever order they came."""
    raise NotImplementedError


def status(day: Day) -> Status:
    """The word for now: where the pupil is, else what the newest begun session says."""
    raise NotImplementedError


def change(old: Day | None, new: Day) -> Change | None:
    """The events of `new` that `old` did not have; None when there are none."""
    raise NotImplementedError
