"""Put texts into the queue, and say for the pages what became of them."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session

from server import clock, crypt
from server.db import db, insert_new, new_id, table
from server.outbox import rules, segments
from server.outbox.models import OutboxText, PhoneText, Receipt
from server.outbox.rules import Held, Lane, TextState

_text = table(OutboxText)
NEWEST = 1000  # texts of a day that latency() looks at
JUDGED_FROM, JUDGED_TO, JUDGED_LEAST = dt.timedelta(minutes=10), dt.timedelta(minutes=5), 20  # texts of undelivered()
LOOK_BACK = dt.timedelta(hours=24)


@dataclass(frozen=True)
class NewText:
    """A text to be sent: one cause (pupil, day, kind, n) and one number make at most one text, ever."""

    school_id: str
    pupil_id: uuid.UUID
    guardian_id: uuid.UUID
    day: dt.date
    kind: str
    n: int
    phone: str
    lane: Lane
    wording: str
    body: str
    event_at: dt.datetime
    expires_at: dt.datetime
    values: Mapping[str, str] = field(default_factory=dict)  # placeholder -> its words, for approved templates
    late_at: dt.datetime | None = None  # from then on it is sent as `late_body`, or (None) not at all
    late_body: str | None = None


@dataclass(frozen=True)
class Latency:
    """Real seconds from the event to the provider's acceptance, of the newest texts of a day."""

    count: int
    p50: float = 0.0
    p99: float = 0.0


@dataclass(frozen=True)
class Phone:
    """One phone of the demo, with the newest text on it."""

    recipient: str
    phone: str
    texts: int
    last: str
    last_at: dt.datetime


def enqueue(session: Session, texts: Sequence[NewText]) -> int:
    """Add texts to the queue in the caller's transaction; how many were new."""
    if not texts:
        return 0
    now = clock.now()
    return len(session.execute(insert_new(_text, _text.c.id), [_row(text, now) for text in texts]).all())


def _row(text: NewText, now: dt.datetime) -> dict[str, Any]:
    return {
        "id": new_id(),
        "school_id": text.school_id,
        "pupil_id": text.pupil_id,
        "guardian_id": text.guardian_id,
        "day": text.day,
        "kind": text.kind,
        "n": text.n,
        "recipient": crypt.look_up(text.phone),
        "phone": text.phone,
        "lane": text.lane,
        "lane_rank": rules.rank(text.lane),
        "wording": text.wording,
        "body": text.body,
        "segments": segments.count(text.body).segments,
        "event_at": text.event_at,
        "created_at": now,
        "changed_at": now,
        "next_attempt_at": now,
        "expires_at": text.expires_at,
        "state": TextState.QUEUED,
        "attempts": 0,
        "values": dict(text.values) or None,
        "late_at": text.late_at,
        "late_body": text.late_body,
    }


def counts(school_id: str, day: dt.date) -> dict[TextState, int]:
    """How many texts of a day are in each state."""
    of_day = select(OutboxText.state, func.count()).where(OutboxText.school_id == school_id, OutboxText.day == day)
    return {TextState(state): count for state, count in db.session.execute(of_day.group_by(OutboxText.state))}


def held(school_id: str, day: dt.date) -> dict[Held, int]:
    """How many texts of a day are held, by the reason."""
    of_day = select(OutboxText.held, func.count()).where(OutboxText.school_id == school_id, OutboxText.day == day)
    counted = db.session.execute(of_day.where(OutboxText.held.is_not(None)).group_by(OutboxText.held))
    return {Held(why): count for why, count in counted if why}


def latency(school_id: str, day: dt.date) -> Latency:
    """p50 and p99 of the day's newest gate texts whose event has a time."""
    newest = (
        select(OutboxText.event_at, OutboxText.sent_at)
        .where(OutboxText.school_id == school_id, OutboxText.day == day)
        .where(OutboxText.lane == Lane.GATE, OutboxText.kind != "unsure", OutboxText.sent_at.is_not(None))
        .order_by(OutboxText.sent_at.desc())
        .limit(NEWEST)
    )
    taken = [clock.elapsed(event, sent) for event, sent in db.session.execute(newest) if sent]
    found = rules.percentiles(taken, (50, 99))
    return Latency(len(taken), found[50], found[99]) if found else Latency(0)


def undelivered(session: Session, now: dt.datetime) -> dict[str, float]:
    """Provider -> share of its texts of five to ten minutes ago that have not arrived; only who reports deliveries."""
    reached = func.count().filter(OutboxText.state == TextState.DELIVERED)
    counted = (
        select(OutboxText.provider, func.count(), reached)
        .where(OutboxText.created_at > now - JUDGED_FROM - LOOK_BACK)
        .where(OutboxText.sent_at.between(now - JUDGED_FROM, now - JUDGED_TO), OutboxText.provider.is_not(None))
        .group_by(OutboxText.provider)
    )
    found = {name: (count, good) for name, count, good in session.execute(counted) if name and count >= JUDGED_LEAST}
    reports = select(Receipt.provider).where(Receipt.received_at > now - LOOK_BACK, Receipt.state == "delivered")
    reporting = set(session.scalars(reports.where(Receipt.provider.in_(found)).distinct())) if found else set()
    return {name: 1 - good / count for name, (count, good) in found.items() if name in reporting}


def phones(school_id: str) -> list[Phone]:
    """The demo's phones with the texts of this school, the one with the newest text first."""
    newest = func.row_number().over(partition_by=PhoneText.recipient, order_by=PhoneText.received_at.desc())
    ranked = select(
        PhoneText.recipient,
        PhoneText.phone,
        PhoneText.body,
        PhoneText.received_at,
        newest.label("place"),
        func.count().over(partition_by=PhoneText.recipient).label("texts"),
    )
    found = ranked.where(_of_school(school_id)).subquery()
    rows = db.session.execute(select(found).where(found.c.place == 1).order_by(found.c.received_at.desc()))
    return [Phone(row.recipient, row.phone, row.texts, row.body, row.received_at) for row in rows]


def phone_texts(school_id: str, recipient: str) -> Sequence[PhoneText]:
    """Everything that one phone of the demo received from this school, oldest first."""
    texts = select(PhoneText).where(PhoneText.recipient == recipient, _of_school(school_id))
    return db.session.scalars(texts.order_by(PhoneText.received_at, PhoneText.id)).all()


def _of_school(school_id: str) -> ColumnElement[bool]:
    return exists().where(OutboxText.id == PhoneText.text_id, OutboxText.school_id == school_id)
