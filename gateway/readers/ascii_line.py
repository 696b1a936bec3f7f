"""Converters and readers that send a decimal number as a line of text: `0006762840`, `103,12632`, `card number: ...@`.

Sources: S4A Wiegand-Ethernet manual p.5 (manualshive 3127705); YS-RFID2 manual (manuzoid.com).
Ten digits are 32 bits of a number and become `w34:`; `facility,number` is 24 bits and becomes `w26:`. There is no
check, so only the exact form counts: a lost digit must not make another child's number.
"""

import re
from typing import ClassVar

from gateway.readers import _identity
from gateway.readers.base import Card, Fault, Frame, Idle, More, Noise, Reader, Step

END = re.compile(rb"[\r\n]")
LABELLED = re.compile(rb"card number: ?(\d{10})@", re.IGNORECASE)  # the only line that ends with @
NUMBER = re.compile(rb"(\d{10})[\r\n]")
PAIR = re.compile(rb"(\d{3}),(\d{5})[\r\n]")
STRANGE = re.compile(rb"[^\x20-\x7e\t\r\n]+")  # the line is noisy: a new one may begin after it
KEY = re.compile(rb"[0-9*#]")  # a keypad sends one byte without a line end


class AsciiLine(Reader):
    technology = "w34"
    longest: ClassVar[int] = 48

    def take(self, window: bytes) -> Step:
        if window[0] in b"\r\n":
            return Idle()
        if labelled := LABELLED.match(window):
            return _within(labelled.end(), value=int(labelled[1]), bits=32)
        end, strange = END.search(window), STRANGE.search(window)
        if strange and (end is None or strange.start() < end.start()):
            return Noise(strange.end())
        if end is None:
            return self._unended(window)
        return _line(window[: end.end()])

    def _unended(self, window: bytes) -> Step:
        if len(window) == self.longest:
            return Noise()
        return More("" if KEY.fullmatch(window) else "framing")

    @classmethod
    def frame(cls, card: str) -> bytes:
        raw = _identity.raw_of(card)
        if len(raw) == 3:
            return f"{raw[0]:03d},{int.from_bytes(raw[1:]):05d}\r\n".encode()
        return f"{int.from_bytes(raw):010d}\r\n".encode()


def _line(line: bytes) -> Step:
    if number := NUMBER.fullmatch(line):
        return _within(len(line), value=int(number[1]), bits=32)
    if pair := PAIR.fullmatch(line):
        facility, low = int(pair[1]), int(pair[2])
        return _within(len(line), value=facility << 16 | low if low < 1 << 16 else 1 << 24, bits=24)
    return Noise(len(line))


def _within(size: int, *, value: int, bits: int) -> Step:
    if value >> bits:
        return Frame(size, (Fault("range", f"the number does not fit in {bits} bits"),))
    return Frame(size, (_identity.card("w34" if bits == 32 else "w26", value.to_bytes(bits // 8)),))


PROTOCOL = AsciiLine
EXAMPLES = [
    (b"0000123478\r\n".hex(), [Card("w34:0001E256")]),
    (b"103,12632\r\n".hex(), [Card("w26:673158")]),
    (b"card number: 0008844356@".hex(), [Card("w34:0086F444")]),
    (b"300,12632\r\n".hex(), [Fault("range")]),
    (b"9999999999\r\n".hex(), [Fault("range")]),
    (b"RFID READER V1.2\r\n".hex(), [Fault("framing")]),
]
