"""The whole gateway between a real pseudo-terminal and a real broker."""

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gateway import __main__ as command
from gateway import app, config, uplink, wire
from gateway.app import Gateway
from gateway.readers import load
from gateway.readers.base import Fault
from gateway.spool import SpoolFull
from gateway.wire import Announce, ClockState, Kind, ReaderHealth, Resync
from tests import services
from tests.gateway.conftest import Write
from tests.gateway.ends import CARD, OTHER, Cable, School, running, until
from tests.gateway.test_spool import on_disk

ROOT = Path(__file__).parents[2]


def is_listening(school: School) -> None:
    """The gate is connected and its reader open."""
    until(lambda: [s for s in school.states if s.online and s.readers[0].health is ReaderHealth.UP])


@contextmanager
def process(path: Path) -> Iterator[subprocess.Popen[str]]:
    """`gatebell-gateway run` as systemd runs it."""
    command = [sys.executable, "-m", "gateway", "run", "--config", str(path)]
    child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.communicate(timeout=10)


def test_a_touch_becomes_a_tap_at_the_school(settings: config.Config, school: School, cable: Cable) -> None:
    with running(Gateway(settings)) as gateway:
        is_listening(school)
        before = gateway.clock.now()
        cable.touch(times=4)
        (tap,) = until(lambda: school.taps)
        cable.touch(OTHER)
        until(lambda: len(school.ids) == 2)
    assert (tap.card, tap.reader, tap.direction, tap.gateway, tap.seq) == (CARD, "east", "in", "gate-1", 1)
    assert tap.clock is ClockState.SYNCED and not tap.late and abs(tap.at - before) < 3_000
    assert tap.boot == gateway.clock.boot and [tap.card for tap in school.taps] == [CARD, OTHER]


def test_the_birth_says_who_we_are_and_comes_before_the_taps(
    settings: config.Config, school: School, cable: Cable
) -> None:
    with running(Gateway(settings)) as gateway:
        state = until(lambda: school.states)[0]
    assert state.online and state.spool == gateway.spool.id and state.next_seq == 1
    assert (state.version, state.boot, state.clock) == ("0.1.0", gateway.clock.boot, "synced")
    assert [(reader.reader, reader.profile) for reader in state.readers] == [("east", "rdm6300")]


