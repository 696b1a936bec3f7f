"""Chafon UHFReader18 (CF-RU5102, 5106, 5112 ...), asked for tags again and again.

Sources: wabson/chafon-rfid tests/test_uhfreader18.py and examples/continuous-read.py; frames in _chafon.py.
"""

from typing import ClassVar

from gateway.readers import _chafon
from gateway.readers.base import Card, Fault, Frame, Reader, Step, Value

ANSWER_MODE = _chafon.framed(b"\xff\x35" + bytes(6))
QUESTION = _chafon.framed(bytes([_chafon.BROADCAST, _chafon.INVENTORY]))


class Chafon18(Reader):
    baud = 57600
    technology = "epc"
    interval = 0.2
    longest: ClassVar[int] = _chafon.LONGEST
    patience: ClassVar[int] = 15  # a scan may take 3 s

    def take(self, window: bytes) -> Step:
        # Len  Adr  01  status  count  [length EPC...]  CRC x2
        frame = _chafon.take(window)
        if not isinstance(frame, bytes):
            return frame
        tagged = frame[2] == _chafon.INVENTORY and frame[3] in _chafon.TAGS and len(frame) > 6
        values: tuple[Value, ...] = _chafon.tags(frame[5:-2], count=frame[4], after=0) if tagged else ()
        return Frame(len(frame), values)

    def start(self) -> bytes:
        return ANSWER_MODE

    def poll(self) -> bytes:
        return self.ask(QUESTION)

    @classmethod
    def frame(cls, card: str) -> bytes:
        return _chafon.framed(bytes([0, _chafon.INVENTORY, 1, 1]) + _chafon.counted(card))


PROTOCOL = Chafon18
EXAMPLES = [
    ("13000103010c0000000000000000000003133f39", [Card("epc:000000000000000000000313")]),
    ("13000103010c0000000000000000000003133f3a", [Fault("checksum")]),
    ("04ff011bb4", []),
]
