"""A reader's port on a real pseudo-terminal: pieces, silence, noise, a pulled cable, a reader that does not answer."""

import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from gateway import ports, uart
from gateway.clock import boottime_ms
from gateway.config import ReaderSection
from gateway.ports import Health, Port, Read
from gateway.readers import load
from gateway.readers.base import Card
from gateway.simdevices import device
from gateway.wire import Direction, ReaderHealth
from tests.gateway.ends import CARD, OTHER, Cable
from tests.vectors import vectors

Inbox = SimpleQueue[Any]
Open = Callable[..., Port]


@pytest.fixture
def inbox() -> Inbox:
    """What the port reports."""
    return SimpleQueue()


@pytest.fixture
def opened(inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Starts ports that try again quickly."""
    monkeypatch.setattr(ports, "BACK_OFF_S", (0.05, 0.1))
    started: list[Port] = []

    def open(profile: str = "rdm6300", *, port: str = "") -> Port:
        section = ReaderSection(
            id="east", profile=profile, port=port or str(tmp_path / "reader"), direction=Direction.IN
        )
        started.append(Port(section, ticks=boottime_ms, inbox=inbox))
        started[-1].start()
        return started[-1]

    yield open
    for port in started:
        port.stop()


def next_of(inbox: Inbox, kind: type[Any], *, seconds: float = 10) -> Any:
    """The next report of a kind; the others are passed over."""
    end = time.monotonic() + seconds
    while True:
        event = inbox.get(timeout=max(0.01, end - time.monotonic()))
        if isinstance(event, kind):
            return event


def is_up(inbox: Inbox) -> None:
    """The port is open."""
    assert next_of(inbox, Health).health is ReaderHealth.UP


def test_a_frame_in_pieces_is_one_card_with_the_time_of_its_last_byte(opened: Open, inbox: Inbox, cable: Cable) -> None:
    opened()
    is_up(inbox)
    frame = load("rdm6300").frame(CARD)
    for at in range(0, len(frame), 3):
        cable.write(frame[at : at + 3])
        time.sleep(0.005)
    before = boottime_ms()
    read = next_of(inbox, Read)
    assert read.values == (Card(CARD),) and abs(read.ticks - before) < 1_000


def test_silence_ends_half_a_frame(opened: Open, inbox: Inbox, cable: Cable) -> None:
    opened("em18")
    is_up(inbox)
    cable.write(b"67003B")
    assert next_of(inbox, Read).values[0].kind == "length"
    cable.touch(profile="em18", times=1)
    assert next_of(inbox, Read).values == (Card(CARD),)


def test_a_pulled_cable_is_told_and_opened_again_by_its_name(opened: Open, inbox: Inbox, cable: Cable) -> None:
    opened()
    is_up(inbox)
    cable.write(load("rdm6300").frame(CARD)[:7])
    cable.unplug()
    down = next_of(inbox, Health)
    assert down.health is ReaderHealth.DOWN and str(cable.name) in down.why
    cable.plug()
    end = time.monotonic() + 10
    while next_of(inbox, Health).health is not ReaderHealth.UP:
        assert time.monotonic() < end
    cable.touch(OTHER, times=1)
    assert next_of(inbox, Read).values == (Card(OTHER),)  # nothing of the first half has stayed


def test_a_missing_port_is_reported_once_and_tried_on(opened: Open, inbox: Inbox, tmp_path: Path) -> None:
    opened()
    assert "No such file" in next_of(inbox, Health).why
    with pytest.raises(Empty):
        inbox.get(timeout=0.3)
    cable = Cable(tmp_path / "reader")
    cable.plug()
    is_up(inbox)
    cable.unplug()


def test_a_port_in_use_is_not_shared(opened: Open, inbox: Inbox, cable: Cable) -> None:
    opened()
    is_up(inbox)
    opened()
    assert "exclusively lock" in next_of(inbox, Health).why


def test_ten_kilobytes_of_noise_make_the_reader_mute_and_a_card_heals_it(
    opened: Open, inbox: Inbox, cable: Cable, caplog: pytest.LogCaptureFixture
) -> None:
    opened()
    is_up(inbox)
    noise = bytes(range(0x80, 0x100)) * 80
    writer = threading.Thread(target=lambda: [cable.write(noise[at : at + 512]) for at in range(0, len(noise), 512)])
    writer.start()
    mute = next_of(inbox, Health)
    assert mute.health is ReaderHealth.MUTE and "no valid frame in 200 bytes: no profile knows these bytes" in mute.why
    writer.join(10)
    cable.touch()
    assert next_of(inbox, Health).health is ReaderHealth.UP
    assert CARD[-10:] not in caplog.text


def test_phantom_frames_do_not_make_a_reader_mute(opened: Open, inbox: Inbox, cable: Cable) -> None:
    opened()
    is_up(inbox)
    for _ in range(20):
        cable.write(bytes.fromhex("0230303030303030303030303003"))
    assert next_of(inbox, Read).values[0].kind == "phantom"
    with pytest.raises(Empty):
        while True:
            assert not isinstance(inbox.get(timeout=0.3), Health)


def test_a_wallet_and_a_telephone_at_a_reader_do_not_make_it_mute(opened: Open, inbox: Inbox, cable: Cable) -> None:
    opened("pn532")
    is_up(inbox)
    wallet = "0000ff18e8d54b020100040804d0bbe11a02004400070416c6c2d73881c800"
    for line in (wallet, "0000ff0cf4d54b010100042004083a5bc15800"):
        for _ in range(20):
            cable.write(bytes.fromhex(line))
    assert next_of(inbox, Read).values[0].kind == "two-cards"
    with pytest.raises(Empty):
        while True:
            assert not isinstance(inbox.get(timeout=0.3), Health)


@pytest.fixture
def pn532(cable: Cable) -> Iterator[Any]:
    """A simulated PN532 at the far end; `power` cleared is a reader without a voice."""
    module = device("pn532", load("pn532"), 1.0)
    power, stop = threading.Event(), threading.Event()
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
    module.power = power  # type: ignore[attr-defined]
    yield module
    stop.set()
    thread.join(5)


def test_a_reader_that_must_be_asked_is_asked(opened: Open, inbox: Inbox, pn532: Any) -> None:
    opened("pn532")
    is_up(inbox)
    pn532.present("iso14443a:04A1B2C3D4E5F6", time.monotonic())
    assert next_of(inbox, Read).values == (Card("iso14443a:04A1B2C3D4E5F6"),)
    with pytest.raises(Empty):
        inbox.get(timeout=0.5)  # answers without a card are no news


def test_a_reader_that_does_not_answer_is_down_and_started_anew(
    opened: Open, inbox: Inbox, pn532: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "ANSWER_S", 1.0)
    opened("pn532")
    is_up(inbox)
    pn532.power.clear()
    down = next_of(inbox, Health)
    assert down.health is ReaderHealth.DOWN and "no byte" in down.why
    pn532.power.set()
    pn532.present("iso14443a:04A1B2C3D4E5F6", time.monotonic())
    assert Card("iso14443a:04A1B2C3D4E5F6") in next_of(inbox, Read).values


def test_a_reader_behind_a_network_socket(opened: Open, inbox: Inbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        opened(port=f"socket://127.0.0.1:{listener.getsockname()[1]}")
        first, _ = listener.accept()
        is_up(inbox)
        first.sendall(load("rdm6300").frame(CARD))
        assert next_of(inbox, Read).values == (Card(CARD),)
        first.close()
        assert next_of(inbox, Health).health is ReaderHealth.DOWN
        second, _ = listener.accept()
        second.close()


def test_a_reader_of_another_profile_is_named_and_its_cards_are_not(
    opened: Open, inbox: Inbox, cable: Cable, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    opened("m100")
    is_up(inbox)
    frame = load("rdm6300").frame(CARD)
    for _ in range(20):
        cable.write(frame)
        time.sleep(0.01)
    mute = next_of(inbox, Health)
    assert (mute.health, mute.word) == (ReaderHealth.MUTE, "profile rdm6300")
    assert 'this looks like profile = "rdm6300"' in mute.why
    for text in (mute.why, caplog.text):
        assert CARD[-10:] not in text and frame.hex() not in text and frame.hex(" ") not in text


def test_an_inverted_wire_is_named(opened: Open, inbox: Inbox, cable: Cable) -> None:
    opened("id12la")
    is_up(inbox)
    for number in range(20):
        sent = load("id12la").frame(f"em4100:{number * 7:010X}")
        cable.write(uart.received(uart.levels(sent, inverted=True, stops=2)))
        time.sleep(0.01)
    assert next_of(inbox, Health).word == "inverted"


def test_a_reader_that_keeps_saying_that_it_lives_is_not_mute(opened: Open, inbox: Inbox, cable: Cable) -> None:
    """A ThingMagic's keep-alives, whole frames without a card, hour after hour."""
    opened("thingmagic")
    is_up(inbox)
    alive = next(each["hex"] for each in vectors("reader-frames.json") if each["id"] == "thingmagic-06")
    for _ in range(60):
        cable.write(bytes.fromhex(alive))
    with pytest.raises(Empty):
        while True:
            assert not isinstance(inbox.get(timeout=0.5), Health)


def test_the_program_that_has_the_port_is_named(opened: Open, inbox: Inbox, cable: Cable, tmp_path: Path) -> None:
    program = tmp_path / "brltty"
    program.symlink_to(sys.executable)
    code = f"import sys, fcntl; f = open({str(cable.name)!r}, 'rb'); fcntl.flock(f, 2); print(1, flush=True); input()"
    with subprocess.Popen([program, "-I", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline()
        opened()
        down = next_of(inbox, Health)
        assert (down.health, down.word) == (ReaderHealth.DOWN, "held brltty")
        assert f"held by brltty (process {other.pid})" in down.why and "sudo apt purge brltty" in down.why
        other.communicate(b"\n")
    is_up(inbox)


def test_a_program_that_reads_along_is_named_though_the_port_opens(
    opened: Open, inbox: Inbox, cable: Cable, tmp_path: Path
) -> None:
    program = tmp_path / "minicom"
    program.symlink_to(sys.executable)
    code = f"f = open({str(cable.name)!r}, 'rb'); print(1, flush=True); input()"
    with subprocess.Popen([program, "-I", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline()
        opened()
        up = next_of(inbox, Health)
        assert (up.health, up.word) == (ReaderHealth.UP, "held minicom")
        other.communicate(b"\n")
    cable.touch(times=1)
    assert next_of(inbox, Health) == Health("east", ReaderHealth.UP, "frames again")


def test_why_a_reader_is_down_has_a_word(opened: Open, inbox: Inbox, cable: Cable, tmp_path: Path) -> None:
    opened(port=str(tmp_path / "nothing"))
    assert next_of(inbox, Health).word == "missing"
    opened(port="socket://127.0.0.1:1")
    assert next_of(inbox, Health).word == "lost"
    cable.unplug()


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (PermissionError(13, "Permission denied"), "denied"),
        (OSError(5, "Input/output error"), "lost"),
        (OSError(16, "Device or resource busy"), "held"),
        (ports.NoAnswer("no byte"), "no-answer"),
    ],
)
def test_what_a_driver_says_has_a_word(error: OSError, word: str) -> None:
    assert ports._trouble(error) == word
