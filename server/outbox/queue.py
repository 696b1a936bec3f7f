"""The sender's statements: take what is due, note what came of it, find what a dead sender left behind.

Every claim raises `attempts`, which fences it off: the result of an older claim cannot undo a newer one.
"""

import datetime as dt
import math
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, insert, or_, select, update
from sqlalchemy.orm import Session

from server import clock
from server.db import Base, new_id
from server.outbox import rules
from server.outbox.models import Attempt, OutboxText
from server.outbox.rules import Answer, Lane, Outcome, Step, TextState

LEFT_BEHIND = "the sender stopped while this text was on its way"
MAY_DOUBLE = "sent again: the first copy may have arrived too"
NEVER_SENT = "its time was over before it could be sent"


@dataclass(frozen=True)
class Claim:
    """A text that this sender, and no other, may send now: its n-th try."""

    text_id: uuid.UUID
    attempt_id: uuid.UUID
    school_id: str
    n: int
    provider: str
    recipient: str
    phone: str
    body: str
    lane: Lane
    expires_at: dt.datetime


@dataclass(frozen=True)
class Result:
    """What a try came to, at which moment; `step` is what follows from it."""

    claim: Claim
    outcome: Outcome
    step: Step
    at: dt.datetime
    reference: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class Doubt:
    """A text of which we do not know whether its provider took it; `doubtful` tries have no outcome."""

    text_id: uuid.UUID
    provider: str
    lane: Lane
    tried_at: dt.datetime
    doubtful: int
    expires_at: dt.datetime


def anything_due(session: Session, now: dt.datetime) -> bool:
    """Whether a turn would find something to do; a plain read, so that idle senders lock nothing."""
    due = or_(_queued(now), _left_behind(now), _in_doubt(now))
    return session.scalar(select(OutboxText.id).where(due).limit(1)) is not None


def _queued(now: dt.datetime) -> Any:
    return and_(OutboxText.state == TextState.QUEUED, OutboxText.next_attempt_at <= now)


def _left_behind(now: dt.datetime) -> Any:
    return and_(OutboxText.state == TextState.CLAIMED, OutboxText.lease_until <= now)


def _in_doubt(now: dt.datetime) -> Any:
    open_ones = and_(OutboxText.state == TextState.UNKNOWN, OutboxText.settled_at.is_(None))
    return and_(open_ones, OutboxText.next_attempt_at <= now)


def claim(
    session: Session,
    now: dt.datetime,
    *,
    room: tuple[int, int],
    busy: Collection[str],
    provider_for: Callable[[str | None], str | None],
) -> list[Claim]:
    """Take up to `room` (any lane, lanes other than the gate's) due texts, one a number, and note each try as begun."""
    free, others = room
    taken: dict[str, Claim] = {}
    for row in session.execute(_due(now, free, others, busy)):
        other = row.lane_rank > 0
        if row.recipient in taken or (other and others == 0):
            continue
        if provider := provider_for(row.provider):
            others -= other
            taken[row.recipient] = _claim(row, provider)
    _begin(session, list(taken.values()), now)
    return list(taken.values())


def _due(now: dt.datetime, free: int, others: int, busy: Collection[str]) -> Any:
    wanted = [_queued(now), OutboxText.expires_at > now]
    if others == 0:
        wanted.append(OutboxText.lane_rank == 0)
    if busy:
        wanted.append(OutboxText.recipient.not_in(busy))
    return (
        select(
            OutboxText.id,
            OutboxText.school_id,
            OutboxText.recipient,
            OutboxText.phone,
            OutboxText.body,
            OutboxText.lane,
            OutboxText.lane_rank,
            OutboxText.attempts,
            OutboxText.provider,
            OutboxText.expires_at,
        )
        .where(*wanted)
        .order_by(OutboxText.lane_rank, OutboxText.next_attempt_at)
        .limit(free)
        .with_for_update(skip_locked=True)
    )


def _claim(row: Any, provider: str) -> Claim:
    return Claim(
        text_id=row.id,
        attempt_id=new_id(),
        school_id=row.school_id,
        n=row.attempts + 1,
        provider=provider,
        recipient=row.recipient,
        phone=row.phone,
        body=row.body,
        lane=Lane(row.lane),
        expires_at=row.expires_at,
    )


def _begin(session: Session, claims: Sequence[Claim], now: dt.datetime) -> None:
    if not claims:
        return
    lease = clock.later(now, rules.LEASE)
    claimed = [
        {
            "id": claim.text_id,
            "state": TextState.CLAIMED,
            "attempts": claim.n,
            "provider": claim.provider,
            "lease_until": lease,
        }
        for claim in claims
    ]
    begun = [
        {
            "id": claim.attempt_id,
            "school_id": claim.school_id,
            "text_id": claim.text_id,
            "n": claim.n,
            "provider": claim.provider,
            "started_at": now,
            "detail": "",
        }
        for claim in claims
    ]
    _change(session, OutboxText, claimed)
    session.execute(insert(Attempt), begun)


