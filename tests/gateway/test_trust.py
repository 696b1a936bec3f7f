"""Clocks over reboots: what is dated exactly, what lies between bounds, and which clock is not believed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.boots import MOST, Boots
from gateway.clock import Clock
from gateway.spool import Limits, Spool, Touch
from gateway.timebase import Timebase
from gateway.trust import STEP_MS, WORD_MS, Trust
from gateway.wire import LAST_MILLIS, ClockState, Direction, Now, Tap

MONDAY = 1_795_400_000_000  # the true time at which the world below begins
DAY = 86_400_000
MINUTE = 60_000


@dataclass
class Machine:
    """A Pi in a world with a true time: it boots, its wall clock shows what a test says, taps go to a real spool."""

    folder: Path
    true: int = MONDAY
    booted: int = MONDAY
    wall: int = 0  # what must be added to the true time to get what the wall clock shows
    synced: bool = False
    rtc: bool = False
    boots: int = 0
    made: dict[str, int] = field(default_factory=dict)  # true times of taps by their id

    def boot(self, *, wall: int = -MONDAY, synced: bool = False, off: int = MINUTE) -> None:
        """Off for a while, and on again with the clock so wrong."""
        self.true += off
        self.booted, self.wall, self.synced = self.true, wall, synced
        self.boots += 1
        base = _Wall(self)
        self.clock = Clock(
            f"boot-{self.boots}",
            base,
            synced=lambda: self.synced,
            has_rtc=lambda: self.rtc,
            ticks=lambda: self.true - self.booted,
            trust=Trust(Boots(self.folder / "boots.json")),
        )
        self.spool = Spool(self.folder / "spool.db", gateway="gate-1", clock=self.clock, limits=Limits(reserve=1))
        self.spool.open()
        self.clock.open()

    def end(self, *, cleanly: bool = True) -> None:
        """Shut down, or lose power: what was not written down is gone."""
        if cleanly:
            self.clock.trust.boots.save()
        self.spool.close()

    def wait(self, millis: int = MINUTE) -> None:
        """Time goes by, and the gateway looks at its clocks as in every turn."""
        self.true += millis
        self.clock.state()

    def tap(self, card: str = "em4100:67003B51C6") -> str:
        """A touch as app.py stores it."""
        ticks = self.clock.ticks()
        state, at = self.clock.state(), self.clock.at(ticks)
        (tap,) = self.spool.put([Touch("east", Direction.IN, card, at, state, ticks)])
        self.made[tap.id] = self.true
        return tap.id

    def word(self, *, took: int = 10, off: int = 0) -> bool:
        """The server's answer to a State of `took` ticks ago."""
        now = Now(boot=self.clock.boot, ticks=self.clock.ticks() - took, at=self.true - took // 2 + off)
        return self.clock.trust.hear(now, self.clock.ticks())

    def sent(self) -> list[Tap]:
        """What would be sent now."""
        return [self.clock.mend(tap) for tap in self.spool.unsent(limit=1000)]


class _Wall(Timebase):
    """A machine's wall clock."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        object.__setattr__(self, "machine", machine)

    def now_ms(self) -> int:
        machine: Machine = self.machine  # type: ignore[attr-defined]
        return machine.true + machine.wall


@pytest.fixture
def pi(tmp_path: Path) -> Iterator[Machine]:
    """A machine that is off."""
    machine = Machine(tmp_path)
    yield machine
    machine.end()


def exact(pi: Machine, tap: Tap) -> bool:
    """Dated, and right."""
    return tap.clock is ClockState.SYNCED and abs(tap.at - pi.made[tap.id]) <= STEP_MS


def enclosed(pi: Machine, tap: Tap) -> bool:
    """Not dated, and its bounds are true."""
    earliest, latest = tap.earliest or 0, tap.latest or LAST_MILLIS
    return tap.clock is ClockState.UNSYNCED and earliest <= pi.made[tap.id] <= latest


def test_taps_of_an_earlier_boot_that_was_synced_after_them_are_dated_exactly(pi: Machine) -> None:
    pi.boot()
    pi.tap()
    pi.wait()
    pi.wall, pi.synced = 0, True
    pi.wait()
    pi.end(cleanly=False)
    pi.boot()
    assert [exact(pi, tap) for tap in pi.sent()] == [True]


def test_a_boot_that_was_never_synced_lies_between_its_neighbours(pi: Machine) -> None:
    pi.boot(wall=0, synced=True)
    pi.wait(5 * MINUTE)
    pi.end()
    pi.boot(off=10 * MINUTE)
    pi.wait()
    pi.tap()
    pi.end()
    pi.boot(wall=0, synced=True, off=20 * MINUTE)
    pi.wait()
    (tap,) = pi.sent()
    assert enclosed(pi, tap)
    assert tap.latest - tap.earliest <= 31 * MINUTE  # no wider than the machine was off


def test_boots_without_a_time_in_a_row_are_told_apart_by_their_order_and_length(pi: Machine) -> None:
    pi.boot(wall=0, synced=True)
    pi.end()
    for _ in range(3):
        pi.boot(off=2 * MINUTE)
        pi.wait(10 * MINUTE)
        pi.tap()
        pi.end()
    pi.boot(wall=0, synced=True)
    taps = pi.sent()
    assert [tap.seq for tap in taps] == [1, 2, 3]
    assert all(enclosed(pi, tap) for tap in taps)
    assert [tap.earliest for tap in taps] == sorted(tap.earliest for tap in taps)
    assert taps[1].earliest - taps[0].earliest >= 10 * MINUTE


@pytest.mark.parametrize("jump", [3 * DAY, -3 * DAY, -MONDAY, 13 * 365 * DAY, 400 * DAY, 300 * 365 * DAY, -2 * MONDAY])
def test_a_set_clock_that_jumps_by_itself_changes_no_time(pi: Machine, jump: int) -> None:
    pi.boot(wall=0, synced=True)
    pi.tap()
    pi.synced, pi.wall = False, jump
    pi.wait()
    pi.tap()
    assert [exact(pi, tap) for tap in pi.sent()] == [True, True]


@pytest.mark.parametrize("jump", [3 * DAY, -3 * DAY, 13 * 365 * DAY, 300 * 365 * DAY, 10_000])
def test_a_jump_that_calls_itself_synchronised_is_doubted_until_it_is_undone(pi: Machine, jump: int) -> None:
    pi.boot(wall=0, synced=True)
    pi.wall = jump
    pi.tap()
    assert pi.clock.state() is ClockState.UNSYNCED
    assert [enclosed(pi, tap) for tap in pi.sent()] == [True]
    pi.wall = 100
    pi.wait()
    assert [exact(pi, tap) for tap in pi.sent()] == [True]


def test_the_server_settles_which_of_two_times_is_right(pi: Machine) -> None:
    pi.boot(wall=-3 * DAY, synced=True)  # a wrong answer of a time server first
    pi.tap()
    pi.wall = 0
    pi.tap()
    assert {tap.clock for tap in pi.sent()} == {ClockState.UNSYNCED}
    assert pi.word()
    pi.wait()
    assert [exact(pi, tap) for tap in pi.sent()] == [True, True]
    assert pi.clock.state() is ClockState.SYNCED


def test_the_server_is_believed_against_a_clock_that_calls_itself_synchronised(pi: Machine) -> None:
    pi.boot(wall=DAY, synced=True)
    pi.tap()
    assert pi.word()
    pi.wait()
    pi.tap()
    assert [exact(pi, tap) for tap in pi.sent()] == [True, True]


def test_a_gate_without_any_time_server_learns_the_time_from_its_server(pi: Machine) -> None:
    pi.boot()
    pi.tap()
    assert not pi.word(took=WORD_MS + 1)
    assert pi.sent()[0].clock is ClockState.UNSYNCED
    assert pi.word(took=WORD_MS)
    assert [exact(pi, tap) for tap in pi.sent()] == [True]
    assert abs(pi.clock.now() - pi.true) <= WORD_MS // 2


def test_a_word_for_another_moment_is_no_word(pi: Machine) -> None:
    pi.boot()
    assert not pi.clock.trust.hear(Now(boot=pi.clock.boot, ticks=pi.clock.ticks() + 5, at=pi.true), pi.clock.ticks())


def test_a_clock_that_shows_less_than_has_passed_is_not_believed(pi: Machine) -> None:
    pi.boot(wall=0, synced=True)
    pi.wait(DAY)
    pi.end()
    pi.boot(wall=-DAY, synced=True)
    pi.tap()
    assert [enclosed(pi, tap) for tap in pi.sent()] == [True]


def test_a_past_that_was_dated_in_the_future_does_not_stop_the_clock_for_ever(pi: Machine) -> None:
    pi.boot(wall=30 * DAY, synced=True)
    pi.tap()
    pi.end()
    pi.boot(wall=0, synced=True)
    pi.tap()
    assert pi.clock.state() is ClockState.UNSYNCED
    assert pi.word()
    pi.wait()
    old, new = pi.sent()
    assert exact(pi, new)
    assert enclosed(pi, old)


@pytest.mark.parametrize("wall", [-MONDAY, 946_684_800_000 - MONDAY])  # 1970, 2000
def test_a_battery_clock_with_an_empty_battery_is_no_clock(pi: Machine, wall: int) -> None:
    pi.rtc = True
    pi.boot(wall=wall)
    assert pi.clock.state() is ClockState.UNSYNCED


def test_a_battery_clock_is_one_until_it_jumps(pi: Machine) -> None:
    pi.rtc = True
    pi.boot(wall=500)
    pi.wait()
    assert pi.clock.state() is ClockState.RTC
    pi.wall = DAY
    pi.wait()
    assert pi.clock.state() is ClockState.UNSYNCED


def test_what_a_battery_clock_said_outside_the_bounds_is_not_sent_as_a_time(pi: Machine) -> None:
    pi.rtc = True
    pi.boot(wall=2 * DAY)
    pi.tap()
    pi.end()
    pi.boot(wall=0, synced=True)
    assert [enclosed(pi, tap) for tap in pi.sent()] == [True]


@pytest.mark.parametrize("wall", [-2 * MONDAY, 300 * 365 * DAY])
def test_a_clock_beyond_what_the_wire_can_say_still_makes_a_tap(pi: Machine, wall: int) -> None:
    pi.boot(wall=wall)
    pi.tap()
    (tap,) = pi.sent()
    assert 0 <= tap.at <= LAST_MILLIS


def test_stored_taps_are_kept_their_days_whatever_the_clock_does(pi: Machine) -> None:
    pi.boot(wall=0, synced=True)
    ids = [pi.tap() for _ in range(3)]
    pi.spool.done(ids)
    pi.spool.settle(10_000.0)
    pi.synced, pi.wall = False, 400 * DAY
    pi.end()
    pi.boot(wall=400 * DAY)
    pi.spool.done([pi.tap()])
    pi.spool.settle(20_000.0)
    assert pi.spool.kept(1) == [1, 2, 3, 4]
    pi.wall, pi.synced = 0, True
    pi.wait()
    pi.spool.settle(30_000.0)
    assert pi.spool.kept(1) == [1, 2, 3, 4]
    pi.wait(8 * DAY)
    pi.spool.settle(40_000.0)
    assert pi.spool.kept(1) == []


def test_the_book_survives_rubbish_and_does_not_grow_for_ever(pi: Machine) -> None:
    (pi.folder / "boots.json").write_text('{"boots": [')
    pi.boot(wall=0, synced=True)
    for _ in range(MOST + 10):
        pi.clock.trust.boots.open(f"other-{pi.clock.trust.boots.here.id}"[-60:] + "x")
    assert (pi.folder / "boots.json").stat().st_size < MOST * 250


def test_a_book_that_cannot_be_written_stops_nothing(pi: Machine) -> None:
    (pi.folder / "boots.new").mkdir()
    pi.boot(wall=0, synced=True)
    pi.tap()
    assert [exact(pi, tap) for tap in pi.sent()] == [True]


def test_births_grow_whatever_the_clock_says(pi: Machine) -> None:
    pi.boot(wall=0, synced=True)
    pi.clock.trust.boots.born(pi.clock.now())
    pi.end(cleanly=False)
    pi.boot()
    assert pi.clock.trust.boots.birth >= MONDAY


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("tap"), st.just(0)),
        st.tuples(st.just("wait"), st.integers(1_000, 6 * 3_600_000)),
        st.tuples(st.just("sync"), st.integers(-300, 300)),
        st.tuples(st.just("unsync"), st.just(0)),
        st.tuples(st.just("jump"), st.sampled_from([3 * DAY, -3 * DAY, -MONDAY, 400 * DAY, 13 * 365 * DAY, 9_000])),
        st.tuples(st.just("word"), st.integers(0, 1_900)),
        st.tuples(st.just("reboot"), st.integers(1_000, 3 * DAY)),
        st.tuples(st.just("cut"), st.integers(1_000, 3 * DAY)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_happens_a_dated_tap_is_right_and_the_others_lie_in_their_bounds(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    pi = Machine(tmp_path_factory.mktemp("pi"))
    pi.boot()
    anchored = set[str]()
    for act, amount in [*steps, ("reboot", MINUTE)]:
        _happen(pi, act, amount)
        if pi.clock.trust.boots.here.starts is not None:
            anchored.add(pi.clock.boot)
    taps = pi.sent()
    pi.end()
    assert [tap.id for tap in taps] == list(pi.made)
    assert [tap.seq for tap in taps] == list(range(1, len(taps) + 1))
    for tap in taps:
        assert exact(pi, tap) or enclosed(pi, tap), tap
        if tap.boot in anchored and not pi.clock.trust.boots.was_doubted(tap.boot):
            assert exact(pi, tap), "its boot was dated"


def _happen(pi: Machine, act: str, amount: int) -> None:
    """A clock may only call itself synchronised when it is, or when it has just jumped."""
    match act:
        case "tap":
            pi.tap()
        case "wait":
            pi.wait(amount)
        case "sync":
            pi.wall, pi.synced = amount, True
        case "unsync":
            pi.synced = False
        case "jump":
            pi.synced = pi.synced and pi.clock.trust.boots.here.offset is not None
            pi.wall += amount
        case "word":
            pi.wait(amount)
            pi.word(took=min(amount, pi.clock.ticks()))
        case _:
            pi.end(cleanly=act == "reboot")
            pi.boot(off=amount)
    pi.clock.state()
