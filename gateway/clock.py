"""What time it is at the gate and how far that is to be trusted: boot id, ticks that never jump, mending of taps."""

import functools
import importlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from gateway.boots import Bracket
from gateway.timebase import Timebase
from gateway.trust import Trust
from gateway.wire import LAST_MILLIS, ClockState, Tap

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TIMESYNCD = Path("/run/systemd/timesync/synchronized")
RTC = Path("/sys/class/rtc/rtc0")
TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
LATE_MS = 60_000


def boot_id() -> str:
    """The kernel's name of this boot; random where the kernel gives none, so that ticks are never mixed up."""
    try:
        return BOOT_ID.read_text("ascii").strip()
    except OSError:
        return str(uuid.uuid4())


def boottime_ms() -> int:
    """Milliseconds since boot, sleep included: goes on evenly whatever happens to the wall clock."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


@functools.cache
def _adjtimex() -> Callable[[], int]:
    """adjtimex(2), asking only. ctypes by name: half a megabyte that nobody needs where timesyncd keeps the clock."""
    ctypes = importlib.import_module("ctypes")
    libc = ctypes.CDLL(None)
    return lambda: int(libc.adjtimex(ctypes.create_string_buffer(256)))


def kernel_synced() -> bool:
    """Whether timesyncd, chrony or ntpd has set this clock since boot."""
    return TIMESYNCD.exists() or 0 <= _adjtimex()() < TIME_ERROR


@dataclass(frozen=True)
class Clock:
    """The gateway's clocks. `trusted`: the operator says that the machine's clock is right (`clock = "trust"`)."""

    boot: str = field(default_factory=boot_id)
    base: Timebase = Timebase()
    trusted: bool = False
    synced: Callable[[], bool] = kernel_synced
    has_rtc: Callable[[], bool] = RTC.exists
    ticks: Callable[[], int] = boottime_ms
    trust: Trust = field(default_factory=Trust)

    def open(self) -> None:
        """Read what is known of earlier boots, before anything is dated."""
        self.trust.boots.open(self.boot)
        self.state()

    def now(self) -> int:
        """UTC milliseconds."""
        return self.at(self.ticks())

    def at(self, ticks: int) -> int:
        """UTC milliseconds at which this boot's `ticks` were, as well as is known now."""
        wall = self.base.now_ms()
        if self.base.start:
            return self.base.shown(self.base.real(wall) - (self.ticks() - ticks))
        offset = self.trust.boots.here.offset
        return _on_the_wire(ticks + (wall - self.ticks() if offset is None else offset))

    def state(self) -> ClockState:
        """How far `now` is to be trusted: looks at all clocks."""
        if self.base.start:
            return ClockState.SYNCED
        claimed = self.trusted or self.synced()
        return self.trust.look(self.base.now_ms(), self.ticks(), claimed=claimed, battery=self.has_rtc())

    def settled_now(self) -> int | None:
        """UTC milliseconds; None while they are not certain."""
        return self.now() if self.state() is ClockState.SYNCED else None

    def mend(self, tap: Tap) -> Tap:
        """The tap as its time is known by now: exact when its boot was dated, else between which times it must lie."""
        boots = self.trust.boots
        if self.base.start or (tap.clock is ClockState.SYNCED and not boots.was_doubted(tap.boot)):
            return tap
        self.state()
        starts = boots.here.starts if tap.boot == self.boot else boots.starts(tap.boot)
        if starts is not None:
            return msgspec.structs.replace(tap, at=_on_the_wire(starts + tap.ticks), clock=ClockState.SYNCED)
        between = boots.bracket(tap.boot, tap.ticks)
        return tap if tap.clock is ClockState.RTC and between.holds(tap.at) else _bracketed(tap, between)

    def not_before(self, tap: Tap) -> int | None:
        """When the tap was made, or the earliest that it can have been; None when nothing is known of it."""
        mended = self.mend(tap)
        return (mended.earliest or None) if mended.clock is ClockState.UNSYNCED else mended.at

    def is_late(self, tap: Tap) -> bool:
        """Made more than a minute of real time ago, or in an earlier boot."""
        return tap.boot != self.boot or self.ticks() - tap.ticks > LATE_MS


def _bracketed(tap: Tap, between: Bracket) -> Tap:
    known = {name: bound for name, bound in between._asdict().items() if bound is not None}
    return msgspec.structs.replace(tap, clock=ClockState.UNSYNCED, **known)


def _on_the_wire(millis: int) -> int:
    """A clock that shows what no message may hold must not keep the tap from being sent."""
    return min(max(0, millis), LAST_MILLIS)
