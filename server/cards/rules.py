"""A card's number as people write it -> the canonical text that gateways send. No clock, no database."""

import re

from server.people import rules as people

# technology -> hexadecimal digits that it may have
LENGTHS = {
    "em4100": {10},
    "iso14443a": {8, 14, 20},
    "epc": set(range(4, 65, 4)),
    "w26": {6},
    "w34": {8},
    "active": set(range(4, 17, 2)),
}
EXAMPLE = "em4100:67003B51C6"


class BadCard(ValueError):
    """Not a card as a gateway names it; the text says why and what to do."""


def canonical(text: str) -> str:
    """`em4100:67003b51c6` -> `em4100:67003B51C6`. Raises BadCard, for a number printed on a card too."""
    written = people.plain(text)
    technology, colon, digits = written.partition(":")
    technology, digits = technology.strip().lower(), re.sub(r"[\s-]", "", digits).upper()
    if not colon:
        raise BadCard(_unnamed(written))
    if technology not in LENGTHS:
        raise BadCard(f"{technology!r} is no kind of card; there are: {', '.join(LENGTHS)}")
    if not re.fullmatch(r"[0-9A-F]+", digits) or len(digits) not in LENGTHS[technology]:
        wanted = " or ".join(str(length) for length in sorted(LENGTHS[technology])[:3])
        raise BadCard(f"after {technology}: stand {wanted} hexadecimal digits, as in {EXAMPLE}")
    if technology != "epc" and (not digits.strip("0") or not digits.strip("F")):
        raise BadCard("all zeros or all F is what a reader sends without a card")
    return f"{technology}:{digits}"


def _unnamed(written: str) -> str:
    if people.DAMAGED.fullmatch(written):
        return "a spreadsheet has cut this number; format the column as text and fill it in again"
    if re.fullmatch(r"(?=.*[A-Fa-f])[0-9A-Fa-f]{10}", written):
        return f"write the kind of card before it, as in em4100:{written.upper()}"
    return (
        "a number printed on a card is only a part of what a reader sends; leave the cell empty and touch the card"
        f" at the gate (page Gates), or write it as the gate shows it, as in {EXAMPLE}"
    )
