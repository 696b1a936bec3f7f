"""What readers send that no data sheet shows: half frames, doubled bytes, line ends, limits of a number."""

import pytest

from gateway import readers
from gateway.readers.base import Card, Fault, Value
from tests.gateway.readers.frames import heard

RDM, ID12, EM18 = b"\x0267003B51C6CB\x03", b"\x02070067315809\r\n\x03", b"4500C5D1E9B8"
TEN = b"0006762840"
LABELLED = b"card number: 0008844356@"


def told(reader: str, *pieces: bytes) -> list[str]:
    """Cards, and the kinds of faults."""
    return [_said(value) for value in heard(readers.load(reader)(), *pieces)]


def _said(value: Value) -> str:
    return value.text if isinstance(value, Card) else value.kind


@pytest.mark.parametrize(("reader", "frame"), [("rdm6300", RDM), ("id12la", ID12)])
def test_a_start_byte_begins_anew_wherever_it_comes(reader, frame):
    card = told(reader, frame)
    for at in range(1, len(frame)):
        assert told(reader, frame[:at] + frame) == ["framing", *card], at
        assert told(reader, frame[:at], frame) == ["framing", *card], at
    assert told(reader, b"\x02\x02\xff\x02\x80" + frame) == ["framing", *card]


@pytest.mark.parametrize(("reader", "frame"), [("rdm6300", RDM), ("id12la", ID12), ("em18", EM18)])
def test_hex_digits_may_be_small(reader, frame):
    assert told(reader, frame.lower()) == told(reader, frame)


@pytest.mark.parametrize(("reader", "frame"), [("rdm6300", RDM), ("id12la", ID12), ("em18", EM18)])
def test_line_ends_between_frames_are_no_fault(reader, frame):
    card = told(reader, frame)
    assert told(reader, (frame + b"\r\n") * 3) == card * 3
    assert told(reader, frame + b"\r", b"\n" + frame) == card * 2


@pytest.mark.parametrize("noise", [b"\xff\x02", b"\x02\xff\x02", b"\x02" * 30, b"\x80\x02z\x025"])
def test_noise_that_ends_like_the_start_of_a_frame_is_one_fault(noise):
    assert told("rdm6300", noise) == ["framing"]


@pytest.mark.parametrize("reader", ["rdm6300", "id12la", "em18"])
@pytest.mark.parametrize("digits", [b"67" + b"0" * 8 + b"67", b"0A" + b"F" * 8 + b"0A", b"F" * 10 + b"FF", b"0" * 12])
def test_an_id_of_only_zeros_or_ones_is_a_phantom_whatever_its_version(reader, digits):
    line = {"rdm6300": b"\x02%b\x03", "id12la": b"\x02%b\r\n\x03", "em18": b"%b"}[reader] % digits
    assert told(reader, line) == ["phantom"]


def test_a_wrong_byte_in_an_em18_frame_is_one_fault():
    for at in range(1, 12):
        assert told("em18", EM18[:at] + b"\x80" + EM18[at + 1 :]) == ["framing"]
    assert told("em18", b"\x80" + EM18[1:]) == ["framing"]


def test_digits_without_end_never_shift_into_another_card():
    assert told("em18", EM18 * 100) == told("em18", EM18) * 100
    for extra in range(1, 13):
        for line in (EM18 * 200 + EM18[:extra], EM18[-extra:] + EM18 * 200):
            assert {value for value in told("em18", line) if ":" in value} <= set(told("em18", EM18)), extra


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n", b"\n\r", b"\r\r\n"])
def test_any_line_end_ends_a_number(end):
    assert told("ascii-line", TEN + end + b"003,00123" + end) == ["w34:00673158", "w26:03007B"]


@pytest.mark.parametrize(
    "line",
    [b" %b", b"%b ", b"\t%b", b"%b\t", b"0%b", b"1\t%b", b"+%b", b"0x%b", b"user@%b", b"ID %b", b"%b;"],
)
@pytest.mark.parametrize("number", [TEN, b"103,12632"])
def test_a_number_with_anything_beside_it_is_no_card(line, number):
    assert told("ascii-line", line % number + b"\r\n") == ["framing"]


@pytest.mark.parametrize("line", [b"06762840", b"6762840", b"00006762840", b"3,123", b"103,1263", b"103.12632"])
def test_a_number_of_another_length_is_no_card(line):
    assert told("ascii-line", line + b"\r\n") == ["framing"]


@pytest.mark.parametrize(
    ("line", "meaning"),
    [(b"4294967294", "w34:FFFFFFFE"), (b"4294967295", "phantom"), (b"4294967296", "range"), (b"9999999999", "range")]
    + [(b"0000000001", "w34:00000001"), (b"0000000000", "phantom"), (b"000,00000", "phantom")]
    + [(b"255,65534", "w26:FFFFFE"), (b"255,65535", "phantom"), (b"256,00000", "range"), (b"103,65536", "range")],
)
def test_the_limits_of_a_number(line, meaning):
    assert told("ascii-line", line + b"\r\n") == [meaning]


def test_an_at_sign_ends_only_the_line_with_a_label():
    assert told("ascii-line", LABELLED * 2) == ["w34:0086F444"] * 2
    assert told("ascii-line", LABELLED + b"\r\n" + TEN + b"\r\n") == ["w34:0086F444", "w34:00673158"]
    assert told("ascii-line", TEN + b"@") == ["framing"]
    assert told("ascii-line", LABELLED[:-1] + b"\r\n") == ["framing"]


@pytest.mark.parametrize("length", [36, 37, 38, 39, 46, 47, 48, 49, 10_000])
def test_the_end_of_a_long_line_is_no_card(length):
    assert told("ascii-line", b"A" * length + TEN + b"\r\n") == ["framing"]
    assert told("ascii-line", b"A" * length + b"\r\n" + TEN + b"\r\n") == ["framing", "w34:00673158"]


def test_empty_lines_and_keys_of_a_keypad_are_nothing():
    assert told("ascii-line", b"\r\n\n\r") == []
    assert told("ascii-line", b"5") == []
    assert heard(readers.load("ascii-line")(), b"5", b"\r\n") == [Fault("framing")]
