"""What providers say later of a text: kept first, then matched to the text or to one message of it.

A receipt may come before the answer that holds its number, twice, late or out of order. One that names no text that
we know waits and looks again: it is matched when its number is written down, else every few seconds for ten minutes,
then hourly until no operator reports any more.
"""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from server import clock
from server.db import new_id, table
from server.outbox import references, rules
from server.outbox.claims import Result
from server.outbox.models import OutboxText, Receipt, Segment
from server.outbox.providers.base import News, Report
from server.outbox.rules import TextState

OFTEN, OFTEN_FOR = dt.timedelta(seconds=20), dt.timedelta(minutes=10)
SELDOM, SELDOM_FOR = dt.timedelta(hours=1), dt.timedelta(hours=96)  # operators report for up to 72 hours

_ADD = insert(table(Segment))


def receive(session: Session, provider: str, news: News, text_id: uuid.UUID | None = None) -> bool:
    """Keep one receipt; whether it moved its text on."""
    return bool(receive_all(session, provider, [Report(news, text_id)]))


def receive_all(session: Session, provider: str, reports: Sequence[Report]) -> int:
    """Keep all that were brought at once, also for texts that we do not know; how many texts it moved on."""
    found = [(report.text_id or _find(session, provider, report.news.reference), report.news) for report in reports]
    # Always in the same order, so that two requests about the same texts do not wait for each other for ever.
    found.sort(key=lambda each: str(each[0] or ""))
    return sum(_receive(session, provider, text_id, news) for text_id, news in found)


def _receive(session: Session, provider: str, text_id: uuid.UUID | None, news: News) -> bool:
    text = session.get(OutboxText, text_id, with_for_update=True, populate_existing=True) if text_id else None
    if _is_kept(session, provider, text_id, news):
        return False
    now = clock.now()
    receipt = Receipt(text_id=text_id, provider=provider, state=news.state or "other", raw=news.raw, received_at=now)
    receipt.reference, receipt.key = news.reference, references.key(news.reference)
    session.add(receipt)
    if text is None:
        receipt.match_at = now + OFTEN if text_id is None and news.reference else None
        return False
    return _tell(session, text, receipt, now)


def _is_kept(session: Session, provider: str, text_id: uuid.UUID | None, news: News) -> bool:
    same = select(Receipt.id).where(
        Receipt.provider == provider,
        Receipt.key == references.key(news.reference),
        Receipt.raw == news.raw,
        Receipt.text_id.is_(None) if text_id is None else Receipt.text_id == text_id,
    )
    return session.scalar(same.limit(1)) is not None


def _find(session: Session, provider: str, reference: str) -> uuid.UUID | None:
    """The text of a reference: the newest of this very spelling, else the only one of the same number."""
    if not reference:
        return None
    wanted = select(Segment.text_id).where(Segment.provider == provider)
    newest = wanted.order_by(Segment.changed_at.desc()).limit(1)
    exact = session.scalar(newest.where(Segment.key == references.key(reference)))
    others = references.others(reference)
    if exact is not None or not others:
        return exact
    alike = set(session.scalars(wanted.where(Segment.key.in_(others), Segment.state == TextState.SENT).limit(2)))
    return alike.pop() if len(alike) == 1 else None


def _tell(session: Session, text: OutboxText, receipt: Receipt, now: dt.datetime) -> bool:
    """Move a text, locked by the caller, to what this receipt proves."""
    if receipt.state == "other":
        return False
    said = TextState(receipt.state)
    parts = session.scalars(select(Segment).where(Segment.text_id == text.id).order_by(Segment.n)).all()
    part = _part(parts, receipt)
    if part is not None:
        said = _of_parts(parts, part, said, now)
    elif said is TextState.DELIVERED and receipt.key and text.segments > 1 and text.state == TextState.CLAIMED:
        said = TextState.SENT  # one message of several, it may be: the answer that says so is still under way
    return _move(text, said, receipt, now)


