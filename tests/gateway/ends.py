"""The two ends that a gateway joins, for its tests: a cable with a pseudo-terminal, and a school that listens."""

import contextlib
import os
import pty
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from paho.mqtt import client as mqtt

from gateway import wire
from gateway.app import Gateway, Stop
from gateway.readers import load
from gateway.wire import Kind

CARD = "em4100:67003B51C6"
OTHER = "em4100:62E3086CED"
T = TypeVar("T")
SCHOOL, GATE = "mingde", "gate-1"


def until(what: Callable[[], T], *, seconds: float = 10) -> T:
    """The first true value of `what`. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not (value := what()):
        if time.monotonic() > end:
            raise TimeoutError(f"nothing in {seconds} s")
        time.sleep(0.01)
    return value


class Cable:
    """A reader's cable with a stable name; the far end is ours."""

    def __init__(self, name: Path) -> None:
        self.name = name
        self.master: int | None = None

    def plug(self) -> None:
        """Make the port."""
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        self.name.symlink_to(os.ttyname(slave))
        self._slave = slave

    def unplug(self) -> None:
        """Pull it."""
        if self.master is not None:
            self.name.unlink()
            os.close(self._slave)
            os.close(self.master)
            self.master = None

    def write(self, line: bytes) -> None:
        """Bytes from the reader."""
        assert self.master is not None
        os.write(self.master, line)

    def touch(self, card: str = CARD, *, profile: str = "rdm6300", times: int = 2) -> None:
        """A card held to the reader."""
        self.write(load(profile).frame(card) * times)


class School:
    """What a server is to a gate: keeps what it hears, answers Stored while `answering`."""

    def __init__(self, url: str) -> None:
        self.port = int(url.rpartition(":")[2])
        self.answering = True
        self.messages: list[wire.Taps] = []
        self.states: list[wire.State] = []
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("gatebell/#", 1)
        self._client.on_message = self._on_message

    @property
    def taps(self) -> list[wire.Tap]:
        """All taps as they came, repeats too."""
        return [tap for message in self.messages for tap in message.taps]

    @property
    def ids(self) -> set[str]:
        """Ids of all taps heard."""
        return {tap.id for tap in self.taps}

    def say(self, kind: Kind, payload: bytes) -> None:
        """Publish to the gate."""
        self._client.publish(wire.topic(SCHOOL, GATE, kind), payload, qos=1)

    def _on_message(self, _client: mqtt.Client, _: object, message: mqtt.MQTTMessage) -> None:
        kind = wire.address(message.topic).kind
        if kind is Kind.STATE:
            self.states.append(msgspec.json.decode(message.payload, type=wire.State))
        if kind is Kind.TAP:
            taps = msgspec.json.decode(message.payload, type=wire.Taps)
            self.messages.append(taps)
            if self.answering:
                self.say(Kind.STORED, wire.encode(wire.Stored(ids=[tap.id for tap in taps.taps])))

    def __enter__(self) -> "School":
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def running(gateway: Gateway) -> Iterator[Gateway]:
    """The gateway works in a thread inside, and has ended after."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            gateway.run()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield gateway
    finally:
        gateway.inbox.put(Stop())
        thread.join(20)
        assert not thread.is_alive(), "the gateway did not stop"
    if failures:
        raise failures[0]
