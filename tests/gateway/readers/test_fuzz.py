"""Good frames of random cards, damaged in all the ways that lines damage them, and a soak in random bytes.

A reader whose check is stronger than 8 bits never names a card that was not sent. The others are held to what eight
bits can do: two wrong cards in a hundred damaged frames at most, and swapped bytes, which a sum does not see at all,
are left out.
"""

import random
from collections.abc import Callable

import pytest

from gateway import readers
from gateway.readers.base import Card, Fault, Reader
from tests.gateway.readers.frames import cards_of, heard

STRONG = {  # CRC-16, or a sum and the tag's CRC
    *("m100", "r200", "chafon18", "chafon288", "chafon288-realtime", "cf-m", "fonkan", "thingmagic", "gnetplus"),
}
NO_CHECK = {"ascii-line", "ascii-hex6", "stx-hex8"}
GATES = [name for name in readers.names() if name != "chafon-host"]
SMALL, WHOLE = 100_000, 10_000_000
# cards in ten million random bytes: one header byte and eight bits of check, and at most a few rules on the content
WRONG = {"active": 300, "active-0x40": 20, "active-tzone": 8}
SIZES = {
    "em4100": (5,),
    "iso14443a": (4, 7, 10),
    "epc": (4, 8, 12, 16, 20, 24, 30, 32),
    "w26": (3,),
    "w34": (4,),
    "active": (4,),
}
OWN_SIZES = {"active-bioenable": (2,), "7941w": (4, 5, 7, 10), "dual-125k-13m": (4, 5, 7, 10)}


def card(name: str, chance: random.Random) -> str:
    technology = readers.load(name).technology
    size = chance.choice(OWN_SIZES.get(name, SIZES[technology]))
    raw = chance.randbytes(size)
    if size == 4 and technology == "iso14443a":
        raw = bytes([chance.choice([0x10, 0x9E, 0xBB, 0xAA, 0x01, 0xCD, 0x02])]) + raw[1:]  # no random UID
    if name == "active-0x40":
        raw = bytes.fromhex(f"{chance.randrange(10**8):08}")
    if name in ("7941w", "dual-125k-13m") and size == 5:
        technology = "em4100"
    return f"{technology}:{raw.hex().upper()}"


def frame(name: str, text: str) -> bytes:
    return readers.load(name).frame(text)


def flipped(line: bytes, chance: random.Random) -> bytes:
    spoilt = bytearray(line)
    for _ in range(chance.choice([1, 1, 2, 3, 8])):
        spoilt[chance.randrange(len(line))] ^= 1 << chance.randrange(8)
    return bytes(spoilt)


def changed(line: bytes, chance: random.Random) -> bytes:
    spoilt = bytearray(line)
    for _ in range(chance.choice([1, 1, 2, 4])):
        spoilt[chance.randrange(len(line))] = chance.choice([0, 0xFF, 0x0A, 0x02, 0xBB, 0x7E, *chance.randbytes(3)])
    return bytes(spoilt)


def lost(line: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(line))
    return line[:at] + line[at + chance.choice([1, 1, 2, 5]) :]


def doubled(line: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(line))
    return line[: at + 1] + line[at:]


def swapped(line: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(line) - 1)
    return line[:at] + line[at + 1 : at + 2] + line[at : at + 1] + line[at + 2 :]


def cut(line: bytes, chance: random.Random) -> bytes:
    return line[: chance.randrange(1, len(line))]


def beheaded(line: bytes, chance: random.Random) -> bytes:
    return line[chance.randrange(1, len(line)) :]


def filled(line: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(line))
    return line[:at] + chance.choice([bytes(4), b"\xff" * 4, chance.randbytes(6)]) + line[at:]


DAMAGES: list[Callable[[bytes, random.Random], bytes]] = [
    flipped,
    changed,
    lost,
    doubled,
    cut,
    beheaded,
    filled,
]
ROUNDS = 400


def damaged(name: str, text: str, chance: random.Random) -> bytes:
    kinds = [*DAMAGES, swapped] if name in STRONG else DAMAGES
    return chance.choice(kinds)(frame(name, text), chance)


def named(reader: Reader, line: bytes, chance: random.Random) -> list[str]:
    """Cards, the line fed in random pieces; a random UID and the like that a flip makes are named too."""
    cuts = sorted(chance.choices(range(len(line) + 1), k=3))
    pieces = [line[start:end] for start, end in zip([0, *cuts], [*cuts, len(line)], strict=True)]
    return cards_of(heard(reader, *pieces))


