"""How many messages an operator bills for a text: GSM 7 bit, UCS-2, and the Chinese operators' count of characters.

3GPP TS 23.038 section 6.2.1 (default alphabet and its extension table), TS 23.040 section 9.2.3.24.1 (joined parts).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = frozenset("\f^{}\\[~]|€")  # two septets each: escape and the character


class Rule(StrEnum):
    """Who counts: the air interface, or a Chinese operator that bills every text by characters, sign included."""

    GSM = "gsm"
    CN = "cn"


@dataclass(frozen=True)
class Count:
    """`units` are septets, UTF-16 units or characters; `single` is how many of them fit into one message."""

    units: int
    single: int
    segments: int


def is_gsm(text: str) -> bool:
    """Whether the default alphabet and its extension hold every character."""
    return all(character in BASIC or character in EXTENSION for character in text)


def count(text: str, rule: Rule = Rule.CN) -> Count:
    """Units and messages of a text as it is sent, with its sign."""
    if rule is Rule.CN:
        return _count([1] * len(text), single=70, part=67)
    if is_gsm(text):
        return _count([2 if character in EXTENSION else 1 for character in text], single=160, part=153)
    return _count([2 if ord(character) > 0xFFFF else 1 for character in text], single=70, part=67)


def _count(widths: Iterable[int], *, single: int, part: int) -> Count:
    widths = list(widths)
    units = sum(widths)
    if units <= single:
        return Count(units, single, 1)
    parts, used = 1, 0
    for width in widths:  # an escape pair or a surrogate pair is never cut in two
        if used + width > part:
            parts, used = parts + 1, 0
        used += width
    return Count(units, single, parts)
