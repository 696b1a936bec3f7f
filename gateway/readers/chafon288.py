"""Chafon UHFReader288 (CF-RU5202, 6402, MU804, MU904) in answer mode: asked for tags again and again.

Sources: wabson/chafon-rfid tests/test_uhfreader288.py; Timereversal/rfidtime transport/packet.go; frames in _chafon.py.
"""

from itertools import cycle
from typing import ClassVar

from gateway.readers import _chafon
from gateway.readers.base import Card, Fault, Frame, Reader, Step, Value

ANSWER_MODE = _chafon.framed(bytes([0, _chafon.MODE, 0]))


def _question(antenna: int, scan: int) -> bytes:
    # Q 4 (fewer than 20 tags), session 0, no EPC mask, target A, antenna, scan time in tenths of a second
    return _chafon.framed(bytes([_chafon.BROADCAST, _chafon.INVENTORY, 4, 0, 1, 0, 0, 0, 0, 0x80 | antenna, scan]))


class Chafon288(Reader):
    """`antennas` are those with a cable on them, from the first on; with several each has a fifth of a second."""

    baud = 57600
    technology = "epc"
    tells_rssi = tells_antenna = True
    interval = 0.2
    longest: ClassVar[int] = _chafon.LONGEST
    patience: ClassVar[int] = 15  # a scan takes 2 s

    def __init__(self, antennas: int = 1) -> None:
        super().__init__()
        if not 1 <= antennas <= 4:
            raise ValueError(f"antennas is 1 to 4, not {antennas!r}")
        scan = 20 if antennas == 1 else 2  # who walks past two antennas is at each for less than 2 s
        self._turns = cycle([_question(antenna, scan) for antenna in range(antennas)])
        self._next = next(self._turns)

    def take(self, window: bytes) -> Step:
        # Len  Adr  01  status  antenna  count  [length EPC... RSSI]  CRC x2
        frame = _chafon.take(window)
        if not isinstance(frame, bytes):
            return frame
        # The host's own inventory command has 01 in the same place, but no single antenna behind it.
        listed = frame[2] == _chafon.INVENTORY and frame[3] in _chafon.TAGS and len(frame) > 7
        antenna = _chafon.antenna(frame[4])
        values: tuple[Value, ...] = ()
        if listed and antenna is not None:
            values = _chafon.tags(frame[6:-2], count=frame[5], after=1, antenna=antenna)
        return Frame(len(frame), values)

    def start(self) -> bytes:
        return ANSWER_MODE

    def poll(self) -> bytes:
        question = self.ask(self._next)
        if question:
            self._next = next(self._turns)
        return question

    @classmethod
    def frame(cls, card: str) -> bytes:
        return _chafon.framed(bytes([0, _chafon.INVENTORY, 1, 1, 1]) + _chafon.counted(card) + b"\x60")


PROTOCOL = Chafon288
EXAMPLES = [
    ("1500010301010c0000000000000000000003136bb1a5", [Card("epc:000000000000000000000313")]),
    ("0d000103010104111001ba465d27", [Card("epc:111001BA")]),
    ("1500010301010c0000000000000000000003136bb1a6", [Fault("checksum")]),
]
