"""The connection to a broker that asks who we are, over TLS, and one that lets us in no more."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from gateway.config import Mqtt
from gateway.link import Connected, Denied, Heard, Link, Lost, Will
from tests import services


class Guarded(services.Mosquitto):
    """TLS, one user, and an access list that lets it write one topic."""

    def command(self) -> list[str]:
        """With certificates made by openssl."""
        command = super().command()
        _certificates(self.folder)
        (self.folder / "passwords").write_text("gate-1:secret\n")
        subprocess.run(["mosquitto_passwd", "-U", str(self.folder / "passwords")], check=True, capture_output=True)
        (self.folder / "acl").write_text("user gate-1\ntopic readwrite allowed/#\n")
        (self.folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\ncafile {self.folder}/ca.pem\ncertfile {self.folder}/server.pem\n"
            f"keyfile {self.folder}/server.key\nallow_anonymous false\npassword_file {self.folder}/passwords\n"
            f"acl_file {self.folder}/acl\nmax_packet_size 8192\nuser root\n"
        )
        return command


def _certificates(folder: Path) -> None:
    common = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    ca = ["-x509", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem"]
    server = [
        "-x509",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-subj",
        "/CN=broker",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    for options in (ca, [*server, "-keyout", "server.key", "-out", "server.pem"]):
        subprocess.run(["openssl", "req", *common, *options], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    """A broker as a school runs it."""
    if not services.Mosquitto.available():
        services.missing("mosquitto")
    with Guarded(tmp_path / "guarded") as broker:
        (tmp_path / "password").write_text("secret\n")
        yield broker


def link(broker: Guarded, tmp_path: Path, **changes: Any) -> Link:
    """A link with the right settings but for `changes`."""
    settings = {
        "urls": (f"mqtts://127.0.0.1:{broker.port}",),
        "ca_file": str(broker.folder / "ca.pem"),
        "username": "gate-1",
        "password_file": str(tmp_path / "password"),
    }
    inbox: SimpleQueue[Any] = SimpleQueue()
    return Link(
        Mqtt(**settings | changes),
        client_id="gate-1",
        will=Will("allowed/state", lambda birth: b"gone"),
        now=lambda: time.time_ns() // 1_000_000,
        inbox=inbox,
    )


def test_it_connects_and_hears_over_tls_with_a_password(guarded: Guarded, tmp_path: Path) -> None:
    line = link(guarded, tmp_path)
    line.start()
    event = line.inbox.get(timeout=10)
    assert isinstance(event, Connected) and event.max_packet == 8192
    line.adopt(event, ["allowed/#"])
    line.publish("allowed/tap", b"1")
    assert line.inbox.get(timeout=10) == Heard("allowed/tap", b"1")
    line.stop("allowed/state", b"bye")


def test_a_message_that_the_broker_denies_is_told(guarded: Guarded, tmp_path: Path) -> None:
    line = link(guarded, tmp_path)
    line.start()
    line.adopt(line.inbox.get(timeout=10), ["allowed/#"])
    line.publish("forbidden/tap", b"1")
    assert line.inbox.get(timeout=10) == Denied("message", "Not authorized")
    line.stop("allowed/state", b"bye")


# paho drops the socket of a failed handshake without closing it; it is closed when it is collected
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"password_file": ""}, "Not authorized|Bad user name"),
        ({"ca_file": ""}, "certificate verify failed"),
        ({"urls": ("mqtt://127.0.0.1:1",)}, "cannot reach mqtt://127.0.0.1:1"),
        ({"password_file": "/nowhere"}, "/nowhere"),
    ],
)
def test_a_reason_that_keeps_us_out_is_logged_once_and_tried_on(
    guarded: Guarded, tmp_path: Path, changes: dict[str, Any], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    line = link(guarded, tmp_path, reconnect_s=0.11, **changes)
    line.start()
    time.sleep(1)
    line.stop("allowed/state", b"bye")
    assert re.search(says, caplog.text)
    assert len([r for r in caplog.records if r.name == "gateway.link"]) == 1
    assert not [e for e in _drained(line.inbox) if isinstance(e, Connected)]


def test_a_lost_connection_is_told_and_made_again_with_a_new_birth(guarded: Guarded, tmp_path: Path) -> None:
    line = link(guarded, tmp_path)
    line.start()
    first = line.inbox.get(timeout=10)
    line.adopt(first, ["allowed/stored"])
    guarded.stop()
    lost = line.inbox.get(timeout=10)
    assert isinstance(lost, Lost) and line.drop(lost) and not line.drop(lost)
    line.publish("allowed/tap", b"into the void")
    guarded.start()
    again = line.inbox.get(timeout=10)
    assert isinstance(again, Connected) and again.birth > first.birth
    line.stop("allowed/state", b"bye")


def _drained(inbox: SimpleQueue[Any]) -> list[Any]:
    return [inbox.get_nowait() for _ in range(inbox.qsize())]
