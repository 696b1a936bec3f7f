"""What time it is at the gate and how far that is to be trusted: boot id, ticks that never jump, mending of taps."""

import functools
import importlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from gateway.timebase import Timebase
from gateway.wire import ClockState, Tap

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TIMESYNCD = Path("/run/systemd/timesync/synchronized")
RTC = Path("/sys/class/rtc/rtc0")
EARLIEST = 1_704_067_200_000  # 2024-01-01: a clock before this has never been set
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

    def now(self) -> int:
        """UTC milliseconds."""
        return self.base.now_ms()

    def at(self, ticks: int) -> int:
        """UTC milliseconds at which this boot's `ticks` were, by what the clock says now."""
        return self.base.shown(self.base.real(self.now()) - (self.ticks() - ticks))

    def state(self) -> ClockState:
        """How far `now` is to be trusted."""
        if self.base.start:
            return ClockState.SYNCED
        if self.now() < EARLIEST:
            return ClockState.UNSYNCED
        if self.trusted or self.synced():
            return ClockState.SYNCED
        return ClockState.RTC if self.has_rtc() else ClockState.UNSYNCED

    def mend(self, tap: Tap) -> Tap:
        """The tap with the right time, when it was made in this boot before the clock was set and the clock is now."""
        if tap.clock is ClockState.SYNCED or tap.boot != self.boot or self.state() is not ClockState.SYNCED:
            return tap
        return msgspec.structs.replace(tap, at=self.at(tap.ticks), clock=ClockState.SYNCED)

    def is_late(self, tap: Tap) -> bool:
        """Made more than a minute of real time ago, or in an earlier boot."""
        return tap.boot != self.boot or self.ticks() - tap.ticks > LATE_MS
