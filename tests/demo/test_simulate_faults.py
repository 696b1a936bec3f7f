"""Faults of the simulated readers: what a gate may and may not make of them, on real pseudo-terminals."""

import time
from pathlib import Path
from random import Random

import pytest

from gateway import readers, simdevices, simfaults
from gateway.readers.base import Card, Fault, Value
from gateway.simfaults import Expected, Kind
from tests.demo.simulation import CARDS, Playing, card, distinct, fault, hear, listen, script

UIDS = [f"iso14443a:04A1B2C3D4E5{number:02X}" for number in range(6)]


def cards_of(values: list[Value]) -> list[str]:
    return [value.text for value in values if isinstance(value, Card)]


@pytest.mark.parametrize("kind", [Kind.TORN, Kind.MUTE, Kind.BAUD])
@pytest.mark.parametrize("profile", ["rdm6300", "id12la"])
def test_a_card_behind_this_fault_is_never_read_and_the_ledger_says_so(
    tmp_path: Path, kind: Kind, profile: str
) -> None:
    with Playing(tmp_path, script(profile, fault(kind), card(CARDS[0], 1), card(CARDS[1], 2))) as simulation:
        values = listen(tmp_path / "east-in", profile, until=lambda: len(simulation.ledger_entries()) == 3)
        assert cards_of(values) == []
        assert [entry["tap"] for entry in simulation.ledger_entries()[1:]] == ["no", "no"]


@pytest.mark.parametrize("profile", ["rdm6300", "id12la", "stx-hex8"])
def test_a_flipped_bit_never_makes_another_card(tmp_path: Path, profile: str) -> None:
    events = [card(text, 1 + number) for number, text in enumerate(CARDS)]
    with Playing(tmp_path, script(profile, fault(Kind.FLIP), *events)) as simulation:
        values = listen(tmp_path / "east-in", profile, until=lambda: len(simulation.ledger_entries()) == 1 + len(CARDS))
    assert set(cards_of(values)) <= set(CARDS)
    assert any(isinstance(value, Fault) for value in values)


def test_noise_between_frames_does_not_stop_a_confirming_reader(tmp_path: Path) -> None:
    events = [card(text, 1 + number) for number, text in enumerate(CARDS[:10])]
    with Playing(tmp_path, script("rdm6300", fault(Kind.NOISE), *events)) as simulation:
        # Until the last card has left: a port that is closed before leaves open what became of it ("any").
        times = simdevices.TIMES * 10
        values = hear(tmp_path / "east-in", "rdm6300", times, until=lambda: len(simulation.ledger_entries()) == 11)
        assert {entry["tap"] for entry in simulation.ledger_entries()[1:]} == {"yes"}
    assert distinct(values) == CARDS[:10]


def test_a_stuck_card_is_said_for_as_long_as_it_lies_there_and_is_one_line_of_the_ledger(tmp_path: Path) -> None:
    with Playing(tmp_path, script("id12la", card(CARDS[0]), fault(Kind.STUCK, 1, seconds=100))) as simulation:
        values = hear(tmp_path / "east-in", "id12la", 30)
        simulation.wait(lambda: len(simulation.ledger_entries()) == 2)
        assert [entry.get("card") for entry in simulation.ledger_entries()] == [CARDS[0], None]
    assert distinct(values) == [CARDS[0]]


def test_two_cards_in_a_wallet_are_told_by_a_pn532_and_make_no_tap(tmp_path: Path) -> None:
    events = [card(text, 1 + number) for number, text in enumerate(UIDS[:2])]
    with Playing(tmp_path, script("pn532", fault(Kind.TWO), *events)) as simulation:
        values = listen(tmp_path / "east-in", "pn532", until=lambda: len(simulation.ledger_entries()) == 3)
        assert [entry["tap"] for entry in simulation.ledger_entries()[1:]] == ["no", "no"]
    assert cards_of(values) == []
    assert {value.kind for value in values if isinstance(value, Fault)} == {"two-cards"}
    assert {found for value in values if isinstance(value, Fault) for found in value.cards} == set(UIDS[:2])


