"""The demo's phones: a text goes into a table that the phone page shows, every copy of it, so that doubles are seen."""

import time

from sqlalchemy import exists, select

from server import clock, crypt
from server.db import transaction
from server.outbox.models import PhoneText
from server.outbox.providers.base import Accepted, Doubtful, Outgoing, Provider, SendFailed
from server.outbox.rules import Answer, Outcome

LOCKED_OUT = "the database was busy for too long"


class Phone(Provider):
    """Needs no settings and can always be asked: its table is our own."""

    name = "phone"
    delivers = True

    def send(self, text: Outgoing) -> Accepted:
        """Put it on the phone, in a transaction of its own as a foreign service would."""
        received = PhoneText(
            text_id=text.text_id,
            recipient=crypt.look_up(text.phone),
            phone=text.phone,
            body=text.body,
            received_at=clock.now(),
        )
        with transaction() as session:
            if time.monotonic() > text.deadline:  # a busy database kept us waiting
                raise SendFailed(Outcome.RETRY_SAME, LOCKED_OUT)
            session.add(received)
        return Accepted(str(received.id))

    def ask(self, text: Doubtful) -> Answer:
        """Look into the table."""
        with transaction() as session:
            taken = session.scalar(select(exists().where(PhoneText.text_id == text.text_id)))
        return Answer.TAKEN if taken else Answer.NOT_TAKEN


PROVIDER = Phone
