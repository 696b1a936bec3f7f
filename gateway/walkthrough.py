"""One walk through a gate is one tap, however often a long-range tag is read on the way. Pure: time comes as ticks.

A UHF or active tag is heard many times a second from metres away. A tap is made when a tag was read `count` times
within `within_ms`, at least once as strongly as `rssi_dbm`; then it is silent until nobody has heard the tag for
`silence_ms`, so that a child who waits beside the gate for an hour is one tap. Its time is when the tag was first
heard: that is when the child came.

Where readers or antennas stand outside and inside, the order of the reads tells the way. Each pair of an outside and an
inside read is a vote, strong reads weigh more, and four votes of five decide. Whoever turns round or stands there votes
for both: then the direction is `both` and the server works it out, which is better than a guess. So that both sides are
heard, such a tap waits until the tag was quiet for SETTLE_MS, but WATCH_MS at most.
"""

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.readers.base import Card
from gateway.wire import Direction

SETTLE_MS = 1_500
WATCH_MS = 12_000
LOOK_MS = 100  # so often at most each read makes us look after all others
DECIDED = 0.8  # share of the votes
SURELY = 0.9  # the same while the tag is still heard
LEAST_A_SIDE = 3  # reads without which a side was not really seen
MOST_TAGS = 5_000  # more than pass a gate in a silence; then the tag heard longest ago is forgotten


class Side(StrEnum):
    """Where an antenna stands."""

    OUTSIDE = "outside"
    INSIDE = "inside"


@dataclass(frozen=True)
class Rules:
    """What makes a tap. `sides` is by reader and antenna; the antenna None is all of a reader's."""

    count: int = 3
    rssi_dbm: float | None = None
    within_ms: int = 10_000
    silence_ms: int = 30_000
    sides: Mapping[tuple[str, int | None], Side] = field(default_factory=dict)

    def side(self, reader: str, antenna: int | None) -> Side | None:
        """Where a read came from, if that is known."""
        return self.sides.get((reader, antenna)) or self.sides.get((reader, None))


@dataclass(frozen=True)
class Passed:
    """A tap: by the reader that heard the tag first, at the ticks of that. No `direction`: the reader's own."""

    card: Card
    reader: str
    ticks: int
    direction: Direction | None
    reads: int
    peak: float | None


@dataclass(slots=True)
class Seen:
    """One side's reads of a tag."""

    reads: int = 0
    weight: float = 0.0

    def add(self, weight: float) -> None:
        """One more."""
        self.reads += 1
        self.weight += weight


@dataclass(slots=True)
class Evidence:
    """Reads of one tag, summed up: its size does not grow with their number."""

    card: Card
    reader: str
    first: int
    last: int = 0
    reads: int = 0
    peak: float | None = None
    outside: Seen = field(default_factory=Seen)
    inside: Seen = field(default_factory=Seen)
    inward: float = 0.0  # weight of the pairs in which the outside read came first

    def add(self, card: Card, reader: str, side: Side | None, ticks: int) -> None:
        """One more read."""
        if not self.reads:
            self.card, self.reader, self.first = card, reader, ticks
        self.last, self.reads = ticks, self.reads + 1
        if card.rssi is not None and (self.peak is None or card.rssi > self.peak):
            self.peak = card.rssi
        self._vote(side, 1.0 if card.rssi is None else 10 ** (card.rssi / 20))

    def _vote(self, side: Side | None, weight: float) -> None:
        if side is Side.OUTSIDE:
            self.outside.add(weight)
        elif side is Side.INSIDE:
            self.inside.add(weight)
            self.inward += weight * self.outside.weight

    def after(self, older: "Evidence | None") -> "Evidence":
        """Both as one."""
        if older is None or not older.reads:
            return self
        return Evidence(
            self.card,
            older.reader,
            older.first,
            self.last,
            older.reads + self.reads,
            max((peak for peak in (older.peak, self.peak) if peak is not None), default=None),
            Seen(older.outside.reads + self.outside.reads, older.outside.weight + self.outside.weight),
            Seen(older.inside.reads + self.inside.reads, older.inside.weight + self.inside.weight),
            older.inward + self.inward + older.outside.weight * self.inside.weight,
        )

    def suffices(self, rules: Rules) -> bool:
        """Whether somebody is at the gate and not only somewhere near it."""
        near = rules.rssi_dbm is None or self.peak is None or self.peak >= rules.rssi_dbm
        return self.reads >= rules.count and near

    def direction(self, decided: float) -> Direction:
        """The way, if that share of the votes says so."""
        if min(self.outside.reads, self.inside.reads) < LEAST_A_SIDE:
            return Direction.BOTH
        share = self.inward / (self.outside.weight * self.inside.weight)
        if share >= decided:
            return Direction.IN
        return Direction.OUT if share <= 1 - decided else Direction.BOTH