def test_two_cards_at_a_125_khz_reader_are_said_by_turns(tmp_path: Path) -> None:
    with Playing(tmp_path, script("rdm6300", fault(Kind.TWO), card(CARDS[0], 1), card(CARDS[1], 2))):
        values = hear(tmp_path / "east-in", "rdm6300", 2 * simdevices.TIMES)
    assert cards_of(values) == CARDS[:2] * simdevices.TIMES


def test_phantoms_are_known_for_none(tmp_path: Path) -> None:
    with Playing(tmp_path, script("rdm6300", fault(Kind.PHANTOM, seconds=2000), card(CARDS[0], 1))):
        values = listen(tmp_path / "east-in", "rdm6300", until=None, seconds=2.0)
    assert distinct(values) == CARDS[:1]
    assert [value.kind for value in values if isinstance(value, Fault)].count("phantom") >= 2


def test_a_slow_reader_dribbles_its_bytes_and_is_still_understood(tmp_path: Path) -> None:
    with Playing(tmp_path, script("id12la", fault(Kind.SLOW, seconds=1000), card(CARDS[0], 1))):
        begins = time.monotonic()
        values = hear(tmp_path / "east-in", "id12la", 1)
        took = time.monotonic() - begins
    assert values == [Card(CARDS[0])]
    assert took > 15 * simfaults.BYTE_S


def test_a_fault_that_ends_leaves_a_sound_reader(tmp_path: Path) -> None:
    with Playing(tmp_path, script("id12la", fault(Kind.MUTE, seconds=30), card(CARDS[0], 1))) as simulation:
        listen(tmp_path / "east-in", "id12la", until=None, seconds=0.8)
        simulation.show(CARDS[1])
        assert distinct(hear(tmp_path / "east-in", "id12la", 1)) == CARDS[1:2]


def test_a_cable_pulled_while_a_card_is_read_leaves_open_what_became_of_it(tmp_path: Path) -> None:
    with Playing(tmp_path, script("rdm6300", card(CARDS[0])), speed=0.1) as simulation:
        hear(tmp_path / "east-in", "rdm6300", 1)  # of four; then the port is closed
        simulation.wait(lambda: len(simulation.ledger_entries()) == 1)
        assert simulation.ledger_entries()[0]["tap"] == "any"


def test_bytes_sampled_at_the_right_speed_are_themselves() -> None:
    for said in (b"\x00\xff\x55", readers.load("rdm6300").frame(CARDS[0]), Random(7).randbytes(300)):
        assert simfaults.sampled(said, 1.0) == said


def test_bytes_sampled_twice_as_fast_are_other_bytes() -> None:
    # start and eight zeros are eighteen short zeros: a byte of nine, and one whose last bit is the sender's stop bit
    assert simfaults.sampled(b"\x00", 2.0) == b"\x00\x80"
    frame = readers.load("rdm6300").frame(CARDS[0])
    assert set(simfaults.sampled(frame, 2.0)) - set(frame)


@pytest.mark.parametrize(
    ("profile", "kinds", "wanted"),
    [
        ("rdm6300", [], Expected.YES),
        ("rdm6300", [Kind.NOISE, Kind.PHANTOM], Expected.YES),
        ("id12la", [Kind.NOISE], Expected.ANY),
        ("id12la", [Kind.SLOW], Expected.YES),
        ("rdm6300", [Kind.SLOW], Expected.ANY),
        ("rdm6300", [Kind.FLIP, Kind.MUTE], Expected.NO),
        ("pn532", [Kind.TWO], Expected.NO),
        ("rdm6300", [Kind.TWO], Expected.ANY),
    ],
)
def test_what_must_become_of_a_card(profile: str, kinds: list[Kind], wanted: Expected) -> None:
    assert simfaults.expected(readers.load(profile), kinds, asked=profile == "pn532") is wanted


def test_every_fault_has_a_meaning_and_a_usual_time() -> None:
    assert set(simfaults.MEANING) == set(simfaults.USUAL_S) == set(Kind)
