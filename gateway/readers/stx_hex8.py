"""Readers that send 32 bits as eight hex digits: STX, digits, CR LF, ETX.

Source: a public capture of such a reader at 115200 (`STX 4050B047 CR LF ETX`). There is no check: one changed digit is
another number, so only cards that the school knows may count.
"""

from typing import ClassVar

from gateway.readers import _hexline, _identity
from gateway.readers.base import Card, Fault, Frame, Reader, Step

TAIL = b"\r\n\x03"


class StxHex8(Reader):
    baud = 115200
    technology = "w34"
    longest: ClassVar[int] = 12

    def take(self, window: bytes) -> Step:
        # STX  hex x8  CR  LF  ETX
        digits = _hexline.digits_of(window, count=8, tail=TAIL)
        if not isinstance(digits, bytes):
            return digits
        return Frame(12, (_identity.card("w34", bytes.fromhex(digits.decode())),))

    @classmethod
    def frame(cls, card: str) -> bytes:
        return b"\x02" + card.partition(":")[2].encode() + TAIL


PROTOCOL = StxHex8
EXAMPLES = [
    ("0234303530423034370d0a03", [Card("w34:4050B047")]),
    ("0234303530423034370d0a", [Fault("framing")]),
]
