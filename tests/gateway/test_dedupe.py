"""Confirming equal reads and letting one presentation pass once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dedupe import Dedupe, Verdict

NEW, AGAIN, HELD, UNSURE = Verdict.NEW, Verdict.AGAIN, Verdict.HELD, Verdict.UNSURE

CASES = {
    "one read is a tap where none is asked again": (1, [("A", 0)], [NEW]),
    "two equal reads within 300 ms are a tap": (2, [("A", 0), ("A", 300)], [UNSURE, NEW]),
    "the second read comes too late": (2, [("A", 0), ("A", 301)], [UNSURE, UNSURE]),
    "a third equal read does not double": (2, [("A", 0), ("A", 65), ("A", 130)], [UNSURE, NEW, HELD]),
    "a fourth neither": (2, [("A", t) for t in (0, 65, 130, 195)], [UNSURE, NEW, HELD, HELD]),
    "two cards do not confirm each other": (2, [("A", 0), ("B", 65)], [UNSURE, UNSURE]),
    "two cards in turn are both confirmed": (
        2,
        [("A", 0), ("B", 65), ("A", 130), ("B", 195)],
        [UNSURE, UNSURE, NEW, NEW],
    ),
    "three reads where three are asked": (3, [("A", 0), ("A", 200), ("A", 400)], [UNSURE, UNSURE, NEW]),
    "the same card within 5 s is shown again": (1, [("A", 0), ("A", 4_000)], [NEW, AGAIN]),
    "after 5 s it is a new tap": (1, [("A", 0), ("A", 5_001)], [NEW, NEW]),
    "another card is not held up": (1, [("A", 0), ("B", 1)], [NEW, NEW]),
    "a card that lies there is one tap": (1, [("A", t) for t in range(0, 60_000, 900)], [NEW] + [HELD] * 66),
    "and a new one when it comes back": (1, [("A", 0), ("A", 4_000), ("A", 9_001)], [NEW, AGAIN, NEW]),
}


@pytest.mark.parametrize("name", CASES)
def test_table(name: str) -> None:
    confirm, reads, verdicts = CASES[name]
    dedupe = Dedupe(confirm=confirm)
    assert [dedupe.admits(card, at) for card, at in reads] == verdicts


def test_a_refused_tap_can_be_tried_again_at_once() -> None:
    dedupe = Dedupe()
    assert dedupe.admits("A", 0) is NEW
    dedupe.forget("A")
    assert dedupe.admits("A", 200) is NEW


def test_reads_without_a_second_are_counted() -> None:
    dedupe = Dedupe(confirm=2)
    for at in (0, 1_000, 2_000):
        dedupe.admits("A", at)
    assert dedupe.unconfirmed == 2


steps = st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 4_000)), max_size=60)


@settings(deadline=None)
@given(steps, st.integers(1, 3))
def test_taps_of_a_card_are_apart_and_confirmed(steps: list[tuple[str, int]], confirm: int) -> None:
    dedupe, now = Dedupe(confirm=confirm), 0
    reads: dict[str, list[int]] = {"A": [], "B": [], "C": []}
    for card, pause in steps:
        now += pause
        verdict = dedupe.admits(card, now)
        before = reads[card][-1] if reads[card] else None
        if verdict is NEW:
            run = [*reads[card], now][-confirm:]
            assert len(run) == confirm and all(b - a <= 300 for a, b in zip(run, run[1:], strict=False))
        if verdict in (HELD, AGAIN):
            assert before is not None and now - before <= 5_000
        reads[card].append(now)


@settings(deadline=None)
@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=80))
def test_a_card_read_without_a_long_pause_is_one_tap(pauses: list[int]) -> None:
    dedupe, now, taps = Dedupe(), 0, 0
    for pause in pauses:
        now += pause
        taps += dedupe.admits("A", now) is NEW
    assert taps == 1


@settings(deadline=None)
@given(st.integers(1, 300))
def test_memory_is_bounded_by_the_window(cards: int) -> None:
    dedupe = Dedupe(confirm=2)
    for number in range(cards):
        dedupe.admits(str(number), number * 100)
    assert len(dedupe._reads) <= 5
