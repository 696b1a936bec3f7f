"""What an NTAG 424 DNA wrote of itself: read through the PN532 from a card that was simulated without our reader."""

import random
import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import simdevices, wire
from gateway.readers import _ntag424, pn532
from gateway.readers.base import Card, Fault, Value
from gateway.readers.pn532 import Pn532
from gateway.simcards import Ntag424
from tests.gateway.readers.frames import heard

FIXED, RANDOM = "iso14443a:04DE5F1EACC040", "iso14443a:08F31A52"
URL = "https://school.example/t?picc_data=EF963FF7828658A599F3041510671E88&cmac=94EED9EE65337086&c={counter}"
LONG = "https://school.example/" + "t" * 220
PROOF = msgspec.json.Decoder(wire.Proof)


def first(counter: int, url: str = URL) -> str:
    return url.replace("{counter}", f"{counter:06X}")


class Module(simdevices.Pn532):
    """The simulated PN532, with a card that can be spoilt."""

    def __init__(self) -> None:
        super().__init__(Pn532, 1)
        self.asked: list[bytes] = []
        self.spoil: dict[int, bytes] = {}  # number of a command to the card -> what comes back for it
        self.deaf_to: int | None = None

    def _command(self, body: bytes, now: float) -> None:
        if body[1:2] != b"\x40":
            super()._command(body, now)
            return
        self.asked.append(body[3:])
        number = len(self.asked)
        if number == self.deaf_to:
            return
        if number in self.spoil:
            self._out += simdevices.ACK + simdevices.frame(self.spoil[number])
        else:
            super()._command(body, now)


def met(module: Module, reader: Pn532 | None = None, *, seconds: float = 3) -> list[Value]:
    """All that a reader makes of what the module says: both see the same time, and the reader polls when it is due."""
    reader = reader or Pn532(sun=True)
    values, now, polled = list[Value](), 0.0, 0.0
    module.hear(reader.start(), now)
    while now < seconds:
        now += 0.005
        said = module.speak(now)
        values += reader.feed(said) if said else ()
        if now - polled >= (reader.interval or 0):
            polled = now
            module.hear(reader.poll(), now)
        if round(now * 1000) % 50 == 0:
            values += reader.flush()
    return values


def shown(card: str = FIXED, url: str = URL) -> Module:
    module = Module()
    module.present(card, 0.3, url)
    return module


def once(values: list[Value]) -> Value:
    (value,) = dict.fromkeys(values)
    return value


@pytest.mark.parametrize("card", [FIXED, RANDOM])
@pytest.mark.parametrize("url", [URL, LONG, "http://www.school.example/?m=1", "geo:1,2"])
def test_a_card_comes_with_its_message(card, url):
    values = met(shown(card, url))
    assert values and all(isinstance(value, Card) and value == Card(card) for value in values)
    assert {value.sun for value in values if isinstance(value, Card)} == {first(1, url)}


def test_a_resting_card_is_asked_once_and_one_that_comes_again_is_asked_again():
    module, reader = shown(), Pn532(sun=True)
    module._leaves = 2.0
    values = met(module, reader)
    assert len(values) > 5 and len([command for command in module.asked if command[1] == 0xB0]) == 3
    module.present(FIXED, 0.3, URL)
    again = met(module, reader)
    assert {value.sun for value in again if isinstance(value, Card)} == {first(2)}


def test_a_random_uid_that_is_new_at_each_poll_is_one_card_as_long_as_it_rests():
    dialogue = _ntag424.Dialogue()
    card, told = Ntag424(URL), list[Value]()
    for poll in range(10):
        uid = f"iso14443a:08{poll:06X}"
        told += dialogue.listed((Fault("random-uid", cards=(uid,)),), 1)
        while dialogue.command:
            command, dialogue.command = dialogue.command, b""
            told += dialogue.answered(0, card.answer(command))
    assert told == [Card("iso14443a:08000000")] * 10 and card.counter == 1
    assert dialogue.listed((), None) == dialogue.listed((), None) == ()
    assert dialogue.listed((Fault("random-uid", cards=("iso14443a:08AAAAAA",)),), 1) == () and dialogue.command


