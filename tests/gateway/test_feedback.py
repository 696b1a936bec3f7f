"""LEDs and buzzer, on gpiozero's own mock pins."""

import time
from collections.abc import Iterator

import pytest
from gpiozero import Device
from gpiozero.pins.mock import MockFactory, MockPin

from gateway import config, feedback
from gateway.feedback import FeedbackError, Silent

GREEN, RED, BUZZER, AMBER = 17, 27, 22, 5


@pytest.fixture
def pins() -> Iterator[MockFactory]:
    """A Pi without copper."""
    factory = Device.pin_factory = MockFactory()
    yield factory
    factory.close()
    Device.pin_factory = None


@pytest.fixture
def lights(pins: MockFactory) -> Iterator[feedback.Feedback]:
    """All three."""
    lights = feedback.load(config.Feedback(green=GREEN, red=RED, buzzer=BUZZER))
    yield lights
    lights.close()


def edges(pins: MockFactory, number: int, *, count: int) -> list[bool]:
    """The states that a pin has had, once it has had so many."""
    pin: MockPin = pins.pin(number)
    end = time.monotonic() + 5
    while len(pin.states) < count and time.monotonic() < end:
        time.sleep(0.01)
    return [bool(state.state) for state in pin.states]


def test_an_accepted_tap_is_one_green_light_and_one_beep(lights: feedback.Feedback, pins: MockFactory) -> None:
    lights.accepted()
    assert edges(pins, GREEN, count=3) == [False, True, False]
    assert edges(pins, BUZZER, count=3) == [False, True, False]
    assert edges(pins, RED, count=1) == [False]


def test_a_repeated_card_is_green_with_two_beeps(lights: feedback.Feedback, pins: MockFactory) -> None:
    lights.again()
    assert edges(pins, BUZZER, count=5) == [False, True, False, True, False]
    assert edges(pins, RED, count=1) == [False]


def test_a_refused_tap_is_red_and_never_green(lights: feedback.Feedback, pins: MockFactory) -> None:
    lights.refused()
    assert edges(pins, RED, count=3) == [False, True, False]
    assert edges(pins, GREEN, count=1) == [False]


def test_a_strange_card_is_amber_with_two_long_beeps(pins: MockFactory) -> None:
    lights = feedback.load(config.Feedback(green=GREEN, red=RED, amber=AMBER, buzzer=BUZZER))
    lights.strange()
    assert edges(pins, BUZZER, count=5) == [False, True, False, True, False]
    assert edges(pins, AMBER, count=3) == [False, True, False]
    assert edges(pins, GREEN, count=1) == edges(pins, RED, count=1) == [False]
    lights.close()


def test_without_an_amber_light_green_and_red_are_on_together(lights: feedback.Feedback, pins: MockFactory) -> None:
    lights.strange()
    assert edges(pins, GREEN, count=3) == edges(pins, RED, count=3) == [False, True, False]


def test_an_exit_without_a_pass_blinks_red_with_as_many_beeps_and_is_never_green(
    lights: feedback.Feedback, pins: MockFactory
) -> None:
    lights.no_pass()
    assert edges(pins, RED, count=9) == edges(pins, BUZZER, count=9) == [False] + [True, False] * 4
    assert edges(pins, GREEN, count=1) == [False]


def test_the_call_returns_at_once(lights: feedback.Feedback) -> None:
    for _ in range(200):
        lights.accepted()


def test_a_pin_that_is_not_given_stays_silent(pins: MockFactory) -> None:
    lights = feedback.load(config.Feedback(green=GREEN))
    lights.accepted()
    lights.refused()
    assert edges(pins, GREEN, count=3) == [False, True, False]
    lights.close()


def test_no_pins_need_no_gpiozero() -> None:
    lights = feedback.load(config.Feedback())
    lights.accepted()
    lights.again()
    lights.refused()
    lights.close()
    assert isinstance(lights, Silent)


def test_a_pin_that_is_in_use_is_named_with_what_to_do(pins: MockFactory) -> None:
    with pytest.raises(FeedbackError, match="pins cannot be driven.*remove the section"):
        feedback.load(config.Feedback(green=GREEN, red=GREEN))


@pytest.fixture
def four(pins: MockFactory) -> Iterator[feedback.Feedback]:
    """All four."""
    lights = feedback.load(config.Feedback(green=GREEN, red=RED, buzzer=BUZZER, amber=AMBER))
    yield lights
    lights.close()


def test_amber_blinks_while_there_is_no_connection_and_a_taps_sign_takes_its_place_for_a_while(
    four: feedback.Feedback, pins: MockFactory
) -> None:
    now = time.monotonic()
    four.show(frozenset({feedback.Lasting.OFFLINE}), now)
    assert edges(pins, AMBER, count=4)[-3:] == [True, False, True]
    assert edges(pins, RED, count=1) == [False]
    four.strange()
    shown = len(edges(pins, AMBER, count=1))
    four.show(frozenset({feedback.Lasting.OFFLINE}), now + 1)  # not yet: the sign is on
    assert len(edges(pins, AMBER, count=1)) <= shown + 1
    time.sleep(1.2)
    four.show(frozenset({feedback.Lasting.OFFLINE}), time.monotonic() + 3)
    before = len(edges(pins, AMBER, count=1))
    assert len(edges(pins, AMBER, count=before + 2)) >= before + 2
    four.show(frozenset(), time.monotonic() + 6)
    assert pins.pin(AMBER).state == 0


def test_red_blinks_fast_while_a_reader_takes_no_cards(four: feedback.Feedback, pins: MockFactory) -> None:
    four.show(frozenset({feedback.Lasting.DEAD}), time.monotonic())
    assert len(edges(pins, RED, count=9)) >= 9
    assert edges(pins, AMBER, count=1)[-1] is False
