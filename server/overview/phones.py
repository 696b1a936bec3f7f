"""The demo's phones: whose they are, and what came in."""

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.accounts.models import User
from server.db import db, new_id
from server.outbox import inbound
from server.outbox import service as outbox
from server.outbox.providers.base import Heard
from server.outbox.providers.phone import PROVIDER
from server.people import service as people
from server.people.models import Guardian, Guardianship, Pupil

MOST = 40


@dataclass(frozen=True)
class Owner:
    """Whose phone it is: a guardian of these children."""

    name: str
    relation: str
    children: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """One phone in the list."""

    phone: outbox.Phone
    owner: Owner | None


@dataclass(frozen=True)
class Bubble:
    """One message on the phone; `mine` is what its owner wrote back."""

    id: uuid.UUID
    body: str
    at: dt.datetime
    mine: bool


@dataclass(frozen=True)
class Opened:
    """One phone in the hand."""

    recipient: str
    number: str
    owner: Owner | None
    bubbles: Sequence[Bubble]


def phones(user: User, words: str) -> list[Line]:
    """Phones with the newest text first; `words` is a pupil's name or number, or a part of the phone's number."""
    found = outbox.phones(user.school_id)
    if words:
        wanted = _recipients(user, words)
        found = [phone for phone in found if phone.recipient in wanted or (words.isdigit() and words in phone.phone)]
    found = found[:MOST]
    owners = _owners(user.school_id, [phone.recipient for phone in found])
    return [Line(phone, owners.get(phone.recipient)) for phone in found]


def opened(user: User, recipient: str) -> Opened | None:
    """One phone with all it received; None for a phone that never got a text from the user's school."""
    texts = outbox.phone_texts(user.school_id, recipient)
    if not texts:
        return None
    found = [Bubble(text.id, text.body, text.received_at, mine=False) for text in texts]
    found += [Bubble(each.id, each.body, each.received_at, mine=True) for each in inbound.of(user.school_id, recipient)]
    owner = _owners(user.school_id, [recipient]).get(recipient)
    return Opened(recipient, texts[0].phone, owner, sorted(found, key=lambda bubble: (bubble.at, bubble.mine)))


def write_back(session: Session, user: User, recipient: str, body: str, now: dt.datetime) -> bool:
    """The owner of a demo phone writes to the school; False for a phone that never got a text from it."""
    texts = outbox.phone_texts(user.school_id, recipient)
    return bool(texts) and inbound.take(session, PROVIDER.name, Heard(texts[0].phone, body, str(new_id())), now)


def _recipients(user: User, words: str) -> set[str]:
    pupils = people.matching(user, words).with_only_columns(Pupil.id)
    query = select(Guardian.phone_hash).join(Guardianship, Guardianship.guardian_id == Guardian.id)
    return {found for found in db.session.scalars(query.where(Guardianship.pupil_id.in_(pupils))) if found}


def _owners(school_id: str, recipients: Collection[str]) -> dict[str, Owner]:
    query = (
        select(Guardian.phone_hash, Guardian.name, Guardianship.relation, Pupil.name)
        .join(Guardianship, Guardianship.guardian_id == Guardian.id)
        .join(Pupil, Pupil.id == Guardianship.pupil_id)
        .where(Guardian.school_id == school_id, Guardian.phone_hash.in_(recipients))
        .order_by(Pupil.name)
    )
    children: dict[str, list[str]] = defaultdict(list)
    who: dict[str, tuple[str, str]] = {}
    for recipient, name, relation, child in db.session.execute(query):
        children[recipient or ""].append(child)
        who[recipient or ""] = name, str(relation)
    return {found: Owner(*who[found], tuple(children[found])) for found in who}
