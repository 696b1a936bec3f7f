"""EM-18, 125 kHz: twelve hex digits for each presentation, with nothing before or after them.

Sources: cparkb2c.in product page; PyPI pyem18. Only silence tells where a frame begins, and the XOR does not see a
shift: a frame that lost its first digit and is followed by itself gives a wrong id with a right XOR. So digits are
judged when the line falls silent (or says something else), and only if they are whole twelves. Or if there are more
than twelve and less than two, and just one twelve of them has a right XOR: half a frame of another card right before or
after a whole one is no harm then (a second twelve is right by chance in 2 of 100 cases, and none counts).
"""

from collections.abc import Iterable
from typing import ClassVar, Literal

from gateway.readers import _hexline
from gateway.readers.base import Card, Fault, Frame, Idle, More, Noise, Reader, Step, Value

DIGITS = bytes(_hexline.DIGITS)


class Em18(Reader):
    """`checksum="sum"` is for the rare clone that adds the five bytes instead of XORing them."""

    technology = "em4100"
    longest: ClassVar[int] = 128 * 12 + 1

    def __init__(self, checksum: Literal["xor", "sum"] = "xor") -> None:
        super().__init__()
        if checksum not in {"xor", "sum"}:
            raise ValueError(f"checksum is xor or sum, not {checksum!r}")
        self.checksum = checksum

    def take(self, window: bytes) -> Step:
        # id x10  xor x2
        digits = len(window) - len(window.lstrip(DIGITS))
        if digits == 0:
            return Idle() if window[0] in b"\r\n" else Noise()
        if digits == len(window):
            # Of too many, whole twelves go: what stays is still judged by where all of them began.
            return More(whole=self._run(window)) if digits < self.longest else Noise(digits - digits % 12)
        if digits % 12 and window[digits] not in b"\r\n":
            found = self._only(window[:digits])
            return Frame(digits, (Fault("framing"), *found)) if found else Noise(digits)
        return self._run(window[:digits])

    def _run(self, digits: bytes) -> Frame | Noise:
        if len(digits) % 12 == 0:
            return Frame(len(digits), self._twelves(digits[at : at + 12] for at in range(0, len(digits), 12)))
        found = self._only(digits)
        if self._spoilt:  # the end of a frame that was reported when the wrong byte came
            return Frame(len(digits), found) if found else Noise(len(digits))
        return Frame(len(digits), (Fault("length", f"{len(digits)} digits are no frames of 12"), *found))

    def _only(self, digits: bytes) -> tuple[Value, ...]:
        if not 12 < len(digits) < 24:
            return ()
        found = self._twelves(digits[start : start + 12] for start in range(len(digits) - 11))
        sound = tuple(value for value in found if isinstance(value, Card))
        return sound if len(sound) == 1 else ()

    def _twelves(self, blocks: Iterable[bytes]) -> tuple[Value, ...]:
        values = (_hexline.em4100(block, check=self.checksum) for block in blocks)
        return tuple(value or Fault("checksum") for value in values)

    @classmethod
    def frame(cls, card: str) -> bytes:
        return _hexline.text_of(card)


PROTOCOL = Em18
EXAMPLES = [
    ("343530304335443145394238", [Card("em4100:4500C5D1E9")]),
    ("343530304335443145394239", [Fault("checksum")]),
    ("3530304335443145394238", [Fault("length")]),
    ("363730303362" + b"4500C5D1E9B8".hex(), [Fault("length"), Card("em4100:4500C5D1E9")]),
]
