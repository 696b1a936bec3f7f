"""RDM880-type 13.56 MHz modules, asked for a UID again and again.

Source: a public page on the module's command `AA 00 03 25 26 00 00 BB` and its replies, all recomputed. BB and AA occur
inside UIDs, so only the length ends a frame.
"""

from typing import ClassVar

from gateway.readers import _checks, _identity
from gateway.readers._layout import Layout, ends_with_xor
from gateway.readers.base import Card, Fault, Frame, Reader, Step, Value

LAYOUT = Layout(
    b"\xaa",
    3,
    lambda window: 5 + window[2] if 1 <= window[2] <= 64 else 0,
    ends_with_xor(1),
    b"\xbb",
)
QUESTION = bytes.fromhex("AA0003252600 00BB")


class Rdm880(Reader):
    technology = "iso14443a"
    interval = 0.1
    longest: ClassVar[int] = 5 + 64

    def take(self, window: bytes) -> Step:
        # AA  addr  len  status 00  00  UID...  xor  BB
        frame = LAYOUT.take(window)
        if not isinstance(frame, bytes):
            return frame
        raw = frame[5:-2]
        tagged = frame[3] == 0 and len(raw) in (4, 7, 10)
        values: tuple[Value, ...] = (_identity.card("iso14443a", raw),) if tagged else ()
        return Frame(len(frame), values)

    def poll(self) -> bytes:
        return self.ask(QUESTION)

    @classmethod
    def frame(cls, card: str) -> bytes:
        raw = _identity.raw_of(card)
        body = bytes([0, len(raw) + 2, 0, 0]) + raw
        return b"\xaa" + body + bytes([_checks.xor(body)]) + b"\xbb"


PROTOCOL = Rdm880
EXAMPLES = [
    ("aa00060000160ff47f94bb", [Card("iso14443a:160FF47F")]),
    ("aa0009000004c0ba3a8e3a8079bb", [Card("iso14443a:04C0BA3A8E3A80")]),
    ("aa0002018380bb", []),
    ("aa00060000160ff57f94bb", [Fault("checksum")]),
]
