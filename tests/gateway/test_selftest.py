"""The self-test: asked for over a real broker, answered from real parts, and each fault found where it is put."""

import os
import select
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway import config, ports, selftest, status, wire
from gateway.app import Gateway
from gateway.clock import Clock
from gateway.config import ReaderSection
from gateway.readers import load
from gateway.readers.base import Fault
from gateway.simdevices import device
from gateway.spool import Spool
from gateway.wire import Direction, Kind, ReaderHealth, SelfTest
from tests import services
from tests.gateway.conftest import Write
from tests.gateway.ends import Cable, School, running, until
from tests.gateway.test_gateway import is_listening
from tests.gateway.test_spool import put

FINE = {"spool": "ok", "room": "ok", "server": "ok", "clock": "ok", "power": "ok"}


def ask(school: School, gateway: Gateway, number: str = "n1", *, ahead_s: int = 0) -> dict[str, str]:
    """What the gate finds when the school asks; `ahead_s` is by how much the school's clock is wrong."""
    school.say(Kind.COMMAND, wire.encode(SelfTest(number=number, sent=gateway.clock.now() + ahead_s * 1000)))
    tested = until(lambda: _answer(school, number), seconds=15)
    assert abs(tested.at - gateway.clock.now()) < 5_000
    return tested.checks


def _answer(school: School, number: str) -> wire.Tested | None:
    tested = school.states[-1].tested if school.states else None
    return tested if tested and tested.number == number else None


def test_a_gate_that_is_well_says_so(settings: config.Config, school: School, cable: Cable) -> None:
    with running(Gateway(settings)) as gateway:
        is_listening(school)
        assert ask(school, gateway) == {**FINE, "reader east": "ok"}
        with closing(sqlite3.connect(f"file:{gateway.spool.path}?mode=ro", uri=True)) as other:
            (written,) = other.execute("SELECT value FROM meta WHERE key = 'proven'").fetchone()
        assert abs(int(written) - gateway.clock.now()) < 10_000
        assert ask(school, gateway, "n2") == {**FINE, "reader east": "ok"}  # and again


def test_a_pulled_reader_is_found_with_its_reason(settings: config.Config, school: School, cable: Cable) -> None:
    with running(Gateway(settings)) as gateway:
        is_listening(school)
        cable.unplug()
        until(lambda: school.states[-1].readers[0].health is ReaderHealth.DOWN)
        until(lambda: ask(school, gateway, f"{time.monotonic()}")["reader east"] == "down missing")
        assert school.states[-1].readers[0].why == "missing"
        cable.plug()
        until(lambda: school.states[-1].readers[0].health is ReaderHealth.UP)
        assert ask(school, gateway, "after")["reader east"] == "ok"


def test_a_clock_that_differs_from_the_servers_is_found(settings: config.Config, school: School, cable: Cable) -> None:
    with running(Gateway(settings)) as gateway:
        is_listening(school)
        assert ask(school, gateway, "n1", ahead_s=300)["clock"] in {"wrong -300", "wrong -299"}
        assert ask(school, gateway, "n2", ahead_s=-40)["clock"] == "ok"


@pytest.fixture
def pn532(cable: Cable) -> Iterator[threading.Event]:
    """A simulated PN532 at the far end; the event cleared is a reader without power."""
    module, power, stop = device("pn532", load("pn532"), 1.0), threading.Event(), threading.Event()
    power.set()

    def live() -> None:
        while not stop.is_set():
            if select.select([cable.master], [], [], 0.005)[0]:
                heard = os.read(cable.master or 0, 4096)
                if power.is_set():
                    module.hear(heard, time.monotonic())
            if power.is_set() and (said := module.speak(time.monotonic())):
                cable.write(said)

    thread = threading.Thread(target=live)
    thread.start()
    yield power
    stop.set()
    thread.join(5)


def test_a_reader_that_must_be_asked_is_asked_a_real_question(
    write: Write, mosquitto: services.Mosquitto, school: School, pn532: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest, "ANSWER_S", 2.0)
    monkeypatch.setattr(ports, "ANSWER_S", 60.0)  # it is not yet seen to be down
    path = write(mosquitto.url, profile="pn532")
    with running(Gateway(config.load(path, {}))) as gateway:
        is_listening(school)
        assert ask(school, gateway, "n1") == {**FINE, "reader east": "ok"}
        pn532.clear()
        time.sleep(0.3)
        assert ask(school, gateway, "n2")["reader east"] == "no-answer"
        pn532.set()
        until(lambda: ask(school, gateway, f"{time.monotonic()}")["reader east"] == "ok")


