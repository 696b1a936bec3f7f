"""The ingest process between a real broker and a real database: what it answers, and when."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from sqlalchemy import text

from gateway import wire
from server import clock, config
from server.config import Config
from server.db import db
from server.gates.models import Gateway
from server.ingest import Incoming, Ingest, _in_batches
from server.outbox.models import OutboxText
from server.taps.models import RefusedPayload, Tap
from tests import services
from tests.server import gate
from tests.server.ingest_worker import GateClient, Worker, wait_until

pytestmark = pytest.mark.mosquitto
ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def now_taps(*seqs: int) -> list[wire.Tap]:
    return [gate.tap(seq, clock.now() - timedelta(seconds=2), card=gate.card_of(seq % 3)) for seq in seqs]


@pytest.fixture
def worker(app: Flask, settings: Config, tmp_path: Path, mosquitto: services.Mosquitto) -> Iterator[Worker]:
    """An ingest process for a school of three pupils; the first broker it is told of does not exist."""
    gate.add_school()
    dead = f"mqtt://127.0.0.1:{services.free_port()}"
    with Worker(tmp_path, settings.database.url, [dead, mosquitto.url]) as worker:
        wait_until(lambda: "connected" in worker.log())
        yield worker


def test_taps_are_answered_once_they_are_stored_and_bad_messages_stop_nothing(worker, mosquitto) -> None:
    first, second = now_taps(1), now_taps(2, 3)
    with GateClient(mosquitto.port) as client:
        client.send(b"\xff\xff not JSON")
        client.send(b"{}" * 5000)
        client.send(gate.message(first))
        client.send(b'{"taps": []}')
        client.send(gate.message(second))
        client.send(gate.message(first))  # as after a lost answer
        wait_until(lambda: len(client.stored) >= 4)
    assert sorted(client.stored) == sorted([first[0].id, *(tap.id for tap in second), first[0].id])
    assert gate.rows(Tap, "seq") == [1, 2, 3]
    assert len(gate.rows(OutboxText, "id")) == 3
    assert len(gate.rows(RefusedPayload, "digest")) == 3
    assert worker.stop() == 0
    assert gate.card_of(1) not in worker.log()


@ONE_DATABASE
def test_a_gateways_state_is_noted_and_an_old_retained_one_is_no_hearing(worker, mosquitto) -> None:
    at = clock.to_millis(clock.now()) - 3600_000
    state = wire.State(online=True, birth=at, at=at, boot="b", clock=wire.ClockState.SYNCED)
    with GateClient(mosquitto.port) as client:
        client.send(state, wire.Kind.STATE, retain=True)
        wait_until(lambda: gate.rows(Gateway, "online") == [True])
        heard = gate.rows(Gateway, "heard_at")[0]
        assert clock.now() - heard < timedelta(minutes=1)  # it came live
    assert worker.stop() == 0
    db.session.execute(text("UPDATE gateway SET heard_at = NULL, birth = 0"))
    db.session.commit()
    worker.start()
    heard = wait_until(lambda: [each for each in gate.rows(Gateway, "heard_at") if each])[0]
    assert heard == clock.from_millis(at)


def test_nothing_is_answered_or_acknowledged_before_the_commit(app, worker, mosquitto) -> None:
    taps = now_taps(1, 2)
    lock = "DELETE FROM gate_silence" if db.engine.dialect.name == "sqlite" else "LOCK TABLE tap"
    with GateClient(mosquitto.port) as client, db.engine.connect() as other:
        other.execute(text(lock))
        client.send(gate.message(taps))
        with pytest.raises(TimeoutError):
            wait_until(lambda: client.stored, seconds=1)
        worker.stop(signal.SIGKILL)
        other.rollback()
        assert gate.rows(Tap, "id") == []
        worker.start()  # the broker was told nothing, so it hands the message out again
        wait_until(lambda: len(client.stored) == 2)
    assert len(gate.rows(Tap, "id")) == 2


def test_a_locked_database_only_delays(app, worker, mosquitto) -> None:
    lock = "DELETE FROM gate_silence" if db.engine.dialect.name == "sqlite" else "LOCK TABLE tap"
    with GateClient(mosquitto.port) as client, db.engine.connect() as other:
        other.execute(text(lock))
        for seq in range(1, 21):
            client.send(gate.message(now_taps(seq)))
        with pytest.raises(TimeoutError):
            wait_until(lambda: client.stored, seconds=0.5)
        other.rollback()
        wait_until(lambda: len(client.stored) == 20)
    assert len(gate.rows(Tap, "id")) == 20


@ONE_DATABASE
def test_it_comes_back_to_a_broker_that_was_killed(worker, mosquitto) -> None:
    mosquitto.stop(signal.SIGKILL)
    wait_until(lambda: "cannot be reached" in worker.log())
    mosquitto.start()
    wait_until(lambda: worker.log().count("connected to the broker") == 2, seconds=10)
    with GateClient(mosquitto.port) as client:
        client.send(gate.message(now_taps(1)))
        wait_until(lambda: client.stored)


def test_topics_that_the_broker_denies_end_it_with_a_sentence(tmp_path) -> None:
    app = Flask("test")
    app.extensions["gatebell"] = config.Config()
    ingest = Ingest(app)
    codes = [ReasonCode(PacketTypes.SUBACK, identifier=code) for code in (1, 135)]  # granted, not authorized
    ingest.link._on_subscribe(None, None, 1, codes, None)
    assert ingest.stop.is_set()
    assert ingest.refusal == (
        "the broker does not let us read gatebell/1/00/+/+/state; allow it for this user in its ACL"
    )


@ONE_DATABASE
def test_systemd_hears_that_it_is_ready_and_alive(app, settings, tmp_path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        dead = f"mqtt://127.0.0.1:{services.free_port()}"
        with Worker(tmp_path, settings.database.url, [dead], NOTIFY_SOCKET=str(tmp_path / "notify")):
            heard = [manager.recv(64) for _ in range(3)]
    assert heard == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]


def test_a_thread_that_breaks_ends_the_process(tmp_path) -> None:
    code = (
        "import threading, time\nfrom server import service_manager\n"
        "service_manager.end_process_on_thread_death()\n"
        "threading.Thread(target=lambda: 1 / 0, name='link').start()\ntime.sleep(20)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 70 and "thread link broke" in done.stderr and "ZeroDivisionError" in done.stderr


def test_a_batch_holds_whole_messages_and_no_more_taps_than_it_may() -> None:
    messages = [gate.delivery([gate.tap(1, gate.SEVEN)] * count, gate.SEVEN) for count in (50, 30, 20, 1, 50)]
    parts = [[len(each.message.taps) for each in part] for part in _in_batches(messages, 100)]
    assert parts == [[50, 30, 20], [1, 50]]


def test_what_waits_is_collected_up_to_a_batch(tmp_path) -> None:
    app = Flask("test")
    app.extensions["gatebell"] = config.Config(ingest=config.Ingest(batch=3, linger_ms=0))
    ingest = Ingest(app)
    for _ in range(5):
        ingest.waiting.put(Incoming(None, 1, clock.now()))  # type: ignore[arg-type]
    assert [len(ingest._collect()) for _ in range(2)] == [3, 2]
    ingest.end()
    assert ingest._collect() == []
