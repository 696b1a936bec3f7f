"""What a gate decides by itself: never red by mistake, never a list that is half of one and half of another."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cards import Answer, Cards
from gateway.gatelist import Pass
from gateway.seal import Seal
from gateway.wire import ClockState, Direction, ListKind
from tests.gateway.listing import HOUR, MORNING, many, packed, parts
from tests.gateway.test_seal import seal_of

ADA, BEN, EVE = many(3)
FREE = {"junior": [(MORNING - 8 * HOUR, MORNING), (MORNING + 9 * HOUR, MORNING + 16 * HOUR)]}
IN, OUT, BOTH = Direction.IN, Direction.OUT, Direction.BOTH


@pytest.fixture(scope="module")
def seal(tmp_path_factory: pytest.TempPathFactory) -> Seal:
    """This machine's."""
    return seal_of(tmp_path_factory.mktemp("machine"))


@pytest.fixture
def cards(tmp_path: Path, seal: Seal) -> Cards:
    """A gate without a list."""
    return Cards(tmp_path, seal)


def told(cards: Cards, raw: dict[ListKind, bytes]) -> Cards:
    """The same gate after the server has sent these."""
    for part in parts(raw):
        cards.take(part)
    return cards


def say(cards: Cards, card: str, direction: Direction = IN, at: int = MORNING) -> Answer:
    """What it says to a card."""
    return cards.answer(card, direction, at, ClockState.SYNCED)


def test_without_a_list_every_card_is_welcome(cards: Cards) -> None:
    assert {say(cards, card, way) for card in (ADA, BEN) for way in Direction} == {Answer.KNOWN}


def test_known_lost_and_unknown_cards(cards: Cards) -> None:
    told(cards, packed([ADA], lost=[BEN]))
    assert [say(cards, card) for card in (ADA, BEN, EVE)] == [Answer.KNOWN, Answer.STRANGE, Answer.STRANGE]


@pytest.mark.parametrize(
    ("hours", "direction", "answer"),
    [
        (1, IN, Answer.KNOWN),
        (1, OUT, Answer.NO_PASS),
        (1, BOTH, Answer.KNOWN),
        (-1, OUT, Answer.KNOWN),
        (9, OUT, Answer.KNOWN),
        (16, OUT, Answer.NO_PASS),
        (3, OUT, Answer.KNOWN),  # with a pass
        (4, OUT, Answer.NO_PASS),  # the pass has ended
        (161, OUT, Answer.KNOWN),  # the list says nothing of that day
        (-9, OUT, Answer.KNOWN),
    ],
)
def test_under_the_strict_rule_an_exit_needs_free_time_or_a_pass(
    cards: Cards, hours: int, direction: Direction, answer: Answer
) -> None:
    passes = [Pass(0, MORNING + 2 * HOUR, MORNING + 4 * HOUR), Pass(1, MORNING, MORNING + 9 * HOUR)]
    told(cards, packed([ADA, BEN], strict=True, free=FREE, passes=passes))
    assert say(cards, ADA, direction, MORNING + hours * HOUR) is answer
    told(cards, packed([ADA, BEN], strict=False, free=FREE, passes=passes))
    assert say(cards, ADA, direction, MORNING + hours * HOUR) is Answer.KNOWN


def test_a_timetable_without_hours_is_never_free_but_a_clock_that_is_not_set_holds_nobody_back(cards: Cards) -> None:
    told(cards, packed([ADA, BEN], strict=True, free=FREE))
    assert say(cards, BEN, OUT, MORNING + 9 * HOUR) is Answer.NO_PASS
    assert cards.answer(BEN, OUT, MORNING, ClockState.UNSYNCED) is Answer.KNOWN
    assert cards.answer(BEN, OUT, MORNING, ClockState.RTC) is Answer.NO_PASS


def test_the_lists_are_there_after_a_restart(cards: Cards, tmp_path: Path, seal: Seal) -> None:
    raw = packed([ADA], lost=[BEN], strict=True)
    told(cards, raw)
    again = Cards(tmp_path, seal)
    assert again.lists is None
    again.open()
    assert [say(again, ADA), say(again, BEN), say(again, ADA, OUT)] == [Answer.KNOWN, Answer.STRANGE, Answer.NO_PASS]
    assert again.versions() == cards.versions() and set(again.versions()) == {"cards", "exits", "inside"}


def test_a_new_set_counts_only_when_it_is_whole(cards: Cards) -> None:
    told(cards, packed([ADA], inside=[0]))
    new = packed([BEN, ADA], strict=True, inside=[1])
    for kind in (ListKind.CARDS, ListKind.EXITS):
        for part in parts({kind: new[kind]}):
            assert cards.take(part)
        assert [say(cards, ADA, OUT), say(cards, BEN)] == [Answer.KNOWN, Answer.STRANGE]
        assert cards.lists and cards.lists.inside.numbers() == {0}
    for part in parts({ListKind.INSIDE: new[ListKind.INSIDE]}):
        cards.take(part)
    assert [say(cards, ADA, OUT), say(cards, BEN)] == [Answer.NO_PASS, Answer.KNOWN]


