"""Ehuoyan YHY522 13.56 MHz modules in auto-read mode: one report for each presentation.

Source: YHY522R manual (manualshive 2368779) pages 10 and 15; its page 13 misprints a check byte. After the header each
AA is followed by a 00 that counts nowhere.
"""

from typing import ClassVar

from gateway.readers import _checks, _identity
from gateway.readers.base import Bad, Card, Fault, Frame, More, Noise, Reader, Step, Value

HEADER = b"\xaa\xbb"
REPORT = 0x20
AUTO_READ = bytes.fromhex("AABB12040200FFFFFFFFFFFF00000000000000081C")


class Yhy522(Reader):
    baud = 115200
    technology = "iso14443a"
    longest: ClassVar[int] = 2 + 2 * 64

    def take(self, window: bytes) -> Step:
        # AA BB  len  20  UID...  xor
        if not HEADER.startswith(window[:2]):
            start = window.find(HEADER[:1], 1)
            return Noise(len(window) if start < 0 else start)
        body, used = _unstuffed(window)
        if body and not 2 <= body[0] <= 62:
            return Noise()
        if body and len(body) > body[0]:
            return _meaning(body, size=used)
        return More() if window[used:] in (b"", b"\xaa") else Bad("framing", used)

    def start(self) -> bytes:
        return AUTO_READ

    @classmethod
    def frame(cls, card: str) -> bytes:
        raw = _identity.raw_of(card)
        body = bytes([len(raw) + 2, REPORT]) + raw
        return HEADER + (body + bytes([_checks.xor(body)])).replace(b"\xaa", b"\xaa\x00")


def _unstuffed(window: bytes) -> tuple[bytes, int]:
    """The body's bytes without the stuffed ones, at most as many as its length says, and how far that goes."""
    body, at = bytearray(), 2
    while at < len(window) and (not body or len(body) <= body[0]):
        stuffed = window[at] == 0xAA
        if stuffed and window[at : at + 2] != b"\xaa\x00":
            break
        body.append(window[at])
        at += 2 if stuffed else 1
    return bytes(body), at


def _meaning(body: bytes, *, size: int) -> Step:
    if _checks.xor(body):
        return Bad("checksum", size)
    raw = body[2:-1]
    tagged = body[1] == REPORT and len(raw) in (4, 7, 10)
    values: tuple[Value, ...] = (_identity.card("iso14443a", raw),) if tagged else ()
    return Frame(size, values)


PROTOCOL = Yhy522
EXAMPLES = [
    ("aabb06203d986201e0", [Card("iso14443a:3D986201")]),
    ("aabb0620aa00986201 77", [Card("iso14443a:AA986201")]),
    ("aabb02fbf9", []),
    ("aabb02f3fe", [Fault("checksum")]),
]
