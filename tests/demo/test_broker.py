"""What the line needs of a broker, asked of mosquitto and of the embedded one: same code, another URL."""

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.config import Config, Mqtt
from server import broker
from tests import services

STATE = "gatebell/1/00/mingde/gate-1/state"
TAP = "gatebell/1/00/mingde/gate-1/tap"


class Running(services.Service):
    """The broker of the demo, started as the demo starts it."""

    embedded = False

    def command(self) -> list[str]:
        """`python -m server.broker`."""
        line = [sys.executable, "-m", "server.broker", "--port", str(self.port), "--folder", str(self.folder)]
        return [*line, "--embedded"] if self.embedded else line


@pytest.fixture(params=[pytest.param("mosquitto", marks=pytest.mark.mosquitto), "embedded"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    if request.param == "mosquitto" and not broker.mosquitto():
        services.missing("mosquitto")
    server = Running(tmp_path / "broker")
    server.embedded = request.param == "embedded"
    with server:
        yield server


class Client:
    """A paho client that remembers what it got."""

    def __init__(self, port: int, name: str, *, keep: bool = False, will: bytes = b"") -> None:
        self.got: list[mqtt.MQTTMessage] = []
        self.subscribed = threading.Event()
        self.acknowledge = True
        self.paho = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, name, protocol=mqtt.MQTTv5, manual_ack=True)
        self.paho.on_message = self._on_message
        self.paho.on_subscribe = lambda *_: self.subscribed.set()
        if will:
            self.paho.will_set(STATE, will, 1, retain=True)
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 3600 if keep else 0
        self.paho.connect("127.0.0.1", port, clean_start=not keep, properties=session)
        self.paho.loop_start()

    def _on_message(self, _client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        self.got.append(message)
        if self.acknowledge:
            self.paho.ack(message.mid, message.qos)

    def subscribe(self, topic: str) -> None:
        """Subscribe with QoS 1 and wait for the broker's word."""
        self.paho.subscribe(topic, 1)
        assert self.subscribed.wait(10)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1 and wait for the acknowledgement."""
        message = self.paho.publish(topic, payload, 1, retain)
        message.wait_for_publish(10)
        assert message.is_published()

    def payloads(self) -> list[bytes]:
        """What has come, in order."""
        return [message.payload for message in self.got]

    def crash(self) -> None:
        """Vanish without a word, as a process that is killed."""
        wire = self.paho.socket()
        assert isinstance(wire, socket.socket)
        self.paho.loop_stop()
        wire.shutdown(socket.SHUT_RDWR)
        wire.close()

    def close(self) -> None:
        """Say goodbye."""
        self.paho.disconnect()
        self.paho.loop_stop()


@pytest.fixture
def connect(running: Running) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(name: str, *, keep: bool = False, will: bytes = b"") -> Client:
        made.append(Client(running.port, name, keep=keep, will=will))
        return made[-1]

    yield make
    for client in made:
        client.close()


def eventually(true: Callable[[], object], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "did not come true"
        time.sleep(0.01)


def test_a_retained_state_greets_a_later_subscriber(connect: Callable[..., Client]) -> None:
    connect("gate").publish(STATE, b"online", retain=True)
    late = connect("ingest")
    late.subscribe("gatebell/1/00/+/+/state")
    eventually(lambda: late.payloads() == [b"online"])
    assert late.got[0].retain


def test_the_last_will_is_told_and_kept_when_a_gateway_vanishes(connect: Callable[..., Client]) -> None:
    ingest = connect("ingest")
    ingest.subscribe(STATE)
    connect("gate", will=b"offline").crash()
    eventually(lambda: ingest.payloads() == [b"offline"])
    later = connect("later")
    later.subscribe(STATE)
    eventually(lambda: later.payloads() == [b"offline"])


def test_what_a_crashed_worker_had_not_acknowledged_comes_again_in_order(connect: Callable[..., Client]) -> None:
    gate, worker = connect("gate"), connect("worker-00", keep=True)
    worker.acknowledge = False
    worker.subscribe("gatebell/1/00/+/+/tap")
    for number in range(10):
        gate.publish(TAP, b"%d" % number)
    eventually(lambda: len(worker.got) == 10)
    worker.crash()
    for number in range(10, 500):
        gate.publish(TAP, b"%d" % number)
    worker = connect("worker-00", keep=True)
    eventually(lambda: len(worker.got) >= 500)
    assert worker.payloads() == [b"%d" % number for number in range(500)]


def test_a_full_message_of_fifty_taps_passes(connect: Callable[..., Client]) -> None:
    worker = connect("worker")
    worker.subscribe(TAP)
    connect("gate").publish(TAP, b"x" * 60_000)
    eventually(lambda: len(worker.got) == 1)
    assert len(worker.got[0].payload) == 60_000


def test_a_gate_without_a_name_of_its_own_is_let_in(connect: Callable[..., Client]) -> None:
    gate = msgspec.convert({"school": "mingde", "gateway": "gate-1", "data_dir": "data", "reader": []}, Config)
    named = msgspec.structs.replace(gate, mqtt=Mqtt(username="mingde/gate-1"))
    assert named.client_id == "mingde/gate-1"  # what the access rules of a guarded broker go by
    connect(gate.client_id).publish(STATE, b"up")