@pytest.mark.parametrize("kind", [ListKind.CARDS, ListKind.EXITS])
def test_a_power_cut_between_the_files_leaves_a_gate_without_a_list_and_not_with_a_wrong_one(
    cards: Cards, tmp_path: Path, seal: Seal, kind: ListKind
) -> None:
    told(cards, packed([ADA]))
    old = (tmp_path / f"{kind}.list").read_bytes()
    told(cards, packed([BEN]))
    (tmp_path / f"{kind}.list").write_bytes(old)
    again = Cards(tmp_path, seal)
    again.open()
    assert again.lists is None and again.versions() == {} and say(again, EVE) is Answer.KNOWN


@pytest.mark.parametrize("spoilt", [b"", b"not sealed", None], ids=["empty", "noise", "gone"])
def test_without_the_list_of_who_is_inside_a_gate_still_decides(
    cards: Cards, tmp_path: Path, seal: Seal, spoilt: bytes | None
) -> None:
    raw = packed([ADA, BEN], strict=True, inside=[0, 1])
    told(cards, raw)
    file = tmp_path / "inside.list"
    file.unlink() if spoilt is None else file.write_bytes(spoilt)
    again = Cards(tmp_path, seal)
    again.open()
    assert [say(again, ADA), say(again, EVE), say(again, BEN, OUT)] == [Answer.KNOWN, Answer.STRANGE, Answer.NO_PASS]
    assert again.lists and again.lists.inside.numbers() == set() and again.lists.inside.at == 0
    assert again.versions()["inside"] != cards.versions()["inside"]
    told(again, {ListKind.INSIDE: raw[ListKind.INSIDE]})
    assert again.lists.inside.numbers() == {0, 1} and again.versions() == cards.versions()


@pytest.mark.parametrize("kind", [ListKind.CARDS, ListKind.EXITS])
def test_a_damaged_list_is_asked_for_again(cards: Cards, tmp_path: Path, seal: Seal, kind: ListKind) -> None:
    told(cards, packed([ADA]))
    file = tmp_path / f"{kind}.list"
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    again = Cards(tmp_path, seal)
    again.open()
    assert again.versions() == {} and say(again, EVE) is Answer.KNOWN
    assert say(told(again, packed([ADA])), EVE) is Answer.STRANGE


def test_on_another_machine_the_lists_cannot_be_read(cards: Cards, tmp_path: Path) -> None:
    told(cards, packed([ADA]))
    moved = Cards(tmp_path, seal_of(tmp_path / "other", b"another machine"))
    moved.open()
    assert moved.lists is None


def test_a_disk_that_takes_no_list_does_not_stop_the_gate(tmp_path: Path, seal: Seal) -> None:
    cards = told(Cards(tmp_path / "nowhere", seal), packed([ADA]))
    assert [say(cards, ADA), say(cards, BEN)] == [Answer.KNOWN, Answer.STRANGE]


def test_a_list_that_is_none_is_thrown_away(cards: Cards) -> None:
    told(cards, packed([ADA]))
    bad = {ListKind.EXITS: packed([ADA])[ListKind.INSIDE]}
    assert [cards.take(part) for part in parts(bad)] == [False]
    assert say(cards, BEN) is Answer.STRANGE and len(cards.versions()) == 3


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), lose=st.floats(0, 0.4), double=st.floats(0, 0.4))
def test_the_answers_are_always_those_of_one_server_state_and_the_last_after_it_was_sent_whole(
    seal: Seal, tmp_path_factory: pytest.TempPathFactory, seed: int, lose: float, double: float
) -> None:
    """Five states of a school, their pieces shuffled over each other, some lost and some twice."""
    chance = random.Random(seed)
    everybody = many(40)
    states = [chance.sample(everybody, 20) for _ in range(5)]
    sent = [part for pupils in states for part in parts(packed(pupils, inside=[0])) if chance.random() >= lose]
    sent += [part for part in sent if chance.random() < double]
    chance.shuffle(sent)
    cards = Cards(tmp_path_factory.mktemp("gate"), seal)
    for part in sent:
        cards.take(part)
        known = {card for card in everybody if say(cards, card) is Answer.KNOWN}
        assert cards.lists is None or known in [set(pupils) for pupils in states]
    told(cards, packed(states[-1], inside=[0]))
    assert {card for card in everybody if say(cards, card) is Answer.KNOWN} == set(states[-1])
