"""The server's line to the broker: a session that survives, brokers tried in turn, acknowledgements by hand."""

import logging
import socket
import threading
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from server.config import Config, ConfigError, Mqtt

KEEPALIVE = 15
SESSION_KEPT = 7 * 86400  # seconds that a broker may keep our session while we are away
AT_ONCE = 1000  # messages that the broker may hand us before the first is acknowledged
RECONNECT = (0.1, 1.0)  # seconds, first and longest
FLUSH = 2.0  # seconds that a stop waits for what is still to be sent
VERSIONS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
TAKEN_OVER = 142  # MQTT 5, section 3.14.2.1

log = logging.getLogger(__name__)


class Refused(RuntimeError):
    """The broker will not let this client do what it must; the text says what to correct."""


def address(url: str) -> SplitResult:
    """Take a broker's URL apart. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"mqtt", "mqtts"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port beyond 65535, a bracket that is not closed
        known = False
    if not known:
        raise ConfigError(f"mqtt.urls: {url!r} is not mqtt://host:port or mqtts://host:port")
    return parts


def new_client(settings: Mqtt, client_id: str, *, lasting: bool) -> mqtt.Client:
    """A paho client with version, login and certificates as configured; not connected. Raises ConfigError."""
    if settings.version not in VERSIONS:
        raise ConfigError(f"mqtt.version: {settings.version!r} is not known here; there are: {', '.join(VERSIONS)}")
    schemes = {address(url).scheme for url in settings.urls}
    if len(schemes) != 1:
        raise ConfigError("mqtt.urls: give at least one broker, and all of them as mqtt:// or all as mqtts://")
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=None if settings.version == "5" else not lasting,
        protocol=VERSIONS[settings.version],
        reconnect_on_failure=False,
        manual_ack=True,
    )
    if settings.username:
        client.username_pw_set(settings.username, _secret(settings.password_file))
    if schemes == {"mqtts"}:
        _use_certificates(client, settings)
    client.max_inflight_messages_set(AT_ONCE)
    client.on_socket_open = _no_delay
    return client


def _use_certificates(client: mqtt.Client, settings: Mqtt) -> None:
    try:
        client.tls_set(settings.ca_file or None, settings.cert_file or None, settings.key_file or None)
    except (OSError, ValueError) as error:
        raise ConfigError(f"mqtt: ca_file, cert_file or key_file cannot be used: {error}") from None


def _no_delay(_client: mqtt.Client, _data: Any, opened: Any) -> None:
    # Without it a small packet waits for the acknowledgement of the one before, which the other side delays by 40 ms.
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def connect(client: mqtt.Client, settings: Mqtt, url: str, *, lasting: bool) -> None:
    """Send CONNECT to one broker. Raises OSError when it cannot be reached."""
    parts = address(url)
    options: dict[str, Any] = {}
    if settings.version == "5":
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_KEPT if lasting else 0
        properties.ReceiveMaximum = AT_ONCE
        options = {"clean_start": not lasting, "properties": properties}
    port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
    client.connect(parts.hostname or "", port, keepalive=KEEPALIVE, **options)


def _secret(path: str) -> str | None:
    if not path:
        return None
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError as error:
        raise ConfigError(f"mqtt.password_file: {path}: {error.strerror}") from None


class Link:
    """Keeps one lasting session open. `received` and `broken` are called in the network's thread: only queue there."""

    def __init__(
        self,
        settings: Config,
        received: Callable[[mqtt.MQTTMessage, int], None],
        broken: Callable[[str], None],
    ) -> None:
        self.settings = settings
        self.received = received
        self.broken = broken
        self.number = 0  # of the connection: messages of an earlier one need no acknowledgement
        self._down = threading.Event()
        self._stopping = threading.Event()
        self._pause = RECONNECT[0]
        self._client: mqtt.Client | None = None
        self._thread = threading.Thread(target=self._stay_connected, name="link", daemon=True)

    def start(self) -> None:
        """Connect, and stay connected until stop(). Raises ConfigError."""
        self._client = client = new_client(self.settings.mqtt, self.settings.ingest.client_id, lasting=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = lambda _client, _data, message: self.received(message, self.number)
        self._thread.start()

    def stop(self) -> None:
        """Send what is still to be sent, if that goes quickly, and leave; the broker keeps the session."""
        self._stopping.set()
        if self._client is not None:
            self._client.disconnect()
            self._thread.join(FLUSH)

    def publish(self, topic: str, payload: bytes) -> None:
        """QoS 1. While the broker is away it is queued in memory; if that is lost, the gateway asks again."""
        if self._client is not None:
            self._client.publish(topic, payload, qos=1)

    def is_up(self) -> bool:
        """Whether a broker takes messages now, as far as is known."""
        return self._client is not None and self._client.is_connected()

    def acknowledge(self, message: mqtt.MQTTMessage, number: int) -> None:
        """Tell the broker that it may forget a message; one of an earlier connection comes again anyway."""
        if self._client is not None and number == self.number:
            self._client.ack(message.mid, message.qos)

    def _stay_connected(self) -> None:
        for url in cycle(self.settings.mqtt.urls):
            if self._stopping.is_set():
                return
            self._down.clear()
            try:
                self._connected_to(url)
            except OSError as error:
                log.warning("broker %s cannot be reached: %s", url, error.strerror or error)
            self._stopping.wait(self._pause)
            self._pause = min(2 * self._pause, RECONNECT[1])

    def _connected_to(self, url: str) -> None:
        """From CONNECT until the connection is gone. paho's own thread does the network, so that it alone writes."""
        assert self._client is not None
        connect(self._client, self.settings.mqtt, url, lasting=True)
        self._client.loop_start()
        self._down.wait()
        self._client.loop_stop()

    def _on_connect(
        self, client: mqtt.Client, _data: Any, flags: mqtt.ConnectFlags, code: ReasonCode, _more: Any
    ) -> None:
        if code.is_failure:
            log.error(
                "broker refuses %r: %s; look at mqtt.username and password_file", self.settings.ingest.client_id, code
            )
            return
        self.number += 1
        self._pause = RECONNECT[0]
        log.info("connected to the broker; it %s our session", "kept" if flags.session_present else "had lost")
        client.subscribe([(topic, 1) for topic in self.settings.ingest.filters])

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, codes: list[ReasonCode], _more: Any) -> None:
        denied = [topic for topic, code in zip(self.settings.ingest.filters, codes, strict=False) if code.is_failure]
        if denied:
            self.broken(f"the broker does not let us read {', '.join(denied)}; allow it for this user in its ACL")

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, code: ReasonCode, _more: Any) -> None:
        if code.value == TAKEN_OVER:
            log.error("another ingest uses the client id %r too; give each its own", self.settings.ingest.client_id)
        elif not self._stopping.is_set():
            log.warning("the broker has gone: %s", code)
        self._down.set()
