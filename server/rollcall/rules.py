"""Who must be looked for in an evacuation, and which class is complete. No clock, no database."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

VISITORS, STAFF = "visitors", "staff"  # parts of a roll beside the classes
TICKING = 90  # seconds after a tick in which somebody counts as busy there
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class RollKind(StrEnum):
    """Whether anything burns."""

    DRILL = "drill"
    REAL = "real"


class Standing(StrEnum):
    """Why somebody is on the list."""

    INSIDE = "inside"
    UNCONFIRMED = "unconfirmed"  # the gate may have missed them: to be looked for too
    DISPUTED = "disputed"  # the gate saw them come, a teacher marked them absent


@dataclass(frozen=True)
class DeskPolicy:
    """How many days a visitor's name and purpose are kept."""

    keep_days: int = field(default=30, metadata={"least": 1, "most": 400})


@dataclass(frozen=True)
class Known:
    """What a day's verdict says of one pupil."""

    status: str
    inside: bool = False
    absent_by_teacher: bool = False
    exit_unknown: bool = False  # came in, and had not gone out when the day closed
    last_out: int | None = None  # second of the day


def standing(known: Known, blind_until: int | None) -> Standing | None:
    """Why this pupil is to be looked for; None for who is surely not in school.

    `blind_until`: the last second of the day up to which a gate may have missed taps. Better one name too many.
    """
    if known.inside:
        return Standing.DISPUTED if known.absent_by_teacher else Standing.INSIDE
    if known.status in {"in_school", "late"}:
        return Standing.INSIDE
    if known.status == "unconfirmed" or known.exit_unknown:
        return Standing.UNCONFIRMED
    if known.status in {"excused", "off"} or blind_until is None:
        return None
    return Standing.UNCONFIRMED if blind_until > (known.last_out or 0) else None


@dataclass(frozen=True)
class Tally:
    """One part of a roll in numbers. The doubtful (unconfirmed and disputed) are counted apart."""

    inside: int = 0
    inside_there: int = 0
    doubtful: int = 0
    doubtful_there: int = 0

    @property
    def missing(self) -> int:
        """Surely in school, and not ticked."""
        return self.inside - self.inside_there

    @property
    def doubtful_missing(self) -> int:
        """Perhaps in school, and not ticked."""
        return self.doubtful - self.doubtful_there

    @property
    def is_complete(self) -> bool:
        """Everybody ticked, those too whom the gate may have missed."""
        return not self.missing and not self.doubtful_missing

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.inside + other.inside,
            self.inside_there + other.inside_there,
            self.doubtful + other.doubtful,
            self.doubtful_there + other.doubtful_there,
        )


def tally(entries: Iterable[tuple[str, bool]]) -> Tally:
    """Numbers from each entry's standing and whether it is ticked."""
    sure, sure_there, doubt, doubt_there = 0, 0, 0, 0
    for why, there in entries:
        if why == Standing.INSIDE:
            sure, sure_there = sure + 1, sure_there + there
        else:
            doubt, doubt_there = doubt + 1, doubt_there + there
    return Tally(sure, sure_there, doubt, doubt_there)


def urgency(count: Tally) -> tuple[int, int]:
    """Sorts parts: most missing first, then those with most in doubt."""
    return -count.missing, -count.doubtful_missing


def cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text
