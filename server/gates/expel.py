"""Takes a gate's place at the broker: an open connection of the gate ends, and the broker is seen to refuse its taps.

A list of revoked certificates says nothing to a connection that is open already. A new connection under the same name
ends the old one, at every broker, and the old one cannot come back: its certificate is on the list.
"""

import tempfile
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.reasoncodes import ReasonCode

from gateway import wire
from server import link
from server.config import Config, Mqtt
from server.errors import Refused
from server.gates import access
from server.gates.authority import Authority, write_secret

ANSWER_S = 5.0  # that a broker may take for one answer
PATIENCE_S = 10.0  # until it has read its files again
BETWEEN_S = 0.3


class StillHeard(Refused):
    """The broker was not seen to refuse the gate; the text says what to look at."""


@dataclass
class Answer:
    """What the broker said to one (empty) message in the gate's name: its code, or why there is none."""

    code: ReasonCode | None = None
    said: str = "nothing"
    over: bool = False


def expel(settings: Config, authority: Authority, gate: tuple[str, str], now: datetime) -> None:
    """End every connection of a gate that is denied, at every broker. Raises StillHeard."""
    name = access.identity(*gate)
    with tempfile.TemporaryDirectory(prefix="gatebell-") as folder:
        proof = Path(folder, "proof.pem")
        write_secret(proof, authority.client(name, now + timedelta(days=1)).pem)
        Path(folder, "ca.crt").write_text(authority.pem, "ascii")
        as_gate = msgspec.structs.replace(
            settings.mqtt, username="", ca_file=f"{folder}/ca.crt", cert_file=str(proof), key_file=""
        )
        for url in _urls(settings):
            _until_refused(msgspec.structs.replace(as_gate, urls=(url,)), name, _topic(settings, gate))


def _urls(settings: Config) -> tuple[str, ...]:
    """The server's own way to the brokers where it is encrypted, else the gates' way."""
    ours = tuple(url for url in settings.mqtt.urls if url.startswith("mqtts:"))
    return ours or tuple(url for url in settings.broker.urls if url.startswith("mqtts:"))


def _topic(settings: Config, gate: tuple[str, str]) -> str:
    shard = wire.shard(gate[0], sharded=settings.ingest.sharded)
    return wire.topic(*gate, wire.Kind.TAP, shard=shard)


def _until_refused(settings: Mqtt, name: str, topic: str) -> None:
    until, url = time.monotonic() + PATIENCE_S, settings.urls[0]
    while True:
        time.sleep(BETWEEN_S)  # the broker reads its files between two turns of its loop
        answer = _publish_as(settings, name, topic)
        if answer.code is not None and (answer.code.is_failure or settings.version != "5"):
            return  # MQTT 3.1.1 has no word for a denied message: there the connection is ended, and no more is known
        if time.monotonic() > until:
            raise StillHeard(_sentence(url, name, answer))


def _sentence(url: str, name: str, answer: Answer) -> str:
    again = "and give the command again"
    if answer.code is None:
        return (
            f"the broker at {url} gave no answer ({answer.said}): whether it still hears {name} is not known; {again}"
        )
    return (
        f"the broker at {url} still takes messages of {name}: it has not read its files again;"
        f" reload it by hand (systemctl reload mosquitto), look at broker.reload, {again}"
    )


def _publish_as(settings: Mqtt, name: str, topic: str) -> Answer:
    answer = Answer()

    def connected(client: mqtt.Client, _data: Any, _flags: Any, code: ReasonCode, _more: Any) -> None:
        answer.said = str(code)
        if not code.is_failure:
            client.publish(topic, b"", qos=1)

    def published(_client: mqtt.Client, _data: Any, _mid: int, code: ReasonCode, _more: Any) -> None:
        answer.code, answer.over = code, True

    def lost(_client: mqtt.Client, _data: Any, _flags: Any, code: ReasonCode, _more: Any) -> None:
        answer.said, answer.over = str(code), True

    client = link.new_client(settings, name, lasting=False)
    client.on_connect, client.on_publish, client.on_disconnect = connected, published, lost
    try:
        link.connect(client, settings, settings.urls[0], lasting=False)
    except OSError as error:
        answer.said = str(error)
        return answer
    until = time.monotonic() + ANSWER_S
    while not answer.over and time.monotonic() < until:
        client.loop(0.1)
    client.disconnect()
    return answer
