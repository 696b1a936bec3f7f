"""A pupil's day, judged whole: facts in, verdict out. No clock, no database; `now` is an argument.

All times are whole seconds after the school's midnight of the judged date.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from server.calendar import rules as calendar

MINUTE = 60
HOUR = 3600
SEEN_BY_TEACHER = "seen_by_teacher_not_gate"

Session = calendar.Session
Leave = calendar.Leave


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
class Policy:
    """Minutes: late after `grace`, left early before `early`, absent from `absent_after` on."""

    grace: int = field(default=5, metadata={"least": 0, "most": 120})
    early: int = field(default=5, metadata={"least": 0, "most": 120})
    absent_after: int = field(default=30, metadata={"least": 1, "most": 600})


@dataclass(frozen=True)
class Tap:
    """A tap of this pupil on this date; `trusted` is false when its clock proves no time."""

    at: int
    direction: str  # in, out
    trusted: bool = True


class MarkKind(StrEnum):
    """What a teacher can say of a pupil in one session."""

    PRESENT = "present"
    ABSENT = "absent"
    LATE = "late"
    UNLOOKED = "unlooked"  # a register was finished, and nobody looked for the pupil: nothing may be concluded


@dataclass(frozen=True)
class Mark:
    """What a teacher saw in one session; late comes with minutes."""

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
    """A time inside; `left` is None while inside, and when the exit was forgotten.

    `late` and `early`: minutes against the session that this entry was the first of, or this exit the last of.
    """

    entered: int
    left: int | None = None
    late: int = 0
    early: int = 0
    carried: bool = False  # a boarder's, from an earlier day: no entry of this day began it


@dataclass(frozen=True)
class Night:
    """What a boarder's week adds to a day: inside since an earlier day, and whether the week goes on tomorrow.

    `unsure`: not known to be inside, but a tap of an earlier day whose clock was not set may have been the return.
    """

    inside: bool = False
    unsure: bool = False
    goes_on: bool = True


DAY_PUPIL = Night(goes_on=False)


@dataclass(frozen=True)
class Told:
    """What a family was told of a day: times of entries and exits in the order of telling, and entries without time."""

    entries: tuple[int, ...] = ()
    exits: tuple[int, ...] = ()
    unsure: int = 0


@dataclass(frozen=True)
class Day:
    """The whole day of one pupil."""

    sessions: dict[str, Verdict] = field(default_factory=dict)
    inside: bool = False
    flags: tuple[str, ...] = ()
    stays: tuple[Stay, ...] = ()
    exits: tuple[int, ...] = ()  # every trusted exit that ended a stay, or came before any entry, in order
    unsure: int = 0  # entries with an untrusted clock
    current: str | None = None  # the newest session that has begun
    by_teacher: tuple[str, ...] = ()  # sessions in which only a teacher saw the pupil
    closed: bool = False  # an hour after the last session: nobody is expected any more
    told: Told = Told()


def judge(
    *,
    sessions: Sequence[Session],
    policy: Policy,
    now: int,
    taps: Sequence[Tap] = (),
    leave: Sequence[Leave] = (),
    marks: Sequence[Mark] = (),
    gaps: Sequence[Gap] = (),
    night: Night = DAY_PUPIL,
) -> Day:
    """The verdict on a day from all its facts, in whatever order they came; taps after `now` are not known yet.

    Beyond day-rules.md: a boarder inside since an earlier day of the boarding week is inside from the day's begin,
    and has forgotten no exit before the week ends.

    A stay shows presence by its length, so who has only just entered is seen one second later: see judging_second.
    """
    known = [tap for tap in taps if tap.at <= now]
    path = _walk((tap for tap in known if tap.trusted), carried=night.inside)
    unsure = {(tap.at, tap.direction) for tap in known if not tap.trusted}
    bells = calendar.in_order(sessions)
    closing = max((session.ends for session in bells), default=now)
    closed = bool(bells) and now >= closing + HOUR
    forgotten = path.open and closed and not night.goes_on
    evidence = _Evidence(
        policy=policy,
        now=now,
        leave=tuple(leave),
        gaps=tuple(gaps),
        stays=path.stays,
        until=closing if closed else now,
        assumed=frozenset(calendar.begun(bells, at) for at in path.strays),
        unsure=sum(direction == "in" for _, direction in unsure),
        unsure_night=night.unsure and not path.tapped,
    )
    findings = {session.name: _found(session, evidence, marks) for session in bells}
    flags = path.flags.union(
        *(finding.flags for finding in findings.values()),
        ["exit_unknown"] if forgotten else [],
        ["time_uncertain"] if unsure or evidence.unsure_night else [],
        ["tap_on_off_day"] if not bells and path.tapped else [],
    )
    return Day(
        sessions={name: finding.verdict for name, finding in findings.items()},
        inside=path.open and (not closed or night.goes_on),
        flags=tuple(sorted(flags)),
        stays=_timed(bells, evidence),
        exits=path.exits,
        unsure=evidence.unsure,
        current=calendar.begun(bells, now),
        by_teacher=tuple(name for name, finding in findings.items() if SEEN_BY_TEACHER in finding.flags),
        closed=closed,
    )


def judging_second(now: int, taps: Iterable[Tap], *, ahead: int = 120) -> int:
    """The `now` to judge with when taps have just come: past their second, for clocks a little ahead of ours too."""
    return max([now, *(tap.at for tap in taps if tap.trusted and tap.at <= now + ahead)]) + 1


@dataclass(frozen=True)
class _Path:
    """Where the trusted taps led."""

    stays: tuple[Stay, ...]
    strays: tuple[int, ...]  # exits before any entry
    flags: frozenset[str]

    @property
    def open(self) -> bool:
        """No exit followed the last entry."""
        return bool(self.stays) and self.stays[-1].left is None

    @property
    def tapped(self) -> bool:
        """Whether anything of it happened on this day."""
        return bool(self.strays) or any(not stay.carried or stay.left is not None for stay in self.stays)

    @property
    def exits(self) -> tuple[int, ...]:
        """Strays are one exit: who is outside cannot leave again."""
        return self.strays[:1] + tuple(stay.left for stay in self.stays if stay.left is not None)


@dataclass(frozen=True)
class _Evidence:
    """All that a session is judged from, but for a teacher's mark."""

    policy: Policy
    now: int
    leave: tuple[Leave, ...]
    gaps: tuple[Gap, ...]
    stays: tuple[Stay, ...]
    until: int  # the end of a stay without an exit
    assumed: frozenset[str | None]  # sessions in which somebody must have been who left without having entered
    unsure: int
    unsure_night: bool  # a boarder may have come back on an earlier day, and nothing trusted was seen today


