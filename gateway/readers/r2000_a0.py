"""Impinj R2000 boards (`A0` protocol, marathon gates): asked for an inventory round of each antenna in turn.

Sources: vendor protocol as used by public marathon-gate and writer code on the Pi; frames recomputed. The check is a
plain sum, so the tag's PC must also agree with the frame's length.
"""

from itertools import cycle
from typing import ClassVar

from gateway.readers import _checks, _identity
from gateway.readers._layout import Layout
from gateway.readers.base import Card, Fault, Frame, Reader, Step, Value

REAL_TIME, FAST_SWITCH, CUSTOM = 0x89, 0x8A, 0x8B
SET_ANTENNA = 0x74
PHASE = 2  # bytes behind the RSSI, when a custom inventory asked for them
ZERO_DBM = 129
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


QUESTION = _framed(REAL_TIME, b"\x01")


class R2000A0(Reader):
    """`antennas` are those with a cable on them, from the first on."""

    baud = 115200
    technology = "epc"
    tells_rssi = tells_antenna = True
    interval = 0.2
    longest: ClassVar[int] = 2 + 255

    def __init__(self, antennas: int = 1) -> None:
        super().__init__()
        if not 1 <= antennas <= 8:
            raise ValueError(f"antennas is 1 to 8, not {antennas!r}")
        self._turns = cycle(range(antennas)) if antennas > 1 else None

    def take(self, window: bytes) -> Step:
        # A0  len  addr  cmd  freq+antenna  PC x2  EPC...  RSSI  [phase x2]  check
        frame = LAYOUT.take(window)
        if not isinstance(frame, bytes):
            return frame
        if frame[3] not in (REAL_TIME, FAST_SWITCH, CUSTOM) or len(frame) < 9 or len(frame) == ROUND_END:
            return Frame(len(frame))
        return Frame(len(frame), (_tag(frame),), answer=False)

    def start(self) -> bytes:
        return _framed(SET_ANTENNA, b"\x00")

    def poll(self) -> bytes:
        question = self.ask(QUESTION)
        if question and self._turns:
            return _framed(SET_ANTENNA, bytes([next(self._turns)])) + question
        return question

    @classmethod
    def frame(cls, card: str) -> bytes:
        return _framed(0x89, b"\x04" + _identity.memory_of(card)[:-2] + b"\x45")


def _tag(frame: bytes) -> Value:
    size = (frame[5] >> 3) * 2
    phase = PHASE if frame[3] == CUSTOM and len(frame) == 9 + size + PHASE else 0
    number, rssi = frame[7 : len(frame) - 2 - phase], frame[-2 - phase]
    # Boards of eight antennas put the number's highest bit above the RSSI.
    antenna = (frame[4] & 3) + 1 + (4 if rssi & 0x80 else 0)
    return _identity.heard(_identity.counted(frame[5:7], number), rssi=(rssi & 0x7F) - ZERO_DBM, antenna=antenna)


PROTOCOL = R2000A0
EXAMPLES = [
    ("a0130189043000e200301666130121155074ef45bf", [Card("epc:E200301666130121155074EF")]),
    ("a0130189043000e200301666130121155174ef45bf", [Fault("checksum")]),
    ("a004018901d1", []),
]
