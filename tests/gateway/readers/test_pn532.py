"""The talk with a PN532: woken, set up in order, asked without haste, asked again, set up again."""

from collections.abc import Sequence

import pytest

from gateway import simdevices
from gateway.readers import pn532
from gateway.readers.base import Card, Fault
from gateway.readers.pn532 import Pn532
from tests.gateway.readers.frames import heard

CARD = "iso14443a:9EB36E66"
ACK = bytes.fromhex("0000FF00FF00")
WALLET = [CARD, "iso14443a:0416C6C2D73881"]
SAM, RETRIES, LIST = bytes.fromhex("14010000"), bytes.fromhex("320501 0001"), bytes.fromhex("4A0200")


ANSWERS = {0x02: "32010607", 0x14: "", 0x32: ""}


def asked(line: bytes) -> list[bytes]:
    """Code and arguments of each command in what the host wrote."""
    return [part[3:-2] for part in line.split(b"\x00\x00\xff")[1:]]


def answer(command: bytes, cards: Sequence[str] = ()) -> bytes:
    """ACK and answer of a PN532 that has these cards in its field."""
    if command[0] == 0x4A:
        seen = cards[: command[1]]
        block = bytes([len(seen)]) + b"".join(pn532._target_of(number, card) for number, card in enumerate(seen, 1))
    else:
        block = bytes.fromhex(ANSWERS[command[0]])
    return ACK + pn532.framed(bytes([0xD5, command[0] + 1]) + block)


def ready() -> Pn532:
    """A reader whose set-up has been answered."""
    reader = Pn532()
    for question in (reader.start, reader.poll):
        assert heard(reader, answer(*asked(question()))) == []
    return reader


def test_it_wakes_the_chip_and_sets_it_up_before_the_first_poll():
    reader = Pn532()
    first = reader.start()
    assert first.startswith(pn532.WAKE)
    assert asked(first) == [SAM]
    assert reader.poll() == b""
    list(reader.feed(answer(SAM)))
    second = reader.poll()
    assert asked(second) == [RETRIES]
    assert reader.poll() == b""
    list(reader.feed(answer(RETRIES)))
    assert asked(reader.poll()) == [LIST]


def test_bytes_are_those_of_the_manual():
    reader = Pn532()
    assert reader.start() == bytes.fromhex("5555 0000000000000000000000000000 0000ff05fbd4140100001700")
    assert pn532.SETUP[1] == bytes.fromhex("0000ff06fad43205010001f300")
    assert bytes.fromhex("0000ff04fcd44a0200e000") == pn532.POLL


def test_an_ack_alone_is_no_answer():
    reader = ready()
    reader.poll()
    list(reader.feed(ACK))
    assert reader.poll() == b""
    list(reader.feed(answer(LIST)[6:]))
    assert asked(reader.poll()) == [LIST]


def test_a_resting_card_is_named_at_each_poll():
    reader = ready()
    for _ in range(3):
        assert heard(reader, answer(*asked(reader.poll()), [CARD])) == [Card(CARD)]


def test_a_wallet_with_two_cards_is_refused():
    reader = ready()
    [fault] = heard(reader, answer(*asked(reader.poll()), WALLET))
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.cards) == ("two-cards", tuple(WALLET))
    assert CARD not in repr(fault)


def test_a_third_unanswered_question_is_a_fault_and_a_new_start():
    reader = ready()
    written = [reader.poll() for _ in range(1 + 3 * (Pn532.patience + 1))]
    assert [asked(line) for line in written if line] == [[LIST], [LIST], [LIST], [SAM]]
    assert [value.kind for value in heard(reader) if isinstance(value, Fault)] == ["no-answer"]
    assert heard(reader) == []
    heard(reader, answer(SAM))
    assert asked(reader.poll()) == [RETRIES]


def test_one_answer_forgets_earlier_silence():
    reader = ready()
    for _ in range(4):
        written = [reader.poll() for _ in range(1 + 2 * (Pn532.patience + 1))]
        assert [asked(line) for line in written if line] == [[LIST]] * 3
        assert heard(reader, answer(LIST)) == []