@dataclass(frozen=True)
class _Finding:
    """A verdict, whether the gate saw the pupil in that session, and what is odd about it."""

    verdict: Verdict
    seen: bool = False
    flags: frozenset[str] = frozenset()


def _walk(taps: Iterable[Tap], *, carried: bool) -> _Path:
    stays: list[Stay] = []
    strays: list[int] = []
    flags: set[str] = set()
    entered: int | None = 0 if carried else None
    # sorted: at the same second "in" comes before "out"
    for at, direction in sorted({(tap.at, tap.direction) for tap in taps}):
        if direction == "in" and entered is None:
            entered = at
        elif direction == "in":
            flags.add("in_in")
        elif entered is not None:
            stays.append(Stay(entered, at))
            entered = None
        elif stays:
            flags.add("out_out")
        else:
            strays.append(at)
            flags.add("entry_unknown")
    if entered is not None:
        stays.append(Stay(entered))
    if carried:
        stays[0] = replace(stays[0], carried=True)
    return _Path(tuple(stays), tuple(strays), frozenset(flags))


def _found(session: Session, evidence: _Evidence, marks: Sequence[Mark]) -> _Finding:
    return _marked(_by_gate(session, evidence), [mark for mark in marks if mark.session == session.name])


def _by_gate(session: Session, evidence: _Evidence) -> _Finding:
    starts, ends = calendar.shortened(session, evidence.leave)
    on_leave = starts >= ends
    if on_leave:
        starts, ends = session.starts, session.ends
    here = _presence(evidence.stays, starts, ends, until=evidence.until)
    seen = bool(here) or session.name in evidence.assumed
    if not seen:
        return _Finding(Verdict(State.EXCUSED) if on_leave else _missing(starts, evidence))
    if on_leave:
        return _Finding(Verdict(State.PRESENT), seen=True, flags=frozenset({"present_on_leave"}))
    late = _late(here[0], starts, evidence.policy) if here else 0
    early = _early(here[-1], ends, evidence.policy) if here else 0
    is_late = bool(here) and here[0].entered > starts + evidence.policy.grace * MINUTE
    return _Finding(Verdict(State.LATE if is_late else State.PRESENT, late, early), seen=True)


