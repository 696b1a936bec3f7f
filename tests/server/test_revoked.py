"""A revoked gate: the server takes nothing from it, whatever the broker lets through, and says so to staff."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from gateway import wire
from server import clock, pipeline
from server.db import db, transaction
from server.gates import credentials, service
from server.gates.models import Credential, Gateway, Silence
from server.overview import service as overview
from server.overview import todo
from server.schools.models import School
from server.taps.models import RefusedPayload, Tap
from tests.server import gate

AT = gate.at("07:41")


@pytest.fixture
def revoked(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """gate-1 was heard at 07:30 and revoked at 07:40; gate-2 is in service."""
    gate.set_clock(monkeypatch, AT)
    gate.add_school()
    pipeline.heard([report("gate-1", "07:30"), report("gate-2", "07:40")])
    with transaction() as session:
        session.add(Credential(school_id="mingde", gateway_id="gate-1", serial="1f", made_at=AT))
        session.flush()
        credentials.block(session, credentials.find(session, "mingde", "gate-1"), gate.at("07:40"))


def report(name: str, when: str, **changes: Any) -> pipeline.Report:
    at = clock.to_millis(gate.at(when))
    state = wire.State(online=True, birth=at, at=at, boot=gate.BOOT, clock=wire.ClockState.SYNCED, **changes)
    return pipeline.Report(wire.topic("mingde", name, wire.Kind.STATE), "mingde", name, state, gate.at(when))


def test_its_taps_are_kept_raw_and_never_answered(revoked) -> None:
    stolen, fine = gate.tap(1, AT), gate.tap(1, AT, gateway="gate-2", spool="ffffffffffffffff")
    answers = pipeline.handle([gate.delivery([stolen], AT), gate.delivery([fine], AT, gateway="gate-2")], AT)
    assert answers == {("mingde", "gate-2"): [fine.id]}
    assert gate.rows(Tap, "gateway_id") == ["gate-2"]
    [(payload, reason)] = gate.rows(RefusedPayload, "payload", "reason")
    assert wire.decode(wire.Kind.TAP, payload).taps == [stolen]  # type: ignore[union-attr]
    assert reason == "gate gate-1 was revoked and still sends"


def test_the_same_tap_again_is_counted_not_kept_twice(revoked) -> None:
    for _ in range(3):
        pipeline.handle([gate.delivery([gate.tap(1, AT, id="0193625f-0000-7000-8000-000000000001")], AT)], AT)
    assert gate.rows(RefusedPayload, "count") == [3]


def test_its_states_are_not_noted(revoked) -> None:
    pipeline.heard([report("gate-1", "07:41"), report("gate-2", "07:41")])
    heard = dict(gate.rows(Gateway, "id", "heard_at"))
    assert heard == {"gate-1": gate.at("07:30"), "gate-2": gate.at("07:41")}
    assert len(gate.rows(RefusedPayload, "digest")) == 1


def test_what_a_broker_kept_from_before_is_no_sign_that_it_still_sends(revoked) -> None:
    pipeline.heard([report("gate-1", "07:30")])
    assert gate.rows(RefusedPayload, "digest") == []


def test_others_can_ask_whether_a_gate_is_blocked(revoked) -> None:
    asked = [("mingde", "gate-1"), ("mingde", "gate-2"), ("mingde", "gate-9"), ("no2", "gate-1")]
    assert [service.is_blocked(*each) for each in asked] == [True, False, False, False]


def test_its_silence_ends_where_it_was_revoked_and_no_other_begins(revoked, monkeypatch) -> None:
    with transaction() as session:
        session.add(Silence(school_id="mingde", gateway_id="gate-1", starts=gate.at("07:30")))
    gate.set_clock(monkeypatch, gate.at("07:41:10"))
    for _ in range(2):
        with transaction() as session:
            service.watch(session, clock.now())
    ends = [row for row in gate.rows(Silence, "gateway_id", "ends") if row[0] == "gate-1"]
    assert ends == [("gate-1", gate.at("07:40"))]


def test_when_it_is_taken_back_its_taps_are_stored(revoked) -> None:
    with transaction() as session:
        credentials.find(session, "mingde", "gate-1").blocked_at = None
    tap = gate.tap(1, AT)
    assert pipeline.handle([gate.delivery([tap], AT)], AT) == {("mingde", "gate-1"): [tap.id]}


def todos(kind: str) -> list[todo.Todo]:
    db.session.rollback()
    gates = overview.gates(db.session.get_one(School, "mingde"), gate.DAY, clock.now())
    found = [*todo._credentials(gates), *todo._refused("mingde", gate.DAY, gates)]
    return [each for each in found if each.kind == kind]


def test_staff_see_that_it_still_sends_but_not_what_was_on_its_way(revoked, monkeypatch) -> None:
    pipeline.handle([gate.delivery([gate.tap(1, AT)], gate.at("07:40:30"))], AT)
    gate.set_clock(monkeypatch, gate.at("07:40:30"))
    db.session.execute(RefusedPayload.__table__.update().values(last_at=gate.at("07:40:30")))  # type: ignore[attr-defined]
    db.session.commit()
    assert todos("revoked") == todos("refused") == []
    gate.set_clock(monkeypatch, gate.at("07:50"))
    pipeline.handle([gate.delivery([gate.tap(2, AT)], gate.at("07:50"))], gate.at("07:50"))
    [seen] = todos("revoked")
    assert seen.gate == "gate-1" and seen.count == 1
    assert todos("refused") == []


def test_staff_see_a_certificate_that_ends_but_not_of_a_revoked_gate(revoked) -> None:
    soon = clock.now() + timedelta(days=20)
    with transaction() as session:
        for name in ("gate-1", "gate-2"):
            session.add(Credential(school_id="mingde", gateway_id=name, serial="2f", made_at=AT, expires_at=soon))
    assert [(each.gate, each.at) for each in todos("ending")] == [("gate-2", soon)]
