"""Innovations ID-12LA / ID-20LA (ASCII output on D0), 125 kHz: one frame for each presentation.

Sources: ID-12 data sheet p.4 (forum.arduino.cc t/14447); slab.concordia.ca/arduino/rfid. D1 is the same signal
inverted and gives only noise (community.sparkfun.com t/45060).
"""

from typing import ClassVar

from gateway.readers import _hexline
from gateway.readers.base import Card, Fault, Reader, Step


class Id12la(Reader):
    technology = "em4100"
    longest: ClassVar[int] = 16

    def take(self, window: bytes) -> Step:
        # STX  id x10  xor x2  CR  LF  ETX
        return _hexline.framed(window, tail=b"\r\n\x03")

    @classmethod
    def frame(cls, card: str) -> bytes:
        return b"\x02" + _hexline.text_of(card) + b"\r\n\x03"


PROTOCOL = Id12la
EXAMPLES = [
    ("023037303036373331353830390d0a03", [Card("em4100:0700673158")]),
    ("023632453330383643454430380a03", [Fault("framing")]),
    ("3fcccce6e6e6ccf9322a3e2acad6f200", [Fault("framing")]),
]
