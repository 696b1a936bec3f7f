"""What a register makes of the gate's word and the teacher's, when it is overdue, and what a pass is worth. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from server.attendance import rules as days
from server.calendar import rules as bells

MINUTE = 60
EARLY = 30  # minutes before the bell from which on a register can be taken: nobody is present in advance


@dataclass(frozen=True)
class RegisterPolicy:
    """Minutes after a session's start at which an open register is reminded of (0: never), and whose taps are missed.

    `forgetters`: forgotten taps in seven days from which on a pupil is on the list; `correct_days`: how many days back
    a teacher may correct (the office may always).
    """

    remind_after: int = field(default=20, metadata={"least": 0, "most": 240})
    forgetters: int = field(default=3, metadata={"least": 1, "most": 20})
    correct_days: int = field(default=14, metadata={"least": 0, "most": 400})


class Found(StrEnum):
    """What is known of a pupil in one session: by the gate, by a teacher, or not at all."""

    GATE = "gate"
    SEEN = "seen"  # by the teacher, not by the gate
    LATE = "late"  # says the teacher
    ABSENT = "absent"
    EXCUSED = "excused"
    LEFT = "left"  # the gate saw the pupil go
    UNLOOKED = "unlooked"


IN_CLASS = frozenset({Found.GATE, Found.SEEN, Found.LATE})
_BY_MARK = {"present": Found.SEEN, "late": Found.LATE, "absent": Found.ABSENT}


def found(day: days.Day, session: bells.Session, mark: str | None) -> Found:
    """What a register says of a pupil: the teacher's word first, then the gate's; nothing is made up."""
    if mark in _BY_MARK:
        if mark == "present" and seen_by_gate(day, session):
            return Found.GATE
        return _BY_MARK[mark]
    if seen_by_gate(day, session):
        return Found.LEFT if gone(day, session) else Found.GATE
    verdict = day.sessions.get(session.name)
    return Found.EXCUSED if verdict and verdict.state == days.State.EXCUSED else Found.UNLOOKED


def seen_by_gate(day: days.Day, session: bells.Session) -> bool:
    """Whether the gate speaks for presence in this session, whatever a teacher says; before it, who is inside is."""
    if any(stay.entered < session.ends and (stay.left is None or stay.left > session.starts) for stay in day.stays):
        return True
    verdict = day.sessions.get(session.name)
    in_it = verdict is not None and verdict.state in {days.State.PRESENT, days.State.LATE}
    return in_it and session.name not in day.by_teacher


def gone(day: days.Day, session: bells.Session) -> bool:
    """Whether the gate has seen the pupil leave before the end of the session, and not come back."""
    last = day.stays[-1] if day.stays else None
    return last is not None and last.left is not None and last.left < session.ends


def pick(sessions: Sequence[bells.Session], now: int, *, asked: str = "") -> bells.Session | None:
    """The session whose register is taken: the one asked for, else the newest that can be taken already."""
    ordered = bells.in_order(sessions)
    by_name = next((each for each in ordered if each.name == asked), None)
    begun = [each for each in ordered if is_open(each, now)]
    return by_name or (begun[-1] if begun else next(iter(ordered), None))


def is_open(session: bells.Session, now: int) -> bool:
    """Whether something can be seen of this session already."""
    return now >= session.starts - EARLY * MINUTE


def overdue(sessions: Iterable[bells.Session], now: int, policy: RegisterPolicy) -> list[bells.Session]:
    """The sessions whose register should have been finished by now."""
    if not policy.remind_after:
        return []
    return [each for each in bells.in_order(sessions) if now >= each.starts + policy.remind_after * MINUTE]


class PassKind(StrEnum):
    """What a piece of paper allows: to enter the lesson late, or to leave the school."""

    LATE = "late"
    EXIT = "exit"


class PassState(StrEnum):
    """What whoever scans it is told."""

    VALID = "valid"
    EARLY = "early"
    USED = "used"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


def pass_state(
    *, now: datetime, starts: datetime, ends: datetime, used_at: datetime | None, approved: bool
) -> PassState:
    """What a pass is worth at a moment; used beats all, for it is what happened."""
    if used_at is not None:
        return PassState.USED
    if not approved:
        return PassState.WITHDRAWN
    if now < starts:
        return PassState.EARLY
    return PassState.VALID if now < ends else PassState.EXPIRED
