"""What a span of leave is on one date, who may decide how much of it; the settings. No clock, no database."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

Moment = TypeVar("Moment", int, datetime)

DAY = 86_400
MOST_DAYS = 10_000  # more than any leave has
LONGEST = timedelta(days=184)  # half a year; more is leaving the school
SCHOOL_KINDS = frozenset({"official", "trip"})  # the school's own reasons: no guardian excuses, office and head decide


@dataclass(frozen=True)
class LeavePolicy:
    """How long a leave, in school days, each role may decide; longer ones are the head's. When waiting is too long."""

    teacher_days: int = field(default=1, metadata={"least": 0, "most": 60})
    grade_head_days: int = field(default=3, metadata={"least": 0, "most": 60})
    office_days: int = field(default=3, metadata={"least": 0, "most": 60})
    wait_minutes: int = field(default=60, metadata={"least": 5, "most": 2880})
    link_days: int = field(default=7, metadata={"least": 1, "most": 60})


class Fault(StrEnum):
    """Why a leave cannot be asked for, decided or changed."""

    ORDER = "order"  # it ends before it begins
    LONG = "long"
    PAST = "past"
    NO_LESSONS = "no_lessons"
    OVERLAP = "overlap"
    STRANGER = "stranger"  # no guardian of this pupil, or one who may learn nothing
    GUARDIAN = "guardian"  # sick and personal leave: a guardian must have asked or confirmed
    POWER = "power"  # beyond what this user may decide
    DECIDED = "decided"  # somebody was quicker
    OVER = "over"  # it has ended


def dates(starts: datetime, ends: datetime) -> list[date]:
    """Every date that a leave touches, from <= t < to, both ends on the school's wall clock."""
    last = (ends - timedelta(microseconds=1)).date()
    return [starts.date() + timedelta(days=n) for n in range((last - starts.date()).days + 1)]


def within(starts: int, ends: int) -> tuple[int, int]:
    """Seconds of one date that a leave covers, cut at both midnights."""
    return max(0, starts), min(DAY, ends)


def merged(spans: Iterable[tuple[Moment, Moment]]) -> list[tuple[Moment, Moment]]:
    """The same time without overlaps, in order; what touches is one."""
    found: list[tuple[Moment, Moment]] = []
    for starts, ends in sorted(spans):
        if found and starts <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], ends)
        else:
            found.append((starts, ends))
    return found


def span_fault(starts: datetime, ends: datetime, earliest: datetime) -> Fault | None:
    """What is wrong with a span in itself."""
    if ends <= starts:
        return Fault.ORDER
    if ends - starts > LONGEST:
        return Fault.LONG
    return Fault.PAST if starts < earliest else None


def needs_guardian(kind: str) -> bool:
    """Whether only a guardian can excuse it."""
    return kind not in SCHOOL_KINDS


def most_days(roles: Collection[str], kind: str, policy: LeavePolicy) -> int:
    """The longest leave, in school days, that somebody with these roles over the class may decide; 0 is none."""
    if "head" in roles:
        return MOST_DAYS
    if kind in SCHOOL_KINDS:
        return MOST_DAYS if "office" in roles else 0
    limits = (
        ("class_teacher", policy.teacher_days),
        ("grade_head", policy.grade_head_days),
        ("office", policy.office_days),
    )
    return max((days for role, days in limits if role in roles), default=0)
