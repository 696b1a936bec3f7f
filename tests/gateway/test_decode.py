"""`gatebell-gateway decode`: hex in, one JSON line for each card or fault."""

import json

import pytest

from gateway import decode, readers
from tests.gateway.readers.frames import ENTRIES, same_card

GOOD = "0236373030334235314336434203"


@pytest.mark.parametrize(
    "text",
    [GOOD, GOOD.upper(), " ".join(GOOD[at : at + 2] for at in range(0, 28, 2)), "0x" + GOOD]
    + [sign.join(GOOD[at : at + 2] for at in range(0, 28, 2)) for sign in (":", "\n", ", 0x", "\\x")],
)
def test_hex_is_taken_as_people_paste_it(text):
    assert list(decode.lines("rdm6300", text)) == ['{"card": "em4100:67003B51C6"}']


def test_one_good_frame_is_a_card_before_confirm_and_dedupe():
    assert list(decode.lines("rdm6300", GOOD * 2)) == ['{"card": "em4100:67003B51C6"}'] * 2


def test_a_fault_is_named_and_what_is_neither_says_nothing():
    assert list(decode.lines("rdm6300", GOOD.replace("423531", "423532"))) == ['{"fault": "checksum"}']
    assert list(decode.lines("rdm6300", "0230303030303030303030303003")) == ['{"fault": "phantom"}']
    assert list(decode.lines("pn532", "0000ff00ff00")) == []


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_every_frame_of_the_data_file_is_told_with_the_file_s_words(entry):
    told = [json.loads(line) for line in decode.lines(entry.reader, entry.line.hex())]
    cards = [line["card"] for line in told if "card" in line]
    assert len(cards) == len(entry.cards) and all(map(same_card, cards, entry.cards))
    assert [line["fault"] for line in told if "fault" in line] == list(entry.faults)


def test_the_end_of_the_bytes_is_silence():
    assert list(decode.lines("em18", "3530304335443145394238")) == ['{"fault": "length"}']
    assert list(decode.lines("rdm6300", GOOD[:-2])) == ['{"fault": "framing"}']


def test_two_cards_at_once_are_both_named_though_the_gate_refuses_them():
    line = "0000ff18e8d54b020100040804d0bbe11a02004400070416c6c2d73881c800"
    assert list(decode.lines("pn532", line)) == [
        '{"card": "iso14443a:D0BBE11A"}',
        '{"card": "iso14443a:0416C6C2D73881"}',
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("02 3g", "'g' is no hex digit .after 3 digits."), ("023", "3 hex digits"), ("0x", "no hex digit")],
)
def test_bad_hex_says_where(text, sentence):
    with pytest.raises(decode.BadHex, match=sentence):
        decode.lines("rdm6300", text)


def test_an_unknown_reader_lists_the_known_at_once():
    with pytest.raises(readers.UnknownReader, match="rdm6300"):
        decode.lines("rdm9999", "02")
