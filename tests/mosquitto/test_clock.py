"""A gate whose clock woke up in 1970 still reaches its school, and one that cannot says why."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.wire import ClockState, Kind, Taps, decode
from tests.mosquitto.gate_process import GateProcess
from tests.mosquitto.place import Guarded, Installation, Scene
from tests.server.ingest_worker import wait_until

pytestmark = pytest.mark.mosquitto
IN_1970 = ("faketime", "1970-01-01 00:05:00")


@pytest.fixture
def gate(place: Installation, tmp_path: Path) -> Iterator[GateProcess]:
    """Enrolled, and started without a battery clock or a time service."""
    gate = GateProcess(tmp_path / "gate", *IN_1970)
    gate.config.write_text(gate.config.read_text().replace('clock = "trust"', 'clock = "check"'))
    assert gate.enrol(place.enrol("mingde", "east")) == 0
    yield gate
    gate.cable.unplug()


def test_a_gate_in_1970_reaches_the_broker(place: Installation, guarded: Guarded, gate: GateProcess) -> None:
    scene = Scene(place, guarded)
    with gate:
        gate.touch(1)
        wait_until(lambda: any(where.endswith("/east/tap") for where, _ in scene.worker.got))
        assert gate.said().startswith("1970-01-01")
    payload = next(payload for where, payload in scene.worker.got if where.endswith("/east/tap"))
    message = decode(Kind.TAP, payload)
    assert isinstance(message, Taps) and message.taps[0].clock is ClockState.UNSYNCED
    scene.close()


def test_with_a_certificate_from_elsewhere_it_keeps_its_taps_and_names_its_clock(
    place: Installation, gate: GateProcess
) -> None:
    _certify_as_from_today(place)
    with Guarded(place), gate:
        gate.touch(1)
        wait_until(lambda: "not yet valid" in gate.said())
        wait_until(lambda: gate.waiting() == 1)
    assert "this machine's clock shows 1970-01-01" in gate.said()


def test_a_broker_that_woke_up_in_1970_lets_its_gates_in(place: Installation) -> None:
    class Asleep(Guarded):
        def command(self) -> list[str]:
            return [*IN_1970, *super().command()]

        def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
            """Faketime stays as the parent: the signal must reach both."""
            if self.process:
                os.killpg(self.process.pid, how)
            super().stop(how)

    with Asleep(place) as broker:
        scene = Scene(place, broker)
        assert scene.first.up and scene.worker.up
        scene.settle()
        scene.close()


def _certify_as_from_today(place: Installation) -> None:
    """A broker's certificate by other means, as openssl makes it."""
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "broker/broker.key"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-subj", "/CN=localhost", "-days", "90"]
    signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-x509", "-out", "broker/broker.crt"]
    subprocess.run(["openssl", "req", *new, *names, *signed], cwd=place.folder, check=True, capture_output=True)
