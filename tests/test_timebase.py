"""The shown clock: real by default, faster in the demo, never backwards, and mapped back to real time exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.timebase import ClockError, Timebase

START, BEGINS = 1_795_560_000_000, 1_795_000_000_000
FAST = Timebase(start=START, begins=BEGINS, speed=60.0, until=START + 6_000_000)


def test_the_real_clock_is_shown_as_it_is() -> None:
    assert Timebase().shown(123) == 123
    assert Timebase.parse("") == Timebase()


def test_time_stands_still_until_everything_is_up() -> None:
    assert FAST.shown(BEGINS - 5_000) == START
    assert FAST.shown(BEGINS) == START


def test_it_runs_fast_and_then_at_the_real_pace() -> None:
    assert FAST.shown(BEGINS + 1_000) == START + 60_000
    assert FAST.shown(BEGINS + 100_000) == START + 6_000_000
    assert FAST.shown(BEGINS + 101_000) == START + 6_001_000


def test_elapsed_time_is_real_time() -> None:
    assert FAST.elapsed_ms(START + 60_000, START + 120_000) == 1_000
    assert FAST.elapsed_ms(START + 6_000_000, START + 6_002_000) == 2_000


@given(st.integers(-10_000, 10_000_000), st.integers(0, 10_000_000))
def test_shown_time_never_runs_backwards(offset: int, step: int) -> None:
    assert FAST.shown(BEGINS + offset + step) >= FAST.shown(BEGINS + offset)


@given(st.integers(0, 10_000_000))
def test_real_is_the_inverse_of_shown(offset: int) -> None:
    assert FAST.real(FAST.shown(BEGINS + offset)) == BEGINS + offset


def test_it_survives_the_environment() -> None:
    assert Timebase.parse(str(FAST)) == FAST


@pytest.mark.parametrize("text", ["now", "1,2,3", "1,2,0,4", "5,2,1,4", "1,2,x,4"])
def test_a_bad_setting_names_itself(text: str) -> None:
    with pytest.raises(ClockError, match="GATEBELL_CLOCK"):
        Timebase.parse(text)
