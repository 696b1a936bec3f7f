"""The lists' way in pieces: whatever happens to the pieces, a gate has a whole list of one version or none."""

import json
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import gatelist, wire
from gateway.gatelist import BadList, CardList, ExitList, InsideList, Pieces
from gateway.wire import PIECE_BYTES, Kind, ListKind, ListPart
from tests.gateway.listing import KEY, many, packed, parts

WIRE = Path(__file__).parents[1] / "wire"
FIRST = packed(many(2_000), inside=range(0, 2_000, 3))[ListKind.CARDS]
SECOND = packed(many(2_001, seed=8))[ListKind.CARDS]
CUT = {raw: list(gatelist.cut(ListKind.CARDS, raw)) for raw in (FIRST, SECOND)}


def test_every_message_fits_a_broker_that_takes_8192_bytes() -> None:
    messages = [wire.encode(part) for part in parts(packed(many(3_000), inside=range(3_000)))]
    assert max(len(message) for message in messages) < 8_192 - 200  # the topic and MQTT's own bytes
    assert len(messages) < 12 and sum(len(message) for message in messages) < 64_000


def test_the_pieces_in_any_order_make_the_list() -> None:
    for order in (CUT[FIRST], CUT[FIRST][::-1], CUT[FIRST][1:] + CUT[FIRST][:1]):
        pieces = Pieces()
        assert [pieces.take(part) for part in order] == [None] * (len(order) - 1) + [FIRST]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from([(raw, n) for raw, cut in CUT.items() for n in range(len(cut))]), max_size=60))
def test_lost_doubled_disordered_pieces_of_two_servers_make_nothing_but_whole_lists(
    order: list[tuple[bytes, int]],
) -> None:
    pieces = Pieces()
    arrived: dict[bytes, set[int]] = {FIRST: set(), SECOND: set()}
    for raw, number in order:
        arrived[raw].add(number)
        made = pieces.take(CUT[raw][number])
        assert made in (None, raw)
        assert (made == raw) == (len(arrived[raw]) == len(CUT[raw]))
        if made:
            arrived[raw].clear()


@settings(deadline=None)
@given(st.integers(0, len(CUT[FIRST]) - 1), st.data())
def test_a_wrong_bit_in_a_piece_makes_no_list_and_the_next_sending_does(number: int, data: st.DataObject) -> None:
    pieces, good = Pieces(), CUT[FIRST]
    piece = bytearray(good[number].piece)
    piece[data.draw(st.integers(0, len(piece) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    broken = [*good[:number], msgspec.structs.replace(good[number], piece=bytes(piece)), *good[number + 1 :]]
    for part in broken[:-1]:
        pieces.take(part)
    with pytest.raises(BadList, match="do not make version"):
        pieces.take(broken[-1])
    assert [pieces.take(part) for part in good][-1] == FIRST


def test_unfinished_versions_do_not_fill_the_memory() -> None:
    pieces = Pieces()
    for number in range(1_000):
        part = ListPart(kind=ListKind.CARDS, version=f"{number:032x}", part=0, parts=2, piece=bytes(PIECE_BYTES))
        assert pieces.take(part) is None
    assert len(pieces._versions) == gatelist.UNFINISHED


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no zlib",
        zlib.compress(b"no JSON"),
        zlib.compress(b"{}"),
        zlib.compress(b" " * (gatelist.MOST_BYTES + 1)),
        FIRST[:-1],
        gatelist.packed(InsideList(cards="0" * 32, at=0, holders=b"")),
    ],
    ids=["nothing", "noise", "text", "empty", "bomb", "cut short", "another list"],
)
def test_bytes_that_are_no_list_are_a_bad_list_and_nothing_else(raw: bytes) -> None:
    with pytest.raises(BadList):
        gatelist.unpacked(raw, CardList)


def test_a_card_list_that_does_not_hold_together_is_refused() -> None:
    good = gatelist.unpacked(FIRST, CardList)
    for wrong in ({"cards": b"123"}, {"groups_of": b"1"}, {"groups_of": b"\xff\xff"}):
        bad = msgspec.structs.replace(good, **wrong)
        with pytest.raises(BadList):
            bad.holders()
            bad.group_numbers()


@given(st.sets(st.integers(0, 3_000)))
def test_holders_as_bits_are_the_same_holders(holders: set[int]) -> None:
    raw = gatelist.packed(InsideList(cards="0" * 32, at=0, holders=gatelist.bits(holders)))
    assert gatelist.unpacked(raw, InsideList).numbers() == holders


def test_the_golden_lists_mean_what_they_always_meant() -> None:
    found = {}
    for kind in ListKind:
        part = wire.decode(Kind.COMMAND, (WIRE / f"listpart-{kind}.json").read_bytes())
        assert isinstance(part, ListPart) and part.kind is kind
        found[kind] = Pieces().take(part) or b""
    cards = gatelist.unpacked(found[ListKind.CARDS], CardList)
    held = cards.holders()
    assert held[gatelist.hashed("em4100:67003B51C6", cards.key)] == 0
    assert held[gatelist.hashed("em4100:62E3086CED", cards.key)] == gatelist.NOBODY
    assert [group.name for group in cards.groups] == ["七（1）班", "十（2）班"] and cards.group_numbers() == [0, 1]
    exits = gatelist.unpacked(found[ListKind.EXITS], ExitList)
    assert exits.strict and exits.passes == [gatelist.Pass(1, 1795570000000, 1795573600000)]
    assert gatelist.unpacked(found[ListKind.INSIDE], InsideList).numbers() == {1}


def test_a_list_names_no_card() -> None:
    card = many(1)[0]
    for raw in packed([card], lost=["em4100:62E3086CED"]).values():
        text = zlib.decompress(raw)
        assert card.encode() not in text and bytes.fromhex(card[-10:]) not in text and b"62E3086CED" not in text
        assert json.loads(text)
    assert gatelist.hashed(card, KEY) != gatelist.hashed(card, KEY[::-1])
