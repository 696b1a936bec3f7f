"""What families write back, handed to whoever can use it: one reply after the other, each taken once."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.orm import Session

from server import clock
from server.absence import service as absence
from server.absence.rules import Reason, reason_of
from server.db import transaction
from server.jobs import every
from server.leave import spoken
from server.leavedesk import inbound as leavedesk
from server.outbox import inbound, rules
from server.outbox.models import InboundText

PERSON = "person"  # nothing could use it: somebody at the school has to read it
Handler = Callable[[Session, InboundText, datetime], str | None]


def _stop(_session: Session, reply: InboundText, _now: datetime) -> str | None:
    """Before anything else. Safety texts end when a person has made sure, so it is a person who gets it."""
    return PERSON if rules.is_stop(reply.body) else None


def _code(session: Session, reply: InboundText, now: datetime) -> str | None:
    """1, 2 or 3 by itself is the answer to "where is your child?"."""
    return absence.answer(session, reply, now) if reason_of(reply.body) is not Reason.WORDS else None


def _leave(session: Session, reply: InboundText, now: datetime) -> str | None:
    """Who asks for leave has answered as well: nobody else of the family is asked where the child is."""
    taken = leavedesk.answer(session, reply, now)
    if taken and spoken.is_request(reply.body):
        absence.answer(session, reply, now)
    return taken


# In order; each says as what it took the reply, or None when it is nothing for it.
HANDLERS: tuple[Handler, ...] = (_stop, _code, _leave, absence.answer)


@every(seconds=1)
def hand_out() -> None:
    """Take what waits, one in a transaction."""
    while True:
        with transaction() as session:
            found = inbound.waiting(session, limit=1)
            if not found:
                return
            now = clock.now()
            inbound.handled(found[0], _taken(session, found[0], now), now)


def _taken(session: Session, reply: InboundText, now: datetime) -> str:
    if reply.school_id is None:
        return PERSON
    return next((word for handler in HANDLERS if (word := handler(session, reply, now))), PERSON)