def _part(parts: Sequence[Segment], receipt: Receipt) -> Segment | None:
    keys = (receipt.key, *references.others(receipt.reference))
    theirs = [part for part in parts if part.provider == receipt.provider]
    return next((part for key in keys for part in reversed(theirs) if key and part.key == key), None)


def _of_parts(parts: Sequence[Segment], part: Segment, said: TextState, now: dt.datetime) -> TextState:
    """What all messages of one copy come to when one of them is told of."""
    if rules.forward(TextState(part.state), said):
        part.state, part.changed_at = said, now
    return rules.of_parts([TextState(each.state) for each in parts if each.attempt_n == part.attempt_n])


def _move(text: OutboxText, state: TextState, receipt: Receipt, now: dt.datetime) -> bool:
    if not rules.forward(TextState(text.state), state):
        return False
    reached = state in {TextState.SENT, TextState.DELIVERED}
    text.state = state
    text.changed_at = now
    text.lease_until = None
    text.reference = text.reference or receipt.reference or None
    text.sent_at = text.sent_at or (now if reached else None)
    text.settled_at = now if state in rules.FINAL else None
    text.error = None if reached else receipt.raw[:200]
    return True


def note_parts(session: Session, accepted: Sequence[Result], early: Sequence[uuid.UUID]) -> None:
    """Write down the numbers of accepted texts, which the caller has locked, and tell what had come before them.

    `early` are those of several messages, of which a receipt may have come while nobody knew of how many.
    """
    rows = [row for result in accepted for row in _rows(result)]
    if rows:
        session.execute(_ADD, rows)
    _tell_early(session, rows, early)


def _rows(result: Result) -> list[dict[str, Any]]:
    return [
        {
            "id": new_id(),
            "school_id": result.claim.school_id,
            "text_id": result.claim.text_id,
            "attempt_n": result.claim.n,
            "n": n,
            "provider": result.claim.provider,
            "reference": reference[:100],
            "key": references.key(reference[:100]),
            "state": TextState.SENT,
            "changed_at": result.at,
        }
        for n, reference in enumerate(result.references, 1)
    ]


def _tell_early(session: Session, rows: Sequence[Mapping[str, Any]], early: Sequence[uuid.UUID]) -> None:
    """Receipts of these numbers that found no text, and those of texts that wait for their numbers."""
    keys = {key for row in rows for key in (row["key"], *references.others(row["reference"]))}
    waiting = [Receipt.key.in_(keys), Receipt.text_id.is_(None), Receipt.match_at.is_not(None)]
    found = session.scalars(select(Receipt).where(*waiting)).all() if keys else ()
    for receipt in found:
        _match(session, receipt, _find(session, receipt.provider, receipt.reference), clock.now())
    for receipt in session.scalars(select(Receipt).where(Receipt.text_id.in_(early))).all() if early else ():
        text = session.get(OutboxText, receipt.text_id, populate_existing=True)
        if text is not None:
            _tell(session, text, receipt, clock.now())


def _match(session: Session, receipt: Receipt, text_id: uuid.UUID | None, now: dt.datetime) -> bool:
    text = session.get(OutboxText, text_id, with_for_update=True, populate_existing=True) if text_id else None
    if text is None:
        receipt.match_at = _again(receipt, now)
        return False
    receipt.text_id, receipt.match_at = text.id, None
    _tell(session, text, receipt, now)
    return True


def _again(receipt: Receipt, now: dt.datetime) -> dt.datetime | None:
    age = now - receipt.received_at
    if age < OFTEN_FOR:
        return now + OFTEN
    return now + SELDOM if age < SELDOM_FOR else None


def match_again(session: Session, now: dt.datetime, limit: int = 200) -> int:
    """Let receipts without a text look once more; how many found theirs."""
    due = select(Receipt).where(Receipt.match_at <= now).order_by(Receipt.match_at).limit(limit)
    waiting = session.scalars(due.with_for_update(skip_locked=True)).all()
    found = [(_find(session, receipt.provider, receipt.reference), receipt) for receipt in waiting]
    found.sort(key=lambda each: str(each[0] or ""))
    return sum(_match(session, receipt, text_id, now) for text_id, receipt in found)
