"""One reader of the gate as the main thread sees it: what it was heard to say, and which of its cards are new."""

from gateway.config import ReaderSection
from gateway.dedupe import Dedupe
from gateway.ports import Port
from gateway.readers.base import Fault
from gateway.status import REFUSED, Record
from gateway.walkthrough import Walkthrough


class Gate:
    """One reader as the main thread sees it."""

    def __init__(self, section: ReaderSection, port: Port, walk: Walkthrough | None) -> None:
        self.section = section
        self.port = port
        self.walk = walk  # for tags that are read from afar, in place of dedupe
        self.record = Record(section)
        self.dedupe = Dedupe(confirm=section.confirm(), same_card_ms=round(section.same_card_s * 1000))
        self._red = 0

    def forget(self, card: str) -> None:
        """The tap could not be kept: the card's next read, or walk, is new."""
        (self.walk or self.dedupe).forget(card)

    def unconfirmed(self) -> int:
        """Cards that were read too seldom to count."""
        return self.walk.unconfirmed[self.section.id] if self.walk else self.dedupe.unconfirmed

    def may_show_red(self, fault: Fault, ticks: int) -> bool:
        """Once a second for a card that was held to the reader and cannot be taken."""
        if fault.kind not in REFUSED or ticks - self._red < 1_000:
            return False
        self._red = ticks
        return True
