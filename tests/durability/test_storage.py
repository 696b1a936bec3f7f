"""How much a gate can hold, what it does when it can hold no more, and that old taps never delay a live one."""

import time
from pathlib import Path

import pytest

from gateway import config
from gateway.app import Gateway
from gateway.clock import Clock
from gateway.spool import Limits, Spool, Touch
from gateway.wire import ClockState, Direction
from tests import services
from tests.durability import line
from tests.durability.full import PATIENCE_S
from tests.durability.powerdisk import PowerDisk, obstacle
from tests.gateway.ends import GATE, School, running, until

pytestmark = pytest.mark.slow
MANY = 100_000
SLOWEST_S = 3.0  # a live tap, on a machine with other work; bench/gateway.py measures what it takes on an idle one


def fill(path: Path, count: int) -> None:
    """A spool with so many taps of days without a network."""
    clock = Clock(trusted=True)
    spool = Spool(path, gateway=GATE, clock=clock, limits=Limits())
    spool.open()
    for start in range(0, count, 50):
        touches = [
            Touch("east-main-in", Direction.IN, f"iso14443a:04{n:012X}", clock.now(), ClockState.SYNCED, clock.ticks())
            for n in range(start, start + 50)
        ]
        spool.put(touches)
    assert spool.depth() == count
    spool.close()


def test_100000_taps_fit_in_64_mb_and_drain_without_delaying_a_live_one(
    tmp_path: Path, mosquitto: services.Mosquitto
) -> None:
    gate = line.Gate(tmp_path, tmp_path / "data", mosquitto.url)
    fill(gate.spool, MANY)
    assert sum(file.stat().st_size for file in gate.spool.parent.glob("spool.db*")) < 64 << 20
    waits = []
    with School(mosquitto.url) as school, gate:
        until(lambda: len(school.taps) > 500, seconds=PATIENCE_S)
        until(gate.listens, seconds=PATIENCE_S)
        for n in range(1, 6):
            card, began = line.card(n), time.monotonic()
            gate.cable.touch(card)
            until(lambda card=card: any(card in (t.card for t in m.taps) for m in school.messages[-200:]), seconds=30)
            waits.append(time.monotonic() - began)
            time.sleep(0.3)
        assert gate.unsent(), "the old ones were gone before the live ones came"
    print(f"live taps while {MANY} old ones drain: {[round(wait * 1000) for wait in waits]} ms")
    assert max(waits) < SLOWEST_S


def test_a_full_disk_keeps_the_oldest_shows_no_green_and_is_told(tmp_path: Path, mosquitto: services.Mosquitto) -> None:
    if reason := obstacle(tmp_path):
        pytest.skip(reason)
    with PowerDisk(tmp_path / "pi", mib=8) as disk:
        gate = line.Gate(tmp_path, disk.folder / "data", mosquitto.url)
        with School(mosquitto.url) as school, gate:
            school.answering = False
            until(gate.listens, seconds=PATIENCE_S)
            gate.cable.touch(line.card(1))
            until(lambda: gate.greens, seconds=30)
            with (disk.folder / "rubbish").open("wb", buffering=0) as rubbish:
                try:
                    while rubbish.write(b"x" * 4096):
                        pass
                except OSError:
                    pass
            cards = iter(range(2, 10**6))
            until(lambda: gate.cable.touch(line.card(next(cards))) or school.states[-1].spool_full, seconds=PATIENCE_S)
            lit = len(gate.greens)
            gate.cable.touch(line.card(10**6))
            time.sleep(1)
            assert len(gate.greens) == lit
            (disk.folder / "rubbish").unlink()
            until(lambda: gate.cable.touch(line.card(next(cards))) or len(gate.greens) > lit, seconds=30)
            school.answering = True
            until(lambda: school.ids >= gate.greens.keys(), seconds=PATIENCE_S)
            assert min(tap.seq for tap in school.taps) == 1


def test_a_gateway_at_its_limit_says_so(tmp_path: Path, mosquitto: services.Mosquitto) -> None:
    gate = line.Gate(tmp_path, tmp_path / "data", mosquitto.url)
    gate.toml.write_text(gate.toml.read_text().replace("reserve_mb = 1", "reserve_mb = 0\nmax_mb = 4"))
    fill_to = 0
    spool = Spool(gate.spool, gateway=GATE, clock=Clock(trusted=True), limits=Limits(size=4 << 20, reserve=0))
    spool.open()
    while not spool.is_full():
        clock = spool.clock
        touch = Touch("east", Direction.IN, line.card(fill_to), clock.now(), ClockState.SYNCED, clock.ticks())
        spool.put([touch] * 1)
        fill_to += 1
    spool.close()
    with School(mosquitto.url) as school, running(Gateway(config.load(gate.toml, {}))):
        school.answering = False
        until(lambda: school.states and school.states[-1].spool_full)
        assert school.states[-1].depth == fill_to
