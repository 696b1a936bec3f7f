"""Crowds that are made up, what a trainer types, and the ledger's comparison."""

import csv
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from gateway import readers, simconsole, simcrowd, simledger
from gateway.simcrowd import Plan
from gateway.simfaults import Expected, Kind
from gateway.simledger import Shown, Stored
from gateway.simscript import ScriptError, speaking
from tests.demo.simulation import CARDS, START, Playing, hear, script


@pytest.mark.parametrize("curve", simcrowd.CURVES)
def test_every_curve_brings_every_pupil_in_its_time(curve: str) -> None:
    found = simcrowd.CURVES[curve](Random(3), 500, 1800.0)
    assert len(found) == 500 and min(found) >= 0 and max(found) <= 1800


def test_a_morning_has_its_peak_before_the_bell_and_buses_come_in_waves() -> None:
    late = [moment for moment in simcrowd.morning(Random(1), 2000, 1000.0) if 500 < moment < 900]
    assert len(late) > 1400
    waves = simcrowd.buses(Random(1), 2000, 1800.0)
    assert all(moment % simcrowd.BUS_EVERY_S <= simcrowd.BUS_S for moment in waves)
    assert len({int(moment / simcrowd.BUS_EVERY_S) for moment in waves}) == 6


def test_a_seed_is_one_morning_and_another_seed_another() -> None:
    first, again, other = (simcrowd.script(Plan(seed=seed, readers=3, faults=4), START) for seed in (5, 5, 6))
    assert first == again and first != other


def test_speed_brings_the_crowd_so_many_times_as_fast() -> None:
    slow, fast = (simcrowd.script(Plan(speed=speed, seconds=600), START) for speed in (1, 60))
    assert (slow.events[-1].at - START) // 60 == pytest.approx(fast.events[-1].at - START, abs=2)
    assert fast.events[-1].at - START <= 10_000


def test_each_pupil_comes_to_a_reader_that_can_read_the_card() -> None:
    played = simcrowd.script(Plan(profiles=speaking(), pupils=400), START)
    assert len({event.card for event in played.events}) == 400
    for event in played.events:
        reader = readers.load(played.readers[event.reader])()
        found = [*reader.feed(reader.frame(event.card or "")), *reader.flush()]
        assert [getattr(value, "text", value) for value in found] == [event.card]


def test_every_profile_that_speaks_by_itself_or_is_known_here_can_be_simulated() -> None:
    assert {"rdm6300", "id12la", "em18", "pn532", "active-0x40"} <= set(speaking())
    assert "m100" not in speaking()


def test_cards_of_a_file_are_shown_to_readers_that_can_read_them(tmp_path: Path) -> None:
    (tmp_path / "cards.csv").write_text("name,card\nAnna,em4100:67003B51C6\nBen,iso14443a:04A1B2C3D4E5F6\n")
    played = simcrowd.script(Plan(profiles=("rdm6300", "pn532"), cards=tmp_path / "cards.csv"), START)
    assert {(event.reader, event.card) for event in played.events} == {
        ("reader-1", "em4100:67003B51C6"),
        ("reader-2", "iso14443a:04A1B2C3D4E5F6"),
    }


@pytest.mark.parametrize(
    ("text", "plan", "complaint"),
    [
        ("em4100:67003B51C6\n", {"profiles": ("pn532",)}, "no reader here reads em4100 cards"),
        ("0006762840\n", {}, "card 1, '0006762840', is not canonical"),
        ("", {}, "no card in it"),
        ("", {"cards": None, "profiles": ("rdm6301",)}, "'rdm6301' cannot be simulated with a crowd; choose from"),
    ],
)
def test_what_cannot_be_played_is_said(tmp_path: Path, text: str, plan: dict, complaint: str) -> None:
    (tmp_path / "cards").write_text(text)
    with pytest.raises(ScriptError, match=complaint):
        simcrowd.script(Plan(**({"cards": tmp_path / "cards"} | plan)), START)


# what a trainer types


def test_a_trainer_pulls_a_cable_shows_a_card_and_mends_all(tmp_path: Path) -> None:
    with Playing(tmp_path, script("id12la"), speed=1) as playing:
        assert "unplug for 60 s" in simconsole.obey(playing.simulation, "unplug east-in 60")
        assert "unplugged" in simconsole.obey(playing.simulation, "readers")
        assert not (tmp_path / "east-in").is_symlink()
        assert simconsole.obey(playing.simulation, f"card all {CARDS[0]}") == f"east-in: {CARDS[0]}"
        simconsole.obey(playing.simulation, "heal east-in")
        playing.wait((tmp_path / "east-in").exists)
        assert [value.text for value in hear(tmp_path / "east-in", "id12la", 1)] == CARDS[:1]
    assert [entry.get("fault") for entry in playing.ledger_entries()] == ["unplug", None]


