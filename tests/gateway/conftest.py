"""A gateway with one RDM6300 on a real pseudo-terminal."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway import config
from gateway.clock import Clock
from gateway.spool import Limits, Spool
from tests import services
from tests.gateway.ends import GATE, Cable, School

Write = Callable[..., Path]


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Cable]:
    """A plugged reader."""
    cable = Cable(tmp_path / "reader")
    cable.plug()
    yield cable
    cable.unplug()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a configuration: `write(url, extra="...", profile=...)`."""

    def write(url: str = "mqtt://127.0.0.1:1", *, extra: str = "", profile: str = "rdm6300", top: str = "") -> Path:
        path = tmp_path / "gateway.toml"
        path.write_text(
            f'school = "mingde"\ngateway = "{GATE}"\ndata_dir = "{tmp_path}/data"\nclock = "trust"\n{top}\n'
            f'[mqtt]\nurls = ["{url}"]\n[spool]\nreserve_mb = 0\n'
            f'[[reader]]\nid = "east"\nprofile = "{profile}"\nport = "{tmp_path}/reader"\ndirection = "in"\n{extra}'
        )
        return path

    return write


@pytest.fixture
def settings(write: Write, mosquitto: services.Mosquitto) -> config.Config:
    """The configuration of a gateway at the test's broker."""
    return config.load(write(mosquitto.url), {})


@pytest.fixture
def school(mosquitto: services.Mosquitto) -> Iterator[School]:
    """A school that answers."""
    with School(mosquitto.url) as school:
        yield school


class Time:
    """A clock that a test moves: `ticks` are milliseconds since boot, the wall clock is `base` later."""

    def __init__(self) -> None:
        self.ticks = 1_000_000


@pytest.fixture
def time() -> Time:
    """Milliseconds since boot, to be moved by hand."""
    return Time()


@pytest.fixture
def clock(time: Time) -> Clock:
    """A synchronised clock of boot `b1`."""
    return Clock(boot="b1", trusted=True, ticks=lambda: time.ticks)


@pytest.fixture
def spool(tmp_path: Path, clock: Clock) -> Iterator[Spool]:
    """An empty open spool."""
    spool = Spool(tmp_path / "spool.db", gateway=GATE, clock=clock, limits=Limits(reserve=1))
    spool.open()
    yield spool
    spool.close()
