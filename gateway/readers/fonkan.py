"""Fonkan FI-50x UHF readers: asked with a line `Q`, they answer with a line of the tag's memory in hex.

Sources: PyPI banana-fonkan 1.0.0 reader.py; PyPI python-fi50x 0.2.0 protocol.py. The frame has no check of its own, the
tag's CRC is in it.
"""

import re
from typing import ClassVar

from gateway.readers import _identity
from gateway.readers.base import Bad, Card, Fault, Frame, More, Noise, Reader, Step

LINE = re.compile(rb"\n?[QU]([0-9A-Fa-f]*)\r\n")  # the first LF may have ended a line that lost its own
PART = re.compile(rb"\n?([QU][0-9A-Fa-f]*\r?)?")
REFUSED = re.compile(rb"\n[A-Z]\r\n")  # the reader's word for a question that it cannot answer
START = re.compile(rb"[\nQU]")
QUESTION = b"\nQ\r"


class Fonkan(Reader):
    baud = 38400
    technology = "epc"
    interval = 0.2
    longest: ClassVar[int] = 4 + 2 * 66

    def take(self, window: bytes) -> Step:
        # LF  Q  (PC x2  EPC...  CRC x2) as hex  CR  LF
        start = START.search(window)
        if start is None or start.start():
            return Noise(start.start() if start else len(window))
        if line := LINE.match(window):
            return _meaning(line[1], size=line.end())
        if refused := REFUSED.match(window):
            return Frame(refused.end())
        part = PART.match(window)
        if part and part.end() == len(window) < self.longest or re.fullmatch(rb"\n[A-Z]\r?", window):
            return More("framing" if len(window) > 1 else "")
        return Bad("framing", part.end()) if part and part.end() > 2 else Noise()

    def poll(self) -> bytes:
        return self.ask(QUESTION)

    @classmethod
    def frame(cls, card: str) -> bytes:
        return b"\nQ" + _identity.memory_of(card).hex().upper().encode() + b"\r\n"


def _meaning(digits: bytes, *, size: int) -> Step:
    if not digits:
        return Frame(size)
    if len(digits) % 2:
        return Bad("length", size, "half a byte is missing")
    value = _identity.gen2(bytes.fromhex(digits.decode()))
    return Bad(value.kind, size, value.detail) if isinstance(value, Fault) else Frame(size, (value,))


PROTOCOL = Fonkan
EXAMPLES = [
    (b"\nQ3400E200471BB0006013044509D09582\r\n".hex(), [Card("epc:E200471BB0006013044509D0")]),
    (b"\nQ3400E200471BB0006013044509D19582\r\n".hex(), [Fault("checksum")]),
    (b"\nQ\r\n".hex(), []),
]
