"""EM-18, 125 kHz: twelve hex digits for each presentation, with nothing before or after them.

Sources: cparkb2c.in product page; PyPI pyem18. Without a delimiter only the XOR and the silence between two cards
tell where a frame begins, so a lost digit is the fault `length` as soon as the line is silent.
"""

from typing import ClassVar, Literal

from gateway.readers import _hexline
from gateway.readers.base import Bad, Card, Fault, Frame, Idle, More, Noise, Reader, Step

DIGITS = _hexline.DIGITS


class Em18(Reader):
    """`checksum="sum"` is for the rare clone that adds the five bytes instead of XORing them."""

    technology = "em4100"
    longest: ClassVar[int] = 12

    def __init__(self, checksum: Literal["xor", "sum"] = "xor") -> None:
        super().__init__()
        if checksum not in {"xor", "sum"}:
            raise ValueError(f"checksum is xor or sum, not {checksum!r}")
        self.checksum = checksum

    def take(self, window: bytes) -> Step:
        # id x10  xor x2
        if window[0] in b"\r\n":
            return Idle()
        digits = next((at for at, byte in enumerate(window) if byte not in DIGITS), len(window))
        if digits == 0:
            return Noise()
        if digits < len(window):
            return Bad("length" if window[digits] in b"\r\n" else "framing", digits)
        if digits < 12:
            return More("length")
        value = _hexline.em4100(window, check=self.checksum)
        return Bad("checksum", 12) if value is None else Frame(12, (value,))

    @classmethod
    def frame(cls, card: str) -> bytes:
        return _hexline.text_of(card)


PROTOCOL = Em18
EXAMPLES = [
    ("343530304335443145394238", [Card("em4100:4500C5D1E9")]),
    ("343530304335443145394239", [Fault("checksum")]),
    ("3530304335443145394238", [Fault("length")]),
]
