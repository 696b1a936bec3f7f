"""Every reader against every frame: whole, in pieces, in rows, in noise, and with each bit flipped."""

import importlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import readers
from gateway.readers.base import Fault, Step
from tests.gateway.readers.frames import (
    ENTRIES,
    FIRST_GOOD,
    GOOD,
    UNCHECKED,
    UNENDED,
    Entry,
    cards_of,
    faults_of,
    heard,
    same_card,
)

NOISE = {
    "ones": b"\xff" * 9,
    "line idle and glitches": bytes.fromhex("fefffcff00f8"),
    "inverted pin": bytes.fromhex("3fcccce6e6e6ccf9322a3e2acad6f2"),
    "banner": b"READY V1.0\r\n",
    "zeros": bytes(5),
    "random": random.Random(7).randbytes(40),
}
every_entry = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
every_good_frame = pytest.mark.parametrize("entry", GOOD, ids=lambda entry: entry.id)
every_sound_frame = pytest.mark.parametrize(
    "entry", [entry for entry in ENTRIES if set(entry.faults) <= {"phantom"}], ids=lambda entry: entry.id
)
each_reader = pytest.mark.parametrize("entry", FIRST_GOOD, ids=lambda entry: entry.reader)


def assert_meaning(values: list, entry: Entry) -> None:
    cards = cards_of(values)
    assert len(cards) == len(entry.cards), (cards, faults_of(values))
    assert all(map(same_card, cards, entry.cards)), cards
    assert faults_of(values) == list(entry.faults)


@every_entry
def test_a_frame_means_what_the_data_file_says(entry):
    assert_meaning(heard(entry.fresh(), entry.line), entry)


@every_entry
def test_pieces_mean_what_the_whole_means(entry):
    for at in range(len(entry.line) + 1):
        assert_meaning(heard(entry.fresh(), entry.line[:at], entry.line[at:]), entry)
    assert_meaning(heard(entry.fresh(), *(bytes([byte]) for byte in entry.line)), entry)


@every_good_frame
def test_a_frame_cut_off_by_silence_is_no_card_and_hurts_no_later_one(entry):
    for at in range(1, len(entry.line)):
        reader = entry.fresh()
        partly = cards_of(heard(reader, entry.line[:at]))
        assert not partly or all(map(same_card, partly, entry.cards)), at
        assert_meaning(heard(reader, entry.line), entry)


@every_good_frame
def test_frames_in_a_row_are_all_heard(entry):
    assert len(cards_of(heard(entry.fresh(), entry.line * 3))) == 3 * len(entry.cards)


@every_entry
def test_a_good_frame_right_after_any_other_is_heard(entry):
    for other in FIRST_GOOD:
        if other.reader == entry.reader:  # none for chafon-host: a host names no card
            cards = cards_of(heard(entry.fresh(), entry.line + other.line))
            joined = entry.reader in UNENDED and entry.faults in [("framing",), ("length",)] and entry.line[-1] > 32
            assert joined or same_card(cards[-1], other.cards[-1])
            assert not joined or cards == []


@each_reader
@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE)
def test_noise_then_silence_costs_no_card(entry, noise):
    reader = entry.fresh()
    before = heard(reader, noise)
    assert cards_of(before) == []
    assert len(before) <= 4
    assert_meaning(heard(reader, entry.line), entry)


@each_reader
@pytest.mark.parametrize("noise", [NOISE["ones"], NOISE["line idle and glitches"], NOISE["zeros"]])
def test_noise_right_before_and_after_costs_no_card(entry, noise):
    cards = cards_of(heard(entry.fresh(), noise + entry.line + noise + entry.line))
    assert len(cards) == 2 * len(entry.cards)
    assert all(map(same_card, cards, entry.cards * 2))


@every_sound_frame
def test_one_flipped_bit_never_makes_another_card(entry):
    others = 0
    for bit in range(8 * len(entry.line)):
        spoilt = bytearray(entry.line)
        spoilt[bit // 8] ^= 1 << bit % 8
        cards = cards_of(heard(entry.fresh(), bytes(spoilt)))
        others += any(not any(same_card(card, wanted) for wanted in entry.cards) for card in cards)
    allowed = UNCHECKED.get(entry.reader, 0.0) if entry.cards else 0.0
    assert others <= allowed * 8 * len(entry.line), f"{others} of {8 * len(entry.line)} flips"


@pytest.mark.parametrize("name", readers.names())
def test_examples_at_the_foot_of_the_file_are_true(name):
    module = importlib.import_module(f"gateway.readers.{name.replace('-', '_')}")
    assert module.EXAMPLES
    for line, wanted in module.EXAMPLES:
        values = heard(module.PROTOCOL(), bytes.fromhex(line))
        assert [Fault(value.kind) if isinstance(value, Fault) else value for value in values] == wanted


@pytest.mark.parametrize("name", readers.names())
@settings(max_examples=60, deadline=None)
@given(line=st.lists(st.binary(max_size=400), max_size=4))
def test_no_bytes_raise_and_little_is_kept(name, line):
    reader = readers.load(name)()
    for piece in line:
        list(reader.feed(piece))
        assert len(reader._kept) < reader.longest
    list(reader.flush())
    assert reader._kept == b""


@each_reader
@settings(max_examples=40, deadline=None)
@given(noise=st.binary(max_size=200))
def test_a_card_after_any_noise_and_a_silence_is_heard(entry, noise):
    reader = entry.fresh()
    heard(reader, noise)
    assert_meaning(heard(reader, entry.line), entry)


@pytest.mark.parametrize("name", readers.names())
@pytest.mark.parametrize("kind", ["random", "one byte", "digits", "start bytes"])
def test_ten_kilobytes_of_noise_are_few_faults_and_bounded_work(name, kind, monkeypatch):
    protocol = readers.load(name)
    first = next((entry.line[:1] for entry in FIRST_GOOD if entry.reader == name), b"\x05")
    chance = random.Random(11)
    line = {
        "random": chance.randbytes(10_000),
        "one byte": b"x" * 10_000,
        "digits": bytes(chance.choices(b"0123456789ABCDEF", k=10_000)),
        "start bytes": first * 10_000,
    }[kind]
    steps = [0]
    take = protocol.take

    def counted(self: object, window: bytes) -> Step:
        steps[0] += 1
        assert len(window) <= protocol.longest
        return take(self, window)

    monkeypatch.setattr(protocol, "take", counted)
    values = heard(protocol(), *(line[at : at + 100] for at in range(0, len(line), 100)))
    assert len(faults_of(values)) <= 10_000 / 5  # no frame is shorter
    assert steps[0] <= 10_300
    if name not in UNCHECKED and name != "em18":
        assert cards_of(values) == []
