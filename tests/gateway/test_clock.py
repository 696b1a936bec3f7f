"""How far the gateway trusts its clock, and mending taps that were made before the clock was set."""

from pathlib import Path

import msgspec
import pytest

from gateway import clock as module
from gateway.clock import Clock, boot_id, boottime_ms, kernel_synced
from gateway.timebase import Timebase
from gateway.wire import ClockState, Direction, Tap


def clock(*, synced: bool = False, rtc: bool = False, trusted: bool = False, now: int = 0) -> Clock:
    """A clock in the state of a case, at the real time or at `now`."""
    base = Fixed(now) if now else Timebase()
    return Clock("b1", base, trusted, synced=lambda: synced, has_rtc=lambda: rtc, ticks=lambda: 500_000)


class Fixed(Timebase):
    """A real clock that stands still."""

    def __init__(self, now: int) -> None:
        super().__init__()
        object.__setattr__(self, "fixed", now)

    def now_ms(self) -> int:
        return int(self.fixed)  # type: ignore[attr-defined]


def tap(state: ClockState = ClockState.UNSYNCED, *, boot: str = "b1", ticks: int = 440_000) -> Tap:
    """A tap one minute before the clock's moment."""
    return Tap(
        id="01a20746-4e96-7fb4-9018-bfa83c4fccf9",
        spool="80d55a9164a3c675",
        seq=1,
        gateway="gate-1",
        reader="east",
        direction=Direction.IN,
        card="em4100:67003B51C6",
        at=5_000,
        clock=state,
        boot=boot,
        ticks=ticks,
    )


@pytest.mark.parametrize(
    ("case", "state"),
    [
        ({"synced": True}, ClockState.SYNCED),
        ({"trusted": True}, ClockState.SYNCED),
        ({"rtc": True}, ClockState.RTC),
        ({}, ClockState.UNSYNCED),
        ({"rtc": True, "now": 86_400_000}, ClockState.UNSYNCED),
        ({"trusted": True, "now": 86_400_000}, ClockState.UNSYNCED),
        ({"synced": True, "now": 86_400_000}, ClockState.UNSYNCED),
    ],
)
def test_state(case: dict[str, bool], state: ClockState) -> None:
    assert clock(**case).state() is state  # type: ignore[arg-type]


def test_a_simulated_clock_is_trusted() -> None:
    assert Clock(base=Timebase(1_795_000_000_000, 1, 60, 1_795_000_000_000), synced=lambda: False).state() == "synced"


def test_a_tap_made_before_the_clock_was_set_gets_its_time() -> None:
    now = 1_795_000_000_000
    mended = clock(synced=True, now=now).mend(tap())
    assert (mended.at, mended.clock) == (now - 60_000, ClockState.SYNCED)


def test_a_tap_of_a_set_clock_is_left_as_it_is() -> None:
    now = 1_795_000_000_000
    made = msgspec.structs.replace(tap(ClockState.SYNCED), at=now - 60_000)
    assert clock(synced=True, now=now).mend(made) == made


@pytest.mark.parametrize("state", [ClockState.SYNCED, ClockState.UNSYNCED])
def test_a_tap_of_a_boot_that_is_not_in_the_book_is_left_as_it_is(state: ClockState) -> None:
    other = tap(state, boot="b0")
    assert clock(synced=True).mend(other) == other


def test_nothing_is_mended_by_a_clock_that_is_not_set() -> None:
    assert clock(rtc=True).mend(tap()).clock is ClockState.UNSYNCED


def test_late_goes_by_ticks_and_every_earlier_boot_is_late() -> None:
    now = clock()
    assert not now.is_late(tap(ticks=440_000))
    assert now.is_late(tap(ticks=439_999))
    assert now.is_late(tap(boot="b0", ticks=499_999))


def test_the_time_of_ticks_follows_the_simulated_clock() -> None:
    start = 1_795_000_000_000
    begins = module.time.time_ns() // 1_000_000 - 10_000
    fast = Clock("b1", Timebase(start, begins, 60, start + 86_400_000), ticks=lambda: 500_000)
    assert abs(fast.at(495_000) - (start + 5_000 * 60)) < 60 * 1_000


def test_this_boot_has_a_name_and_ticks_that_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert boot_id() == boot_id() and len(boot_id()) == 36
    assert boottime_ms() <= boottime_ms()
    assert kernel_synced() in {True, False}
    monkeypatch.setattr(module, "BOOT_ID", tmp_path / "missing")
    assert boot_id() != boot_id()


def test_timesyncds_flag_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMESYNCD", tmp_path)
    assert kernel_synced()
