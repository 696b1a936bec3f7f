"""What is odd about a day's taps: one card at two places, in twice, back after the last lesson, two cards in one hand.

No clock, no database. Taps are judged by their own times, all of a day together, so their order of arrival does not
matter; a tap whose gate did not know the time proves nothing here.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import pairwise

SAME_PASSAGE = 60  # seconds: a second touch within them is the same passage (taps.rules.PASSAGE)
TOUCHED = ("em4100:", "iso14443a:", "w26:", "w34:")  # read within a hand's breadth; tags are read by the crowd


class Kind(StrEnum):
    """What was odd. The first four are judged from a day's taps, the others are said of single ones."""

    TWO_GATES = "two_gates"
    IN_IN = "in_in"
    AFTER_LEAVING = "after_leaving"
    TOGETHER = "together"
    LOST = "lost"
    BLOCKED = "blocked"
    LEFT_SCHOOL = "left_school"
    PLAIN = "plain"
    REPLAY = "replay"
    LATE = "late"
    MAC = "mac"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    OTHER = "other"


Key = tuple[date, str, str]  # day, kind, subject
OF_PUPILS = (Kind.TWO_GATES, Kind.IN_IN, Kind.AFTER_LEAVING)


@dataclass(frozen=True)
class Policy:
    """What counts as odd; 0 switches a rule off.

    `gates_seconds`: at two gates within these. `between`: longer or shorter walks, as in {"gate-1+gate-3": 300}.
    `in_in`: in twice without an out; off where exits have no reader. `after_leaving`: in after an out when the pupil's
    lessons are over. `together_ms`: two pupils' cards at one reader within these; on `together_days` different days of
    the last 30 it is more than chance, and stands on Today.
    """

    gates_seconds: int = field(default=120, metadata={"least": 0, "most": 3600})
    between: dict[str, int] = field(default_factory=dict)
    in_in: bool = True
    after_leaving: bool = True
    together_ms: int = field(default=1000, metadata={"least": 0, "most": 2000})
    together_days: int = field(default=3, metadata={"least": 1, "most": 20})

    def walk(self, one: str, other: str) -> timedelta:
        """How long it takes at least from one gate to the other."""
        seconds = self.between.get("+".join(sorted((one, other))), self.gates_seconds)
        return timedelta(seconds=seconds)


@dataclass(frozen=True)
class Sight:
    """One tap of one pupil; `day` is the school's."""

    pupil_id: uuid.UUID
    day: date
    card: str
    at: datetime
    direction: str  # in, out, both
    gate: str
    reader: str


@dataclass(frozen=True)
class Finding:
    """Something odd; `before` and `other_gate` are of the tap that makes the one at `at` odd."""

    day: date
    kind: Kind
    subject: str
    at: datetime
    gate: str
    pupil_id: uuid.UUID | None = None
    other_id: uuid.UUID | None = None
    card: str = ""
    other_gate: str = ""
    before: datetime | None = None
    times: int = 1

    @property
    def key(self) -> Key:
        """There is one row for each."""
        return self.day, self.kind, self.subject


def in_order(sights: Iterable[Sight]) -> list[Sight]:
    """By time; of the same moment an `in` stands first, as in attendance."""
    return sorted(sights, key=lambda sight: (sight.at, sight.direction, sight.gate, sight.card))


def of_day(sights: Iterable[Sight], policy: Policy, closing: datetime | None) -> list[Finding]:
    """What is odd about all taps of one pupil on one day, each kind once; `closing` ends the pupil's last lesson."""
    taps = in_order(sights)
    rules = (
        (Kind.TWO_GATES, two_gates(taps, policy)),
        (Kind.IN_IN, in_in(taps) if policy.in_in else ()),
        (Kind.AFTER_LEAVING, after_leaving(taps, closing) if closing and policy.after_leaving else ()),
    )
    return [_found(kind, pairs) for kind, found in rules if (pairs := list(found))]


def two_gates(taps: Sequence[Sight], policy: Policy) -> Iterator[tuple[Sight, Sight]]:
    """Pairs of taps at two gates with less time between than the walk takes."""
    for one, other in pairwise(taps):
        if one.gate != other.gate and other.at - one.at < policy.walk(one.gate, other.gate):
            yield one, other


