"""A gate where nobody comes sleeps: a Pi Zero runs all day, and every wake-up of a thread costs as much as a tap."""

import subprocess
import sys
import time
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from gateway import ports
from gateway.clock import boottime_ms
from gateway.config import ReaderSection
from gateway.ports import Port, Read
from gateway.readers.base import Card, Fault
from gateway.wire import Direction
from tests.gateway.ends import CARD, Cable

ROOT = Path(__file__).parents[2]
WATCHED_S = 2.0


@pytest.fixture
def cable(tmp_path: Path) -> Any:
    """A reader that is plugged in."""
    cable = Cable(tmp_path / "reader")
    cable.plug()
    yield cable
    cable.unplug()


def wakes(port: Port) -> int:
    """How often the port's thread has gone to sleep so far."""
    status = Path(f"/proc/self/task/{port._thread.native_id}/status").read_text()
    return int(status.split("voluntary_ctxt_switches:")[1].split()[0])


def test_a_quiet_line_is_left_alone_and_a_card_wakes_it(tmp_path: Path, cable: Cable) -> None:
    inbox: SimpleQueue[Any] = SimpleQueue()
    section = ReaderSection(id="east", profile="id12la", port=str(tmp_path / "reader"), direction=Direction.IN)
    port = Port(section, ticks=boottime_ms, inbox=inbox)
    port.start()
    inbox.get(timeout=10)  # up
    time.sleep(0.5)
    before = wakes(port)
    time.sleep(WATCHED_S)
    assert wakes(port) - before <= 1.5 * WATCHED_S / ports.REST_S + 2
    assert not port.pulse.is_late()
    cable.touch(profile="id12la", times=1)
    assert inbox.get(timeout=1).values == (Card(CARD),)
    cable.write(b"\x02670")
    found = inbox.get(timeout=1)  # half a frame is still given up after the reader's gap
    assert isinstance(found, Read) and isinstance(found.values[0], Fault)
    begins = time.monotonic()
    port.stop()
    assert time.monotonic() - begins < 2 * ports.REST_S + 0.3


def test_the_gate_carries_neither_http_nor_mail_nor_the_tools_of_other_commands() -> None:
    heavy = {"http.client", "email", "tempfile", "difflib", "ctypes", "json", "gateway.decode", "gateway.forms"}
    program = "import sys, gateway.__main__, gateway.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert heavy & set(loaded.stdout.split()) == set()


def test_who_wants_the_real_urllib_after_us_gets_it() -> None:
    program = "import gateway.link, urllib.request; print(urllib.request.getproxies.__module__)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "urllib.request\n"
