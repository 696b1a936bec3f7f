"""Whatever bytes come in on a topic: the consumer goes on, and each message is stored and answered or kept raw."""

import json
import uuid
from datetime import datetime
from types import SimpleNamespace

import msgspec
import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from gateway import wire
from gateway.timebase import Timebase
from server import clock, config
from server.gates import service as gates
from server.gates.models import Gateway
from server.ingest import Incoming, Ingest
from server.taps.models import RefusedPayload, Tap
from tests.server import gate

NOW = gate.at("07:45")
TOPICS = [
    f"gatebell/1/00/{place}" for place in ("mingde/gate-1/tap", "mingde/gate-1/state", "no2/g/tap", "no2/g/state")
]
TOPICS += ["gatebell/1/00/mingde/gate-1/other", "gatebell/1/00/a\0b/gate-1/tap", "gatebell/2/00/mingde/gate-1/tap"]
ODD = [None, True, -1, 0, 2**31, 2**53 - 1, 2**53, 2**63, 10**400, 1.5, 1e308, "", "a\0b", "\ud800", "x" * 300, [], {}]
ODD += ["2199", 7258118400000, 7258118400001, "synced", "unsynced", "rtc", "out", "both", gate.BOOT, "gate-2", "a\n"]
ODD += ["em4100:FFFFFFFFFF", "em4100:", gate.card_of(1), "00112233aabbccde", {"a": [[[[]]]]}, [None] * 60]
RAW = [b"", b"\0", b"\xff\xfe", b"[" * 100_000, b'{"taps":' * 50_000, b"9" * 100_000, b'"\\ud800"', b"null", b"{}"]


def tap() -> dict[str, object]:
    return msgspec.to_builtins(gate.tap(1, gate.at("07:41"), id=wire.new_tap_id()))


def taps(*those: dict[str, object]) -> dict[str, object]:
    return {"sent": clock.to_millis(NOW), "boot": gate.BOOT, "ticks": 10**9, "taps": list(those)}


def state() -> dict[str, object]:
    at = clock.to_millis(NOW)
    reader = {"reader": "lane-1", "health": "up", "profile": "rdm6300", "cards": 1, "faults": {"checksum": 2}}
    known = {"spool": gate.SPOOL, "next_seq": 9, "oldest": at, "boot": gate.BOOT, "ticks": 5, "clock": "synced"}
    return {"online": True, "birth": at, "at": at, "readers": [reader], **known}


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """A message of a gate with some of its values put out of order, or rubbish."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(RAW))
    message = draw(st.sampled_from([taps(tap()), taps(tap(), tap()), state()]))
    places = [message, *message.get("taps", []), *message.get("readers", [])]  # type: ignore[misc]
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.sampled_from(places))
        key = draw(st.sampled_from(sorted(place)))
        odd = draw(st.sampled_from(ODD) | st.integers(0, 7258118400000))
        place[key] = {odd: 1} if key == "faults" and isinstance(odd, str) else odd
    return json.dumps(message).encode()


class Line:
    """Stands where the link to the broker is, and keeps what is answered."""

    def __init__(self) -> None:
        self.answered: set[str] = set()

    def publish(self, _topic: str, payload: bytes) -> None:
        message = json.loads(payload)
        self.answered |= set(message.get("ids", ()))

    def acknowledge(self, *_: object) -> None:
        pass


@pytest.fixture
def ingest(app: Flask, settings: config.Config, monkeypatch: pytest.MonkeyPatch) -> Ingest:
    """A consumer without its broker, and the school mingde."""
    gate.set_clock(monkeypatch, NOW)
    gate.add_school()
    consumer = Ingest(app)
    consumer.link = Line()  # type: ignore[assignment]
    return consumer


def take(ingest: Ingest, *messages: tuple[str, bytes], at: datetime = NOW) -> set[str]:
    """Hand over one batch; the ids that were answered."""
    ingest.link.answered.clear()  # type: ignore[attr-defined]
    batch = [
        Incoming(SimpleNamespace(topic=topic, payload=payload, retain=False), 1, at)  # type: ignore[arg-type]
        for topic, payload in messages
    ]
    ingest._keep(batch)
    return set(ingest.link.answered)  # type: ignore[attr-defined]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(st.tuples(st.sampled_from(TOPICS), payloads()), min_size=1, max_size=12))
def test_no_message_stops_the_consumer_or_the_good_tap_beside_it(ingest: Ingest, messages) -> None:
    good = tap()
    answered = take(ingest, *messages, (TOPICS[0], json.dumps(taps(good)).encode()))
    assert good["id"] in answered
    stored = {str(each) for each in gate.rows(Tap, "id")}
    assert good["id"] in stored
    refused = b"".join(gate.rows(RefusedPayload, "payload")).decode("utf-8", "replace")
    assert not [each for each in answered if each not in stored and each not in refused]
    gates.gaps_on("mingde", gate.DAY)  # what was kept can be read again
    ingest._ask_again()


def test_a_tap_whose_ticks_make_no_sense_is_stored_with_its_own_time(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "_base", Timebase())
    odd = tap() | {"ticks": 0}
    assert take(ingest, (TOPICS[0], json.dumps(taps(odd) | {"ticks": 2**53 - 1}).encode())) == {odd["id"]}
    assert gate.rows(Tap, "id", "at") == [(uuid.UUID(str(odd["id"])), gate.at("07:41"))]
    unsynced = tap() | {"ticks": 0, "clock": "unsynced", "seq": 2}
    take(ingest, (TOPICS[0], json.dumps(taps(unsynced) | {"ticks": 2**53 - 1}).encode()))
    assert len(gate.rows(Tap, "id")) == 2 and gate.rows(RefusedPayload, "digest") == []


def heard(ingest: Ingest, when: str, *, birth: str, online: bool = True) -> bool:
    """Whether the gate counts as online after a State that came in at `when`."""
    said = state() | {"birth": clock.to_millis(gate.at(birth)), "online": online}
    take(ingest, (TOPICS[1], json.dumps(said).encode()), at=gate.at(when))
    [found] = gate.rows(Gateway, "online")
    return bool(found)


def test_a_gate_that_was_once_born_in_the_future_is_heard_when_its_clock_is_right(ingest: Ingest) -> None:
    assert heard(ingest, "07:41", birth="9999:00")
    assert heard(ingest, "07:42", birth="9999:00")
    assert not heard(ingest, "07:43", birth="9999:00", online=False)
    assert heard(ingest, "07:44", birth="07:44")  # it has connected again, with the right time
    assert not heard(ingest, "07:45", birth="07:44", online=False)
    assert heard(ingest, "07:46", birth="07:46")
    assert heard(ingest, "07:47", birth="07:44", online=False)  # the will of the connection before says nothing


def test_a_database_that_says_nothing_about_its_trouble_is_waited_for(ingest: Ingest) -> None:
    def away() -> None:
        raise OperationalError("", None, Exception(""))

    assert ingest._guarded(away) is False