def test_an_answer_that_comes_a_second_late_is_taken():
    reader = ready()
    for _ in range(10):
        reader.poll()
    assert heard(reader, answer(LIST, [CARD])) == [Card(CARD)]


@pytest.mark.parametrize("sak", ["20", "28"])
def test_a_card_with_an_ats_is_read_and_its_ats_is_not(sak):
    target = bytes.fromhex(f"01 0344 {sak} 07 047368A2C72280 06 7577810280")
    assert heard(Pn532(), pn532.framed(b"\xd5\x4b\x01" + target)) == [Card("iso14443a:047368A2C72280")]
    second = bytes.fromhex("02 0004 08 04 D0BBE11A")
    [fault] = heard(Pn532(), pn532.framed(b"\xd5\x4b\x02" + target + second))
    assert isinstance(fault, Fault) and fault.cards == ("iso14443a:047368A2C72280", "iso14443a:D0BBE11A")


@pytest.mark.parametrize(
    "target", ["01 0004 08 07 9EB36E66", "01 0004 08 05 9EB36E6600", "01 0004 08 04 9EB36E66 00", "01"]
)
def test_a_list_that_does_not_fit_its_frame_is_no_card(target):
    line = pn532.framed(b"\xd5\x4b\x01" + bytes.fromhex(target))
    assert [value.kind for value in heard(Pn532(), line) if isinstance(value, Fault)] == ["length"]


@pytest.mark.parametrize(
    ("uid", "sak", "kind"),
    [("08AABBCC", "20", "random-uid"), ("08AABBCC", "08", "random-uid"), ("80AABBCC", "20", "random-uid")]
    + [("00000000", "08", "phantom"), ("FFFFFFFF", "08", "phantom")],
)
def test_what_is_no_identity_is_refused(uid, sak, kind):
    line = pn532.framed(bytes.fromhex(f"D54B01 01 0004 {sak} 04 {uid}"))
    assert [value.kind for value in heard(Pn532(), line) if isinstance(value, Fault)] == [kind]


def test_a_fixed_uid_that_starts_with_80_is_a_card():
    assert heard(Pn532(), pn532.framed(bytes.fromhex("D54B01 01 0004 08 04 80AABBCC"))) == [Card("iso14443a:80AABBCC")]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("0000ff05fbd60134353 68a00", "protocol"),
        ("0000ff05fbd50234353 68a00", "protocol"),
        ("0000ff01ffd52b00", "protocol"),
        ("0000ff05fbd501343536 8a00", "checksum"),
        ("0000ff05fbd50134358b00", "length"),
        ("00000005fbd5013435368b00", "framing"),
        ("0000ffffff 0104fa d501 3435368b00", "length_checksum"),
        ("0000ff05fbd5013435368b01", "framing"),
    ],
)
def test_a_wrong_frame_is_one_fault_of_its_kind(line, kind):
    values = heard(Pn532(), bytes.fromhex(line.replace(" ", "")))
    assert values and {value.kind for value in values if isinstance(value, Fault)} == {kind}
    assert len(values) == 1


def test_an_extended_frame_is_read():
    long = pn532.framed(b"\xd5\x01456" + bytes(256))
    assert long[3:8] == bytes.fromhex("ffff0105fa")
    assert heard(Pn532(), long + Pn532.frame(CARD)) == [Card(CARD)]
    assert [value.kind for value in heard(Pn532(), long[:-1]) if isinstance(value, Fault)] == ["length"]


def test_it_reads_a_simulated_module_that_was_written_without_it():
    reader, module = Pn532(), simdevices.device("pn532", Pn532, 1)
    module.present(CARD, 0)
    written, cards = reader.start(), []
    for tick in range(10):
        module.hear(written, tick / 10)
        cards += heard(reader, module.speak(tick / 10 + 0.05))
        written = reader.poll()
    assert cards == [Card(CARD)]


def test_the_interval_between_polls_can_be_set_within_reason():
    assert Pn532(interval=0.25).interval == 0.25
    with pytest.raises(ValueError, match=r"0\.02 to 2 seconds"):
        Pn532(interval=0)
