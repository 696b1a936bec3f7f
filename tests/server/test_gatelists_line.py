"""The whole line: the school's cards decide the light at a gate, with the network cut and after a reboot."""

import signal
import time
import uuid
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from flask import Flask

from gateway import app as gateway_app
from gateway import config as gateway_config
from gateway.__main__ import main
from gateway.app import Gateway
from gateway.wire import ReaderHealth
from server import clock, settings
from server.calendar import service as calendar
from server.calendar.rules import Bell, Session
from server.cards.models import Card
from server.config import Config
from server.db import db, transaction
from server.gates import rules
from server.leave import requests
from server.leave.models import Leave, LeaveState
from server.leave.requests import Actor
from server.people.models import Guardianship, Pupil
from server.schools.models import School
from server.taps.models import Tap
from tests import services
from tests.gateway.ends import Cable, running, until
from tests.gateway.test_spool import on_disk
from tests.server import gate
from tests.server.ingest_worker import Worker, wait_until

pytestmark = pytest.mark.mosquitto
STRANGE = "em4100:67003B51C6"
ALL_WEEK = 0b1111111


def card(n: int) -> str:
    """The n-th pupil's; small numbers are a reader's known phantoms."""
    return f"em4100:68{n:02X}3B51C6"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the lights at the gate show."""
    seen: list[str] = []

    class Eyes(gateway_app.feedback.Silent):
        def accepted(self) -> None:
            seen.append("green")

        def strange(self) -> None:
            seen.append("amber")

        def no_pass(self) -> None:
            seen.append("blinking red")

    monkeypatch.setattr(gateway_app.feedback, "load", lambda pins: Eyes())
    return seen


@pytest.fixture
def way(tmp_path: Path) -> Iterator[dict[str, Cable]]:
    """A reader for each way."""
    cables = {name: Cable(tmp_path / name) for name in ("in", "out")}
    for cable in cables.values():
        cable.plug()
    yield cables
    for cable in cables.values():
        cable.unplug()


def configured(tmp_path: Path, broker: services.Mosquitto) -> Path:
    """The gate's file; its machine's key is on another medium than its data."""
    (tmp_path / "stick").write_bytes(b"k" * 32)
    path = tmp_path / "gateway.toml"
    path.write_text(
        f'school = "mingde"\ngateway = "gate-1"\ndata_dir = "{tmp_path}/data"\nclock = "trust"\nheartbeat_s = 1\n'
        f'machine_key_file = "{tmp_path}/stick"\n[mqtt]\nurls = ["{broker.url}"]\n[spool]\nreserve_mb = 1\n'
        + "".join(
            f'[[reader]]\nid = "{name}"\nprofile = "rdm6300"\nport = "{tmp_path}/{name}"\ndirection = "{name}"\n'
            for name in ("in", "out")
        )
    )
    return path


def school_that_is_strict() -> None:
    """Five pupils whose cards a reader takes, lessons at every hour of the week, and no exit without a pass."""
    gate.add_school(5)
    with transaction() as session:
        for n, each in enumerate(session.query(Card).order_by(Card.text)):
            each.text = card(n)
        settings.set_policy(session, "mingde", rules.ExitPolicy, strict_exits=True)
        hours = Session("am", 0, 86_400)
        calendar.set_bell(
            session, "mingde", timetable="default", bell=Bell(hours, date(2020, 1, 1), ALL_WEEK)
        )  # fmt: skip
        calendar.set_bell(
            session, "mingde", timetable="default", bell=Bell(Session("pm", 1, 86_400), date(2020, 1, 1), ALL_WEEK)
        )


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_gate_decides_with_the_network_cut_and_after_a_reboot(
    app: Flask,
    settings: Config,
    tmp_path: Path,
    mosquitto: services.Mosquitto,
    way: dict[str, Cable],
    shown: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    school_that_is_strict()
    path = configured(tmp_path, mosquitto)
    gateway = Gateway(gateway_config.load(path, {}))

    def touch(name: str, which: str) -> str:
        before = len(shown)
        way[name].touch(which)
        until(lambda: len(shown) > before)
        return shown[-1]

    def listens(gateway: Gateway) -> bool:
        return all(each.record.health is ReaderHealth.UP for each in gateway.gates.values())

    with Worker(tmp_path, settings.database.url, [mosquitto.url]) as worker:
        with running(gateway):
            until(lambda: listens(gateway) and gateway.cards.lists, seconds=40)
            assert [touch("in", card(0)), touch("in", STRANGE)] == ["green", "amber"]
            assert touch("out", card(1)) == "blinking red"
            wait_until(lambda: len(gate.rows(Tap, "id")) == 3)
            mosquitto.stop(signal.SIGKILL)
            until(lambda: not gateway.uplink.online)
            assert [touch("in", card(2)), touch("out", card(3))] == ["green", "blinking red"]

        rebooted = Gateway(gateway_config.load(path, {}))
        with running(rebooted):
            until(lambda: listens(rebooted))
            assert not rebooted.uplink.online and len(on_disk(rebooted.spool.path)) == 2
            assert [touch("in", card(4)), touch("out", card(1))] == ["green", "blinking red"]
            assert touch("in", "em4100:62E3086CED") == "amber"
            assert main(["inside", "--config", str(path)]) == 0
            assert "校内 inside: 3\n  八（2）班: 3\n" in capsys.readouterr().out
            mosquitto.start()
            wait_until(lambda: len(gate.rows(Tap, "id")) == 8)
        log = worker.log()
    assert "out" in gate.rows(Tap, "direction") and not [n for n in range(5) if card(n)[-10:] in log]
    assert gateway.cards.versions() and rebooted.cards.lists
    db.session.rollback()


def approved(number: str) -> tuple[uuid.UUID, uuid.UUID]:
    """Leave of a pupil from a few seconds ahead; gives it and the guardian who asked."""
    with transaction() as session:
        pupil = session.query(Pupil).filter_by(number=number).one()
        guardian = session.query(Guardianship).filter_by(pupil_id=pupil.id).one().guardian_id
        now = clock.now()
        leave = Leave(school_id="mingde", pupil_id=pupil.id, kind="sick", state=LeaveState.APPROVED, asked_at=now)
        leave.guardian_id, leave.starts_at, leave.ends_at = guardian, now + timedelta(seconds=12), now + timedelta(1)
        session.add(leave)
        session.flush()
        return leave.id, guardian


class Brisk(Worker):
    """Looks every second at what the lists are made from, where the product does once a minute."""

    program = "from server import cli, gatelists\ngatelists.REFRESH = 1.0\ncli.build()(['ingest'])"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_leave_opens_the_gate_in_its_time_and_a_withdrawn_one_closes_it(
    app: Flask,
    settings: Config,
    tmp_path: Path,
    mosquitto: services.Mosquitto,
    way: dict[str, Cable],
    shown: list[str],
) -> None:
    school_that_is_strict()
    gateway = Gateway(gateway_config.load(configured(tmp_path, mosquitto), {}))

    def touch(which: str) -> str:
        before = len(shown)
        way["out"].touch(which)
        until(lambda: len(shown) > before)
        return shown[-1]

    def passes() -> int:
        return sum(map(len, gateway.cards.lists.passes.values())) if gateway.cards.lists else -1

    with Brisk(tmp_path, settings.database.url, [mosquitto.url]), running(gateway):
        until(lambda: all(each.record.health is ReaderHealth.UP for each in gateway.gates.values()), seconds=40)
        until(lambda: passes() == 0, seconds=40)
        assert [touch(card(0)), touch(card(1))] == ["blinking red"] * 2
        leave, guardian = approved("20260000")
        until(lambda: passes() == 1, seconds=10)
        assert touch(card(0)) == "blinking red"  # not before its time
        time.sleep(13)
        assert [touch(card(0)), touch(card(1))] == ["green", "blinking red"]
        with transaction() as session:
            mother = Actor(guardian_id=guardian)
            requests.withdraw(session, session.get_one(School, "mingde"), leave, mother, clock.now())
        until(lambda: passes() == 0, seconds=20)
        time.sleep(4)  # the reader forgets a card that it has just read
        assert touch(card(0)) == "blinking red"
    db.session.rollback()
