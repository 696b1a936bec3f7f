"""Who is asked when about a missing child, when a person must look first, and what an answer means. Pure."""

import statistics
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from server.attendance import rules as days
from server.calendar import rules as bells


class CaseState(StrEnum):
    """One missing pupil in one session."""

    HELD = "held"  # in doubt: nobody is asked until a person has looked
    ASKING = "asking"  # a contact has been asked, the next one comes when nobody answers
    ANSWERED = "answered"  # a contact gave a reason; staff confirm it
    PERSON = "person"  # the ladder is at its end, or there is nobody to text: somebody calls
    FOUND = "found"  # seen since, by gate or teacher
    CLOSED = "closed"  # a person has settled it, or the session's reason is known


OPEN = (CaseState.HELD, CaseState.ASKING, CaseState.ANSWERED, CaseState.PERSON)


class Why(StrEnum):
    """Why the brake is on."""

    STOPPED = "stopped"  # the school's own switch
    GATE_SILENT = "gate_silent"
    SELF_TEST = "self_test"
    CLASS = "class"  # too many missing in the class, against its own history
    GRADE = "grade"
    SCHOOL = "school"
    UNUSUAL_DAY = "unusual_day"
    READER = "reader"  # a reader that usually sees many has seen nobody
    CLOCK = "clock"  # a gate's clock is wrong: its taps prove nothing, or stand on another day
    MARKS = "marks"  # many of one class were marked absent within a minute
    LATE = "late"  # noticed long after the cut-off: the server was away, or facts have changed since
    BELLS = "bells"  # the bells were moved after the question


class Reason(StrEnum):
    """What an answer says."""

    ILL = "ill"
    LATE = "late"
    ON_WAY = "on_way"
    WORDS = "words"  # something that a person must read
    LEAVE = "leave"  # staff: approved leave is written down
    MISTAKE = "mistake"  # staff: the record was wrong


@dataclass(frozen=True)
class AbsencePolicy:
    """When families are asked where a child is, and when a person looks first. Shares in per cent."""

    alerts: bool = True
    stopped: bool = False
    wait_minutes: int = field(default=8, metadata={"least": 2, "most": 120})
    most_contacts: int = field(default=4, metadata={"least": 1, "most": 8})
    late_wait_minutes: int = field(default=30, metadata={"least": 5, "most": 240})
    way_wait_minutes: int = field(default=20, metadata={"least": 5, "most": 240})
    class_share: int = field(default=15, metadata={"least": 1, "most": 100})
    grade_share: int = field(default=10, metadata={"least": 1, "most": 100})
    school_share: int = field(default=8, metadata={"least": 1, "most": 100})
    times_usual: int = field(default=3, metadata={"least": 1, "most": 20})
    hold_unusual_days: bool = True


LEAST = {Why.CLASS: 4, Why.GRADE: 8, Why.SCHOOL: 12}  # fewer missing are a cold, not a dead reader
MOST_OF_ALL = 2  # so many missing are still no cold when they are more than half of a school
LOOKED_LATE = 15 * 60  # seconds after the cut-off: who is only noticed then is looked at by a person first
USUAL_TAPS, QUIET = 5, 10  # a reader with so many taps by this time of day is quiet below this share in per cent


@dataclass(frozen=True)
class Share:
    """How many of a class, grade or school are missing without a word, and what share was on comparable days."""

    kind: Why
    expected: int
    missing: int
    usual: tuple[float, ...] = ()


def is_abnormal(share: Share, policy: AbsencePolicy) -> bool:
    """Whether so many missing are more likely a fault of ours than of theirs."""
    if share.kind is Why.SCHOOL and share.missing >= MOST_OF_ALL and share.missing * 2 > share.expected:
        return True
    if share.missing < LEAST[share.kind] or not share.expected:
        return False
    floor = {Why.CLASS: policy.class_share, Why.GRADE: policy.grade_share, Why.SCHOOL: policy.school_share}[share.kind]
    found = share.missing / share.expected
    usual = statistics.median(share.usual) if share.usual else 0.0
    return found * 100 >= floor and found >= policy.times_usual * usual


