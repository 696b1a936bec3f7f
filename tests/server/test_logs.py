"""No log of the server holds a whole number, a whole card or a name, not even at DEBUG."""

import json
import logging
from types import SimpleNamespace

import pytest
from flask import Flask

from server import cli
from server.ingest import Incoming, Ingest
from server.outbox.providers.phone import Phone
from server.people.models import Guardian, Pupil
from server.taps.models import RefusedPayload
from tests.server import gate
from tests.server.outbox_texts import all_in, sending, soon

NOW = gate.at("07:45")


def test_the_way_from_tap_to_phone_leaves_nobody_in_the_log(
    app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gate.set_clock(monkeypatch, NOW)
    gate.add_school()
    ingest = Ingest(app)
    taps = [gate.tap(n + 1, gate.at("07:41"), card=gate.card_of(n)) for n in range(3)]
    odd = [gate.tap(4, NOW, card="em4100:67003B51C6"), gate.tap(5, NOW, card="em4100:67003B51C7", gateway="gate-9")]
    broken = json.dumps({"taps": [{"card": "em4100:67003B51C6", "direction": 7}]}).encode()
    for payload in (gate.wire.encode(gate.message(taps + odd)), broken, b"em4100:67003B51C6"):
        message = SimpleNamespace(topic="gatebell/1/00/mingde/gate-1/tap", payload=payload, retain=False)
        ingest._keep([Incoming(message, 1, NOW)])  # type: ignore[arg-type]
    with sending(app, Phone(Phone.Settings())):
        soon(all_in("delivered", count=3))
    assert len(gate.rows(RefusedPayload, "digest")) == 3 and "refused tap" in caplog.text
    secret = {*gate.rows(Guardian, "name"), *gate.rows(Pupil, "name"), *gate.rows(Guardian, "phone")}
    secret |= {phone[3:] for phone in gate.rows(Guardian, "phone")}
    secret |= {tap.card.partition(":")[2] for tap in [*taps, *odd]}
    assert not [word for word in secret if word in caplog.text]


def test_the_http_client_keeps_the_addresses_of_texts_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    library = logging.getLogger("urllib3")
    monkeypatch.setattr(library, "level", logging.NOTSET)
    monkeypatch.setenv("GATEBELL_LOG", "DEBUG")
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    cli.talk()
    assert library.level == logging.INFO and not logging.getLogger("urllib3.connectionpool").isEnabledFor(logging.DEBUG)
    library.setLevel(logging.NOTSET)
