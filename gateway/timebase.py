"""The one clock of both halves: UTC milliseconds, real or, for the demo and tests, run faster from a chosen morning.

`GATEBELL_CLOCK=<start>,<begins>,<speed>,<until>` (all but speed are UTC milliseconds) makes every process show `start`
until the real time `begins`, then run `speed` times as fast until it shows `until`, and at the real pace from there on.
"""

import os
import time
from dataclasses import dataclass

VARIABLE = "GATEBELL_CLOCK"


class ClockError(ValueError):
    """GATEBELL_CLOCK is not `start,begins,speed,until`."""


@dataclass(frozen=True)
class Timebase:
    """Maps real UTC milliseconds to shown UTC milliseconds, piecewise linear and never backwards."""

    start: int = 0
    begins: int = 0
    speed: float = 1.0
    until: int = 0

    @classmethod
    def parse(cls, text: str) -> "Timebase":
        """Read `start,begins,speed,until`; an empty text is the real clock. Raises ClockError."""
        if not text:
            return cls()
        try:
            start, begins, speed, until = text.split(",")
            base = cls(int(start), int(begins), float(speed), int(until))
        except ValueError:
            raise ClockError(f"{VARIABLE}={text!r}: expected start,begins,speed,until in milliseconds") from None
        if base.speed <= 0 or base.until < base.start:
            raise ClockError(f"{VARIABLE}={text!r}: speed must be positive and until not before start")
        return base

    def __str__(self) -> str:
        return f"{self.start},{self.begins},{self.speed:g},{self.until}"

    def shown(self, real_ms: int) -> int:
        """Shown time at a real time."""
        if not self.start:
            return real_ms
        gone = max(0, real_ms - self.begins)
        fast = (self.until - self.start) / self.speed
        if gone <= fast:
            return self.start + round(gone * self.speed)
        return self.until + round(gone - fast)

    def real(self, shown_ms: int) -> int:
        """Real time at which `shown_ms` is shown; for times before the start, the moment it begins."""
        if not self.start:
            return shown_ms
        if shown_ms <= self.until:
            return self.begins + round(max(0, shown_ms - self.start) / self.speed)
        return self.real(self.until) + shown_ms - self.until

    def now_ms(self) -> int:
        """Shown UTC milliseconds."""
        return self.shown(time.time_ns() // 1_000_000)

    def elapsed_ms(self, earlier: int, later: int) -> int:
        """Real milliseconds that passed between two shown times."""
        return self.real(later) - self.real(earlier)


def from_environment() -> Timebase:
    """The timebase that GATEBELL_CLOCK asks for; the real clock when it is not set."""
    return Timebase.parse(os.environ.get(VARIABLE, ""))
