"""Texts for the outbox's tests, and a sender that runs beside the test."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from flask import Flask
from sqlalchemy import select

from server import clock
from server.db import db, transaction
from server.outbox import service
from server.outbox.models import Attempt, OutboxText
from server.outbox.providers.base import Provider
from server.outbox.rules import Lane
from server.outbox.sender import Sender

DAY = date(2026, 11, 25)


def new_text(phone: str = "+8613800000001", **changes: Any) -> service.NewText:
    """A gate text for a pupil that nobody else's text is about."""
    now = clock.now()
    text = service.NewText(
        school_id="mingde",
        pupil_id=uuid.uuid4(),
        guardian_id=uuid.uuid4(),
        day=DAY,
        kind="in",
        n=1,
        phone=phone,
        lane=Lane.GATE,
        wording="arrived",
        body="【明德学校】林语晨 07:41 已到校（1号门）。",
        event_at=now,
        expires_at=now + timedelta(minutes=10),
    )
    return replace(text, **changes)


def many(count: int, **changes: Any) -> list[service.NewText]:
    """Texts to as many numbers."""
    return [new_text(f"+86138{number:08d}", **changes) for number in range(count)]


def queued(*texts: service.NewText) -> list[uuid.UUID]:
    """Put texts into the queue; their ids in the order of `texts`."""
    with transaction() as session:
        service.enqueue(session, texts)
    ids = {row.pupil_id: row.id for row in db.session.execute(select(OutboxText.pupil_id, OutboxText.id))}
    db.session.rollback()
    return [ids[text.pupil_id] for text in texts]


def stored(text_id: uuid.UUID) -> OutboxText:
    """A text as it stands in the database now."""
    db.session.rollback()
    text = db.session.get(OutboxText, text_id, populate_existing=True)
    db.session.rollback()
    assert text is not None
    return text


def attempts(text_id: uuid.UUID) -> list[tuple[int, str, str | None]]:
    """The tries of a text: number, provider, outcome."""
    db.session.rollback()
    wanted = select(Attempt.n, Attempt.provider, Attempt.outcome).where(Attempt.text_id == text_id).order_by(Attempt.n)
    found = [tuple(row) for row in db.session.execute(wanted)]
    db.session.rollback()
    return found


def states() -> list[str]:
    """The states of all texts."""
    db.session.rollback()
    found = list(db.session.scalars(select(OutboxText.state).order_by(OutboxText.created_at)))
    db.session.rollback()
    return found


def soon(condition: Callable[[], bool], *, seconds: float = 15) -> None:
    """Wait until it is so. Raises AssertionError when it does not come."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.01)


def change(text_id: uuid.UUID, **values: Any) -> None:
    """What passing time would have done to a text."""
    with transaction() as session:
        text = session.get(OutboxText, text_id)
        assert text is not None
        for name, value in values.items():
            setattr(text, name, value)


@contextmanager
def sending(app: Flask, *providers: Provider) -> Iterator[Sender]:
    """A sender at work until the end of the block."""
    sender, stop = Sender(app, providers), threading.Event()
    thread = threading.Thread(target=sender.run, args=(stop,))
    thread.start()
    try:
        yield sender
    finally:
        stop.set()
        sender.listener.wake()
        thread.join(20)
        assert not thread.is_alive()


def all_in(*wanted: str, count: int) -> Callable[[], bool]:
    """A condition: there are `count` texts and all are in one of these states."""
    return lambda: (found := states()).__len__() == count and set(found) <= set(wanted)
