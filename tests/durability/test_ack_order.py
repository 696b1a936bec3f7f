"""No green light and no Stored before an fdatasync of the file that they promise, by real processes' system calls."""

import contextlib
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway import wire
from tests import services
from tests.durability import line, syscalls
from tests.durability.conftest import School
from tests.gateway.ends import until
from tests.server import gate
from tests.server.ingest_worker import GateClient

TAPS = 40
GREEN = r'^, "[0-9a-f-]{36} em4100:'
STORED = r"gatebell/1/00/mingde/gate-1/stored"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Where strace writes."""
    if not shutil.which("strace"):
        services.missing("strace")
    if obstacle := syscalls.obstacle(tmp_path):
        pytest.skip(obstacle)
    return tmp_path / "trace"


def green_lights(folder: Path, trace: Path, mutant: str = "") -> syscalls.Verdict:
    """Cards at a gateway that strace watches."""
    data = folder / "data"
    child = line.Gate(folder, data, "mqtt://127.0.0.1:1", mutant=mutant)
    child.wrapper = syscalls.wrapper(trace)
    with child:
        until(child.listens, seconds=30)
        for n in range(1, TAPS + 1):
            child.cable.touch(line.card(n))
            until(lambda n=n: len(child.greens) >= n, seconds=30)
    return syscalls.Judge(data / "spool.db", GREEN).read(syscalls.lines(trace))


def test_no_light_is_green_before_the_tap_is_on_disk(tmp_path: Path, trace: Path) -> None:
    verdict = green_lights(tmp_path, trace)
    assert verdict.promises >= TAPS
    assert verdict.early == []


def test_a_spool_that_does_not_wait_for_the_disk_is_found_out(tmp_path: Path, trace: Path) -> None:
    verdict = green_lights(tmp_path, trace, "normal")
    assert verdict.promises >= TAPS
    assert len(verdict.early) > TAPS // 2


def say(client: GateClient, tap: wire.Tap) -> None:
    """Send a tap until it is answered: at first nobody may listen yet."""
    for _ in range(30):
        client.send(gate.message([tap]))
        with contextlib.suppress(TimeoutError):
            until(lambda: tap.id in client.stored, seconds=2)
            return
    raise TimeoutError("no answer")


def answers(database: Path, trace: Path, broker: services.Mosquitto, mutant: str = "") -> syscalls.Verdict:
    """Taps, one after another, for an ingest that strace watches."""
    child = line.server("ingest", database.parent, database, broker.url, mutant=mutant)
    child.wrapper = syscalls.wrapper(trace)
    with child, GateClient(broker.port) as client:
        for n in range(1, TAPS + 1):
            say(client, gate.tap(n, datetime.now(UTC), card=line.card(n)))
    return syscalls.Judge(database, STORED).read(syscalls.lines(trace))


@pytest.mark.mosquitto
def test_no_tap_is_answered_stored_before_it_is_on_disk(
    tmp_path: Path, trace: Path, mosquitto: services.Mosquitto, school: School
) -> None:
    verdict = answers(school(tmp_path / "gatebell.db"), trace, mosquitto)
    assert verdict.promises >= TAPS
    assert verdict.early == []


@pytest.mark.mosquitto
def test_a_server_that_does_not_wait_for_the_disk_is_found_out(
    tmp_path: Path, trace: Path, mosquitto: services.Mosquitto, school: School
) -> None:
    verdict = answers(school(tmp_path / "gatebell.db"), trace, mosquitto, "normal")
    assert verdict.promises >= TAPS
    assert len(verdict.early) > TAPS // 2
