"""When a pupil is expected: the sessions of a day, and what approved leave leaves of them. No clock, no database.

Times are whole seconds after the school's midnight.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


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
