"""When a tap happened and which way it went, from what the gateway could know. No clock, no database."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

UNSYNCED = "unsynced"
AHEAD = 120_000  # milliseconds that a good clock may be ahead of ours
KEPT = 7 * 86400_000  # longest that a gateway keeps a tap
PASSAGE = 60  # seconds: at a reader for both ways, a second touch within them is the same passage


@dataclass(frozen=True)
class Passage:
    """A tap as a day is judged from: seconds after the school's midnight, in or out, and whether its time counts."""

    at: int
    direction: str
    trusted: bool = True


@dataclass(frozen=True)
class Bounds:
    """UTC milliseconds between which a tap was made; None where no bound is known."""

    earliest: int | None = None
    latest: int | None = None

    def within(self, other: "Bounds") -> "Bounds":
        """Both bounds together; where they contradict each other, these."""
        earliest = max((each for each in (self.earliest, other.earliest) if each is not None), default=None)
        latest = min((each for each in (self.latest, other.latest) if each is not None), default=None)
        return self if earliest is not None and latest is not None and earliest > latest else Bounds(earliest, latest)

    def nearest(self, moment: int) -> int:
        """The moment, or the bound that it lies behind."""
        moment = moment if self.latest is None else min(moment, self.latest)
        return moment if self.earliest is None else max(moment, self.earliest)


UNBOUNDED = Bounds()


@dataclass(frozen=True)
class Settled:
    """The time to file a tap under, how far it is trusted, and for an untrusted one the bounds of the true time."""

    at: int
    clock: str
    bounds: Bounds = UNBOUNDED


def settled(at: int, clock: str, *, received: int, guess: int | None, bounds: Bounds = UNBOUNDED) -> Settled:
    """When a tap was, all in UTC milliseconds.

    `guess` is when it was by the ticks of the same boot, counted back from its receipt (None: another boot): it cannot
    have been later. A tap from the future proves its clock wrong. An untrusted time only finds the day, inside its
    bounds and else as late as it can be; it never makes anyone late.
    """
    if clock != UNSYNCED and at <= received + AHEAD:
        return Settled(at, clock)
    last = received if guess is None else min(guess, received)
    bounds = Bounds(latest=last).within(bounds)
    if guess is None and bounds.earliest is None and received - KEPT <= at <= last:
        last = at
    return Settled(bounds.nearest(last), UNSYNCED, bounds)


def directed(passages: Iterable[Passage]) -> list[Passage]:
    """Say `in` or `out` for readers that stand for both: it turns whoever is inside out and the other way round.

    Works on all taps of one pupil's day, so that it does not matter in which order they came.
    """
    found: list[Passage] = []
    inside, last = False, None
    for tap in sorted(passages, key=lambda tap: (tap.at, tap.direction)):
        either = tap.direction == "both"
        if either and last is not None and tap.at - last < PASSAGE:
            continue
        found.append(replace(tap, direction="out" if inside else "in") if either else tap)
        if tap.trusted:
            inside, last = found[-1].direction == "in", tap.at
    return found


@dataclass(frozen=True)
class Stand:
    """Where somebody is after some days; `unsure`: an entry without a good clock may have come after the last word."""

    inside: bool = False
    unsure: bool = False


def stand_after(days: Iterable[Collection[Passage]]) -> Stand:
    """Where who tapped on these dates, one after the other, is after them: the last trusted passage says it."""
    stand = Stand()
    for passages in days:
        found = directed([*begun(stand.inside), *passages])
        trusted = [each for each in found[stand.inside :] if each.trusted]
        inside = trusted[-1].direction == "in" if trusted else stand.inside
        maybe = any(not each.trusted and each.direction == "in" for each in found)
        stand = Stand(inside, not inside and (maybe or (stand.unsure and not trusted)))
    return stand


def begun(inside: bool) -> list[Passage]:
    """What a day begins with for who is inside already."""
    return [Passage(0, "in")] if inside else []
