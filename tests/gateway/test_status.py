"""What the gateway says of itself."""

from pathlib import Path

import pytest

from gateway import __version__, status
from gateway.clock import Clock
from gateway.config import ReaderSection
from gateway.readers.base import Fault
from gateway.spool import Spool
from gateway.wire import ClockState, Direction, Kind, ReaderHealth, decode, encode
from tests.gateway.test_spool import put

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "alarm", "weak"), [("rpi_volt", "1", True), ("rpi_volt", "0", False), ("x", "1", None)]
)
def test_a_weak_supply_is_seen_where_the_kernel_sees_it(
    tmp_path: Path, name: str, alarm: str, weak: bool | None
) -> None:
    sensor = tmp_path / "hwmon1"
    sensor.mkdir()
    (sensor / "name").write_text(f"{name}\n")
    (sensor / "in0_lcrit_alarm").write_text(f"{alarm}\n")
    assert status.undervoltage(tmp_path) is weak


def test_the_heartbeat_tells_spool_clock_and_readers(spool: Spool, clock: Clock) -> None:
    taps = put(spool, 3)
    spool.done([taps[0].id])
    record = status.Record(ReaderSection(id="east", profile="rdm6300", port="loop://", direction=Direction.IN))
    record.health = ReaderHealth.UP
    for kind in ("checksum", "checksum", "phantom"):
        record.count(Fault(kind))
    record.touched(taps[2].at)
    state = status.heartbeat(7, clock=clock, spool=spool, records=[record], full=False)
    assert (state.birth, state.spool, state.next_seq, state.depth, state.oldest) == (7, spool.id, 4, 2, taps[1].at)
    assert state.clock is ClockState.SYNCED and not state.spool_full
    assert state.readers[0].faults == {"checksum": 2, "phantom": 1} and state.readers[0].last_card == taps[2].at
    assert decode(Kind.STATE, encode(state)) == state


def test_the_last_will_carries_the_birth_of_its_connection() -> None:
    will = status.last_will(1_795_000_000_000)
    assert not will.online and will.birth == 1_795_000_000_000


def test_the_version_is_the_packages() -> None:
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()