def test_the_counter_of_the_simulated_card_grows_with_each_presentation():
    module = Module()
    for counter in (1, 2, 3):
        module.present(FIXED, 0.3, URL)
        card = once(met(module))
        assert isinstance(card, Card) and card.sun == first(counter)


def test_without_the_option_no_card_is_asked_and_a_random_uid_is_refused():
    module = shown()
    assert set(met(module, Pn532())) == {Card(FIXED)} and module.asked == []
    module = shown(RANDOM)
    assert {value.kind for value in met(module, Pn532()) if isinstance(value, Fault)} == {"random-uid"}


def test_a_card_that_is_only_a_memory_is_not_asked():
    module = Module()
    module.present("iso14443a:9EB36E66", 0.3)
    assert set(met(module)) == {Card("iso14443a:9EB36E66")} and module.asked == []


def test_only_selects_and_reads_are_ever_sent_to_a_card():
    module = shown(url=LONG)
    met(module)
    assert {command[1] for command in module.asked} == {0xA4, 0xB0}


REFUSALS = {
    "not found": "D54100 6A82",
    "no permission": "D54100 6982",
    "no status": "D54100",
    "half a status": "D54100 90",
    "content and no status": "D54100 0011223344556677",
    "an error of the chip": "0000",
}


@pytest.mark.parametrize("step", [1, 2, 3, 4])
@pytest.mark.parametrize("answer", list(REFUSALS.values())[:5], ids=list(REFUSALS)[:5])
def test_a_card_without_a_message_is_a_plain_card(step, answer):
    module = shown()
    module.spoil[step] = bytes.fromhex(answer)
    card = once(met(module))
    assert card == Card(FIXED) and isinstance(card, Card) and card.sun == "" and len(module.asked) == step
    module = shown(RANDOM)
    module.spoil[step] = bytes.fromhex(answer)
    fault = once(met(module))
    assert isinstance(fault, Fault) and fault.kind == "random-uid"


@pytest.mark.parametrize("step", range(1, 6))
def test_a_card_that_is_moved_is_asked_again(step):
    module = shown()
    module.spoil[step] = bytes.fromhex("D54101")
    card = once(met(module))
    assert isinstance(card, Card) and card.sun.startswith("https://school.example/")


@pytest.mark.parametrize("step", range(1, 6))
@pytest.mark.parametrize("gone", ["at once", "later"])
def test_a_card_that_is_taken_away_is_still_a_card(step, gone):
    module = shown()
    module.spoil = dict.fromkeys(range(step, 100), b"\xd5\x41\x01")
    if gone == "at once":
        speak = module.speak

        def leave(now: float) -> bytes:
            if len(module.asked) >= step:
                module._card = b""
            return speak(now)

        module.speak = leave  # type: ignore[method-assign]
    card = once(met(module))
    assert card == Card(FIXED) and isinstance(card, Card) and card.sun == ""
    assert len(module.asked) <= step + 3 * 6


@pytest.mark.parametrize("step", range(1, 6))
def test_a_chip_that_falls_silent_in_between_costs_the_message_and_not_the_card(step):
    module = shown()
    module._leaves, module.deaf_to = 9.0, step
    values = met(module)
    assert set(values) == {Card(FIXED)}


@pytest.mark.parametrize("step", [1, 3, 5])
@pytest.mark.parametrize("answer", ["7F81", "D503", "D541"])
def test_an_odd_answer_of_the_chip_costs_the_message_and_not_the_card(step, answer):
    module = shown()
    module.spoil[step] = bytes.fromhex(answer)
    cards = [value for value in met(module) if isinstance(value, Card)]
    assert set(cards) == {Card(FIXED)}


@settings(max_examples=300, deadline=None)
@given(answers=st.lists(st.binary(max_size=70), max_size=8), status=st.sampled_from([0, 0, 0, 1, 0x40, 0x3F]))
def test_no_card_makes_the_reader_fail_or_talk_for_ever(answers, status):
    dialogue = _ntag424.Dialogue()
    dialogue.listed((Card(FIXED),), 1)
    for answer in [*answers, *[b"\x00\x00\x90\x00"] * 12]:
        dialogue.command = b""
        for value in dialogue.answered(status, answer):
            assert value == Card(FIXED)
    assert not dialogue.is_open or dialogue.listed((), None) == (Card(FIXED),)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=260))
