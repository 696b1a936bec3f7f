"""Who holds a card."""

import uuid
from collections.abc import Collection

from sqlalchemy import select

from server.cards.models import Card, CardState
from server.db import db
from server.people.models import Pupil


def holders_of(school_id: str, cards: Collection[str]) -> dict[str, uuid.UUID]:
    """Card text -> pupil, for active cards of active pupils; any other card proves nobody's presence."""
    if not cards:
        return {}
    query = (
        select(Card.text, Card.pupil_id)
        .join(Pupil, Pupil.id == Card.pupil_id)
        .where(Card.school_id == school_id, Card.text.in_(sorted(cards)))
        .where(Card.state == CardState.ACTIVE, Pupil.active)
    )
    return {text: pupil_id for text, pupil_id in db.session.execute(query) if pupil_id is not None}