def test_the_light_turns_green_only_when_the_tap_is_on_disk(
    settings: config.Config, school: School, cable: Cable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    class Eyes(app.feedback.Silent):
        def accepted(self) -> None:
            with closing(sqlite3.connect(f"file:{tmp_path}/data/spool.db?mode=ro", uri=True)) as other:
                seen.append(other.execute("SELECT count(*) FROM tap").fetchone()[0])

    monkeypatch.setattr(app.feedback, "load", lambda pins: Eyes())
    with running(Gateway(settings)):
        is_listening(school)
        cable.touch()
        until(lambda: seen)
        cable.touch(OTHER)
        until(lambda: len(seen) == 2)
    assert seen == [1, 2]


def test_a_full_spool_is_red_is_told_and_the_pupil_may_try_again(
    settings: config.Config, school: School, cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    class Eyes(app.feedback.Silent):
        def accepted(self) -> None:
            shown.append("green")

        def refused(self) -> None:
            shown.append("red")

    def full(*_: object) -> None:
        raise SpoolFull("no room")

    monkeypatch.setattr(app.feedback, "load", lambda pins: Eyes())
    with running(Gateway(settings)) as gateway:
        is_listening(school)
        room, gateway.spool._write = gateway.spool._write, full  # type: ignore[method-assign,assignment]
        cable.touch()
        until(lambda: shown == ["red"])
        until(lambda: school.states[-1].spool_full)
        gateway.spool._write = room  # type: ignore[method-assign]
        cable.touch()
        until(lambda: shown == ["red", "green"])
        until(lambda: school.taps)
    assert not school.states[-1].spool_full


def test_a_tap_is_sent_until_it_is_stored_and_not_before(
    settings: config.Config, school: School, cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink, "FIRST_RESEND_S", 0.2)
    school.answering = False
    with running(Gateway(settings)) as gateway:
        is_listening(school)
        cable.touch()
        until(lambda: len(school.taps) >= 3)
        assert on_disk(gateway.spool.path) == [school.taps[0].id] and len(school.ids) == 1
        school.answering = True
        school.say(Kind.COMMAND, wire.encode(Announce()))
        until(lambda: on_disk(gateway.spool.path) == [])
        heard = len(school.taps)
        time.sleep(0.6)
        assert len(school.taps) == heard


def test_poisoned_messages_do_not_stop_the_gate(
    settings: config.Config, school: School, cable: Cable, caplog: pytest.LogCaptureFixture
) -> None:
    poison = [b"", b"\xff\xfe", b"null", b"[]", b'{"ids":[]}', b'{"ids":["x"]}', b'{"command":"reboot"}', b"[" * 9_000]
    with running(Gateway(settings)):
        is_listening(school)
        for payload in poison:
            school.say(Kind.STORED, payload)
            school.say(Kind.COMMAND, payload)
        until(lambda: caplog.text.count("message thrown away") == 2 * len(poison))
        cable.touch()
        until(lambda: school.taps)


def test_noise_and_bad_frames_are_counted_and_a_card_still_passes(
    settings: config.Config, school: School, cable: Cable
) -> None:
    with running(Gateway(settings)):
        is_listening(school)
        cable.write(b"\xa5" * 3_000)
        cable.write(bytes.fromhex("0236383030334235314336434203"))
        cable.touch()
        until(lambda: school.taps)
        school.say(Kind.COMMAND, wire.encode(Announce()))
        reader = until(lambda: [s.readers[0] for s in school.states if s.readers[0].cards])[0]
    assert reader.faults["framing"] >= 1 and reader.faults["checksum"] == 1
    assert reader.health is ReaderHealth.UP and reader.last_card is not None
    assert [tap.card for tap in school.taps] == [CARD]


def test_a_server_may_ask_again_for_what_it_had(settings: config.Config, school: School, cable: Cable) -> None:
    with running(Gateway(settings)) as gateway:
        is_listening(school)
        for card in (CARD, OTHER):
            cable.touch(card)
            until(lambda card=card: [tap for tap in school.taps if tap.card == card])
        school.say(Kind.COMMAND, wire.encode(Resync(spool="0" * 16, start=0)))
        school.say(Kind.COMMAND, wire.encode(Resync(spool=gateway.spool.id, start=2)))
        until(lambda: len(school.taps) == 3)
    assert [tap.seq for tap in school.taps] == [1, 2, 2] and len(school.ids) == 2


def test_taps_of_an_outage_arrive_with_the_brokers_return(
    settings: config.Config, mosquitto: services.Mosquitto, cable: Cable
) -> None:
    with running(Gateway(settings)) as gateway, School(mosquitto.url) as school:
        is_listening(school)
        mosquitto.stop(signal.SIGKILL)
        until(lambda: not gateway.uplink.online)
        for card in (CARD, OTHER):
            cable.touch(card)
        until(lambda: gateway.spool.next_seq == 3)
        mosquitto.start()
        back = time.monotonic()
        until(lambda: gateway.uplink.online)
        # the school's own paho takes its time; the gateway's share is this
        assert time.monotonic() - back < 3
        until(lambda: len(school.ids) == 2)


def test_the_gateway_goes_round_the_list_of_brokers(
    write: Write, mosquitto: services.Mosquitto, school: School, cable: Cable
) -> None:
    path = write(f'mqtt://127.0.0.1:{services.free_port()}", "{mosquitto.url}')
    with running(Gateway(config.load(path, {}))):
        is_listening(school)


def test_mqtt_3_is_a_setting(write: Write, mosquitto: services.Mosquitto, school: School, cable: Cable) -> None:
    path = write(mosquitto.url)
    path.write_text(path.read_text().replace("[mqtt]", '[mqtt]\nversion = "3.1.1"'))
    with running(Gateway(config.load(path, {}))) as gateway:
        is_listening(school)
        cable.touch()
        until(lambda: school.taps)
        assert gateway.uplink.batch < 20  # a broker that cannot tell its limit is taken for a strict one


def test_a_killed_gateway_is_told_by_its_will_and_its_taps_come_after(
    write: Write, mosquitto: services.Mosquitto, school: School, cable: Cable
) -> None:
    path = write(mosquitto.url)
    school.answering = False
    with process(path) as child:
        is_listening(school)
        cable.touch()
        (tap,) = until(lambda: school.taps)
        birth = school.states[-1].birth
        child.send_signal(signal.SIGKILL)
        will = until(lambda: [state for state in school.states if not state.online])[0]
        assert will.birth == birth
    school.answering = True
    with process(path):
        until(lambda: len(school.taps) == 2)
        assert school.taps[1].id == tap.id
        until(lambda: school.states[-1].online and school.states[-1].birth > birth)


def test_a_stopped_gateway_says_good_bye_and_leaves_no_error(
    write: Write, mosquitto: services.Mosquitto, school: School, cable: Cable
) -> None:
    with process(write(mosquitto.url)) as child:
        is_listening(school)
        cable.touch()
        until(lambda: school.taps)
        child.terminate()
        _, said = child.communicate(timeout=10)
    assert child.returncode == 0 and "Traceback" not in said
    farewell = until(lambda: [state for state in school.states if not state.online])[0]
    assert farewell.next_seq == 2 and farewell.spool is not None
    assert CARD[-10:] not in said and "em4100:…51C6" in said


def test_a_dead_thread_ends_the_process(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    ends: list[int] = []
    monkeypatch.setattr(command.os, "_exit", ends.append)
    monkeypatch.setattr(threading, "excepthook", command.end_process)
    thread = threading.Thread(target=lambda: 1 / 0, name="port east")
    thread.start()
    thread.join()
    assert ends == [70] and "thread port east died" in caplog.text and "ZeroDivisionError" in caplog.text


def test_a_pulled_cable_is_told_to_the_school_at_once(settings: config.Config, school: School, cable: Cable) -> None:
    with running(Gateway(settings)):
        is_listening(school)
        cable.unplug()
        until(lambda: school.states[-1].readers[0].health is ReaderHealth.DOWN)
        cable.plug()
        until(lambda: school.states[-1].readers[0].health is ReaderHealth.UP)
        cable.write(load("rdm6300").frame(CARD) * 2)
        until(lambda: school.taps)


def test_the_watchdog_is_fed_by_the_main_loop(
    settings: config.Config, school: School, cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    gateway = Gateway(settings)
    monkeypatch.setattr(app.Watchdog, "say", lambda self, *lines: said.extend(lines))
    gateway.watchdog = app.Watchdog("somewhere", 0.05)
    with running(gateway):
        until(lambda: said.count("WATCHDOG=1") >= 2)
    assert said[0] == "READY=1" and said[-1] == "STOPPING=1"


def test_a_card_that_cannot_be_taken_is_red_once_a_second(settings: config.Config) -> None:
    gate = Gateway(settings).gates["east"]
    two, noise = Fault("two-cards"), Fault("checksum")
    assert [gate.may_show_red(two, ticks) for ticks in (5_000, 5_100, 5_999, 6_000)] == [True, False, False, True]
    assert not gate.may_show_red(noise, 9_000)


@pytest.mark.parametrize(
    ("card", "shown"), [("em4100:67003B51C6", "em4100:…51C6"), ("w26:2A", "w26:…A"), ("w26:", "w26:…")]
)
def test_logs_show_four_digits_at_most(card: str, shown: str) -> None:
    assert app.masked(card) == shown