def record(session: Session, results: Sequence[Result]) -> None:
    """Close the tries and move their texts on; what a receipt or a newer claim has said meanwhile stands."""
    ids = [result.claim.text_id for result in results]
    locked = select(OutboxText.id, OutboxText.state, OutboxText.attempts, OutboxText.reference, OutboxText.error)
    rows = session.execute(locked.where(OutboxText.id.in_(ids)).order_by(OutboxText.id).with_for_update())
    texts = {row.id: row for row in rows}
    known = [result for result in results if result.claim.text_id in texts]
    _change(session, Attempt, [_ended(result) for result in known])
    moved = [_moved(texts[result.claim.text_id], result) for result in known]
    _change(session, OutboxText, [change for change in moved if change])


def _change(session: Session, table: type[Base], changes: list[dict[str, Any]]) -> None:
    if changes:
        session.execute(update(table), changes)


def _ended(result: Result) -> dict[str, Any]:
    return {
        "id": result.claim.attempt_id,
        "ended_at": result.at,
        "outcome": result.outcome,
        "detail": result.detail[:200],
    }


def _moved(text: Any, result: Result) -> dict[str, Any]:
    old, step = TextState(text.state), result.step
    ours = old is TextState.CLAIMED and text.attempts == result.claim.n
    change: dict[str, Any] = {"id": text.id, "changed_at": result.at}
    error = result.detail[:200] or None
    if result.outcome is Outcome.ACCEPTED:
        change |= {"sent_at": result.at, "reference": text.reference or result.reference}
        error = text.error if text.error == MAY_DOUBLE else None
        if not (ours or rules.forward(old, step.state)):
            return change  # its receipt came first
    elif not ours:
        return {}
    return change | {"error": error} | _stepped(step, result.at)


def _stepped(step: Step, at: dt.datetime) -> dict[str, Any]:
    settled = step.state in rules.FINAL or step.due_in == math.inf
    change = {"state": step.state, "lease_until": None, "settled_at": at if settled else None}
    if settled:
        return change
    return change | {"next_attempt_at": clock.later(at, step.due_in), "provider": step.provider}


def sweep(session: Session, now: dt.datetime) -> None:
    """Expire what nobody needs any more; what a dead sender held is in doubt from now on."""
    over = and_(OutboxText.state == TextState.QUEUED, OutboxText.expires_at <= now)
    _turn(session, over, state=TextState.EXPIRED, settled_at=now, changed_at=now, error=NEVER_SENT)
    doubt = {"state": TextState.UNKNOWN, "lease_until": None, "next_attempt_at": now, "error": LEFT_BEHIND}
    _turn(session, _left_behind(now), changed_at=now, **doubt)


def _turn(session: Session, which: Any, **values: Any) -> None:
    ids = session.scalars(select(OutboxText.id).where(which).limit(500).with_for_update(skip_locked=True)).all()
    if ids:
        session.execute(update(OutboxText).where(OutboxText.id.in_(ids)).values(**values))


def doubts(session: Session, now: dt.datetime, limit: int) -> list[Doubt]:
    """Texts of unknown fate that are due to be asked about; no other sender gets them for a lease's time."""
    due = select(OutboxText).where(_in_doubt(now)).limit(limit).with_for_update(skip_locked=True)
    texts = {text.id: text for text in session.scalars(due)}
    tries: dict[uuid.UUID, list[Attempt]] = {text_id: [] for text_id in texts}
    for attempt in session.scalars(select(Attempt).where(Attempt.text_id.in_(texts)).order_by(Attempt.n)):
        tries[attempt.text_id].append(attempt)
    for text in texts.values():
        text.next_attempt_at = clock.later(now, rules.LEASE)
    return [_doubt(text, tries[text_id]) for text_id, text in texts.items() if tries[text_id]]


def _doubt(text: OutboxText, tries: Sequence[Attempt]) -> Doubt:
    return Doubt(
        text_id=text.id,
        provider=tries[-1].provider,
        lane=Lane(text.lane),
        tried_at=tries[-1].started_at,
        doubtful=sum(attempt.outcome in {None, Outcome.UNKNOWN} for attempt in tries),
        expires_at=text.expires_at,
    )


def settle(session: Session, doubt: Doubt, step: Step, answer: Answer, now: dt.datetime) -> None:
    """Write down what became of a text in doubt, unless a receipt has said it meanwhile."""
    text = session.get(OutboxText, doubt.text_id, with_for_update=True, populate_existing=True)
    if text is None or text.state != TextState.UNKNOWN:
        return
    error = MAY_DOUBLE if step.state is TextState.QUEUED and answer is Answer.CANNOT_SAY else text.error
    for name, value in _stepped(step, now).items():
        setattr(text, name, value)
    taken = answer is Answer.TAKEN
    text.error = None if taken else error
    text.sent_at = text.sent_at or (doubt.tried_at if taken else None)
    text.changed_at = now
