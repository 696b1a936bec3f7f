"""A card in every spelling in which readers send it and printers print it, by the rule's name. Pure: no I/O, no clock.

The gate keeps one canonical text (`em4100:0700673158`); all else is computed here. Facts: low-cost EM4100 cards carry
`0006762840 103,12632`; readers of ISO 14443A disagree on the byte order (MFRC522-python#16, OCA/hr#619), scripts print
bytes without their zeros (esp-rfid#466), Wiegand 26 carries 24 bits, all of them inverted when D0 and D1 are swapped
(esp-rfid#395, Arduino forum 1221511). Which rules apply depends on how many bytes the card's number has:

    any                             hex, hex_nozero
    3: w26                          the rules of 24 bits
    4: w34, iso14443a, active       the rules of 24 and of 32 bits
    5: em4100                       those of its last four bytes, and 13D
    7, 10: iso14443a; any epc       none more: which of the bytes a reader makes a number of, nobody has laid down
"""

import re
from collections.abc import Callable

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
ALL_24 = 0xFFFFFF

Rule = Callable[[bytes], str]


class NotCanonical(ValueError):
    """Not a card as a gateway names it; the sentence says what is."""


def parts(card: str) -> tuple[str, bytes]:
    """Technology and bytes of a canonical card; hex digits in either case. Raises NotCanonical."""
    technology, colon, digits = card.partition(":")
    if not colon:
        raise NotCanonical(f"{card!r} does not say the kind of card before a colon; write it as in {EXAMPLE}")
    if technology not in LENGTHS:
        raise NotCanonical(f"{technology!r} is no kind of card; there are: {', '.join(LENGTHS)}")
    if not re.fullmatch(r"[0-9A-Fa-f]+", digits) or len(digits) not in LENGTHS[technology]:
        wanted = " or ".join(str(length) for length in sorted(LENGTHS[technology])[:3])
        raise NotCanonical(f"after {technology}: stand {wanted} hexadecimal digits, as in {EXAMPLE}")
    return technology, bytes.fromhex(digits)


def forms(card: str) -> dict[str, str]:
    """Rule -> text of a canonical card, for exactly the rules that apply to it. Raises NotCanonical."""
    technology, number = parts(card)
    return {name: rule(number) for name, rule in rules_for(technology, number).items()}


def rules_for(technology: str, number: bytes) -> dict[str, Rule]:
    """The rules that apply to a card's number, by its length."""
    rules = dict(OF_ANY)
    if technology == "epc":
        return rules
    if len(number) in {3, 4, 5}:
        rules |= OF_24_BITS
    if len(number) in {4, 5}:
        rules |= OF_32_BITS
    if len(number) == 5:
        rules |= OF_40_BITS
    return rules


def low24(number: bytes) -> int:
    """All that a 24-bit (Wiegand 26) reader sends of a number."""
    return int.from_bytes(number[-3:])


def _joined(number: bytes) -> str:
    return "".join(f"{byte:X}" for byte in number)  # 0B is printed as B: a zero of a byte is lost


def _pair(number: bytes, high: int) -> str:
    """`high` bytes and the last two, as two decimals: 103,12632."""
    first, last = int.from_bytes(number[-2 - high : -2]), int.from_bytes(number[-2:])
    return f"{first:0{3 if high == 1 else 5}},{last:05}"


def _reversed(number: bytes) -> bytes:
    return number[-4:][::-1]


def _w26(number: bytes) -> str:
    bits = f"{low24(number):024b}"
    even, odd = bits[:12].count("1") % 2, 1 - bits[12:].count("1") % 2
    return f"{even}{bits}{odd}"  # even parity over the first 12, odd parity over the last 12


def _inverted(bits: str) -> str:
    return bits.translate(str.maketrans("01", "10"))


OF_ANY: dict[str, Rule] = {
    "hex": lambda number: number.hex().upper(),
    "hex_nozero": _joined,
}
OF_24_BITS: dict[str, Rule] = {
    "24d": lambda number: str(low24(number)),
    "6H8D": lambda number: f"{low24(number):08}",
    "2.3.5": lambda number: _pair(number, 1),
    "w26_bits": _w26,
    "w26_bits_inverted": lambda number: _inverted(_w26(number)),
    "inv24_10D": lambda number: f"{low24(number) ^ ALL_24:010}",
}
OF_32_BITS: dict[str, Rule] = {
    "10D": lambda number: f"{int.from_bytes(number[-4:]):010}",
    "4.5": lambda number: _pair(number, 2),
    "hex4_rev": lambda number: _reversed(number).hex().upper(),
    "10D_rev": lambda number: f"{int.from_bytes(_reversed(number)):010}",
    "24d_le_low": lambda number: str(low24(_reversed(number))),
    "hex4_rev_nozero": lambda number: _joined(_reversed(number)).lower(),
    "hex_rev_nozero_dec": lambda number: str(int(_joined(_reversed(number)), 16)),
}
OF_40_BITS: dict[str, Rule] = {
    "13D": lambda number: f"{int.from_bytes(number):013}",
}
