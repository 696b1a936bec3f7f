"""The sender's statements: take what is due, note what came of it, find what a dead sender left behind.

Every claim raises `attempts`, which fences it off: the result of an older claim cannot undo a newer one.
"""

import datetime as dt
import math
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, bindparam, insert, or_, select, update
from sqlalchemy.orm import Session

from server import clock
from server.db import new_id, table
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
    phone: str
    provider: str
    lane: Lane
    tried_at: dt.datetime
    doubtful: int
    expires_at: dt.datetime


_text, _try = table(OutboxText), table(Attempt)
_now: Any = bindparam("now")
_QUEUED = and_(_text.c.state == TextState.QUEUED, _text.c.next_attempt_at <= _now)
_LEFT_BEHIND = and_(_text.c.state == TextState.CLAIMED, _text.c.lease_until <= _now)
_IN_DOUBT = and_(_text.c.state == TextState.UNKNOWN, _text.c.settled_at.is_(None), _text.c.next_attempt_at <= _now)
_ANYTHING = select(_text.c.id).where(or_(_QUEUED, _LEFT_BEHIND, _IN_DOUBT)).limit(1)
_DUE = (
    select(
        _text.c.id,
        _text.c.school_id,
        _text.c.recipient,
        _text.c.phone,
        _text.c.body,
        _text.c.lane,
        _text.c.lane_rank,
        _text.c.attempts,
        _text.c.provider,
        _text.c.expires_at,
    )
    .where(_QUEUED, _text.c.expires_at > _now, _text.c.lane_rank <= bindparam("last_lane"))
    .where(_text.c.recipient.not_in(bindparam("busy", expanding=True)))
    .order_by(_text.c.lane_rank, _text.c.next_attempt_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_CLAIM = (
    update(_text)
    .where(_text.c.id == bindparam("of_text"))
    .values(
        state=TextState.CLAIMED,
        attempts=bindparam("nth"),
        provider=bindparam("by"),
        lease_until=bindparam("lease"),
    )
)
_BEGIN = insert(_try)
_END = (
    update(_try)
    .where(_try.c.id == bindparam("of_try"))
    .values(ended_at=bindparam("at"), outcome=bindparam("came_to"), detail=bindparam("said"))
)
_MOVABLE = (
    "state",
    "next_attempt_at",
    "lease_until",
    "settled_at",
    "sent_at",
    "changed_at",
    "provider",
    "reference",
    "error",
)
_LOCKED = (
    select(_text.c.id, _text.c.attempts, *(_text.c[name] for name in _MOVABLE))
    .where(_text.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(_text.c.id)
    .with_for_update()
)
_MOVE = (
    update(_text)
    .where(_text.c.id == bindparam("of_text"))
    .values({name: bindparam(f"new_{name}") for name in _MOVABLE})
)


def anything_due(session: Session, now: dt.datetime) -> bool:
    """Whether a turn would find something to do; a plain read, so that idle senders lock nothing."""
    return session.execute(_ANYTHING, {"now": now}).first() is not None


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
    last_lane = len(rules.LANES) if others else 0
    taken: dict[str, Claim] = {}
    due = {"now": now, "most": free, "last_lane": last_lane, "busy": list(busy)}
    for row in session.execute(_DUE, due):
        other = row.lane_rank > 0
        if row.recipient in taken or (other and others == 0):
            continue
        if provider := provider_for(row.provider):
            others -= other
            taken[row.recipient] = _claim(row, provider)
    if taken:
        _begin(session, list(taken.values()), now)
    return list(taken.values())


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
    lease = clock.later(now, rules.LEASE)
    claimed = [{"of_text": each.text_id, "nth": each.n, "by": each.provider, "lease": lease} for each in claims]
    begun = [
        {
            "id": each.attempt_id,
            "school_id": each.school_id,
            "text_id": each.text_id,
            "n": each.n,
            "provider": each.provider,
            "started_at": now,
            "detail": "",
        }
        for each in claims
    ]
    session.execute(_CLAIM, claimed)
    session.execute(_BEGIN, begun)


def record(session: Session, results: Sequence[Result]) -> None:
    """Close the tries and move their texts on; what a receipt or a newer claim has said meanwhile stands."""
    rows = session.execute(_LOCKED, {"ids": [result.claim.text_id for result in results]})
    texts = {row.id: row for row in rows}
    known = [result for result in results if result.claim.text_id in texts]
    if known:
        session.execute(_END, [_ended(result) for result in known])
        session.execute(_MOVE, [_moved(texts[result.claim.text_id], result) for result in known])


def _ended(result: Result) -> dict[str, Any]:
    return {
        "of_try": result.claim.attempt_id,
        "at": result.at,
        "came_to": result.outcome,
        "said": result.detail[:200],
    }


def _moved(text: Any, result: Result) -> dict[str, Any]:
    old, step = TextState(text.state), result.step
    ours = old is TextState.CLAIMED and text.attempts == result.claim.n
    new = {name: getattr(text, name) for name in _MOVABLE}
    error = result.detail[:200] or None
    if result.outcome is Outcome.ACCEPTED:
        new |= {"sent_at": result.at, "reference": text.reference or result.reference, "changed_at": result.at}
        error = text.error if text.error == MAY_DOUBLE else None
    # Else its receipt came first, or its lease was over and somebody else has it.
    if ours or (result.outcome is Outcome.ACCEPTED and rules.forward(old, step.state)):
        new |= {"error": error, "changed_at": result.at} | _stepped(step, result.at)
    return {"of_text": text.id} | {f"new_{name}": value for name, value in new.items()}


def _stepped(step: Step, at: dt.datetime) -> dict[str, Any]:
    settled = step.state in rules.FINAL or step.due_in == math.inf
    change = {"state": step.state, "lease_until": None, "settled_at": at if settled else None}
    if settled:
        return change
    return change | {"next_attempt_at": clock.later(at, step.due_in), "provider": step.provider}


def sweep(session: Session, now: dt.datetime) -> None:
    """Expire what nobody needs any more; what a dead sender held is in doubt from now on."""
    over = and_(_text.c.state == TextState.QUEUED, _text.c.expires_at <= _now)
    _turn(session, over, now, state=TextState.EXPIRED, settled_at=now, error=NEVER_SENT)
    doubt = {"state": TextState.UNKNOWN, "lease_until": None, "next_attempt_at": now, "error": LEFT_BEHIND}
    _turn(session, _LEFT_BEHIND, now, **doubt)


def _turn(session: Session, which: Any, now: dt.datetime, **values: Any) -> None:
    found = select(_text.c.id).where(which).limit(500).with_for_update(skip_locked=True)
    ids = session.scalars(found, {"now": now}).all()
    if ids:
        session.execute(update(_text).where(_text.c.id.in_(ids)).values(changed_at=now, **values))


def doubts(session: Session, now: dt.datetime, limit: int) -> list[Doubt]:
    """Texts of unknown fate that are due to be asked about; no other sender gets them for a lease's time."""
    due = select(OutboxText).where(_IN_DOUBT).limit(limit).with_for_update(skip_locked=True)
    texts = {text.id: text for text in session.scalars(due, {"now": now})}
    tries: dict[uuid.UUID, list[Attempt]] = {text_id: [] for text_id in texts}
    for attempt in session.scalars(select(Attempt).where(Attempt.text_id.in_(texts)).order_by(Attempt.n)):
        tries[attempt.text_id].append(attempt)
    for text in texts.values():
        text.next_attempt_at = clock.later(now, rules.LEASE)
    return [_doubt(text, tries[text_id]) for text_id, text in texts.items() if tries[text_id]]


def _doubt(text: OutboxText, tries: Sequence[Attempt]) -> Doubt:
    return Doubt(
        text_id=text.id,
        phone=text.phone,
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