def test_no_message_makes_the_reader_fail(ndef):
    found = _ntag424.url(ndef)
    assert found == "" or PROOF.decode(msgspec.json.encode(found)) == found


def record(payload: bytes, *, flags: int = 0xD1, kind: bytes = b"U", id: bytes | None = None) -> bytes:
    length = bytes([len(payload)]) if flags & 0x10 else len(payload).to_bytes(4)
    named = b"" if id is None else bytes([len(id)])
    return bytes([flags, len(kind)]) + length + named + kind + (id or b"") + payload


LINK = b"\x04x.example/1"
TEXT = record(b"\x02enHello", flags=0x91, kind=b"T")


@pytest.mark.parametrize(
    ("ndef", "url"),
    [
        (record(LINK), "https://x.example/1"),
        (record(LINK, flags=0xC1), "https://x.example/1"),
        (record(LINK, flags=0xD9, id=b"one"), "https://x.example/1"),
        (record(LINK, flags=0xD9, id=b""), "https://x.example/1"),
        (TEXT + record(LINK, flags=0x51), "https://x.example/1"),
        (record(b"\x00" + b"urn:x"), "urn:x"),
        (record(b"\x02x.example"), "https://www.x.example"),
        (record(b"\x23x"), "urn:nfc:x"),
        (record(LINK + b"?a=%20&b=[1]"), "https://x.example/1?a=%20&b=[1]"),
        (record(b"\x24x"), ""),
        (record(b""), ""),
        (record(b"\x04a b"), ""),
        (record(b'\x04a"b'), ""),
        (record(b"\x04a{b}"), ""),
        (record(b"\x04\xe4"), ""),
        (record(b"\x04a\n"), ""),
        (record(LINK, kind=b"T"), ""),
        (record(LINK, flags=0xD2), ""),
        (record(LINK)[:-1], ""),
        (TEXT, ""),
        (b"", ""),
        (b"\xd1\x01\xff", ""),
        (b"\xc1\x01\xff\xff\xff\xff", ""),
        (b"\xd1\x00\x00" * 80, ""),
    ],
)
def test_the_url_of_a_message(ndef, url):
    assert _ntag424.url(ndef) == url


def test_a_length_that_is_a_lie_is_no_message():
    for length in (0, 1, 255, 256, 0xFFFF):
        module = shown()
        module.spoil[3] = b"\xd5\x41\x00" + length.to_bytes(2) + b"\x90\x00"
        card = once(met(module))
        assert card == Card(FIXED) and len(module.asked) <= 4 + 256 // _ntag424.CHUNK


def test_a_message_fits_the_wire_and_the_commands_are_those_of_the_data_sheet():
    assert _ntag424.LONGEST <= 512 and len(_ntag424.PREFIXES) == 36
    module = shown()
    met(module)
    told = [command.hex().upper() for command in module.asked]
    assert told[:3] == ["00A4040007D276000085010100", "00A4000C02E104", "00B0000002"]
    assert all(re.fullmatch("00B000[0-9A-F]{4}", command) for command in told[2:])


def test_noise_between_the_steps_does_not_mix_up_two_cards():
    chance = random.Random(3)
    for _ in range(20):
        module, reader = shown(), Pn532(sun=True)
        speak = module.speak

        def noisy(now: float, speak=speak) -> bytes:
            said = bytearray(speak(now))
            if said and chance.random() < 0.1:
                said[chance.randrange(len(said))] ^= 1 << chance.randrange(8)
            return bytes(said)

        module.speak = noisy  # type: ignore[method-assign]
        module._leaves = 9
        cards = {value for value in met(module, reader, seconds=6) if isinstance(value, Card)}
        assert cards == {Card(FIXED)}
        assert {card.sun for card in cards} <= {"", *(first(counter) for counter in range(9))}


def test_the_answer_to_a_question_of_another_program_is_nothing():
    line = pn532.framed(b"\xd5\x41\x00\x90\x00")
    assert heard(Pn532(), line) == heard(Pn532(sun=True), line) == []


@pytest.mark.parametrize("value", [1, "yes", None])
def test_the_option_is_true_or_false(value):
    with pytest.raises(ValueError, match="true or false"):
        Pn532(sun=value)
