"""RDM6300 / RDM630, 125 kHz, TX only: the frame repeats every 65 ms or so while a card lies there.

Sources: SeeedDocument 125Khz_RFID_module-UART.md; mad-tinkerer/python-rdm6300; esprfid/esp-rfid#411 for the phantoms.
"""

from typing import ClassVar, Literal

from gateway.readers import _hexline
from gateway.readers.base import Card, Fault, Reader, Step

Check = Literal["xor", "sum"]


class Rdm6300(Reader):
    """`checksum="sum"` is for the rare clone that adds the five bytes instead of XORing them."""

    technology = "em4100"
    confirm = 2  # the repeat is free, and noise with a valid XOR is known
    longest: ClassVar[int] = 14

    def __init__(self, checksum: Check = "xor") -> None:
        super().__init__()
        if checksum not in {"xor", "sum"}:
            raise ValueError(f"checksum is xor or sum, not {checksum!r}")
        self.checksum = checksum

    def take(self, window: bytes) -> Step:
        # STX  id x10  xor x2  ETX
        return _hexline.framed(window, tail=b"\x03", check=self.checksum)

    @classmethod
    def frame(cls, card: str) -> bytes:
        return b"\x02" + _hexline.text_of(card) + b"\x03"


PROTOCOL = Rdm6300
EXAMPLES = [
    ("0236373030334235314336434203", [Card("em4100:67003B51C6")]),
    ("0236324533303836434544303803", [Card("em4100:62E3086CED")]),
    ("0236383030334235314336434203", [Fault("checksum")]),
    ("0230303030303030303030303003", [Fault("phantom")]),
]
