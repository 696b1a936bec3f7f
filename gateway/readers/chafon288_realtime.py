"""Chafon UHFReader288 in real-time mode: it reports each tag by itself, and a heartbeat when there is none.

Sources: Timereversal/rfidtime transport.go and packet.go; martinprejsa/chafonlib commands.h (EE, status 28: no tag).
"""

from typing import ClassVar

from gateway.readers import _chafon
from gateway.readers.base import Card, Fault, Frame, Reader, Step, Value

REALTIME_MODE = _chafon.framed(bytes([0, _chafon.MODE, 1]))


class Chafon288Realtime(Reader):
    baud = 57600
    technology = "epc"
    tells_rssi = tells_antenna = True
    interval = 2.0
    longest: ClassVar[int] = _chafon.LONGEST

    def take(self, window: bytes) -> Step:
        # Len  Adr  EE  00  antenna  length EPC... RSSI  CRC x2
        frame = _chafon.take(window)
        if not isinstance(frame, bytes):
            return frame
        tagged = frame[2] == _chafon.REPORT and frame[3] == 0 and len(frame) > 7
        values: tuple[Value, ...] = ()
        if tagged:
            values = _chafon.tags(frame[5:-2], count=1, after=1, antenna=_chafon.antenna(frame[4]))
        return Frame(len(frame), values)

    def start(self) -> bytes:
        return REALTIME_MODE

    def poll(self) -> bytes:
        return self.nudge(REALTIME_MODE)  # a reader that lost its power is in answer mode again

    @classmethod
    def frame(cls, card: str) -> bytes:
        return _chafon.framed(bytes([0, _chafon.REPORT, 0, 1]) + _chafon.counted(card) + b"\x60")


PROTOCOL = Chafon288Realtime
EXAMPLES = [
    ("1400ee00010ce28068940000400a9d22acff600cac", [Card("epc:E28068940000400A9D22ACFF")]),
    ("1400ee00010ce28068940000400a9d22acff60ac0c", [Fault("checksum")]),
]
