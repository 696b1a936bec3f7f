"""Chafon UHFReader288 (CF-RU5202, 6402, MU804, MU904) in answer mode: asked for tags again and again.

Sources: wabson/chafon-rfid tests/test_uhfreader288.py; Timereversal/rfidtime transport/packet.go; frames in _chafon.py.
"""

from typing import ClassVar

from gateway.readers import _chafon
from gateway.readers.base import Card, Fault, Frame, Reader, Step, Value

ANSWER_MODE = _chafon.framed(bytes([0, _chafon.MODE, 0]))
# Q 4 (fewer than 20 tags), session 0, no EPC mask, target A, antenna 1, scan time 2 s
QUESTION = _chafon.framed(bytes([_chafon.BROADCAST, _chafon.INVENTORY, 4, 0, 1, 0, 0, 0, 0, 0x80, 0x14]))


class Chafon288(Reader):
    baud = 57600
    technology = "epc"
    interval = 0.2
    longest: ClassVar[int] = _chafon.LONGEST
    patience: ClassVar[int] = 15  # a scan takes 2 s

    def take(self, window: bytes) -> Step:
        # Len  Adr  01  status  antenna  count  [length EPC... RSSI]  CRC x2
        frame = _chafon.take(window)
        if not isinstance(frame, bytes):
            return frame
        # The host's own inventory command has 01 in the same place, but no single antenna behind it.
        listed = frame[2] == _chafon.INVENTORY and frame[3] in _chafon.TAGS and len(frame) > 7
        tagged = listed and frame[4].bit_count() == 1
        values: tuple[Value, ...] = _chafon.tags(frame[6:-2], count=frame[5], after=1) if tagged else ()
        return Frame(len(frame), values)

    def start(self) -> bytes:
        return ANSWER_MODE

    def poll(self) -> bytes:
        return self.ask(QUESTION)

    @classmethod
    def frame(cls, card: str) -> bytes:
        return _chafon.framed(bytes([0, _chafon.INVENTORY, 1, 1, 1]) + _chafon.counted(card) + b"\x60")


PROTOCOL = Chafon288
EXAMPLES = [
    ("1500010301010c0000000000000000000003136bb1a5", [Card("epc:000000000000000000000313")]),
    ("0d000103010104111001ba465d27", [Card("epc:111001BA")]),
    ("1500010301010c0000000000000000000003136bb1a6", [Fault("checksum")]),
]
