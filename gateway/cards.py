"""What a gate decides by itself at a tap: whether the school knows the card, and whether its holder may leave now.

A decision is only light and sound. The tap is stored and sent whatever it says, so that staff see what happened.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from gateway import durable, gatelist
from gateway.gatelist import BadList, CardList, ExitList, InsideList, Pieces
from gateway.seal import Foreign, Seal
from gateway.wire import ClockState, Direction, ListKind, ListPart, Tap

log = logging.getLogger("gateway.cards")


class Answer(StrEnum):
    """What a gate says to a card."""

    KNOWN = "known"
    STRANGE = "strange"  # nobody's, lost or blocked: to the office
    NO_PASS = "no-pass"  # may not leave now


@dataclass(frozen=True)
class Lists:
    """Three lists that belong together; never changed, so that any thread may read them."""

    cards: CardList
    exits: ExitList
    inside: InsideList
    holders: Mapping[bytes, int] = field(default_factory=dict)
    groups: tuple[int, ...] = ()  # by holder
    passes: Mapping[int, list[gatelist.Pass]] = field(default_factory=dict)

    def holder(self, card: str) -> int | None:
        """Who holds a card: a number, NOBODY when it is lost or blocked, None when the school does not know it."""
        return self.holders.get(gatelist.hashed(card, self.cards.key))

    def may_leave(self, holder: int, now: int) -> bool:
        """Whether a pupil may go at this time, as far as the list says anything of it."""
        if not self.exits.strict or not self.exits.starts <= now < self.exits.ends:
            return True
        timetable = self.cards.groups[self.groups[holder]].timetable
        own = [(each.starts, each.ends) for each in self.passes.get(holder, ())]
        return any(starts <= now < ends for starts, ends in [*self.exits.free.get(timetable, ()), *own])

    def answer(self, card: str, direction: Direction, now: int | None) -> Answer:
        """What to say to a card; without a time (the clock is not set) nobody is held back."""
        holder = self.holder(card)
        if holder is None or holder >= len(self.groups):
            return Answer.STRANGE
        if direction is Direction.OUT and now is not None and not self.may_leave(holder, now):
            return Answer.NO_PASS
        return Answer.KNOWN


def joined(raw: Mapping[ListKind, bytes]) -> Lists | None:
    """The lists when all three are there and count in the same holders. Raises BadList."""
    if set(raw) != set(ListKind):
        return None
    exits = gatelist.unpacked(raw[ListKind.EXITS], ExitList)
    inside = gatelist.unpacked(raw[ListKind.INSIDE], InsideList)
    if not exits.cards == inside.cards == gatelist.version(raw[ListKind.CARDS]):
        return None
    cards = gatelist.unpacked(raw[ListKind.CARDS], CardList)
    passes: dict[int, list[gatelist.Pass]] = {}
    for each in exits.passes:
        passes.setdefault(each.holder, []).append(each)
    return Lists(cards, exits, inside, cards.holders(), tuple(cards.group_numbers()), passes)


def _nobody_known(cards: bytes) -> bytes:
    """Stands in for a lost list of who is inside: no word since 1970."""
    return gatelist.packed(InsideList(cards=gatelist.version(cards), at=0, holders=b""))


class Cards:
    """The lists that this gate holds, on its disk too (sealed), and those on their way to it."""

    def __init__(self, folder: Path, seal: Seal) -> None:
        self.folder = folder
        self.seal = seal
        self.lists: Lists | None = None
        self._raw: dict[ListKind, bytes] = {}  # of `lists`, packed
        self._next: dict[ListKind, bytes] = {}  # whole, and not yet joined to a set
        self._pieces = {kind: Pieces() for kind in ListKind}

    def open(self) -> None:
        """Take what lies on the disk. What cannot be read is asked of the server anew, by not naming it.

        Who is inside is written every minute, so it is what a power cut spoils: the others decide without it.
        """
        kept = {kind: raw for kind in ListKind if (raw := self._read(kind))}
        stand_in = {ListKind.INSIDE: _nobody_known(kept.get(ListKind.CARDS, b""))}
        for lists in (kept, kept | stand_in):
            try:
                self.lists = joined(lists)
            except BadList as error:
                log.error("the card list on the disk is damaged, and asked for again: %s", error)
            if self.lists is not None:
                self._raw = lists
                return

    def _read(self, kind: ListKind) -> bytes:
        try:
            return self.seal.open(self._path(kind).read_bytes(), f"list {kind}".encode())
        except FileNotFoundError:
            return b""
        except (Foreign, OSError) as error:
            log.error("the list of %s on the disk cannot be read, and is asked for again: %s", kind, error)
            return b""

    def _path(self, kind: ListKind) -> Path:
        return self.folder / f"{kind}.list"

    def versions(self) -> dict[str, str]:
        """The versions of what is held or waits for the rest of its set."""
        return {kind: gatelist.version(raw) for kind, raw in (self._raw | self._next).items()}

    def take(self, part: ListPart) -> bool:
        """One piece from the server; true when it completed a list, so that the server should hear of it."""
        try:
            raw = self._pieces[part.kind].take(part)
            if raw is None:
                return False
            self._next[part.kind] = raw
            lists = joined(self._raw | self._next)
        except BadList as error:
            self._next.pop(part.kind, None)
            log.error("a list of %s from the server is no such, and thrown away: %s", part.kind, error)
            return False
        if lists is not None:
            self._switch(lists)
        return True

    def _switch(self, lists: Lists) -> None:
        """All three at once. On the disk one after the other: what does not match there is asked for again."""
        new, self._next = self._next, {}
        self.lists, self._raw = lists, self._raw | new
        for kind, raw in new.items():
            try:
                durable.write(self._path(kind), self.seal.seal(raw, f"list {kind}".encode()))
            except OSError as error:
                log.error("the list of %s cannot be kept on the disk: %s", kind, error.strerror)
        if ListKind.CARDS in new:
            log.info("card list %s: %d cards", gatelist.version(new[ListKind.CARDS])[:8], len(lists.holders))

    def answer(self, card: str, direction: Direction, at: int, clock: ClockState) -> Answer:
        """What to say to a card at UTC milliseconds `at`; without any list every card is welcome."""
        if self.lists is None:
            return Answer.KNOWN
        return self.lists.answer(card, direction, None if clock is ClockState.UNSYNCED else at)

    def answer_to(self, tap: Tap) -> Answer:
        """What to say to a card that was stored just now. One that proves itself may have a new UID each time."""
        found = self.answer(tap.card, tap.direction, tap.at, tap.clock)
        return Answer.KNOWN if tap.sun and found is Answer.STRANGE else found
