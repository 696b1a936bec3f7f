"""What the peers stand between: four pseudo-terminals, a broker, and an ear that answers Stored."""

import contextlib
import json
import os
import pty
import random
import shutil
import socket
import subprocess
import threading
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from paho.mqtt import client as mqtt

from gateway import wire
from gateway.readers import load
from gateway.wire import Kind

LINES = 4
SCHOOL, GATE = "bench", "gate-1"
FRAME = load("id12la").frame
FIRST_CARD = 0x6710000000  # small numbers are known phantoms


class TooSlow(Exception):
    """Something that was waited for did not come; the text says what."""


def until(what: Callable[[], bool], why: str, *, seconds: float = 30.0) -> bool:
    """Wait closely. Raises TooSlow."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            raise TooSlow(f"{why}: not in {seconds:g} s")
        time.sleep(0.001)
    return True


def free_port() -> int:
    """A TCP port that nobody has now, and that no client is given while the broker is away."""
    while True:
        port = random.randrange(20_000, 32_000)  # below the ports that Linux gives to clients
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Broker:
    """mosquitto; a clean stop keeps the ear's subscription, so that the first to come back loses nothing."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._file = folder / "mosquitto.conf"
        self._file.write_text(
            f"listener {self.port} 127.0.0.1\nset_tcp_nodelay true\nallow_anonymous true\nmax_queued_messages 0\n"
            f"persistence true\npersistence_location {folder}/\nautosave_interval 0\n"
            + ("user root\n" if os.getuid() == 0 else "")
        )

    def start(self) -> None:
        """Until it listens."""
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            raise SystemExit("mosquitto is missing: sudo apt install mosquitto")
        self._process = subprocess.Popen([program, "-c", str(self._file)], stderr=subprocess.DEVNULL)
        until(self.listens, "mosquitto listens")

    def listens(self) -> bool:
        """Whether it takes connections."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def stop(self) -> None:
        """A clean end: sessions and what waits for them go to disk."""
        self._process.terminate()
        self._process.wait(20)

    def kill(self) -> None:
        """All that it held in memory is gone."""
        self._process.kill()
        self._process.wait()


class Ear:
    """The subscriber: when did each card come first? It stands for the server, too: answers Stored while `storing`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.storing = True
        self.arrived: dict[str, float] = {}  # card -> seconds, by the monotonic clock
        self._client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, "ear", clean_session=False, reconnect_on_failure=False
        )
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.on_disconnect = lambda *_: self._again()
        self._listening = threading.Event()
        self._over = False

    def __enter__(self) -> "Ear":
        self._client.connect("127.0.0.1", self.port)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        self._listening.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._client.disconnect()
        self._thread.join(10)

    def _listen(self) -> None:
        while not self._over:
            with contextlib.suppress(OSError):
                self._client.loop_forever(timeout=0.2)
            time.sleep(0.005)
            with contextlib.suppress(OSError):
                if not self._over:
                    self._client.reconnect()

    def _again(self) -> None:
        self._listening.clear()

    def _on_connect(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe([("gatebell/#", 1), ("peer/#", 1)])
        self._listening.set()

    def _on_message(self, client: mqtt.Client, _: object, message: mqtt.MQTTMessage) -> None:
        now = time.monotonic()
        if message.topic == "peer/tap":
            self.arrived.setdefault(json.loads(message.payload)["card"], now)
        elif wire.address(message.topic).kind is Kind.TAP:
            taps = msgspec.json.decode(message.payload, type=wire.Taps).taps
            if self.storing:
                stored = wire.encode(wire.Stored(ids=[tap.id for tap in taps]))
                client.publish(wire.topic(SCHOOL, GATE, Kind.STORED), stored, qos=1)
            for tap in taps:
                self.arrived.setdefault(tap.card[-10:], now)


class Lines:
    """Four readers' cables. Every card is a new one."""

    def __init__(self, folder: Path) -> None:
        self.names = [folder / f"reader-{number}" for number in range(LINES)]
        self._masters: list[int] = []
        self._slaves: list[int] = []
        self._next = FIRST_CARD
        for name in self.names:
            master, slave = pty.openpty()
            tty.setraw(slave)
            name.symlink_to(os.ttyname(slave))
            self._masters.append(master)
            self._slaves.append(slave)

    def close(self) -> None:
        """Pull them all."""
        for end in (*self._masters, *self._slaves):
            os.close(end)

    def cards(self, count: int) -> list[str]:
        """New ones, as ten hexadecimal digits."""
        self._next += count
        return [f"{number:010X}" for number in range(self._next - count, self._next)]

    def show(self, line: int, cards: Sequence[str]) -> None:
        """All frames of these cards, as fast as the line takes them."""
        rest = memoryview(b"".join(FRAME(f"em4100:{card}") for card in cards))
        while rest:
            rest = rest[os.write(self._masters[line % LINES], rest[:2048]) :]


@contextlib.contextmanager
def rig(folder: Path) -> Iterator[tuple[Broker, Ear, Lines]]:
    """All of it, working."""
    folder.mkdir(parents=True)
    broker, lines = Broker(folder), Lines(folder)
    broker.start()
    try:
        with Ear(broker.port) as ear:
            yield broker, ear, lines
    finally:
        broker.kill()
        lines.close()