class Stand:
    """One reader's record, and what surrounds it, as the main thread has them."""

    def __init__(self, spool: Spool, clock: Clock) -> None:
        self.spool, self.clock = spool, clock
        section = ReaderSection(id="east", profile="rdm6300", port="loop://", direction=Direction.IN)
        self.record = status.Record(section, health=ReaderHealth.UP)

    def checks(self, *, full: bool = False, asked: bool = False, answered: float = 0.0) -> dict[str, str]:
        """What a test finds, however long it takes."""
        examination, readers = selftest.Examination(), [selftest.Asked(self.record, asked, answered)]
        around = selftest.Surroundings(self.spool, self.clock, full)
        examination.begin(SelfTest(number="n", sent=self.clock.now()), 100.0, self.clock)
        if not examination.is_over(readers, around, 100.1):
            assert not examination.is_over(readers, around, 100.0 + selftest.ANSWER_S - 0.1)
            assert examination.is_over(readers, around, 100.0 + selftest.ANSWER_S)
        assert examination.found is not None and not examination.is_over(readers, around, 200.0)
        return examination.found.checks


@pytest.fixture
def stand(spool: Spool, clock: Clock) -> Stand:
    """A stand for single faults."""
    return Stand(spool, clock)


def test_a_question_that_was_answered_before_the_test_proves_nothing(stand: Stand) -> None:
    assert stand.checks(asked=True, answered=99.9)["reader east"] == "no-answer"
    assert stand.checks(asked=True, answered=100.05)["reader east"] == "ok"


def test_a_storm_of_faults_is_found_and_pupils_wallets_are_none(stand: Stand) -> None:
    for _ in range(selftest.STORM + 5):
        stand.record.count(Fault("two-cards"))
    assert stand.checks()["reader east"] == "ok"
    for _ in range(selftest.STORM + 1):
        stand.record.count(Fault("checksum"))
    assert stand.checks()["reader east"] == "faults"


def test_a_storm_passes(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(selftest.STORM + 1):
        stand.record.count(Fault("checksum"))
    now = time.monotonic()
    monkeypatch.setattr(status.time, "monotonic", lambda: now + 121)
    assert stand.record.lately() == 0


def test_a_reader_that_hangs_or_is_mute_is_told_with_its_word(stand: Stand) -> None:
    stand.record.health, stand.record.why = ReaderHealth.MUTE, "profile em18"
    assert stand.checks()["reader east"] == "mute profile em18"
    stand.record.health, stand.record.why = ReaderHealth.DOWN, "stuck"
    assert stand.checks()["reader east"] == "stuck"


def test_a_spool_that_cannot_be_written_is_found(stand: Stand, spool: Spool) -> None:
    spool._db.execute("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(spool.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert stand.checks()["spool"] == "unwritten"
    assert stand.checks()["spool"] == "ok"


def test_no_room_is_found(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stand.checks(full=True)["room"] == "full"
    monkeypatch.setattr(selftest, "LOW_BYTES", 1 << 60)
    assert stand.checks()["room"].startswith("low ")


def test_taps_that_the_server_does_not_store_are_found(stand: Stand, time: Any, spool: Spool) -> None:
    put(spool, 1)
    oldest = spool.oldest()
    assert oldest is not None and stand.clock.now() - oldest > 60_000  # the fixture's taps are old
    assert stand.checks()["server"] == "waiting"
    spool.done([tap.id for tap in spool.unsent(limit=5)])
    assert stand.checks()["server"] == "ok"


def test_a_clock_that_was_never_set_is_found(spool: Spool) -> None:
    clock = Clock(boot="b1", synced=lambda: False, has_rtc=lambda: False)
    assert Stand(spool, clock).checks()["clock"] == "unsynced"


def test_a_weak_supply_is_found(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "undervoltage", lambda: True)
    assert stand.checks()["power"] == "weak"


def test_a_disk_that_has_become_read_only_or_fails_stops_the_sign_and_a_full_one_does_not(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    writing = selftest.Writing()
    assert writing.works(spool, 0.0)
    spool._db.execute(f"PRAGMA max_page_count = {spool._db.execute('PRAGMA page_count').fetchone()[0]}")
    spool._db.execute("CREATE TEMP TABLE t (x)")
    with pytest.raises(sqlite3.OperationalError):
        while True:
            spool._db.execute("INSERT INTO meta VALUES (hex(randomblob(8)), hex(randomblob(900)))")
    assert writing.works(spool, 1_000.0)
    monkeypatch.setattr(selftest.os, "statvfs", lambda path: os.statvfs_result((0,) * 8 + (os.ST_RDONLY, 255)))
    assert not writing.works(spool, 2_000.0)
