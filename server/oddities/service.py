"""Noticing odd uses in the transaction that stores the taps: a handful of statements a batch, most of them seldom.

A batch in which nothing is odd costs one look at the taps around it.
"""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import and_, bindparam, case, delete, select, union_all
from sqlalchemy.orm import Session

from server.cards.models import CardState
from server.cards.proving import Proof
from server.cards.rules import RANDOM, Verdict
from server.cards.service import Held
from server.db import insert, insert_new, new_id, table
from server.oddities import rules
from server.oddities.memory import Memory
from server.oddities.models import OddUse
from server.oddities.rules import Finding, Key, Kind, Sight
from server.people.models import Pupil, SchoolClass
from server.schools.models import School
from server.taps.models import Tap
from server.taps.service import NewTap

WINDOWS = 2  # a batch that was held up spans hours: so many spans of it are looked at

NEVER = datetime(1970, 1, 1, tzinfo=UTC)

Day = tuple[uuid.UUID, date]  # one pupil's day

_tap, _odd = table(Tap), table(OddUse)
_COLUMNS = [_tap.c[name] for name in ("pupil_id", "day", "card", "at", "direction", "gateway_id", "reader_id")]
_TIMED = and_(_tap.c.school_id == bindparam("school"), _tap.c.clock != "unsynced")
_PUPILS: Any = bindparam("pupils", expanding=True)
_AROUND = union_all(
    select(*_COLUMNS).where(_TIMED, _tap.c.day.in_(bindparam("days", expanding=True)), _tap.c.pupil_id.in_(_PUPILS)),
    *(
        select(*_COLUMNS)
        .where(_TIMED, _tap.c.at.between(bindparam(f"from{n}"), bindparam(f"to{n}")))
        .where(_tap.c.pupil_id.not_in(_PUPILS))
        for n in range(WINDOWS)
    ),
)
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


def notice(session: Session, school: School, kept: Kept, memory: Memory, now: datetime) -> None:
    """Write down what is odd about these taps, in the caller's transaction, after their pupils' days were locked."""
    if not kept.new:
        return
    _add(session, school.id, _of_cards(kept), now)
    policy = memory.policy(school)
    within = timedelta(milliseconds=policy.together_ms)
    new = [tap for tap in kept.new if tap.pupil_id and tap.timed]
    if not new:
        return
    seen = _around(session, school.id, new, within)
    busy = {day: sights for day, sights in seen.by_day.items() if len(sights) > 1}
    if busy:
        _judge(session, school, _Busy(busy, _ends(session, school, busy, memory), new, policy), now)
    if within and (pairs := rules.together(seen.near, within)):
        session.execute(insert_new(_odd), _rows(school.id, pairs, now))


def _of_cards(kept: Kept) -> dict[Key, Finding]:
    """What single taps show: cards that were lost, pupils who have left, messages that prove nothing."""
    found: dict[Key, Finding] = {}
    for tap in kept.new:
        proof = kept.proofs.get(tap.id)
        card = (proof.card if proof else None) or kept.held.get(tap.card)
        for kind in _kinds(proof, card):
            one = _of_card(kind, tap, card)
            other = found.get(one.key)
            found[one.key] = replace(min(one, other, key=_at), times=other.times + 1) if other else one
    return found


def _at(finding: Finding) -> datetime:
    return finding.at


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


def _around(session: Session, school_id: str, new: Sequence[NewTap], within: timedelta) -> _Seen:
    days = {(tap.pupil_id, tap.day) for tap in new if tap.pupil_id}
    given: dict[str, Any] = {"school": school_id, "days": sorted({day for _, day in days})}
    given["pupils"] = sorted({pupil_id for pupil_id, _ in days})
    spans = rules.spans([tap.at for tap in new], within, WINDOWS)
    for n in range(WINDOWS):
        given[f"from{n}"], given[f"to{n}"] = spans[n] if n < len(spans) else (NEVER, NEVER)
    by_day: dict[Day, list[Sight]] = defaultdict(list)
    near = []
    for row in session.execute(_AROUND, given):
        sight = Sight(*row)
        if (sight.pupil_id, sight.day) in days:
            by_day[sight.pupil_id, sight.day].append(sight)
        if any(starts <= sight.at <= ends for starts, ends in spans):
            near.append(sight)
    return _Seen(by_day, near)


@dataclass(frozen=True)
class _Busy:
    """Days of pupils with more than one tap, when their lessons end, the taps that came just now, and the policy."""

    days: Mapping[Day, list[Sight]]
    ends: Mapping[Day, datetime]
    new: Sequence[NewTap]
    policy: rules.Policy

    def out_of_order(self) -> bool:
        """Whether a tap came that was not its pupil's newest: then it may explain what stood there before."""
        newest = {day: max(sight.at for sight in sights) for day, sights in self.days.items()}
        return any(
            tap.at < newest[tap.pupil_id, tap.day]
            for tap in self.new
            if tap.pupil_id is not None and (tap.pupil_id, tap.day) in newest
        )


def _ends(session: Session, school: School, days: Mapping[Day, list[Sight]], memory: Memory) -> dict[Day, datetime]:
    """When the lessons of these pupils end, of those who came in later than that; seldom anybody, and then asked."""
    ends = {day: memory.closings(school, day) for day in {day for _, day in days}}
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


def _judge(session: Session, school: School, busy: _Busy, now: datetime) -> None:
    """Make the rows of these days say what all their taps say."""
    found: dict[Key, Finding] = {}
    for day, sights in busy.days.items():
        found |= {finding.key: finding for finding in rules.of_day(sights, busy.policy, busy.ends.get(day))}
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
