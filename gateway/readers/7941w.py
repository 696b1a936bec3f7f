"""7941W dual modules, asked in turn for a 13.56 MHz UID and a 125 kHz id.

Source: the module's public README files (commands), reply layout as documented there. Its commands that write ids to
cards are not here and must not be: a gate does not clone.
"""

from typing import ClassVar

from gateway.readers import _checks, _identity
from gateway.readers._layout import Layout, ends_with_xor
from gateway.readers.base import Card, Fault, Frame, Reader, Step, Value

FOUND = 0x81
REPLY = Layout(b"\xcd\xdc", 5, lambda window: 6 + window[4], ends_with_xor(2))
COMMAND = Layout(b"\xab\xba", 5, lambda window: 6 + window[4], ends_with_xor(2))
READ_UID = bytes.fromhex("ABBA00100010")
READ_ID = bytes.fromhex("ABBA00150015")


class Dual7941w(Reader):
    baud = 115200
    technology = "iso14443a"
    interval = 0.1
    longest: ClassVar[int] = 6 + 255

    def __init__(self) -> None:
        super().__init__()
        self._next = READ_UID

    def take(self, window: bytes) -> Step:
        # CD DC  addr  81  len  id...  xor        AB BA  addr  cmd  len  data...  xor
        frame = (COMMAND if window[0] == 0xAB else REPLY).take(window)
        if not isinstance(frame, bytes):
            return frame
        raw = frame[5:-1]
        tagged = frame[0] == 0xCD and frame[3] == FOUND and len(raw) in (4, 5, 7, 10)
        values: tuple[Value, ...] = (_identity.contactless(raw),) if tagged else ()
        return Frame(len(frame), values)

    def poll(self) -> bytes:
        question = self.ask(self._next)
        if question:
            self._next = READ_ID if question == READ_UID else READ_UID
        return question

    @classmethod
    def frame(cls, card: str) -> bytes:
        raw = _identity.raw_of(card)
        body = bytes([0, FOUND, len(raw)]) + raw
        return REPLY.header + body + bytes([_checks.xor(body)])


PROTOCOL = Dual7941w
EXAMPLES = [
    ("cddc0081046de95c174a", [Card("iso14443a:6DE95C17")]),
    ("cddc0081052e00b6a302bd", [Card("em4100:2E00B6A302")]),
    ("cddc00800080", []),
    ("cddc0081046de95c174b", [Fault("checksum")]),
]
