"""Noticing odd uses in the transaction that stores the taps: a handful of statements a batch, most of them seldom.

A batch in which nobody was seen before on its day costs one look at the taps around it.
"""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, case, delete, or_, select, union_all
from sqlalchemy.orm import Session

from server import settings
from server.cards.models import CardState
from server.cards.proving import Proof
from server.cards.rules import RANDOM, Verdict
from server.cards.service import Held
from server.db import insert, insert_new, new_id, table
from server.oddities import rules
from server.oddities.closings import Closings
from server.oddities.models import OddUse
from server.oddities.rules import Finding, Key, Kind, Sight
from server.people.models import Pupil, SchoolClass
from server.schools.models import School
from server.taps.models import Tap
from server.taps.service import NewTap

LOOK = timedelta(seconds=2)  # around each tap: the most that Policy.together_ms can be
WINDOWS = 4  # a batch that was held up spans hours: so many spans of it are looked at

Day = tuple[uuid.UUID, date]  # one pupil's day

_tap, _odd = table(Tap), table(OddUse)
_SIGHT = select(
    _tap.c.id,
    _tap.c.pupil_id,
    _tap.c.day,
    _tap.c.card,
    _tap.c.at,
    _tap.c.direction,
    _tap.c.gateway_id,
    _tap.c.reader_id,
).where(_tap.c.school_id == bindparam("school"), _tap.c.pupil_id.is_not(None), _tap.c.clock != "unsynced")
_AROUND = union_all(
    _SIGHT.where(_tap.c.day.in_(bindparam("days", expanding=True)))
    .where(_tap.c.pupil_id.in_(bindparam("pupils", expanding=True))),
    _SIGHT.where(or_(*(_tap.c.at.between(bindparam(f"from{n}"), bindparam(f"to{n}")) for n in range(WINDOWS)))),
)  # fmt: skip
_WRITTEN = (
    select(_odd.c.id, _odd.c.day, _odd.c.kind, _odd.c.subject, _odd.c.at, _odd.c.times, _odd.c.seen_at)
    .where(_odd.c.school_id == bindparam("school"), _odd.c.day.in_(bindparam("days", expanding=True)))
    .where(_odd.c.kind.in_([kind.value for kind in rules.OF_PUPILS]))
    .where(_odd.c.subject.in_(bindparam("subjects", expanding=True)))
)
_TIMETABLES = (
    select(Pupil.id, SchoolClass.timetable)
    .join(SchoolClass, SchoolClass.id == Pupil.class_id)
    .where(Pupil.id.in_(bindparam("pupils", expanding=True)))
)
_STATES = {CardState.LOST: Kind.LOST, CardState.BLOCKED: Kind.BLOCKED}


@dataclass(frozen=True)
class Kept:
    """A batch as it was stored: taps not known before, what is known of their cards, and what they proved."""

    new: Sequence[NewTap]
    held: Mapping[str, Held]
    proofs: Mapping[uuid.UUID, Proof]


def notice(session: Session, school: School, kept: Kept, closings: Closings, now: datetime) -> None:
    """Write down what is odd about these taps, in the caller's transaction, after their pupils' days were locked."""
    if not kept.new:
        return
    _add(session, school.id, _of_cards(kept), now)
    days = {(tap.pupil_id, tap.day) for tap in kept.new if tap.pupil_id and tap.timed}
    if not days:
        return
    seen = _around(session, school.id, kept.new, days)
    pairs = rules.together(seen.near, LOOK)
    busy = {day: sights for day, sights in seen.by_day.items() if len(sights) > 1}
    if not pairs and not busy:
        return
    policy = settings.policy(school.id, rules.Policy)
    if busy:
        _judge(session, school, _Busy(busy, _ends(session, school, busy, closings), kept.new), policy, now)
    within = timedelta(milliseconds=policy.together_ms)
    if policy.together_ms and (found := [pair for pair in pairs if pair.before and pair.at - pair.before <= within]):
        session.execute(insert_new(_odd), _rows(school.id, found, now))


def _of_cards(kept: Kept) -> dict[Key, Finding]:
    """What single taps show: cards that were lost, pupils who have left, messages that prove nothing."""
    found: dict[Key, Finding] = {}
    for tap in sorted(kept.new, key=lambda tap: (tap.at, tap.id)):
        proof = kept.proofs.get(tap.id)
        card = (proof.card if proof else None) or kept.held.get(tap.card)
        for kind in _kinds(proof, card):
            one = _of_card(kind, tap, card)
            first = found.get(one.key)
            found[one.key] = replace(first, times=first.times + 1) if first else one
    return found


def _kinds(proof: Proof | None, card: Held | None) -> Iterator[Kind]:
    if proof is not None and proof.verdict is not Verdict.PROVEN:
        yield Kind(proof.verdict.value)
    if card is not None and card.state in _STATES:
        yield _STATES[CardState(card.state)]
    elif card is not None and card.pupil_id and not card.in_school:
        yield Kind.LEFT_SCHOOL


def _subject(tap: NewTap, card: Held | None) -> str:
    """A number that was made up for one reading says nothing; then it is the reader at which it happens."""
    if card is not None:
        return card.text
    return f"{tap.gateway_id}/{tap.reader_id}" if RANDOM.fullmatch(tap.card) else tap.card


