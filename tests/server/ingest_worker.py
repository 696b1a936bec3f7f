"""A real ingest process and a client that plays a gateway, for tests of the way through the broker."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from gateway import wire

ROOT = Path(__file__).parents[2]


def wait_until(holds: Callable[[], Any], seconds: float = 20) -> Any:
    """What `holds` gives once it is true. Raises TimeoutError."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = holds()
        if found:
            return found
        time.sleep(0.02)
    raise TimeoutError(f"{holds} did not hold within {seconds} s")


class Worker:
    """`gatebell ingest` as a child process."""

    program = ""  # run instead

    def __init__(self, folder: Path, database_url: str, brokers: Sequence[str], **environment: str) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "GATEBELL_DATABASE__URL": database_url,
            "GATEBELL_SECRETS__KEY_FILE": str(folder / "key"),
            "GATEBELL_MQTT__URLS": ",".join(brokers),
            "GATEBELL_LOG": "INFO",
            "PYTHONPATH": str(ROOT),
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it connects by itself."""
        with (self.folder / "ingest.log").open("ab") as log:
            ingest = ["-c", self.program] if self.program else ["-m", "server", "ingest"]
            command = [sys.executable, *ingest]
            self.process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stderr=log, stdout=log)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it and say its exit code."""
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(20)

    def log(self) -> str:
        """What it has said so far."""
        return (self.folder / "ingest.log").read_text("utf-8")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop(signal.SIGKILL)


class GateClient:
    """Publishes as gate-1 of mingde and hears what the server answers."""

    def __init__(self, port: int) -> None:
        self.stored: list[str] = []
        self.commands: list[wire.Message] = []
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="gate-1", protocol=mqtt.MQTTv5)
        self.client.on_connect = self._on_connect
        self.client.on_message = self._on_message
        self.client.on_socket_open = lambda _client, _data, opened: opened.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        self.client.reconnect_delay_set(1, 1)
        self.client.max_inflight_messages_set(100)
        self.port = port

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe([(self.topic(wire.Kind.STORED), 1), (self.topic(wire.Kind.COMMAND), 1)])

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        kind = wire.address(message.topic).kind
        decoded = wire.decode(kind, bytes(message.payload))
        if isinstance(decoded, wire.Stored):
            self.stored += decoded.ids
        else:
            self.commands.append(decoded)

    @staticmethod
    def topic(kind: wire.Kind) -> str:
        """A topic of this gate."""
        return wire.topic("mingde", "gate-1", kind)

    def send(self, payload: wire.Message | bytes, kind: wire.Kind = wire.Kind.TAP, *, retain: bool = False) -> None:
        """Publish with QoS 1."""
        raw = payload if isinstance(payload, bytes) else wire.encode(payload)
        self.client.publish(self.topic(kind), raw, qos=1, retain=retain)

    def __enter__(self) -> Self:
        self.client.connect("127.0.0.1", self.port)
        self.client.loop_start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.disconnect()
        self.client.loop_stop()