def _presence(stays: Iterable[Stay], starts: int, ends: int, *, until: int) -> list[Stay]:
    """The stays that share more than zero time with starts..ends; one without an exit lasts `until`."""
    return [stay for stay in stays if max(stay.entered, starts) < min(until if stay.left is None else stay.left, ends)]


def _late(stay: Stay, starts: int, policy: Policy) -> int:
    return (stay.entered - starts) // MINUTE if stay.entered > starts + policy.grace * MINUTE else 0


def _early(stay: Stay, ends: int, policy: Policy) -> int:
    return (ends - stay.left) // MINUTE if stay.left is not None and stay.left < ends - policy.early * MINUTE else 0


def _missing(starts: int, evidence: _Evidence) -> Verdict:
    cut_off = starts + evidence.policy.absent_after * MINUTE
    if evidence.now < cut_off:
        return Verdict(State.PENDING)
    silent = any(gap.starts < cut_off and gap.ends > starts - HOUR for gap in evidence.gaps)
    return Verdict(State.UNCONFIRMED if silent or evidence.unsure or evidence.unsure_night else State.ABSENT)


def _marked(finding: _Finding, marks: Sequence[Mark]) -> _Finding:
    """A teacher's word over the gate's; of several marks absent wins, then late. Not to have looked says nothing."""
    if any(mark.mark == "absent" for mark in marks):
        flags = finding.flags | ({"seen_by_gate_not_class"} if finding.seen else set())
        return _Finding(Verdict(State.ABSENT), finding.seen, flags)
    marks, looked_for = [mark for mark in marks if mark.mark != MarkKind.UNLOOKED], bool(marks)
    if finding.seen or not marks:
        unsure = looked_for and finding.verdict.state == State.ABSENT
        return replace(finding, verdict=Verdict(State.UNCONFIRMED)) if unsure else finding
    late = [mark.minutes for mark in marks if mark.mark == "late"]
    verdict = Verdict(State.LATE, late=max(late)) if late else Verdict(State.PRESENT)
    return _Finding(verdict, flags=finding.flags | {SEEN_BY_TEACHER})


def _timed(sessions: Sequence[Session], evidence: _Evidence) -> tuple[Stay, ...]:
    """The stays with the minutes that their entry was late and their exit early.

    An entry is late from its own second on, while rule 4 sees presence only after it: who enters now is told of now.
    """
    late: dict[int, int] = {}
    early: dict[int, int] = {}
    until = max([evidence.until, *(stay.entered + 1 for stay in evidence.stays)])
    for session in sessions:
        starts, ends = calendar.shortened(session, evidence.leave)
        here = _presence(evidence.stays, starts, ends, until=until)
        if here:
            late[here[0].entered] = late.get(here[0].entered, 0) or _late(here[0], starts, evidence.policy)
            early[here[-1].entered] = early.get(here[-1].entered, 0) or _early(here[-1], ends, evidence.policy)
    return tuple(
        replace(stay, late=late.get(stay.entered, 0), early=early.get(stay.entered, 0)) for stay in evidence.stays
    )


_WORDS = {
    State.PRESENT: Status.LEFT,  # seen in it, and not inside: gone
    State.LATE: Status.LEFT,
    State.PENDING: Status.NOT_YET,
    State.ABSENT: Status.UNEXPLAINED,
    State.UNCONFIRMED: Status.UNCONFIRMED,
    State.EXCUSED: Status.EXCUSED,
}


def status(day: Day) -> Status:
    """The word for now: where the pupil is, else what the newest begun session says (before the first: the first)."""
    verdict = day.sessions[day.current] if day.current else next(iter(day.sessions.values()), None)
    gone = bool(day.exits or day.stays)
    if day.inside or (day.current in day.by_teacher and not day.closed):
        return Status.LATE if verdict and verdict.state == State.LATE else Status.IN_SCHOOL
    if gone and day.current is None:
        return Status.LEFT
    if verdict is None:
        return Status.OFF
    if verdict.state == State.PENDING and day.unsure:
        return Status.UNCONFIRMED
    return _WORDS[verdict.state]
