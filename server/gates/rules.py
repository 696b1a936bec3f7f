"""When a gate is silent, and which tap numbers are missing. No clock, no database."""

from collections.abc import Iterable
from dataclasses import dataclass

SILENT = 90.0  # real seconds without a word
SETTLE = 30.0  # real seconds that numbers may be missing before it is a gap: disorder on the way mends itself

ASK_AGAIN = 3600.0  # real seconds between two requests for the same missing numbers


@dataclass(frozen=True, order=True)
class Gap:
    """A time in which taps may be missing, seconds after the school's midnight."""

    starts: int
    ends: int


@dataclass(frozen=True)
class Heard:
    """What is known of a gateway now: real seconds since it was heard, and since its oldest unsent tap."""

    ago: float
    online: bool
    waiting: float = 0.0  # 0 when nothing waits
    readers_up: bool = True


def is_silent(heard: Heard) -> bool:
    """Whether taps may be missing: not heard, gone, no reader left, or it cannot hand over what it has."""
    return not heard.online or not heard.readers_up or heard.ago >= SILENT or heard.waiting >= SILENT


def before_runs(numbers: Iterable[int]) -> list[int]:
    """The numbers just before each run of consecutive ones: [4, 5, 9] -> [3, 8]. Numbers begin with 1."""
    known = set(numbers)
    return sorted(n - 1 for n in known if n > 1 and n - 1 not in known)


def missing(first: int, last: int, stored: Iterable[int]) -> list[tuple[int, int]]:
    """What remains of first..last: 10..20 with 12 and 13 stored -> [(10, 11), (14, 20)]."""
    found = []
    start = first
    for n in sorted(stored):
        if n > start:
            found.append((start, n - 1))
        start = max(start, n + 1)
    return [*found, (start, last)] if start <= last else found
