"""The connection to the broker: a thread that keeps it, going round the list of URLs, and callbacks that only report.

A new paho client for every connection: nothing is ever queued in paho's memory for later, and each connection carries
its own last will with its own birth. paho's own reconnecting takes 11 s after a broker's return; here it is below one.
"""

import itertools
import logging
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from gateway.config import Mqtt
from gateway.slim import mqtt
from gateway.watchdog import Pulse

log = logging.getLogger("gateway.link")

SHORTEST_WAIT_S = 0.1
CONNECT_TIMEOUT_S = 5.0
GOODBYE_S = 1.0
STUCK_S = 60.0  # looking up a name, connecting and a handshake may take long, but not so long
SMALL_PACKET = 8192  # MQTT 3.1.1 has no word for the broker's limit, and a message above it cuts the connection
PORTS = {"mqtt": 1883, "mqtts": 8883}
VERSIONS = {"5": mqtt.MQTTv5, "3.1.1": mqtt.MQTTv311}


@dataclass(frozen=True)
class Connected:
    """The broker has accepted us. `birth` numbers the connection; `max_packet` is the broker's limit in bytes."""

    client: mqtt.Client
    birth: int
    max_packet: int | None


@dataclass(frozen=True)
class Lost:
    """The connection of `client` is gone."""

    client: mqtt.Client
    reason: str


@dataclass(frozen=True)
class Heard:
    """A message for us."""

    topic: str
    payload: bytes


@dataclass(frozen=True)
class Denied:
    """The broker took a message or a subscription and says that it will not pass it on (MQTT 5 only)."""

    what: str
    reason: str


Event = Connected | Lost | Heard | Denied


@dataclass(frozen=True)
class Will:
    """What the broker says for us when we are gone: topic, and the payload for a birth number."""

    topic: str
    payload: Callable[[int], bytes]


