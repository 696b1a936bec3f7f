"""The simulated readers on real pseudo-terminals, read as the gateway reads real ones."""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from gateway import readers, simdevices, simscript, simulate
from gateway.readers.base import Card, Fault
from tests.demo.simulation import CARDS, START, Playing, card, distinct, hear, script


@pytest.fixture(autouse=True)
def gone_at_the_end() -> Iterator[None]:
    """A test that leaves its simulation running would hold ports of later ones."""
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def test_a_crowd_passes_whole_and_in_order_each_card_read_twice(tmp_path: Path) -> None:
    events = [card(text, 100 * number) for number, text in enumerate(CARDS)]
    with Playing(tmp_path, script("rdm6300", *events)):
        values = hear(tmp_path / "east-in", "rdm6300", simdevices.TIMES * len(CARDS))
    assert distinct(values) == CARDS
    assert [value for value in values if isinstance(value, Fault)] == []


def test_a_module_that_speaks_once_says_each_card_once(tmp_path: Path) -> None:
    with Playing(tmp_path, script("id12la", *map(card, CARDS[:5]))):
        values = hear(tmp_path / "east-in", "id12la", 5)
    assert values == [Card(text) for text in CARDS[:5]]


def test_no_card_is_shown_to_a_port_that_nobody_listens_to(tmp_path: Path) -> None:
    with Playing(tmp_path, script("id12la", card(CARDS[0]))) as simulation:
        for _ in range(100):
            assert simulation.lines["east-in"].shown == 0
            time.sleep(0.002)
        assert hear(tmp_path / "east-in", "id12la", 1) == [Card(CARDS[0])]


def test_ten_thousand_bytes_of_noise_do_not_eat_the_card_behind_them(tmp_path: Path) -> None:
    noise = bytes(range(256)).hex() * 40
    events = [f'{{"at": {START}, "reader": "east-in", "noise": "{noise}"}}', card(CARDS[0], 1)]
    with Playing(tmp_path, script("rdm6300", *events)):
        values = hear(tmp_path / "east-in", "rdm6300", 2)
    assert distinct(values) == CARDS[:1]
    assert any(isinstance(value, Fault) for value in values)


def test_an_unplugged_reader_comes_back_under_its_name(tmp_path: Path) -> None:
    unplug = f'{{"at": {START}, "reader": "east-in", "unplug": 30}}'
    with Playing(tmp_path, script("id12la", unplug, card(CARDS[0], 1))):
        with serial.Serial(str(tmp_path / "east-in"), timeout=10) as line, pytest.raises(serial.SerialException):
            assert line.read(16) == b""
            line.read(1)
        until = time.monotonic() + 10
        while not (tmp_path / "east-in").exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        assert hear(tmp_path / "east-in", "id12la", 1) == [Card(CARDS[0])]


def test_our_pn532_reader_and_the_simulated_module_agree_on_a_crowd(tmp_path: Path) -> None:
    uids = [f"iso14443a:04A1B2C3D4E5{number:02X}" for number in range(12)]
    with Playing(tmp_path, script("pn532", *map(card, uids))):
        values = hear(tmp_path / "east-in", "pn532", len(uids))
    assert distinct(values) == uids
    assert [value for value in values if isinstance(value, Fault)] == []


def test_a_pn532_answers_commands_and_keeps_a_card_until_it_was_asked_for() -> None:
    module = simdevices.Pn532(readers.Reader, speed=1)
    module.hear(bytes.fromhex("5555" + "00" * 14 + "0000FF03FDD414011700"), 0)
    assert module.speak(0) == simdevices.ACK + bytes.fromhex("0000FF02FED5151600")
    module.hear(bytes.fromhex("0000FF02FED402"), 0)
    assert module.speak(0) == b""
    module.hear(bytes.fromhex("2A00"), 0)
    assert module.speak(0) == simdevices.ACK + bytes.fromhex("0000FF06FAD50332010607E800")
    module.present("iso14443a:047BCB51962280", 0)
    assert module.busy(100)
    module.hear(bytes.fromhex("0000FF04FCD44A0100E100"), 100)
    answer = bytes.fromhex("0000FF0FF1D54B010100440007047BCB51962280C000")
    assert module.speak(100) == simdevices.ACK + answer
    assert not module.busy(100)


def test_a_pn532_without_a_card_searches_before_it_says_so() -> None:
    module = simdevices.Pn532(readers.Reader, speed=1)
    module.hear(bytes.fromhex("0000FF04FCD44A0100E100"), 0)
    assert module.speak(0) == simdevices.ACK
    assert module.speak(0.01) == b""
    assert module.speak(0.03) == bytes.fromhex("0000FF03FDD54B00E000")


def test_an_ack_from_the_host_ends_a_search() -> None:
    module = simdevices.Pn532(readers.Reader, speed=1)
    module.hear(bytes.fromhex("0000FF04FCD44A0100E100") + simdevices.ACK, 0)
    assert module.speak(1) == simdevices.ACK


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"reader": "east-in", "profile": "rdm6301"}', "unknown reader 'rdm6301'"),
        ('{"at": 1, "reader": "west", "card": "em4100:00"}', "'west' has no header line"),
        ('{"at": 1, "reader": "east-in"}', "exactly one of card, noise, unplug and fault"),
        ('{"at": 1, "reader": "east-in", "card": "007"}', "$.card"),
        ('{"at": 1, "reader": "east-in", "nois": "00"}', "unknown field `nois`"),
        ('{"at": 1, "reader": "east-in", "noise": "0g"}', "hexadecimal"),
        ('{"at": 1, "reader": "east-in", "fault": "rain"}', "Invalid enum value 'rain'"),
        ('{"at": 1, "reader": "east-in", "fault": "mute", "seconds": 0}', "$.seconds"),
        ('{"reader": "gate", "profile": "cf-m"}\n{"at": 1, "reader": "gate", "fault": "phantom"}', "no known phantoms"),
        ("{", "script.jsonl:2"),
    ],
)
def test_a_bad_script_names_the_line(tmp_path: Path, line: str, complaint: str) -> None:
    (tmp_path / "script.jsonl").write_text(script("rdm6300", line))
    with pytest.raises(simscript.ScriptError) as caught:
        simscript.read(tmp_path / "script.jsonl")
    assert complaint in str(caught.value)
    assert f"script.jsonl:{2 + line.count(chr(10))}: " in str(caught.value)


def test_the_command_plays_until_it_is_told_to_stop_and_leaves_no_ports(tmp_path: Path) -> None:
    (tmp_path / "script.jsonl").write_text(script("rdm6300", card(CARDS[0])))
    program = (
        "import argparse, sys; from gateway import simulate; p = argparse.ArgumentParser(); "
        "simulate.add_arguments(p); sys.exit(simulate.run(p.parse_args()))"
    )
    line = [sys.executable, "-c", program, "--script", str(tmp_path / "script.jsonl"), "--folder", str(tmp_path)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as played:
        assert played.stdout is not None
        assert played.stdout.readline().startswith("1 readers in ")
        assert os.readlink(tmp_path / "east-in").startswith("/dev/pts/")
        assert distinct(hear(tmp_path / "east-in", "rdm6300", 2)) == CARDS[:1]
        assert played.stdout.readline().startswith("the script is over")
        played.send_signal(signal.SIGTERM)
        assert played.wait(10) == 0
    assert not (tmp_path / "east-in").is_symlink()


def test_a_missing_script_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    simulate.add_arguments(parser)
    assert simulate.run(parser.parse_args(["--script", str(tmp_path / "none.jsonl")])) == 1
    assert "none.jsonl" in capsys.readouterr().err
