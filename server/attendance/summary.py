"""A day's sessions as one short line beside its verdict, which a database can group and count. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from server.attendance.rules import Day, Leave, Session, State
from server.calendar import rules as calendar

_LETTERS = {
    State.PRESENT: "P",
    State.LATE: "L",
    State.ABSENT: "A",
    State.EXCUSED: "E",
    State.PENDING: "W",
    State.UNCONFIRMED: "U",
}
_STATES = {letter: state for state, letter in _LETTERS.items()}


@dataclass(frozen=True)
class Said:
    """What a summary says of one session; `kind` is that of the leave which excuses it."""

    session: str
    state: State
    late: int = 0
    early: int = 0
    kind: str = ""


def written(day: Day, sessions: Iterable[Session], leave: Sequence[Leave]) -> str:
    """The sessions of a day in one short line, which a database can count: `P:am|L+7:pm`, `E.sick:am|P-12:pm`."""
    parts = []
    for session in calendar.in_order(sessions):
        verdict = day.sessions[session.name]
        kind = _excuse(session, leave) if verdict.state == State.EXCUSED else ""
        late, early = verdict.late and f"+{verdict.late}", verdict.early and f"-{verdict.early}"
        name = session.name.replace("|", "/")
        parts.append(f"{_LETTERS[verdict.state]}{late or ''}{early or ''}{kind and '.' + kind}:{name}")
    return "|".join(parts)


def read(summary: str) -> tuple[Said, ...]:
    """A summary read back."""
    return tuple(_said(part) for part in summary.split("|")) if summary else ()


def _said(part: str) -> Said:
    head, _, session = part.partition(":")
    head, _, kind = head.partition(".")
    head, _, early = head.partition("-")
    letter, _, late = head.partition("+")
    return Said(session, _STATES[letter], int(late or 0), int(early or 0), kind)


def _excuse(session: Session, leave: Sequence[Leave]) -> str:
    """The kind of the leave that covers most of a session; of equal ones the first by its name."""

    def covered(away: Leave) -> int:
        return min(session.ends, away.ends) - max(session.starts, away.starts)

    return min(leave, key=lambda away: (-covered(away), away.kind)).kind if leave else ""
