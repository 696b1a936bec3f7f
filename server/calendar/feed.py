"""The address under which a school's calendar can be subscribed to: unguessable, and replaced when it leaked."""

import secrets

from sqlalchemy import select
from sqlalchemy.orm import Session

from server import clock, crypt
from server.calendar.models import CalendarFeed


def token_of(session: Session, school_id: str) -> str | None:
    """What stands in the address; None while there is none."""
    row = session.scalar(select(CalendarFeed).where(CalendarFeed.school_id == school_id))
    return row.token if row else None


def renew(session: Session, school_id: str) -> str:
    """A new address; the old one ends."""
    row = session.scalar(select(CalendarFeed).where(CalendarFeed.school_id == school_id).with_for_update())
    row = row or CalendarFeed(school_id=school_id)
    row.token = secrets.token_urlsafe(24)
    row.token_hash, row.made_at = crypt.look_up(row.token), clock.now()
    session.add(row)
    return row.token


def school_of(session: Session, token: str) -> str | None:
    """Whose calendar stands under an address."""
    return session.scalar(select(CalendarFeed.school_id).where(CalendarFeed.token_hash == crypt.look_up(token)))
