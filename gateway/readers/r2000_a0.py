"""Impinj R2000 boards (`A0` protocol, marathon gates): asked for an inventory round again and again.

Sources: vendor protocol as used by public marathon-gate and writer code on the Pi; frames recomputed. The check is a
plain sum, so the tag's PC must also agree with the frame's length.
"""

from typing import ClassVar

from gateway.readers import _checks, _identity
from gateway.readers._layout import Layout
from gateway.readers.base import Card, Fault, Frame, Reader, Step

INVENTORIES = {0x89, 0x8B}
ROUND_END = 12  # bytes of the frame that ends a round: antenna, rate, total
LAYOUT = Layout(
    b"\xa0",
    2,
    lambda window: 2 + window[1] if window[1] >= 3 else 0,
    lambda frame: _checks.total(frame) == 0,
)


def _framed(code: int, block: bytes) -> bytes:
    head = bytes([0xA0, len(block) + 3, 1, code]) + block
    return head + bytes([-sum(head) & 0xFF])


ANTENNA = _framed(0x74, b"\x00")
QUESTION = _framed(0x89, b"\x01")


class R2000A0(Reader):
    baud = 115200
    technology = "epc"
    interval = 0.2
    longest: ClassVar[int] = 2 + 255

    def take(self, window: bytes) -> Step:
        # A0  len  addr  cmd  freq+antenna  PC x2  EPC...  RSSI  check
        frame = LAYOUT.take(window)
        if not isinstance(frame, bytes):
            return frame
        if frame[3] not in INVENTORIES or len(frame) < 9:
            return Frame(len(frame))
        if len(frame) == ROUND_END:
            return Frame(len(frame))
        return Frame(len(frame), (_identity.counted(frame[5:7], frame[7:-2]),), answer=False)

    def start(self) -> bytes:
        return ANTENNA

    def poll(self) -> bytes:
        return self.ask(QUESTION)

    @classmethod
    def frame(cls, card: str) -> bytes:
        return _framed(0x89, b"\x04" + _identity.memory_of(card)[:-2] + b"\x45")


PROTOCOL = R2000A0
EXAMPLES = [
    ("a0130189043000e200301666130121155074ef45bf", [Card("epc:E200301666130121155074EF")]),
    ("a0130189043000e200301666130121155174ef45bf", [Fault("checksum")]),
    ("a004018901d1", []),
]
