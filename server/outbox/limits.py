"""Whether a due text may go out now, by what its number has got and is getting: order, and how much is too much.

Facts in, verdict out; no database. `now` is an argument, seconds are real ones.
"""

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from server import clock
from server.config import Limits
from server.outbox.rules import Held, Lane, TextState

TOLD_IN_ORDER = frozenset({Lane.GATE, Lane.ALERT})  # what happened to a child; notices have no order
LOOK_AGAIN, SOON = 1.0, 0.25  # seconds until a text looks again that waits for another's receipt, or its answer
ORDERLY = 30.0  # seconds after which a text no longer waits for the one before it
HOUR, DAY = 3600.0, 86400.0
_OVER = frozenset({TextState.FAILED, TextState.EXPIRED, TextState.SUPPRESSED})


@dataclass(frozen=True)
class Brief:
    """A text to a number, as far as it matters for the others."""

    id: uuid.UUID
    recipient: str
    pupil_id: uuid.UUID
    kind: str
    lane: Lane
    wording: str
    state: TextState
    attempts: int
    event_at: dt.datetime
    created_at: dt.datetime
    sent_at: dt.datetime | None
    settled_at: dt.datetime | None
    lease_until: dt.datetime | None


@dataclass(frozen=True)
class Hold:
    """It does not go out now: what it is meanwhile or for good, why, and when it looks again."""

    state: TextState
    why: Held | None
    due_in: float = 0.0


def hold(text: Brief, others: Iterable[Brief], limits: Limits, now: dt.datetime) -> Hold | None:
    """Why a text must not go out now, by the other texts of its number; None when it may."""
    theirs = [other for other in others if other.id != text.id and other.recipient == text.recipient]
    if text.attempts == 0 and any(_overtakes(other, text) for other in theirs):
        return Hold(TextState.SUPPRESSED, Held.OVERTAKEN)
    if why := too_many(text, theirs, limits, now):
        return Hold(TextState.SUPPRESSED, why)
    if any(_in_flight(other, text, now) for other in theirs):
        return Hold(TextState.QUEUED, None, SOON)
    if any(_comes_first(other, text, now) for other in theirs):
        return Hold(TextState.QUEUED, None, LOOK_AGAIN)
    return None


def _overtakes(other: Brief, text: Brief) -> bool:
    """A newer event of the same kind says all that the older one would."""
    same = other.pupil_id == text.pupil_id and other.kind == text.kind and text.lane in TOLD_IN_ORDER
    return same and other.event_at > text.event_at and other.state not in _OVER


def _in_flight(other: Brief, text: Brief, now: dt.datetime) -> bool:
    held = other.state is TextState.CLAIMED and other.lease_until is not None and other.lease_until > now
    return held and other.lane is text.lane


def _comes_first(other: Brief, text: Brief, now: dt.datetime) -> bool:
    """Whether the story of this child is told in its order: the earlier text is not there yet, but may well be soon."""
    if text.lane not in TOLD_IN_ORDER or other.lane not in TOLD_IN_ORDER:
        return False
    earlier = other.pupil_id == text.pupil_id and other.event_at < text.event_at
    open_ = other.state in {TextState.QUEUED, TextState.CLAIMED, TextState.SENT, TextState.UNKNOWN}
    return earlier and open_ and other.settled_at is None and _age(other, now) < ORDERLY


def _age(text: Brief, now: dt.datetime) -> float:
    return clock.elapsed(text.sent_at or text.created_at, now)


def too_many(text: Brief, theirs: Sequence[Brief], limits: Limits, now: dt.datetime) -> Held | None:
    """Which limit one more text would break: about one child within an hour, to one number within a day."""
    went = [other for other in theirs if other.attempts and _since(other, now) < DAY]
    of_pupil = [other for other in went if other.pupil_id == text.pupil_id and _since(other, now) < HOUR]
    of_wording = [other for other in went if other.wording == text.wording]
    counted = (
        (Held.PUPIL, of_pupil, limits.pupil_per_hour),
        (Held.WORDING, of_wording, limits.wording_per_day),
        (Held.NUMBER, went, limits.number_per_day),
    )
    return next((why for why, texts, most in counted if most and len(texts) >= most), None)


def _since(text: Brief, now: dt.datetime) -> float:
    """Seconds on the clock that people see: a day's limit is a day's limit in a demo that runs faster, too."""
    return (now - text.created_at).total_seconds()


def money(spent: float, lane: Lane, limits: Limits) -> Held | None:
    """Whether the school's money of the day is spent, for a text of this lane."""
    if not limits.money_per_day:
        return None
    if spent >= hard(limits):
        return Held.MONEY_HARD
    return Held.MONEY if spent >= limits.money_per_day and lane not in TOLD_IN_ORDER else None


def hard(limits: Limits) -> float:
    """The sum at which even gate texts stop."""
    return max(limits.money_per_day, limits.hard_money_per_day or 2 * limits.money_per_day)
