"""The sender's other statements: note what came of a try, find what a dead sender left behind, settle doubts."""

import datetime as dt
import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, bindparam, func, or_, select, update
from sqlalchemy.orm import Session

from server import clock
from server.db import table
from server.outbox import receipts, rules, spending
from server.outbox.claims import QUEUED, Result
from server.outbox.models import Attempt, OutboxText
from server.outbox.rules import Answer, Lane, Outcome, Step, TextState

LEFT_BEHIND = "the sender stopped while this text was on its way"
MAY_DOUBLE = "sent again: the first copy may have arrived too"
NEVER_SENT = "its time was over before it could be sent"


@dataclass(frozen=True)
class Doubt:
    """A text of which we do not know whether its provider took it; `doubtful` tries have no outcome."""

    text_id: uuid.UUID
    phone: str
    body: str
    provider: str
    lane: Lane
    tried_at: dt.datetime
    doubtful: int
    expires_at: dt.datetime


_text, _try = table(OutboxText), table(Attempt)
_now: Any = bindparam("now")
_LEFT_BEHIND = and_(_text.c.state == TextState.CLAIMED, _text.c.lease_until <= _now)
_IN_DOUBT = and_(_text.c.state == TextState.UNKNOWN, _text.c.settled_at.is_(None), _text.c.next_attempt_at <= _now)
_ANYTHING = select(_text.c.id).where(or_(QUEUED, _LEFT_BEHIND, _IN_DOUBT)).limit(1)
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
    select(
        *(_text.c[name] for name in ("id", "school_id", "day", "attempts", "segments")),
        *(_text.c[name] for name in _MOVABLE),
    )
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


def record(session: Session, results: Sequence[Result]) -> None:
    """Close the tries and move their texts on; what a receipt or a newer claim has said meanwhile stands."""
    if not results:
        return
    rows = session.execute(_LOCKED, {"ids": [result.claim.text_id for result in results]})
    texts = {row.id: row for row in rows}
    known = [result for result in results if result.claim.text_id in texts]
    if known:
        session.execute(_END, [_ended(result) for result in known])
        session.execute(_MOVE, [_moved(texts[result.claim.text_id], result) for result in known])
        spending.add(session, [_cost(texts[result.claim.text_id], result) for result in known if _is_billed(result)])
        accepted = [result for result in known if result.outcome is Outcome.ACCEPTED]
        several = [result.claim.text_id for result in accepted if texts[result.claim.text_id].segments > 1]
        receipts.note_parts(session, accepted, several)


def _is_billed(result: Result) -> bool:
    """What a provider may have taken counts: better a little too much than a limit that leaks."""
    return result.outcome in {Outcome.ACCEPTED, Outcome.UNKNOWN}


def _cost(text: Any, result: Result) -> spending.Cost:
    return spending.Cost(text.school_id, text.day, result.claim.provider, max(text.segments, len(result.references)))


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
        new |= {
            "sent_at": result.at,
            "reference": text.reference or next(iter(result.references), None),
            "changed_at": result.at,
        }
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
    why = func.coalesce(_text.c.error, NEVER_SENT)
    _turn(session, over, now, state=TextState.EXPIRED, settled_at=now, error=why)
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
        body=text.body,
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
