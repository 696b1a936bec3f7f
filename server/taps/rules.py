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


def settled(at: int, clock: str, *, received: int, guess: int | None) -> tuple[int, str]:
    """The time to file a tap under, and how far it is trusted; all in UTC milliseconds.

    `guess` is when it was by the ticks of the same boot, counted back from its receipt (None: another boot).
    A tap from the future proves its clock wrong. An untrusted time only finds the day; it never makes anyone late.
    """
    if clock != UNSYNCED and at <= received + AHEAD:
        return at, clock
    if guess is not None:
        return min(guess, received), UNSYNCED
    return (at if received - KEPT <= at <= received else received), UNSYNCED


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


def stays_inside(days: Iterable[Collection[Passage]]) -> bool:
    """Whether who tapped on these dates, one after the other, is inside after them: the last passage was an entry."""
    inside = False
    for passages in days:
        found = [each for each in directed([*begun(inside), *passages]) if each.trusted]
        inside = found[-1].direction == "in" if found else inside
    return inside


def begun(inside: bool) -> list[Passage]:
    """What a day begins with for who is inside already."""
    return [Passage(0, "in")] if inside else []
