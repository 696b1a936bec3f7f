"""Who holds a card, and which cards must prove themselves."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, null, select, update
from sqlalchemy.orm import Session

from server.cards import rules
from server.cards.models import Card, CardState, ProvingCard, SunReading
from server.cards.sunlink import Layout
from server.db import db
from server.errors import Refused
from server.people.models import Pupil

HIGHEST_VERSION = 255  # one byte of what a key is made of

_HELD = (
    select(Card.id, Card.text, Card.state, Card.pupil_id, Pupil.active, ProvingCard.must)
    .outerjoin(Pupil, Pupil.id == Card.pupil_id)
    .outerjoin(ProvingCard, ProvingCard.card_id == Card.id)
    .where(Card.school_id == bindparam("school"), Card.text.in_(bindparam("cards", expanding=True)))
)


class CannotProve(Refused):
    """This card cannot be made to prove itself; the text says why and what to do."""


@dataclass(frozen=True)
class Held:
    """One card of the school; `must` is empty for a card without keys of ours."""

    id: uuid.UUID
    text: str
    state: CardState
    pupil_id: uuid.UUID | None
    in_school: bool  # its pupil has not left the school
    must: bool | None = None

    @property
    def holder(self) -> uuid.UUID | None:
        """Whose presence this card shows: nobody's when it is lost or blocked, or its pupil has left."""
        return self.pupil_id if self.state == CardState.ACTIVE and self.in_school else None

    @property
    def by_number(self) -> uuid.UUID | None:
        """Whose presence its number alone shows."""
        return None if self.must else self.holder


def held(school_id: str, cards: Collection[str]) -> dict[str, Held]:
    """Card text -> what is known of it; cards that the school does not have are not in the answer."""
    if not cards:
        return {}
    found = db.session.execute(_HELD, {"school": school_id, "cards": sorted(cards)})
    return {row.text: Held(row.id, row.text, row.state, row.pupil_id, bool(row.active), row.must) for row in found}


def give_keys(
    session: Session, school_id: str, text: str, *, mode: str, layout: Layout, anew: bool, now: datetime
) -> ProvingCard:
    """Note that a card gets keys of ours; `anew` gives it the next version and lets its counter begin again.

    The keys are not in the answer's row: sunkeys derives them. Raises CannotProve.
    """
    card = _card(session, school_id, text)
    proving = session.get(ProvingCard, card.id, with_for_update=True)
    if proving is None:
        proving = ProvingCard(card_id=card.id, school_id=school_id, mode=mode, layout=layout, version=1, since=now)
        proving.must, proving.last_counter = False, -1
        session.add(proving)
    elif anew:
        _begin_again(session, proving, now)
        proving.mode, proving.layout = mode, layout
    return proving


def _begin_again(session: Session, proving: ProvingCard, now: datetime) -> None:
    if proving.version >= HIGHEST_VERSION:
        raise CannotProve(f"this card was given keys {HIGHEST_VERSION} times; take another card")
    proving.version, proving.last_counter, proving.must, proving.since = proving.version + 1, -1, False, now
    session.execute(update(SunReading).where(SunReading.card_id == proving.card_id).values(counter=null()))


def set_must(session: Session, school_id: str, text: str, must: bool) -> None:
    """From now on this card's number alone proves nothing (or does again). Raises CannotProve."""
    proving = session.get(ProvingCard, _card(session, school_id, text).id, with_for_update=True)
    if proving is None:
        raise CannotProve(f"{text} has no keys yet; run first: gatebell cards sun-keys {text}")
    if must and proving.last_counter < 0:
        raise CannotProve(f"{text} has never proved itself: touch it at a gate that reads it, then say so again")
    proving.must = must


def text_of(session: Session, proving: ProvingCard) -> str:
    """The card as gateways name it."""
    return session.get_one(Card, proving.card_id).text


def uid_of(text: str) -> bytes:
    """The seven bytes of a card that can prove itself. Raises CannotProve."""
    technology, _, digits = text.partition(":")
    if technology != "iso14443a" or len(digits) != 14:
        raise CannotProve(f"{text} is no NTAG 424 DNA: its number has 7 bytes, as in iso14443a:04DE5F1EACC040")
    return bytes.fromhex(digits)


def _card(session: Session, school_id: str, text: str) -> Card:
    try:
        canonical = rules.canonical(text)
    except rules.BadCard as error:
        raise CannotProve(f"{text}: {error}") from None
    uid_of(canonical)
    card = session.scalar(select(Card).where(Card.school_id == school_id, Card.text == canonical))
    if card is None:
        raise CannotProve(f"the school has no card {canonical}; give it to a pupil first (roster, column card)")
    return card
