"""Dual 125 kHz and 13.56 MHz modules with Wiegand and UART outputs: one frame for each presentation.

Sources: allinbest.com and rhombusacs.myshopify.com product pages; neweggbusiness 9b-0yh-046v-00015. An EM4100 is sent
with four bytes (then only its lower 32 bits are known: `w34:`) or with all five.
"""

from typing import ClassVar

from gateway.readers import _checks, _identity
from gateway.readers._layout import Layout, ends_with_xor
from gateway.readers.base import Bad, Card, Fault, Frame, Reader, Step

MIFARE, EM = 1, 2
LAYOUT = Layout(
    b"\x02",
    2,
    lambda window: window[1] if 8 <= window[1] <= 15 else 0,
    ends_with_xor(1),
    b"\x03",
)
SIZES = {MIFARE: (4, 7, 10), EM: (4, 5)}


class Dual125k13m(Reader):
    technology = "iso14443a"
    longest: ClassVar[int] = 15

    def take(self, window: bytes) -> Step:
        # STX  length of all  type  id...  xor  ETX
        frame = LAYOUT.take(window)
        if not isinstance(frame, bytes):
            return frame
        kind, raw = frame[2], frame[3:-2]
        if kind not in SIZES:
            return Frame(len(frame), (Fault("protocol", f"card type {kind} is not known"),))
        if len(raw) not in SIZES[kind]:
            return Bad("length", len(frame), f"no card of type {kind} has {len(raw)} bytes")
        four = kind == EM and len(raw) == 4
        return Frame(len(frame), (_identity.card("w34", raw) if four else _identity.contactless(raw),))

    @classmethod
    def frame(cls, card: str) -> bytes:
        raw = _identity.raw_of(card)
        body = bytes([len(raw) + 5, MIFARE if card.startswith("iso14443a") else EM]) + raw
        return b"\x02" + body + bytes([_checks.xor(body)]) + b"\x03"


PROTOCOL = Dual125k13m
EXAMPLES = [
    ("020902042e5382f003", [Card("w34:042E5382")]),
    ("020a0206008e6d5db003", [Card("em4100:06008E6D5D")]),
    ("0209016b3d12d69a03", [Card("iso14443a:6B3D12D6")]),
    ("020902042e5382f103", [Fault("checksum")]),
    ("020902042e53f003", [Fault("length")]),
]