def in_in(taps: Iterable[Sight]) -> Iterator[tuple[Sight, Sight]]:
    """Entries of who was inside already, as far as readers for one way show it; with the entry before."""
    entered: Sight | None = None
    last: datetime | None = None
    for tap in taps:
        same = last is not None and (tap.at - last).total_seconds() < SAME_PASSAGE
        if tap.direction == "out" or (tap.direction == "both" and entered and not same):
            entered = None
        elif entered is None and not (tap.direction == "both" and same):
            entered = tap
        elif tap.direction == "in" and entered is not None and not same:
            yield entered, tap
            entered = tap
        last = tap.at


def after_leaving(taps: Iterable[Sight], closing: datetime) -> Iterator[tuple[Sight, Sight]]:
    """Entries after an exit when the last lesson is over."""
    left: Sight | None = None
    for tap in taps:
        if tap.direction == "in" and left is not None and tap.at > closing:
            yield left, tap
        left = tap if tap.direction == "out" else left if tap.direction == "both" else None


def _found(kind: Kind, pairs: Sequence[tuple[Sight, Sight]]) -> Finding:
    """The first of them, and how often."""
    before, tap = pairs[0]
    return Finding(
        day=tap.day,
        kind=kind,
        subject=tap.pupil_id.hex,
        at=tap.at,
        gate=tap.gate,
        pupil_id=tap.pupil_id,
        card=tap.card,
        other_gate=before.gate,
        before=before.at,
        times=len(pairs),
    )


def together(sights: Iterable[Sight], within: timedelta) -> list[Finding]:
    """Two pupils' cards, one right after the other at one reader, so fast that one hand may have held both."""
    found: dict[str, Finding] = {}
    by_reader: dict[tuple[str, str], list[Sight]] = {}
    for sight in in_order(sight for sight in sights if sight.card.startswith(TOUCHED)):
        by_reader.setdefault((sight.gate, sight.reader), []).append(sight)
    for taps in by_reader.values():
        for one, other in pairwise(taps):
            if one.pupil_id != other.pupil_id and other.at - one.at <= within:
                finding = _pair(one, other)
                found.setdefault(finding.subject, finding)
    return list(found.values())


def _pair(one: Sight, other: Sight) -> Finding:
    first, second = sorted((one.pupil_id, other.pupil_id))
    return Finding(
        day=other.day,
        kind=Kind.TOGETHER,
        subject=f"{first.hex}+{second.hex}",
        at=other.at,
        gate=other.gate,
        pupil_id=first,
        other_id=second,
        other_gate=one.gate,
        before=one.at,
    )


def spans(times: Iterable[datetime], around: timedelta, most: int) -> list[tuple[datetime, datetime]]:
    """At most so many spans, not one more than it takes, that hold all these times and what is around each."""
    found: list[tuple[datetime, datetime]] = []
    for at in sorted(times):
        if found and at - around <= found[-1][1]:
            found[-1] = (found[-1][0], at + around)
        else:
            found.append((at - around, at + around))
    while len(found) > most:
        nearest = min(range(1, len(found)), key=lambda n: found[n][0] - found[n - 1][1])
        found[nearest - 1 : nearest + 1] = [(found[nearest - 1][0], found[nearest][1])]
    return found


@dataclass(frozen=True)
class Changes:
    """What is to be written so that the rows of some pupils' days say what the findings say."""

    write: tuple[Finding, ...]
    remove: tuple[uuid.UUID, ...]


@dataclass(frozen=True)
class Written:
    """A row as it stands."""

    id: uuid.UUID
    at: datetime
    times: int
    seen: bool


def changes(findings: Mapping[Key, Finding], rows: Mapping[Key, Written]) -> Changes:
    """What a later tap has explained goes, unless somebody has seen it already."""
    write = tuple(
        finding
        for key, finding in findings.items()
        if key not in rows or (rows[key].at, rows[key].times) != (finding.at, finding.times)
    )
    gone = tuple(row.id for key, row in rows.items() if key not in findings and not row.seen)
    return Changes(write, gone)