def brakes(
    policy: AbsencePolicy, shares: Collection[Share], *, unusual: bool, doubts: Collection[Why] = ()
) -> tuple[Why, ...]:
    """All that speaks for looking first, for one pupil: `shares` are those of its class, grade and school."""
    found = [*doubts, *(share.kind for share in shares if is_abnormal(share, policy))]
    found += [Why.STOPPED] if policy.stopped else []
    found += [Why.UNUSUAL_DAY] if unusual and policy.hold_unusual_days else []
    return tuple(sorted(set(found)))


def is_quiet(today: int, before: Collection[int]) -> bool:
    """Whether a reader's taps until this time of day are far too few against the same hours of days before."""
    usual = statistics.median(before) if before else 0
    return usual >= USUAL_TAPS and today * 100 < usual * QUIET


def reading(lesson: bells.Session | None, verdict: days.Day, leave: Sequence[bells.Leave]) -> days.State | None:
    """What a day says of one session for those who ask families: None when there is no such session any more.

    A register's "absent" alone is no question: whom the gate saw is in school somewhere, and leave is known.
    """
    found = verdict.sessions.get(lesson.name) if lesson else None
    if lesson is None or found is None or found.state != days.State.ABSENT:
        return found.state if found else None
    starts, ends = bells.shortened(lesson, leave)
    if starts >= ends:
        return days.State.EXCUSED
    inside = any(stay.entered < ends and (stay.left is None or stay.left > starts) for stay in verdict.stays)
    return days.State.PRESENT if inside or any(at >= starts for at in verdict.exits) else days.State.ABSENT


def since_cut_off(lesson: bells.Session, leave: Sequence[bells.Leave], policy: days.Policy, second: int) -> int:
    """Seconds since nobody is waited for any more; negative before, also when a teacher has marked absent by then."""
    return second - bells.shortened(lesson, leave)[0] - policy.absent_after * days.MINUTE


@dataclass(frozen=True)
class Next:
    """The ladder's next rung: the place of the contact to be asked now (from 0), or None when a person must call."""

    contact: int | None
    next_at: datetime | None = None


def climb(asked: int, contacts: int, policy: AbsencePolicy, now: datetime) -> Next:
    """After `asked` contacts were asked in vain: the next one, until the last was asked and has had its time."""
    if asked < min(contacts, policy.most_contacts):
        return Next(asked, now + timedelta(minutes=policy.wait_minutes))
    return Next(None)


_CODES = {"1": Reason.ILL, "2": Reason.LATE, "3": Reason.ON_WAY}


def reason_of(body: str) -> Reason:
    """What a reply says: a code by itself (in any width, with a full stop or not), else words for a person."""
    code = unicodedata.normalize("NFKC", body).strip(" \t\r\n.。,，!！()（）")
    return _CODES.get(code, Reason.WORDS)


def waits(reason: Reason, policy: AbsencePolicy, now: datetime) -> datetime | None:
    """When to look again after an answer; None when it settles the ladder."""
    minutes = {Reason.LATE: policy.late_wait_minutes, Reason.ON_WAY: policy.way_wait_minutes}.get(reason)
    return None if minutes is None else now + timedelta(minutes=minutes)


# Words: child, time, what the gate knows, how to answer; a correction begins with the good news.
ZH = {
    "absent": "{name} 到 {time} 校门没见到。请回复 1病假 2迟到 3在路上，或直接写原因。",
    "found": "{name} {time} 已到校，前一条请忽略。",
    "seen": "{name} 老师已在课堂见到，前一条请忽略。",
    "excused": "{name} 请假已登记，前一条请忽略。",
    "none": "{name} 这时没有课，前一条发错了，请忽略。",
}
EN = {
    "absent": "{name}: not seen at the gate by {time}. Reply 1 ill, 2 late, 3 on the way, or write why.",
    "found": "{name} is in school since {time}. Please ignore our last message.",
    "seen": "{name} is in class, the teacher says. Please ignore our last message.",
    "excused": "{name}: the leave is noted. Please ignore our last message.",
    "none": "{name} has no lessons now. Our last message was wrong, please ignore it.",
}


WORDINGS = frozenset(ZH)


def body(wording: str, *, name: str, time: str, sign: str, locale: str) -> str:
    """The text with its sign."""
    words = EN if locale.lower().startswith("en") else ZH
    return f"【{sign}】{words[wording].format(**values(name=name, time=time))}"


def values(*, name: str, time: str) -> dict[str, str]:
    """What stands in the placeholders, without the brackets by which operators find the sign."""
    return {"name": " ".join(name.replace("【", " ").replace("】", " ").split()), "time": time}
