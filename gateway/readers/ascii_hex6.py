"""Wiegand converters that send 24 bits as six hex digits and CR (WIE232-A): `016273` is 90739, never 16273.

Source: priority1design.com.au/wiegand_to_rs232_converter.html. There is no check: the converter has checked the Wiegand
parity, the line after it is trusted only in its exact form.
"""

import re
from typing import ClassVar

from gateway.readers import _identity
from gateway.readers.base import Card, Fault, Frame, Idle, More, Noise, Reader, Step

LINE = re.compile(rb"([0-9A-Fa-f]{6})[\r\n]")
PART = re.compile(rb"[0-9A-Fa-f]{1,6}")


class AsciiHex6(Reader):
    technology = "w26"
    longest: ClassVar[int] = 16

    def take(self, window: bytes) -> Step:
        # hex x6  CR or LF or both
        if window[0] in b"\r\n":
            return Idle()
        if line := LINE.match(window):
            return Frame(7, (_identity.card("w26", bytes.fromhex(line[1].decode())),))
        if PART.fullmatch(window):
            return More("framing")
        end = re.search(rb"[^\x21-\x7e]+", window)
        return Noise(end.end() if end else len(window))

    @classmethod
    def frame(cls, card: str) -> bytes:
        return _identity.raw_of(card).hex().upper().encode() + b"\r"


PROTOCOL = AsciiHex6
EXAMPLES = [
    (b"016273\r".hex(), [Card("w26:016273")]),
    (b"293D48\r\n".hex(), [Card("w26:293D48")]),
    (b"293D4\r".hex(), [Fault("framing")]),
]
