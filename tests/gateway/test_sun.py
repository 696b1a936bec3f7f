"""The message of an NTAG 424 DNA, from the simulated card through a PN532 on a pseudo-terminal to the school."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from gateway import config, salvage, uplink, wire
from gateway.app import Gateway
from gateway.clock import Clock
from gateway.readers import _ntag424
from gateway.seal import Seal
from gateway.simlines import Simulation
from gateway.simscript import Event, Script
from gateway.spool import Spool, Touch
from gateway.timebase import Timebase
from gateway.wire import ClockState, Direction
from tests import services
from tests.gateway.conftest import Write
from tests.gateway.ends import School, running, until

FIXED, RANDOM, PLAIN = "iso14443a:04DE5F1EACC040", "iso14443a:08F31A52", "iso14443a:9EB36E66"
URL = "https://school.example/t?picc_data=EF963FF7828658A599F3041510671E88&cmac=94EED9EE65337086&c={counter}"


class Line(NamedTuple):
    """A simulated reader at the gateway's port."""

    simulation: Simulation

    def show(self, card: str, url: str | None = None) -> float:
        """Hold a card to it; gives the time."""
        self.simulation.lines["reader"].waiting.append(Event(at=0, reader="reader", card=card, url=url))
        return time.monotonic()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    simulation, stop = Simulation(Script({"reader": "pn532"}, []), tmp_path, Timebase()), threading.Event()

    def turn() -> None:
        with simulation.plugged():
            while not stop.wait(0.002):
                simulation.turn()

    thread = threading.Thread(target=turn)
    thread.start()
    until((tmp_path / "reader").is_symlink)
    yield Line(simulation)
    stop.set()
    thread.join(5)


def test_a_card_that_can_prove_itself_does_and_others_pass_as_ever(
    write: Write, mosquitto: services.Mosquitto, school: School, line: Line
) -> None:
    path = write(mosquitto.url, profile="pn532", extra="same_card_s = 0.3\noptions = { sun = true }")
    with running(Gateway(config.load(path, {}))):
        until(lambda: [s for s in school.states if s.readers[0].health is wire.ReaderHealth.UP])
        time.sleep(1)  # the reader is set up
        for number, (card, url) in enumerate(((FIXED, URL), (PLAIN, None), (RANDOM, URL), (FIXED, URL)), 1):
            begun = line.show(card, url)
            until(lambda number=number: len(school.ids) == number)
            assert time.monotonic() - begun < 2
            time.sleep(0.8)
        line.show("iso14443a:08AABBCC")
        time.sleep(0.6)
    told = [(tap.card, tap.sun) for tap in school.taps]
    one, two = URL.replace("{counter}", "000001"), URL.replace("{counter}", "000002")
    assert told == [(FIXED, one), (PLAIN, msgspec.UNSET), (RANDOM, one), (FIXED, two)]


def test_the_longest_message_fits_spool_salvage_and_uplink(tmp_path: Path, clock: Clock) -> None:
    with closing(Spool(tmp_path / "spool.db", gateway="g" * 32, clock=clock)) as spool:
        spool.open()
        sun = "&" * _ntag424.LONGEST
        (tap,) = spool.put(
            [Touch("r" * 32, Direction.BOTH, f"iso14443a:{'0A' * 10}", 2**40, ClockState.UNSYNCED, 2**50, sun)]
        )
        assert spool.unsent(limit=1) == [tap] and tap.sun == sun
        spool_seal = Seal(tmp_path)
    tap = msgspec.structs.replace(tap, boot="0" * 36, seq=2**50, late=True)
    assert len(msgspec.json.encode(tap)) <= uplink.TAP_BYTES
    body = salvage.body(salvage.Row(tap, False), spool_seal).encode()
    assert [row.tap for row in salvage.rows(b"noise" + body, spool_seal)] == [tap]