@pytest.mark.parametrize("name", GATES)
def test_every_size_of_card_is_read_back_from_its_frame(name):
    chance = random.Random(1)
    for _ in range(300):
        text = card(name, chance)
        wanted = f"w34:{text[-8:]}" if name == "dual-125k-13m" and text.startswith("em") and len(text) == 15 else text
        (value,) = heard(readers.load(name)(), frame(name, text))
        assert value == Card(wanted) or (isinstance(value, Fault) and value.kind == "phantom")


@pytest.mark.parametrize("name", GATES)
def test_a_damaged_frame_names_no_other_card_and_the_next_one_is_heard(name):
    chance, wrong = random.Random(2), 0
    for _ in range(ROUNDS):
        one, two = card(name, chance), card(name, chance)
        reader = readers.load(name)()
        before = named(reader, damaged(name, one, chance), chance)
        wrong += any(text != one for text in before)
        assert named(reader, frame(name, two), chance) == [two]
    if name in STRONG:
        assert wrong == 0
    elif name not in NO_CHECK:
        assert wrong <= ROUNDS / 50, f"{wrong} wrong cards"


@pytest.mark.parametrize("name", sorted(set(GATES) - NO_CHECK - {"em18"}))
def test_a_good_frame_right_after_a_damaged_one_is_heard(name):
    """No silence between: a reader in continuous mode."""
    chance, missed, wrong = random.Random(3), 0, 0
    for _ in range(ROUNDS):
        one, two, three = (card(name, chance) for _ in range(3))
        line = damaged(name, one, chance) + frame(name, two)
        if chance.random() < 0.5:
            line += chance.choice([b"", b"\xff", chance.randbytes(9)]) + frame(name, three)
        found = named(readers.load(name)(), line, chance)
        missed += two not in found
        wrong += not {one, two, three}.issuperset(found)
    assert missed <= ROUNDS / 50, f"{missed} missed"  # a frame's lost last byte may be the next one's first
    assert wrong <= (0 if name in STRONG else ROUNDS / 50), f"{wrong} wrong cards"


@pytest.mark.parametrize("kind", [cut, beheaded, flipped, lost])
def test_an_em18_frame_beside_half_a_frame_is_heard(kind):
    """It has no start mark: digits that make one right twelve only are that card."""
    chance, missed, wrong = random.Random(8), 0, 0
    for _ in range(ROUNDS):
        one, two = card("em18", chance), card("em18", chance)
        parts = [kind(frame("em18", one), chance), frame("em18", two)]
        found = cards_of(heard(readers.load("em18")(), b"".join(chance.sample(parts, 2))))
        wrong += not {one, two}.issuperset(found)
        missed += two not in found
    assert missed <= ROUNDS / 5 and wrong <= ROUNDS / 50
    twice = frame("em18", one)
    for at in range(1, 12):  # of the same card there is no telling which twelve it was
        assert set(cards_of(heard(readers.load("em18")(), twice[at:] + twice))) <= {one}


@pytest.mark.parametrize("name", sorted(STRONG))
def test_frames_of_two_readers_on_one_line_name_no_third_card(name):
    """Two RS-485 readers talk at once: bytes of both, mixed."""
    chance = random.Random(4)
    for _ in range(500):
        texts = [card(name, chance), card(name, chance)]
        left, right = (list(frame(name, text)) for text in texts)
        mixed = bytes(chance.choice([left, right] if left and right else [left or right]).pop(0) for _ in left + right)
        assert set(named(readers.load(name)(), mixed, chance)) <= set(texts)


@pytest.mark.parametrize("name", GATES)
def test_a_stream_with_every_damage_never_raises(name):
    chance = random.Random(5)
    line = b""
    for _ in range(400):
        line += frame(name, card(name, chance))
        if chance.random() < 0.5:
            line = line[:-200] + chance.choice([*DAMAGES, swapped])(line[-200:], chance)
    reader = readers.load(name)()
    for at in range(0, len(line), 37):
        list(reader.feed(line[at : at + 37]))
    list(reader.flush())
    assert heard(reader, frame(name, text := card(name, chance))) == [Card(text)] or name == "dual-125k-13m"


def soak(name: str, size: int, seed: int) -> list[str]:
    reader, chance, found = readers.load(name)(), random.Random(seed), list[str]()
    for _ in range(0, size, 4096):
        found += cards_of(reader.feed(chance.randbytes(4096)))
    return found + cards_of(reader.flush())


@pytest.mark.parametrize("name", readers.names())
def test_random_bytes_are_no_cards(name):
    assert len(soak(name, SMALL, seed=6)) <= WRONG.get(name, 0) * SMALL // WHOLE + (3 if name in WRONG else 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", readers.names())
def test_ten_million_random_bytes_are_no_cards(name):
    assert len(soak(name, WHOLE, seed=7)) <= WRONG.get(name, 0)
