"""2,000 taps while ingest and broker are killed again and again: every tap once, every text once, none lost."""

import signal
import time
import uuid
from datetime import timedelta

import pytest
from flask import Flask

from gateway import wire
from server import clock
from server.attendance.models import PupilDay
from server.config import Config
from server.db import db
from server.outbox.models import OutboxText
from server.taps.models import Tap
from tests import services
from tests.server import gate
from tests.server.ingest_worker import GateClient, Worker, wait_until

TAPS = 2000
PUPILS = 250
RESEND = 3.0  # seconds; a gateway's spool sends again what was not answered


class Spool:
    """What a gateway does: keep every tap until it is answered, at most 10 messages on the way."""

    def __init__(self, client: GateClient, taps: list[wire.Tap]) -> None:
        self.client = client
        self.unsent = taps
        self.flying: dict[str, tuple[wire.Tap, float]] = {}
        self.heard = 0

    def turn(self) -> None:
        """Forget what is stored, send again what takes too long, send more."""
        answers = self.client.stored
        for tap_id in answers[self.heard :]:
            self.flying.pop(tap_id, None)
        self.heard = len(answers)
        now = time.monotonic()
        again = [tap for tap, sent in self.flying.values() if now - sent > RESEND]
        room = 500 - len(self.flying)
        new, self.unsent = self.unsent[:room], self.unsent[room:]
        self.flying |= {tap.id: (tap, now) for tap in [*again, *new]}
        for due in (again, new):
            for start in range(0, len(due), 50):
                self.client.send(gate.message(due[start : start + 50]))

    @property
    def empty(self) -> bool:
        """Everything is stored."""
        return not self.unsent and not self.flying


BOTH = ["sqlite", pytest.param("postgresql", marks=[pytest.mark.slow, pytest.mark.postgres])]


@pytest.mark.mosquitto
@pytest.mark.parametrize("database_url", BOTH, indirect=True)
def test_every_tap_is_stored_once_through_kills(app: Flask, settings: Config, tmp_path, mosquitto) -> None:
    gate.add_school(PUPILS)
    seen = clock.now() - timedelta(minutes=10)
    taps = [
        gate.tap(n, seen + timedelta(milliseconds=200 * n), card=gate.card_of(n % PUPILS)) for n in range(1, TAPS + 1)
    ]
    kills = 0
    with Worker(tmp_path, settings.database.url, [mosquitto.url]) as worker, GateClient(mosquitto.port) as client:
        spool = Spool(client, list(taps))
        until = time.monotonic() + 60
        while not spool.empty and time.monotonic() < until:
            spool.turn()
            if kills < 2 and spool.heard > 500 * (kills + 1):
                kills += 1
                _crash(worker, mosquitto, broker_too=kills == 2)
            time.sleep(0.01)
        assert spool.empty and kills == 2
    assert gate.rows(Tap, "id") == sorted((uuid.UUID(tap.id) for tap in taps), key=repr)
    assert len(gate.rows(PupilDay, "pupil_id")) == PUPILS
    told = gate.rows(OutboxText, "pupil_id", "kind", "n")
    assert len(told) == len(set(told)) == PUPILS
    db.session.remove()


def _crash(worker: Worker, mosquitto: services.Mosquitto, *, broker_too: bool) -> None:
    worker.stop(signal.SIGKILL)
    if broker_too:
        mosquitto.stop(signal.SIGKILL)
        mosquitto.start()
    worker.start()
    wait_until(lambda: worker.process is not None and worker.process.poll() is None)
