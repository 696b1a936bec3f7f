"""A card's number as people write it -> the canonical text that gateways send; what a shown counter is worth.

No clock, no database.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gateway import forms
from gateway.forms import EXAMPLE
from server.people import rules as people

RANDOM = re.compile(r"iso14443a:08[0-9A-F]{6}")  # a number that a card makes up for each reading


class Verdict(StrEnum):
    """What became of a tap that had to prove its card, or tried to. Only PROVEN shows that the card was there."""

    PROVEN = "proven"
    LATE = "late"  # genuine and never seen, but it came after a later one: its time says that it was under way
    REPLAY = "replay"  # seen before, or made before one that was shown earlier
    MAC = "mac"  # no card of ours wrote it
    MALFORMED = "malformed"  # no such message, or not as this card writes
    UNKNOWN = "unknown"  # names a card that was given no keys
    OTHER = "other"  # written by another card than the one that was touched
    PLAIN = "plain"  # the number alone, of a card that must prove itself


@dataclass(frozen=True)
class Policy:
    """`count_late`: a genuine message that comes after a later one still counts as its pupil's presence."""

    count_late: bool = False


@dataclass(frozen=True)
class Claim:
    """A counter that a card showed, and when; `timed` is false when the gate's clock proves no time."""

    counter: int
    at: datetime
    timed: bool = True


def claimed(shown: Claim, last: int, known: Iterable[Claim]) -> Verdict:
    """What a genuine message is worth; `last` is the highest accepted counter, `known` those from the shown one on.

    A card counts up with each reading, so a lower counter was written earlier. One that was seen is a copy. One that
    was never seen, and was read at a gate before the next higher one was, is a tap that was held up (a gate without a
    network sends late); read after that, it had been kept by somebody: a copy.
    """
    if shown.counter > last:
        return Verdict.PROVEN
    higher = [claim for claim in known if claim.counter > shown.counter and claim.timed]
    if any(claim.counter == shown.counter for claim in known):
        return Verdict.REPLAY
    return Verdict.REPLAY if shown.timed and any(claim.at < shown.at for claim in higher) else Verdict.LATE


class BadCard(ValueError):
    """Not a card as a gateway names it; the text says why and what to do."""


def canonical(text: str) -> str:
    """`em4100:67003b51c6` -> `em4100:67003B51C6`. Raises BadCard, for a number printed on a card too."""
    written = people.plain(text)
    technology, colon, digits = written.partition(":")
    technology, digits = technology.strip().lower(), re.sub(r"[\s-]", "", digits).upper()
    if not colon:
        raise BadCard(_unnamed(written))
    try:
        forms.parts(f"{technology}:{digits}")
    except forms.NotCanonical as error:
        raise BadCard(str(error)) from None
    if technology != "epc" and (not digits.strip("0") or not digits.strip("F")):
        raise BadCard("all zeros or all F is what a reader sends without a card")
    return f"{technology}:{digits}"


def colliding(cards: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups of canonical cards that a 24-bit (Wiegand 26) reader cannot tell apart: their last three bytes are equal.

    With n cards the chance that any two collide is about n²/2²⁵: 12 % for 2,000 cards. Shorter numbers are left out.
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for card in sorted(set(cards)):
        digits = card.partition(":")[2]
        if len(digits) >= 6:
            alike[digits[-6:]].append(card)
    return sorted(tuple(group) for group in alike.values() if len(group) > 1)


def _unnamed(written: str) -> str:
    if people.DAMAGED.fullmatch(written):
        return "a spreadsheet has cut this number; format the column as text and fill it in again"
    if re.fullmatch(r"(?=.*[A-Fa-f])[0-9A-Fa-f]{10}", written):
        return f"write the kind of card before it, as in em4100:{written.upper()}"
    return (
        "a number printed on a card is only a part of what a reader sends; leave the cell empty and touch the card"
        f" at the gate (page Today shows its last digits), or write it as the gate shows it, as in {EXAMPLE}"
    )
