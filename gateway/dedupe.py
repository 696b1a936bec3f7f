"""One presentation of a card is one tap: asks for equal reads and lets the same card pass once. Pure."""

from collections import OrderedDict
from enum import StrEnum

CONFIRM_MS = 300
PAUSE_MS = 1_000


class Verdict(StrEnum):
    """What one read of a card is."""

    NEW = "new"  # a tap
    AGAIN = "again"  # a tap that we have, shown once more
    HELD = "held"  # the card still lies on the reader
    UNSURE = "unsure"  # not read often enough yet


class Dedupe:
    """The memory of one reader. Times are milliseconds of a clock that never goes back."""

    def __init__(self, *, confirm: int = 1, same_card_ms: int = 5_000) -> None:
        self.confirm = confirm
        self.same_card_ms = same_card_ms
        self.unconfirmed = 0
        # a plain dict is slow to lose its first
        self._reads: OrderedDict[str, tuple[int, int]] = OrderedDict()  # card -> equal reads so far, time of the last
        self._seen: OrderedDict[str, int] = OrderedDict()  # admitted card -> time of its last read, oldest first

    def admits(self, card: str, ticks: int) -> Verdict:
        """Judge one read. A card that keeps being read keeps its window open: a minute on the reader is one tap."""
        self._forget_old(ticks)
        last = self._seen.pop(card, None)
        if last is not None:
            self._seen[card] = ticks
            return Verdict.AGAIN if ticks - last > PAUSE_MS else Verdict.HELD
        reads = self._reads.pop(card, (0, 0))[0] + 1
        if reads < self.confirm:
            self._reads[card] = (reads, ticks)
            return Verdict.UNSURE
        self._seen[card] = ticks
        return Verdict.NEW

    def forget(self, card: str) -> None:
        """The tap could not be kept: the next read of this card is new."""
        self._seen.pop(card, None)

    def _forget_old(self, ticks: int) -> None:
        while self._seen and ticks - next(iter(self._seen.values())) > self.same_card_ms:
            self._seen.popitem(last=False)
        while self._reads and ticks - next(iter(self._reads.values()))[1] > CONFIRM_MS:
            self._reads.popitem(last=False)
            self.unconfirmed += 1