class Link:
    """Owns the connection thread. `start`, `publish`, `subscribe` and `stop` belong to the main thread."""

    def __init__(
        self, settings: Mqtt, *, client_id: str, will: Will, now: Callable[[], int], inbox: SimpleQueue[Any]
    ) -> None:
        self.settings = settings
        self.client_id = client_id
        self.will = will
        self.now = now
        self.inbox = inbox
        self._client: mqtt.Client | None = None  # the connected one, as the main thread knows it
        self.credential = ""  # which certificate the newest connection uses
        self._answered = 0  # birth of the newest connection that a broker has accepted or refused in words
        self._said = ""
        self._trouble = ""  # what paho's log said of the newest connection, until the broker has accepted us
        self.pulse = Pulse("link", STUCK_S)
        self._stop = threading.Event()
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def stop(self, topic: str, payload: bytes) -> None:
        """Say good-bye and end; waits a second at most for the broker."""
        self._stop.set()
        if self._client is not None:
            farewell = self._client.publish(topic, payload, qos=1, retain=True)
            if farewell.rc == mqtt.MQTT_ERR_SUCCESS:
                farewell.wait_for_publish(GOODBYE_S)
            self._client.disconnect()
        if self._thread.is_alive():
            self._thread.join(GOODBYE_S)

    # what the main thread says on the connection

    def adopt(self, event: Connected, topics: list[str]) -> None:
        """Take a new connection into use and listen to our own topics."""
        self._client = event.client
        event.client.subscribe([(topic, 1) for topic in topics])

    def drop(self, event: Lost) -> bool:
        """Whether the lost connection was the one in use."""
        if event.client is not self._client:
            return False
        self._client = None
        return True

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Hand a message to the connection, if there is one. That says nothing about its arrival."""
        if self._client is not None:
            self._client.publish(topic, payload, qos=1, retain=retain)

    # the connection thread

    def _run(self) -> None:
        birth = 0
        for url in itertools.cycle(self.settings.urls):
            if self._stop.is_set():
                return
            self.pulse.beat()
            birth = max(birth + 1, self.now())
            self._visit(url, birth)
            self._stop.wait(random.uniform(SHORTEST_WAIT_S, self.settings.reconnect_s))

    def _visit(self, url: str, birth: int) -> None:
        address = urlsplit(url)
        self._gone.clear()
        try:
            client = self._new_client(address.scheme, birth)
            client.connect(address.hostname or "", address.port or PORTS[address.scheme], self.settings.keepalive_s)
        except OSError as error:
            self._say(f"cannot reach {url}: {error}{_doubt(error)}")
            return
        client.loop_start()
        while not self._gone.wait(1.0) and not (self._stop.is_set() and self._client is None):
            self.pulse.beat()
        client.loop_stop()

    def _new_client(self, scheme: str, birth: int) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.client_id,
            userdata=birth,
            protocol=VERSIONS[self.settings.version],
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.will_set(self.will.topic, self.will.payload(birth), qos=1, retain=True)
        if self.settings.username:
            client.username_pw_set(self.settings.username, password(self.settings.password_file))
        if scheme == "mqtts":
            client.tls_set_context(_tls(self.settings))
            self.credential = fingerprint(self.settings.cert_file)
        client.on_socket_open, client.on_connect = self._on_socket_open, self._on_connect
        client.on_disconnect, client.on_publish = self._on_disconnect, self._on_publish
        client.on_subscribe, client.on_message = self._on_subscribe, self._on_message
        client.on_log, self._trouble = self._on_log, ""
        return client

    # paho's callbacks, in paho's thread: they report and do nothing else

    def _on_socket_open(self, _client: mqtt.Client, _birth: Any, line: Any) -> None:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a tap must not wait for the last one's ACK

    def _on_connect(self, client: mqtt.Client, birth: int, _flags: Any, reason: ReasonCode, properties: Any) -> None:
        self._answered = birth
        if reason.is_failure:
            self._say(f"the broker refuses {self.client_id}: {reason}")
            return
        self._say(f"connected to {client.host}:{client.port}")
        silent = None if self.settings.version == "5" else SMALL_PACKET
        self.inbox.put(Connected(client, birth, getattr(properties, "MaximumPacketSize", silent)))

    def _on_disconnect(self, client: mqtt.Client, birth: int, _flags: Any, reason: ReasonCode, _: Any) -> None:
        if birth != self._answered:  # with TLS 1.3 a broker refuses a certificate only after the handshake
            self._say(f"{client.host}:{client.port} turns us away: {self._trouble or reason}{_doubt(self._trouble)}")
        self.inbox.put(Lost(client, str(reason)))
        self._gone.set()

    def _on_log(self, _client: mqtt.Client, _birth: Any, level: int, text: str) -> None:
        if level == mqtt.MQTT_LOG_ERR:
            self._trouble = text

    def _on_publish(self, _client: mqtt.Client, _birth: Any, _mid: int, reason: ReasonCode, _: Any) -> None:
        if reason.is_failure:
            self.inbox.put(Denied("message", str(reason)))

    def _on_subscribe(self, _client: mqtt.Client, _birth: Any, _mid: int, reasons: list[ReasonCode], _: Any) -> None:
        for reason in reasons:
            if reason.is_failure:
                self.inbox.put(Denied("subscription", str(reason)))

    def _on_message(self, _client: mqtt.Client, _birth: Any, message: mqtt.MQTTMessage) -> None:
        self.inbox.put(Heard(message.topic, bytes(message.payload)))

    def _say(self, text: str) -> None:
        if text != self._said:  # a broker that is away for a day is one line, not a hundred thousand
            log.info("%s", text)
        self._said = text


def _doubt(error: object) -> str:
    """What a person should look at, where the error itself does not say it."""
    said = str(error).lower()
    if "not yet valid" in said or "has expired" in said:
        return f"; this machine's clock shows {time.strftime('%Y-%m-%d %H:%M')}: is that right?"
    if "certificate revoked" in said or "certificate expired" in said:
        return "; the school's server must enrol this gate anew (gatebell gate rotate)"
    return ""


def password(file: str) -> str | None:
    """The first line of a secret file; None without a file. Raises OSError."""
    return Path(file).read_text("utf-8").partition("\n")[0].strip() if file else None


def _tls(settings: Mqtt) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file or None)
    return context


def fingerprint(path: str) -> str:
    """Begin of the SHA-256 of a PEM file's first certificate, as the server knows it; empty when there is none."""
    try:
        text = Path(path).read_text("ascii")
        begin, end = text.index(ssl.PEM_HEADER), text.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)
        return sha256(ssl.PEM_cert_to_DER_cert(text[begin:end])).hexdigest()[:16]
    except (OSError, ValueError):
        return ""
