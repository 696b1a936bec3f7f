"""What the operator may choose for a reader, and what is said to a wrong choice."""

import pytest

from gateway import readers
from gateway.readers.base import Card, Fault
from gateway.readers.rdm6300 import Rdm6300
from tests.gateway.readers.frames import heard

SUM_CARD = bytes.fromhex("324530304146304543394234")  # a clone that adds instead of XORing

BIOENABLE = "2f5010000200000ba838171410180707d22e"
TZONE = "7e0d12345662160179000e1000ec4f7203"


@pytest.mark.parametrize("name", ["rdm6300", "em18"])
def test_a_clone_that_adds_its_bytes_is_read_only_when_asked_for(name):
    protocol = readers.load(name)
    line = b"\x02" + SUM_CARD + b"\x03" if name == "rdm6300" else SUM_CARD
    assert heard(protocol(), line) == [Fault("checksum")]
    assert heard(protocol(checksum="sum"), line) == [Card("em4100:2E00AF0EC9")]
    with pytest.raises(ValueError, match="xor or sum"):
        protocol(checksum="crc")


def test_the_order_of_a_uid_s_bytes_is_the_operator_s_choice():
    line = bytes.fromhex("01000604c3f8ceed3ec3")
    assert heard(readers.load("gnetplus")(), line) == [Card("iso14443a:C3F8CEED")]
    assert heard(readers.load("gnetplus")(byte_order="lsb"), line) == [Card("iso14443a:EDCEF8C3")]
    with pytest.raises(ValueError, match="msb or lsb"):
        readers.load("gnetplus")(byte_order="big")


def test_region_and_power_are_set_at_each_start():
    start = readers.load("m100")(region="europe", power_dbm=15).start()
    assert bytes.fromhex("BB00070001030B7E") in start
    assert bytes.fromhex("BB00B6000205DC997E") in start
    with pytest.raises(ValueError, match="china-900, us"):
        readers.load("m100")(region="mars")
    with pytest.raises(ValueError, match="5 to 30"):
        readers.load("r200")(power_dbm=33)


@pytest.mark.parametrize(
    ("options", "line", "card"),
    [
        ({"header": "2F50", "size": 2, "length_at": 2, "check": "xor:1", "id": "7:9", "tail": "2E"}, BIOENABLE, "0BA8"),
        ({"header": "7E", "size": 4, "length_at": 1, "check": "sum:0", "id": "5:9", "tail": "03"}, TZONE, "62160179"),
        ({"order": "lsb"}, "40000216032374", "23031602"),
    ],
)
def test_an_active_reader_is_described_by_options(options, line, card):
    assert heard(readers.load("active")(**options), bytes.fromhex(line)) == [Card(f"active:{card}")]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"check": "crc"}, "xor:<first byte>"),
        ({"id": "6:2"}, "byte after the last"),
        ({"order": "up"}, "msb, lsb or bcd"),
        ({"header": "4"}, "bytes in hex"),
        ({"size": 0}, "at least 1"),
    ],
)
def test_a_wrong_description_says_what_is_wanted(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        readers.load("active")(**options)


def test_a_decimal_label_with_another_digit_is_refused():
    assert [value.kind for value in heard(readers.load("active-0x40")(), bytes.fromhex("4000021603AFf8"))] == ["range"]


def test_a_stream_that_stopped_is_started_again_and_one_that_runs_is_let_be():
    reader = readers.load("m100")()
    reader.start()
    assert reader.poll() == b""
    list(reader.feed(bytes.fromhex("bb01ff000115167e")))
    assert reader.poll() == b""
    assert reader.poll() == bytes.fromhex("BB0027000322FFFF4A7E")


def test_a_question_waits_for_its_answer_but_not_for_ever():
    reader = readers.load("rdm880")()
    asked = [reader.poll() for _ in range(reader.patience + 2)]
    assert [bool(question) for question in asked] == [True] + [False] * reader.patience + [True]
    list(reader.feed(bytes.fromhex("aa0002018380bb")))
    assert reader.poll() == bytes.fromhex("AA000325260000BB")


def test_both_kinds_of_card_are_asked_for_in_turn():
    reader, asked = readers.load("7941w")(), []
    for _ in range(4):
        asked.append(reader.poll()[3])
        list(reader.feed(bytes.fromhex("cddc00800080")))
    assert asked == [0x10, 0x15, 0x10, 0x15]


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="chekcsum"):
        Rdm6300(chekcsum="sum")


def test_an_unknown_reader_lists_the_known():
    with pytest.raises(readers.UnknownReader, match=r"'rdm63'; known: .*em18.*rdm6300"):
        readers.load("rdm63")


def test_parts_shared_by_readers_are_no_readers():
    assert not [name for name in readers.names() if name.startswith(("_", "-")) or name == "base"]
