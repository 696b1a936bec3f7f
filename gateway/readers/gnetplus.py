"""PROMAG readers with the GNetPlus protocol, 13.56 MHz: asked in turn to look for a card and for its UID.

Sources: harishpillay/gnetplus gnetplus.py; PyPI mifarepy 3.0.0 protocol.py. The two disagree about the order of
a UID's bytes; here it is the order on the line unless `byte_order` says `lsb`.
"""

from typing import ClassVar, Literal

from gateway.readers import _checks, _identity
from gateway.readers._layout import Layout
from gateway.readers.base import Card, Fault, Frame, Reader, Step, Value

ACK, REQUEST, ANTICOLLISION = 0x06, 0x20, 0x21
LAYOUT = Layout(
    b"\x01",
    4,
    lambda window: 6 + window[3],
    lambda frame: _checks.modbus(frame[1:-2]) == int.from_bytes(frame[-2:]),
)


def _framed(code: int, block: bytes = b"") -> bytes:
    body = bytes([0, code, len(block)]) + block
    return LAYOUT.header + body + _checks.modbus(body).to_bytes(2)


QUESTIONS = {REQUEST: _framed(REQUEST), ANTICOLLISION: _framed(ANTICOLLISION)}


class Gnetplus(Reader):
    baud = 19200
    technology = "iso14443a"
    interval = 0.1
    longest: ClassVar[int] = 6 + 255

    def __init__(self, byte_order: Literal["msb", "lsb"] = "msb") -> None:
        super().__init__()
        if byte_order not in {"msb", "lsb"}:
            raise ValueError(f"byte_order is msb or lsb, not {byte_order!r}")
        self.byte_order = byte_order
        self._next = REQUEST

    def take(self, window: bytes) -> Step:
        # 01  addr  ACK  len  UID...  CRC x2
        frame = LAYOUT.take(window)
        if not isinstance(frame, bytes):
            return frame
        raw = frame[4:-2] if self.byte_order == "msb" else frame[4:-2][::-1]
        tagged = frame[2] == ACK and len(raw) in (4, 7, 10)
        values: tuple[Value, ...] = (_identity.card("iso14443a", raw),) if tagged else ()
        return Frame(len(frame), values)

    def poll(self) -> bytes:
        question = self.ask(QUESTIONS[self._next])
        if question:
            self._next = REQUEST if self._next == ANTICOLLISION else ANTICOLLISION
        return question

    @classmethod
    def frame(cls, card: str) -> bytes:
        return _framed(ACK, _identity.raw_of(card))


PROTOCOL = Gnetplus
EXAMPLES = [
    ("01000604c3f8ceed3ec3", [Card("iso14443a:C3F8CEED")]),
    ("01000604c3f8ceedc33e", [Fault("checksum")]),
    ("01001501067290", []),
]