def _of_card(kind: Kind, tap: NewTap, card: Held | None) -> Finding:
    return Finding(
        day=tap.day,
        kind=kind,
        subject=_subject(tap, card),
        at=tap.at,
        gate=tap.gateway_id,
        pupil_id=card.pupil_id if card else None,
        card=card.text if card else tap.card,
    )


def _add(session: Session, school_id: str, found: Mapping[Key, Finding], now: datetime) -> None:
    if not found:
        return
    statement = insert(_odd)
    new = statement.excluded
    again = {"times": _odd.c.times + new.times, "at": case((new.at < _odd.c.at, new.at), else_=_odd.c.at)}
    session.execute(
        statement.on_conflict_do_update(index_elements=_SAME, set_=again), _rows(school_id, found.values(), now)
    )


@dataclass(frozen=True)
class _Seen:
    """Taps whose time is known: of the batch's pupils on its days, and of anybody within moments of its taps."""

    by_day: Mapping[Day, list[Sight]]
    near: list[Sight]


def _around(session: Session, school_id: str, new: Sequence[NewTap], days: Collection[Day]) -> _Seen:
    given: dict[str, Any] = {"school": school_id, "days": sorted({day for _, day in days})}
    given["pupils"] = sorted({pupil_id for pupil_id, _ in days})
    spans = rules.spans([tap.at for tap in new if tap.pupil_id and tap.timed], LOOK, WINDOWS)
    for n, (starts, ends) in enumerate(spans):
        given |= {f"from{n}": starts, f"to{n}": ends}
    rows = {row.id: row for row in session.execute(_AROUND, given)}
    by_day: dict[Day, list[Sight]] = defaultdict(list)
    near = []
    for row in rows.values():
        sight = Sight(row.id, row.pupil_id, row.day, row.card, row.at, row.direction, row.gateway_id, row.reader_id)
        if (row.pupil_id, row.day) in days:
            by_day[row.pupil_id, row.day].append(sight)
        if any(starts <= row.at <= ends for starts, ends in spans):
            near.append(sight)
    return _Seen(by_day, near)


@dataclass(frozen=True)
class _Busy:
    """Days of pupils with more than one tap, when their lessons end, and the taps that came just now."""

    days: Mapping[Day, list[Sight]]
    ends: Mapping[Day, datetime]
    new: Sequence[NewTap]

    def out_of_order(self) -> bool:
        """Whether a tap came that was not its pupil's newest: then it may explain what stood there before."""
        newest = {day: max(sight.at for sight in sights) for day, sights in self.days.items()}
        return any(
            tap.at < newest[tap.pupil_id, tap.day]
            for tap in self.new
            if tap.pupil_id is not None and (tap.pupil_id, tap.day) in newest
        )


def _ends(session: Session, school: School, days: Mapping[Day, list[Sight]], closings: Closings) -> dict[Day, datetime]:
    """When the lessons of these pupils end, of those who came in later than that; seldom anybody, and then asked."""
    ends = {day: closings.of(session, school, day) for day in {day for _, day in days}}
    late = [
        (pupil_id, day)
        for (pupil_id, day), sights in days.items()
        if ends[day] and any(sight.direction == "in" and sight.at > min(ends[day].values()) for sight in sights)
    ]
    if not late:
        return {}
    given = {"pupils": sorted({pupil_id for pupil_id, _ in late})}
    timetables = {pupil_id: timetable for pupil_id, timetable in session.execute(_TIMETABLES, given)}
    return {(pupil, day): ends[day][timetables[pupil]] for pupil, day in late if timetables[pupil] in ends[day]}


def _judge(session: Session, school: School, busy: _Busy, policy: rules.Policy, now: datetime) -> None:
    """Make the rows of these days say what all their taps say."""
    found: dict[Key, Finding] = {}
    for day, sights in busy.days.items():
        found |= {finding.key: finding for finding in rules.of_day(sights, policy, busy.ends.get(day))}
    if not found and not busy.out_of_order():
        return
    changes = rules.changes(found, _written(session, school.id, busy.days))
    if changes.write:
        statement = insert(_odd)
        said = {name: statement.excluded[name] for name in ("at", "before", "gate", "other_gate", "card", "times")}
        rows = _rows(school.id, changes.write, now)
        session.execute(statement.on_conflict_do_update(index_elements=_SAME, set_=said), rows)
    if changes.remove:
        session.execute(delete(_odd).where(_odd.c.id.in_(changes.remove)))


def _written(session: Session, school_id: str, days: Collection[Day]) -> dict[Key, rules.Written]:
    given = {
        "school": school_id,
        "days": sorted({day for _, day in days}),
        "subjects": sorted({pupil_id.hex for pupil_id, _ in days}),
    }
    return {
        (row.day, row.kind, row.subject): rules.Written(row.id, row.at, row.times, row.seen_at is not None)
        for row in session.execute(_WRITTEN, given)
        if (uuid.UUID(row.subject), row.day) in days
    }


_SAME = ["school_id", "day", "kind", "subject"]


def _rows(school_id: str, findings: Iterable[Finding], now: datetime) -> list[dict[str, Any]]:
    """In one order for all workers, so that two never wait for each other."""
    rest = {"school_id": school_id, "noticed_at": now, "seen_at": None, "seen_by": None}
    return [
        rest | vars(finding) | {"id": new_id(), "kind": finding.kind.value}
        for finding in sorted(findings, key=lambda finding: finding.key)
    ]