OPPOSITE = {Direction.IN: Direction.OUT, Direction.OUT: Direction.IN}


class Visit:
    """A tag that is at the gate. Two spells of half the window each are kept, so that what is old falls away."""

    def __init__(self, fresh: Evidence) -> None:
        self.fresh = fresh
        self.older: Evidence | None = None
        self.watched: int | None = None  # since when only the direction is waited for
        self.came: Evidence | None = None  # the reads that made it a tap
        self.tapped = False
        self.told: Direction | None = None

    @property
    def last(self) -> int:
        """When it was last heard."""
        return self.fresh.last

    def all(self) -> Evidence:
        """What counts now."""
        return self.fresh.after(self.older)

    def turn(self, fresh: Evidence, *, spell: int) -> None:
        """Begin a new spell; the one before counts on if it is not long ago."""
        self.older = self.fresh if fresh.first - self.fresh.last <= spell else None
        self.fresh = fresh

    def clear(self) -> None:
        """Begin anew to look where the tag goes; that it was heard is not forgotten."""
        self.older, self.watched, self.came = None, None, None
        self.fresh = Evidence(self.fresh.card, self.fresh.reader, self.fresh.last, self.fresh.last)


class Walkthrough:
    """The memory of one way through: of one reader, or of two that stand on its two sides."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.unconfirmed = Counter[str]()  # by reader: tags that were heard and never made a tap
        self._visits = OrderedDict[str, Visit]()  # the one heard longest ago first
        self._watched = dict[str, None]()
        self._looked = 0  # when `due` was asked last

    def see(self, card: Card, reader: str, ticks: int) -> list[Passed]:
        """One read; gives the taps that it makes, or that the time until now has made."""
        passed = self.due(ticks) if ticks - self._looked >= LOOK_MS else []
        visit = self._visited(card, reader, ticks)
        visit.fresh.add(card, reader, self.rules.side(reader, card.antenna), ticks)
        if visit.watched is not None or (visit.tapped and visit.told not in OPPOSITE):
            return passed
        seen = visit.all()
        if seen.suffices(self.rules):
            passed += self._suffices(visit, seen, ticks)
        return passed

    def due(self, ticks: int) -> list[Passed]:
        """The taps that waited for their direction until now."""
        self._looked = ticks
        found = [self._settled(self._visits[text], ticks) for text in tuple(self._watched)]
        self._forget_old(ticks)
        return [passed for passed in found if passed is not None]

    @property
    def waiting(self) -> bool:
        """Whether `due` should be asked again soon."""
        return bool(self._watched)

    def forget(self, text: str) -> None:
        """The tap could not be kept: the next reads of this card make it again."""
        self._visits.pop(text, None)
        self._watched.pop(text, None)

    def _visited(self, card: Card, reader: str, ticks: int) -> Visit:
        visit, spell = self._visits.pop(card.text, None), self.rules.within_ms // 2
        if visit is None:
            visit = Visit(Evidence(card, reader, ticks))
        elif visit.watched is None and ticks - visit.fresh.first > spell:
            visit.turn(Evidence(card, reader, ticks), spell=spell)
        self._visits[card.text] = visit
        while len(self._visits) > MOST_TAGS:
            self.forget(next(iter(self._visits)))
        return visit

    def _suffices(self, visit: Visit, seen: Evidence, ticks: int) -> list[Passed]:
        if self.rules.sides:
            visit.watched, visit.came = ticks, seen
            self._watched[seen.card.text] = None
            return []
        visit.tapped = True
        return [_passed(seen, seen, None)]

    def _settled(self, visit: Visit, ticks: int) -> Passed | None:
        """The tap of a tag whose direction has been waited for long enough."""
        gone, waited = ticks - visit.last >= SETTLE_MS, ticks - (visit.watched or 0) >= WATCH_MS
        if not gone and not waited:
            return None
        seen = visit.all()
        came, way = visit.came or seen, seen.direction(DECIDED if gone else SURELY)
        self._watched.pop(seen.card.text)
        visit.clear()
        if visit.told is not None and way is not OPPOSITE[visit.told]:
            return None  # still the same passage, or somebody who stands about
        visit.tapped, visit.told = True, way
        return _passed(came, seen, way)

    def _forget_old(self, ticks: int) -> None:
        while self._visits:
            text, visit = next(iter(self._visits.items()))
            if ticks - visit.last <= self.rules.silence_ms or text in self._watched:
                return
            del self._visits[text]
            if not visit.tapped:
                self.unconfirmed[visit.fresh.reader] += 1


def _passed(came: Evidence, seen: Evidence, direction: Direction | None) -> Passed:
    return Passed(came.card, came.reader, came.first, direction, seen.reads, seen.peak)