def test_help_names_every_fault_and_every_command(tmp_path: Path) -> None:
    with Playing(tmp_path, script("id12la")) as playing:
        told = simconsole.obey(playing.simulation, "help")
        assert all(word in told for word in [*Kind, *simconsole.COMMANDS])
        for kind in Kind:
            assert f"{kind} for 1 s" in simconsole.obey(playing.simulation, f"{kind} all 1")


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("unplgu east-in", "no command 'unplgu'; did you mean 'unplug'"),
        ("dance", "no command 'dance': there are"),
        ("mute east-inn", "no reader 'east-inn'; did you mean 'east-in'"),
        ("mute", "which reader\\? There are east-in, all"),
        ("mute east-in soon", "'soon' is no number of seconds"),
        ("mute east-in nan", "'nan' is no number of seconds"),
        ("card east-in 0006762840", "east-in .thingmagic. cannot read '0006762840': give one like epc:67"),
        ("phantom east-in", "no known phantoms"),
    ],
)
def test_what_is_not_understood_says_what_would_be(tmp_path: Path, typed: str, complaint: str) -> None:
    with (
        Playing(tmp_path, script("thingmagic")) as playing,
        pytest.raises(simconsole.NotUnderstood, match=complaint),
    ):
        simconsole.obey(playing.simulation, typed)


def test_what_is_typed_for_another_is_left_to_it(tmp_path: Path) -> None:
    master, slave = os.openpty()
    try:
        os.write(master, b"unplug all\n")
        assert list(simconsole.Keyboard(slave).lines()) == []  # a terminal, but not the one that we were started from
        assert os.read(slave, 100) == b"unplug all\n"
    finally:
        os.close(master)
        os.close(slave)


def test_lines_that_come_in_pieces_are_whole_and_the_end_of_the_input_is_no_line() -> None:
    ours, theirs = os.pipe()
    keyboard = simconsole.Keyboard(ours)
    assert list(keyboard.lines()) == []
    os.write(theirs, b"mute rea")
    assert list(keyboard.lines()) == []
    os.write(theirs, b"der-1\nhelp\nqu")
    assert list(keyboard.lines()) == ["mute reader-1", "help"]
    os.close(theirs)
    assert list(keyboard.lines()) == list(keyboard.lines()) == []
    os.close(ours)


# the comparison


def shown(at: int, tap: Expected = Expected.YES, card: str = CARDS[0]) -> Shown:
    return Shown(at=START + at, reader="east-in", card=card, tap=tap)


def stored(at: int, card: str = CARDS[0]) -> Stored:
    return Stored(START + at, "east-in", card)


def test_a_lost_tap_and_one_that_nobody_made_are_found() -> None:
    found = simledger.compare([shown(0), shown(60_000), shown(0, card=CARDS[1])], [stored(50), stored(0, CARDS[2])])
    assert found.matched == 1
    assert [(one.at - START, one.card) for one in found.missing] == [(0, CARDS[1]), (60_000, CARDS[0])]
    assert found.extra == [stored(0, CARDS[2])]
    assert str(found).startswith("1 taps as they must be, 2 missing, 1 too many\nmissing: ")


def test_a_doubled_tap_is_one_too_many_and_a_doubtful_touch_is_none() -> None:
    assert simledger.compare([shown(0)], [stored(10), stored(20)]).extra == [stored(20)]
    assert simledger.compare([shown(0, Expected.ANY), shown(5_000)], [stored(10)]).extra == []
    assert simledger.compare([shown(0, Expected.ANY)], []).missing == []


def test_a_tap_that_could_not_be_is_too_many() -> None:
    found = simledger.compare([shown(0, Expected.NO)], [stored(10)])
    assert (found.matched, found.extra) == (0, [stored(10)])


def test_taps_are_read_from_a_table_of_the_server_and_from_a_csv(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "server.db")) as base, base:
        base.execute("CREATE TABLE tap (at TEXT, reader_id TEXT, card TEXT)")
        base.execute("INSERT INTO tap VALUES ('2026-11-18 11:06:40.000', 'east-in', ?)", (CARDS[0],))
    with (tmp_path / "taps.csv").open("w") as file:
        csv.writer(file).writerows([["card", "reader", "at"], [CARDS[0], "east-in", "2026-11-18T19:06:40+08:00"]])
    assert simledger.taps(tmp_path / "server.db") == simledger.taps(tmp_path / "taps.csv") == [stored(0)]


def test_a_file_without_taps_says_what_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "taps.csv").write_text("number\n7\n")
    with pytest.raises(simledger.LedgerError, match="a CSV with the columns card, reader and at"):
        simledger.taps(tmp_path / "taps.csv")
    (tmp_path / "ledger").write_text('{"at": 1}\n')
    with pytest.raises(simledger.LedgerError, match="ledger:1: "):
        simledger.read(tmp_path / "ledger")
