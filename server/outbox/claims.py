"""Take what is due: by lane, in order a number, within the limits; what may not go now waits or is put away, with why.

Every claim raises `attempts`, which fences it off: the result of an older claim cannot undo a newer one.
"""

import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, bindparam, insert, select, text, update
from sqlalchemy.orm import Session

from server import clock
from server.config import Limits
from server.db import new_id, table
from server.outbox import limits as rule
from server.outbox import rules, segments
from server.outbox.limits import Brief, Hold
from server.outbox.models import Attempt, OutboxText
from server.outbox.rules import Held, Lane, Outcome, Step, TextState
from server.outbox.spending import Purse

MONEY_AGAIN = 60.0  # seconds until a text that waits for money looks again: the limit may have been raised
Router = Callable[[str | None, Lane], str | None]


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
    wording: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What a try came to, at which moment; `step` is what follows from it."""

    claim: Claim
    outcome: Outcome
    step: Step
    at: dt.datetime
    references: Sequence[str] = ()
    detail: str = ""


@dataclass(frozen=True)
class Taken:
    """What a look at the queue came to: texts to be sent, and how many were held."""

    claims: Sequence[Claim] = ()
    held: int = 0


_text, _try = table(OutboxText), table(Attempt)
_now: Any = bindparam("now")
QUEUED = and_(_text.c.state == TextState.QUEUED, _text.c.next_attempt_at <= _now)
_BRIEF = tuple(_text.c[name] for name in Brief.__dataclass_fields__)
_DUE = (
    select(
        *_BRIEF,
        *(_text.c[name] for name in ("school_id", "phone", "body", "lane_rank", "provider", "expires_at", "day")),
        *(_text.c[name] for name in ("segments", "values", "late_at", "late_body")),
    )
    .where(QUEUED, _text.c.expires_at > _now, _text.c.lane_rank <= bindparam("last_lane"))
    .order_by(_text.c.lane_rank, _text.c.next_attempt_at, _text.c.event_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_OTHERS = select(*_BRIEF).where(
    _text.c.recipient.in_(bindparam("recipients", expanding=True)), _text.c.created_at > bindparam("since")
)
# Two senders that take two texts of one number at the same moment would not see each other's claim.
_OURS = text("SELECT k FROM unnest(CAST(:keys AS bigint[])) AS k WHERE pg_try_advisory_xact_lock(k)")
_CLAIM = (
    update(_text)
    .where(_text.c.id == bindparam("of_text"))
    .values(
        {
            "state": TextState.CLAIMED,
            "attempts": bindparam("nth"),
            "provider": bindparam("by"),
            "lease_until": bindparam("lease"),
            "body": bindparam("says"),
            "wording": bindparam("in_words"),
            "segments": bindparam("billed"),
            "late_at": bindparam("still_late_at"),
            "held": None,
        }
    )
)
_HOLD = (
    update(_text)
    .where(_text.c.id == bindparam("of_text"))
    .values(
        state=bindparam("is_now"),
        held=bindparam("why"),
        next_attempt_at=bindparam("again"),
        settled_at=bindparam("settled"),
        changed_at=bindparam("at"),
    )
)
_BEGIN = insert(_try)


def claim(
    session: Session,
    now: dt.datetime,
    *,
    room: tuple[int, int],
    provider_for: Router,
    purse: Purse | None = None,
) -> Taken:
    """Take up to `room` (any lane, lanes other than the gate's) due texts, and note each try as begun.

    At most one text of a number and lane is on its way, whoever sends it. `provider_for` says by whom a text goes,
    or that nobody can take it now.
    """
    free, others = room
    last_lane = len(rules.LANES) if others else 0
    rows = session.execute(_DUE, {"now": now, "most": free, "last_lane": last_lane}).all()
    rows = _only_ours(session, rows)
    if not rows:
        return Taken()
    purse = purse or Purse(Limits())
    purse.look(session, {(row.school_id, row.day) for row in rows})
    holds = _holds(session, rows, purse, now)
    taken: dict[tuple[str, int], Any] = {}
    for row in rows:
        place, other = (row.recipient, row.lane_rank), row.lane_rank > 0
        if row.id in holds or place in taken or (other and others == 0):
            continue
        if provider := provider_for(row.provider, Lane(row.lane)):
            others -= other
            taken[place] = (row, _claim(row, provider, now))
    _begin(session, list(taken.values()), now)
    _put_away(session, holds, now)
    return Taken([claim for _, claim in taken.values()], len(holds))


def _only_ours(session: Session, rows: Sequence[Any]) -> Sequence[Any]:
    """Those whose number no other sender is just looking at; SQLite has one writer at a time."""
    if not rows or session.get_bind().dialect.name != "postgresql":
        return rows
    keys = {row.recipient: int(row.recipient[:15], 16) for row in rows}
    ours = set(session.scalars(_OURS, {"keys": list(keys.values())}))
    return [row for row in rows if keys[row.recipient] in ours]


def _holds(session: Session, rows: Sequence[Any], purse: Purse, now: dt.datetime) -> dict[uuid.UUID, Hold]:
    """Which of these texts may not go now."""
    asked = {"recipients": sorted({row.recipient for row in rows}), "since": now - dt.timedelta(seconds=rule.DAY)}
    others: dict[str, list[Brief]] = {}
    for row in session.execute(_OTHERS, asked):
        others.setdefault(row.recipient, []).append(_brief(row))
    found = {row.id: _hold(row, others.get(row.recipient, ()), purse, now) for row in rows}
    return {text_id: hold for text_id, hold in found.items() if hold}


def _hold(row: Any, others: Iterable[Brief], purse: Purse, now: dt.datetime) -> Hold | None:
    if _is_late(row, now) and row.late_body is None:
        return Hold(TextState.SUPPRESSED, Held.LATE)
    if hold := rule.hold(_brief(row), others, purse.limits, now):
        return hold
    why = purse.holds(row.school_id, row.day, Lane(row.lane))
    return Hold(TextState.QUEUED, why, MONEY_AGAIN) if why else None


def _brief(row: Any) -> Brief:
    known = {name: getattr(row, name) for name in Brief.__dataclass_fields__}
    return Brief(**(known | {"lane": Lane(row.lane), "state": TextState(row.state)}))


def _is_late(row: Any, now: dt.datetime) -> bool:
    return row.late_at is not None and row.late_at <= now


def _claim(row: Any, provider: str, now: dt.datetime) -> Claim:
    late = _is_late(row, now)
    return Claim(
        text_id=row.id,
        attempt_id=new_id(),
        school_id=row.school_id,
        n=row.attempts + 1,
        provider=provider,
        recipient=row.recipient,
        phone=row.phone,
        body=row.late_body if late else row.body,
        lane=Lane(row.lane),
        expires_at=row.expires_at,
        wording=f"{row.wording}{rules.DELAYED}" if late else row.wording,
        values=row._mapping["values"] or {},
    )


def _begin(session: Session, taken: Sequence[tuple[Any, Claim]], now: dt.datetime) -> None:
    """Claims and their tries, in the caller's transaction."""
    if not taken:
        return
    lease = clock.later(now, rules.LEASE)
    session.execute(_CLAIM, [_claimed(row, claim, lease) for row, claim in taken])
    session.execute(_BEGIN, [_begun(claim, now) for _, claim in taken])


def _claimed(row: Any, claim: Claim, lease: dt.datetime) -> dict[str, Any]:
    reworded = claim.wording != row.wording
    return {
        "of_text": claim.text_id,
        "nth": claim.n,
        "by": claim.provider,
        "lease": lease,
        "says": claim.body,
        "in_words": claim.wording,
        "billed": segments.count(claim.body).segments if reworded else row.segments,
        "still_late_at": None if reworded else row.late_at,
    }


def _begun(claim: Claim, now: dt.datetime) -> dict[str, Any]:
    return {
        "id": claim.attempt_id,
        "school_id": claim.school_id,
        "text_id": claim.text_id,
        "n": claim.n,
        "provider": claim.provider,
        "started_at": now,
        "detail": "",
    }


def _put_away(session: Session, holds: Mapping[uuid.UUID, Hold], now: dt.datetime) -> None:
    rows = [
        {
            "of_text": text_id,
            "is_now": hold.state,
            "why": hold.why,
            "again": clock.later(now, hold.due_in),
            "settled": now if hold.state in rules.FINAL else None,
            "at": now,
        }
        for text_id, hold in holds.items()
    ]
    if rows:
        session.execute(_HOLD, rows)
