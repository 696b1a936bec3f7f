"""Whether this boot's clock may be believed: what its sync says, held against the ticks, earlier boots and the server.

The wall clock may jump by days, and a wrong answer of a time server makes it jump while it calls itself synchronised.
The ticks cannot jump. So the first trusted moment of a boot dates all of it; a claim that contradicts it puts it in
doubt, and in doubt nothing has a time until the clock comes back or the server says who is right.
"""

import logging

from gateway.boots import Boots
from gateway.wire import ClockState, Now

log = logging.getLogger("gateway.clock")

BUILT = 1_767_225_600_000  # 2026-01-01: before this, a clock has never been set or its battery is empty
STEP_MS = 2_000  # a clock that moves by more against the ticks has jumped
WORD_MS = 2_000  # the server's word is worth something when it came back within so many ticks


class Trust:
    """Looks at the clocks of this boot; what it finds out for certain stands in `boots`."""

    def __init__(self, boots: Boots | None = None) -> None:
        self.boots = boots or Boots()
        self._first: int | None = None  # where the wall clock stood against the ticks while nobody vouched for it
        self._moved = False
        self._told = False  # the server has dated this boot, not our own clock

    def look(self, wall: int, ticks: int, *, claimed: bool, battery: bool) -> ClockState:
        """How far `wall` is to be trusted. `claimed`: it calls itself synchronised; `battery`: there is an RTC."""
        self.boots.lasts(ticks)
        sane = wall >= BUILT and not self._is_disproved(wall, ticks)
        if claimed and sane:
            self._claim(wall - ticks)
        if self.boots.here.starts is not None:
            return ClockState.SYNCED
        steady = self._is_steady(wall - ticks) and not self.boots.here.doubted
        return ClockState.RTC if battery and sane and steady else ClockState.UNSYNCED

    def hear(self, word: Now, ticks: int) -> bool:
        """The server's clock, asked by the State of the ticks in it; False when the answer took too long."""
        took = ticks - word.ticks
        if not 0 <= took <= WORD_MS:
            return False
        here, offset = self.boots.here, word.at - ticks + took // 2
        if here.starts is not None and abs(offset - here.starts) <= STEP_MS and not self._told:
            return True
        if not self._told:
            log.warning("this machine's clock is not to be trusted: the time comes from the server now")
        here.corrected = here.corrected or here.offset is not None
        here.offset, here.doubted, self._told = offset, False, True
        self.boots.clear_before(offset)
        self.boots.save()
        return True

    def _claim(self, offset: int) -> None:
        here = self.boots.here
        if here.offset is None:
            log.info("the clock is set")
            here.offset = offset
            self.boots.save()
        elif abs(offset - here.offset) <= STEP_MS:
            here.offset, self._told = offset, False
            self._doubt(False)
        elif not self._told:
            self._doubt(True)

    def _doubt(self, doubted: bool) -> None:
        if doubted is not self.boots.here.doubted:
            log.error("the clock has jumped, taps have no time until it is settled" if doubted else "the clock is back")
            self.boots.here.doubted = doubted
            self.boots.save()

    def _is_disproved(self, wall: int, ticks: int) -> bool:
        """More time than that has passed since an earlier boot."""
        least = self.boots.bracket(self.boots.here.id, ticks).earliest
        return self.boots.here.starts is None and least is not None and wall < least

    def _is_steady(self, offset: int) -> bool:
        if self._first is None:
            self._first = offset
        self._moved = self._moved or abs(offset - self._first) > STEP_MS
        return not self._moved
