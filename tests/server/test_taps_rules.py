"""When a tap happened and which way it went."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.taps import rules
from server.taps.rules import Bounds, Passage, directed, settled

HOUR = 3600_000
NOON = 1_795_000_000_000


@pytest.mark.parametrize(
    ("at", "clock", "guess", "expected"),
    [
        (NOON - 5000, "synced", None, (NOON - 5000, "synced")),
        (NOON - 5000, "rtc", None, (NOON - 5000, "rtc")),
        (NOON + 1500, "synced", None, (NOON + 1500, "synced")),  # two good clocks differ by a little
        (NOON + 3600_000, "synced", NOON - 900, (NOON - 900, "unsynced")),  # from the future: the clock is wrong
        (NOON + 3600_000, "synced", None, (NOON, "unsynced")),
        (0, "unsynced", NOON - 60_000, (NOON - 60_000, "unsynced")),  # 1970, but the ticks tell the day
        (0, "unsynced", None, (NOON, "unsynced")),
        (NOON - 3600_000, "unsynced", None, (NOON - 3600_000, "unsynced")),  # another boot, a likely time
        (NOON - 30 * 86400_000, "unsynced", None, (NOON, "unsynced")),
    ],
)
def test_a_tap_is_filed_under_the_best_time_there_is(at, clock, guess, expected) -> None:
    found = settled(at, clock, received=NOON, guess=guess)
    assert (found.at, found.clock) == expected


@pytest.mark.parametrize(
    ("guess", "earliest", "latest", "expected"),
    [
        (None, NOON - HOUR, NOON - HOUR // 2, (NOON - HOUR // 2, NOON - HOUR, NOON - HOUR // 2)),
        (None, NOON - HOUR, None, (NOON, NOON - HOUR, NOON)),  # it cannot be from after its receipt
        (None, None, NOON - HOUR, (NOON - HOUR, None, NOON - HOUR)),
        (NOON - 5000, NOON - HOUR, None, (NOON - 5000, NOON - HOUR, NOON - 5000)),
        (NOON - 5000, NOON - HOUR, NOON - 9000, (NOON - 9000, NOON - HOUR, NOON - 9000)),
        (None, NOON + HOUR, NOON + 2 * HOUR, (NOON, None, NOON)),  # bounds from the future were made by a wrong clock
    ],
)
def test_an_untrusted_tap_is_filed_as_late_as_it_can_have_been(guess, earliest, latest, expected) -> None:
    found = settled(0, "unsynced", received=NOON, guess=guess, bounds=Bounds(earliest, latest))
    assert (found.at, found.bounds.earliest, found.bounds.latest, found.clock) == (*expected, "unsynced")


def test_bounds_that_contradict_each_other_are_not_mixed() -> None:
    assert Bounds(5, 9).within(Bounds(7, 12)) == Bounds(7, 9)
    assert Bounds(5, 9).within(Bounds(10, 12)) == Bounds(5, 9)


def ways(*passages: tuple[int, str]) -> list[str]:
    return [each.direction for each in directed(Passage(at, direction) for at, direction in passages)]


def test_a_reader_for_both_ways_turns_whoever_is_outside_in_and_back() -> None:
    assert ways((100, "both"), (5000, "both"), (9000, "both")) == ["in", "out", "in"]


def test_a_second_touch_within_a_minute_is_the_same_passage() -> None:
    assert ways((100, "both"), (130, "both"), (5000, "both")) == ["in", "out"]


def test_readers_that_know_their_way_are_believed() -> None:
    assert ways((100, "in"), (5000, "both"), (9000, "out"), (9900, "both")) == ["in", "out", "out", "in"]


def test_a_tap_without_a_trusted_time_turns_nobody() -> None:
    taps = [Passage(100, "in"), Passage(200, "both", trusted=False), Passage(5000, "both")]
    assert [each.direction for each in directed(taps)] == ["in", "out", "out"]


@given(st.lists(st.tuples(st.integers(0, 86400), st.sampled_from(["in", "out", "both"])), max_size=8), st.randoms())
def test_the_order_of_arrival_never_matters(taps, random) -> None:
    shuffled = random.sample(taps, len(taps))
    assert directed(Passage(*each) for each in taps) == directed(Passage(*each) for each in shuffled)
    assert all(each.direction != "both" for each in directed(Passage(*each) for each in taps))
    assert rules.PASSAGE == 60
