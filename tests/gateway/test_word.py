"""A real gateway that nobody but its server tells the time, and what it says of taps that it does not have."""

from collections.abc import Callable
from pathlib import Path

from gateway import config, wire
from gateway.app import Gateway
from gateway.clock import Clock
from gateway.timebase import Timebase
from gateway.trust import Trust
from gateway.wire import ClockState, Kind
from tests.gateway.ends import Cable, School, running, until


class Ago(Timebase):
    """A wall clock that woke up in 1970."""

    def now_ms(self) -> int:
        return 12_345


class Unset(Gateway):
    """A Pi without an RTC and without a time server."""

    def _clock(self) -> Clock:
        return Clock(base=Ago(), synced=lambda: False, has_rtc=lambda: False, trust=Trust(self.boots))


def listening(gateway: Gateway) -> Callable[[], bool]:
    return lambda: all(gate.record.health == "up" for gate in gateway.gates.values())


def test_a_gate_holds_its_taps_until_the_server_has_said_what_time_it_is(
    settings: config.Config, cable: Cable, school: School
) -> None:
    at = 1_795_564_326_512
    with running(Unset(settings)) as gateway:
        until(lambda: school.states)
        state = school.states[-1]
        assert (state.clock, state.at) == (ClockState.UNSYNCED, 12_345)
        school.say(Kind.COMMAND, wire.encode(wire.Now(boot=state.boot, ticks=gateway.clock.ticks(), at=at)))
        until(lambda: gateway.clock.state() is ClockState.SYNCED)
        until(listening(gateway))
        cable.touch()
        until(lambda: school.taps)
    tap = school.taps[0]
    assert tap.clock is ClockState.SYNCED
    assert abs(tap.at - at) < 30_000
    assert abs(tap.at - tap.ticks - (at - state.ticks)) < 5_000


def test_without_a_word_the_tap_goes_out_without_a_time(settings: config.Config, cable: Cable, school: School) -> None:
    with running(Unset(settings)) as gateway:
        until(listening(gateway))
        cable.touch()
        until(lambda: school.taps)
        assert school.taps[0].clock is ClockState.UNSYNCED
        until(lambda: gateway.spool.depth is not None and school.states[-1].depth == 0, seconds=40)


def test_a_gate_says_which_of_the_asked_taps_are_gone(
    settings: config.Config, cable: Cable, school: School, tmp_path: Path
) -> None:
    with running(Gateway(settings)) as gateway:
        until(listening(gateway))
        cable.touch()
        until(lambda: school.taps)
        spool = gateway.spool.id
        school.say(Kind.COMMAND, wire.encode(wire.Resync(spool=spool, start=1)))
        until(lambda: len(school.taps) == 2)
        assert school.states[-1].gone == []
        school.say(Kind.COMMAND, wire.encode(wire.Resync(spool="0" * 16, start=5)))
        until(lambda: school.states[-1].gone)
        assert school.states[-1].gone == [wire.Gone(spool="0" * 16, first=5, last=wire.LAST_SEQ)]


def test_births_go_on_from_the_last_one_when_the_clock_falls_back(settings: config.Config, school: School) -> None:
    with running(Gateway(settings)):
        until(lambda: school.states)
    first = school.states[0].birth
    school.states.clear()
    with running(Unset(settings)):
        until(lambda: any(state.online for state in school.states))
    assert max(state.birth for state in school.states) > first
