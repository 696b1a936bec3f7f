"""A card's number as people write it -> the canonical text that gateways send. No clock, no database."""

import re
from collections import defaultdict
from collections.abc import Iterable

from gateway import forms
from gateway.forms import EXAMPLE
from server.people import rules as people


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
