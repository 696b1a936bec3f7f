"""Who holds a card."""

import uuid
from collections.abc import Collection

from sqlalchemy import bindparam, select

from server.cards.models import Card, CardState
from server.db import db
from server.people.models import Pupil

_HOLDERS = (
    select(Card.text, Card.pupil_id)
    .join(Pupil, Pupil.id == Card.pupil_id)
    .where(Card.school_id == bindparam("school"), Card.text.in_(bindparam("cards", expanding=True)))
    .where(Card.state == CardState.ACTIVE, Pupil.active)
)


def holders_of(school_id: str, cards: Collection[str]) -> dict[str, uuid.UUID]:
    """Card text -> pupil, for active cards of active pupils; any other card proves nobody's presence."""
    if not cards:
        return {}
    found = db.session.execute(_HOLDERS, {"school": school_id, "cards": sorted(cards)})
    return {text: pupil_id for text, pupil_id in found if pupil_id is not None}
