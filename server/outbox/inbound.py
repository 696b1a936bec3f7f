"""What people write back: kept once whatever it says, with the text that it answers, until somebody has taken it."""

import datetime as dt
import hashlib
import uuid
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from server import clock, crypt
from server.db import db, insert_new, new_id, table
from server.errors import NotFound
from server.outbox.models import InboundText, OutboxText
from server.outbox.providers.base import Heard
from server.outbox.rules import TextState
from server.people import rules as people
from server.schools.models import School

SAME_S = 5  # a provider that gives no ids may bring a reply twice within so many seconds
LONGEST = 2000  # characters of a reply that are kept
REACHED = (TextState.SENT, TextState.DELIVERED, TextState.UNKNOWN)

_inbound = table(InboundText)


def take(session: Session, provider: str, heard: Heard, now: dt.datetime) -> bool:
    """Keep a reply; False when it had been brought before."""
    phone = _spelt(heard.phone)
    sender = crypt.look_up(phone)
    newest = _newest(session, sender)
    row = {
        "id": new_id(),
        "school_id": newest.school_id if newest else _only_school(session),
        "provider": provider,
        "reference": heard.reference or _made_up(sender, heard.body, now),
        "sender": sender,
        "phone": phone,
        "body": heard.body[:LONGEST],
        "answers": newest.id if newest else None,
        "received_at": now,
        "handled_as": "",
    }
    return bool(session.execute(insert_new(_inbound, _inbound.c.id), [row]).all())


def _spelt(phone: str) -> str:
    """As guardians' numbers are kept. Operators leave out the + or the country: a Chinese number is the likely one."""
    for text in (phone, f"+{phone.lstrip('+0')}"):
        try:
            return people.e164(text, region="CN")
        except people.BadPhone:
            continue
    return phone


def _newest(session: Session, sender: str) -> OutboxText | None:
    query = select(OutboxText).where(OutboxText.recipient == sender, OutboxText.state.in_(REACHED))
    return session.scalars(query.order_by(OutboxText.created_at.desc()).limit(1)).first()


def _only_school(session: Session) -> str | None:
    schools = session.scalars(select(School.id).limit(2)).all()
    return schools[0] if len(schools) == 1 else None


def _made_up(sender: str, body: str, now: dt.datetime) -> str:
    slot = clock.to_millis(now) // (SAME_S * 1000)
    return hashlib.sha256(f"{sender}\n{body}\n{slot}".encode()).hexdigest()[:40]


def waiting(session: Session, limit: int = 100) -> Sequence[InboundText]:
    """Replies that nothing and nobody has taken yet, oldest first; locked, so that two workers take different ones."""
    query = select(InboundText).where(InboundText.handled_at.is_(None)).order_by(InboundText.received_at)
    return session.scalars(query.limit(limit).with_for_update(skip_locked=True)).all()


def unread(school_id: str, limit: int = 50) -> Sequence[InboundText]:
    """Replies of a school that a person has to read, newest first."""
    query = select(InboundText).where(InboundText.school_id == school_id, InboundText.handled_as == "person")
    return db.session.scalars(query.order_by(InboundText.received_at.desc()).limit(limit)).all()


def of(school_id: str, sender: str) -> Sequence[InboundText]:
    """All that one number wrote to a school, oldest first."""
    query = select(InboundText).where(InboundText.school_id == school_id, InboundText.sender == sender)
    return db.session.scalars(query.order_by(InboundText.received_at)).all()


def handled(reply: InboundText, word: str, now: dt.datetime, *, by: uuid.UUID | None = None) -> None:
    """Somebody or something has taken it."""
    reply.handled_at, reply.handled_as, reply.handled_by = now, word, by


def locked(session: Session, school_id: str, reply_id: uuid.UUID) -> InboundText:
    """A reply that nobody else takes meanwhile. Raises NotFound for one of another school."""
    reply = session.get(InboundText, reply_id, with_for_update=True, populate_existing=True)
    if reply is None or reply.school_id != school_id:
        raise NotFound
    return reply


def read(session: Session, school_id: str, reply_id: uuid.UUID, *, by: uuid.UUID, now: dt.datetime) -> InboundText:
    """A person has read this reply. Raises NotFound for one of another school."""
    reply = locked(session, school_id, reply_id)
    handled(reply, "read", now, by=by)
    return reply
