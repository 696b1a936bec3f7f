"""The far end of a reader's line, simulated: what a module writes, and answers, while a card is held to it.

No port and no clock: `now` is monotonic seconds, bytes go in by hear() and come out by speak().
"""

from collections import deque
from itertools import chain
from random import Random

from gateway.forms import LENGTHS
from gateway.readers.base import Card, Reader
from gateway.simcards import Ntag424

REPEAT = 0.065  # an RDM6300 says a card again every 65 ms as long as it is in the field
TIMES = 4  # a quarter of a second at the reader: a hurried pupil
WALK_TIMES = 8  # reads of a tag that is carried through a gate
LEAST = 0.004  # seconds between two frames however fast the demo runs
HOLD = 1.0  # an NTAG 424 is held to the reader until it was read, but not longer than this
SEARCH = 0.025  # how long a PN532 looks for a card before it says that there is none

DIGITS = {"em4100": 10, "iso14443a": 14, "epc": 24, "w26": 6, "w34": 8, "active": 8}  # of a card that is made up

ACK = bytes.fromhex("0000FF00FF00")
SYNTAX_ERROR = bytes.fromhex("0000FF01FF7F8100")
LIST_TARGETS, EXCHANGE = 0x4A, 0x40
NOBODY = bytes.fromhex("D54101")  # InDataExchange: the target has not answered in time
ANSWERS = {
    0x02: bytes.fromhex("D50332010607"),  # GetFirmwareVersion: PN532 v1.6
    0x14: bytes.fromhex("D515"),  # SAMConfiguration
    0x32: bytes.fromhex("D533"),  # RFConfiguration
}
_START = bytes.fromhex("0000FF")


class Device:
    """One reader module. It takes the next card only when it is not busy with the one before."""

    def present(self, card: str, now: float, url: str = "") -> None:
        """Hold a card to it; with a `url` one that writes this of itself (simcards.py)."""
        raise NotImplementedError

    def join(self, card: str) -> None:
        """A second card is in the same wallet as the one that was just held to it."""
        raise NotImplementedError

    def busy(self, now: float) -> bool:
        """Whether the card in its field has still to be read."""
        raise NotImplementedError

    def hear(self, chunk: bytes, now: float) -> None:
        """Take what the gateway wrote."""

    def speak(self, now: float) -> bytes:
        """What it writes at this moment."""
        raise NotImplementedError

    def forget(self) -> None:
        """Its line was cut: nothing is answered any more, no card is in the field."""
        raise NotImplementedError


class Speaker(Device):
    """A module that speaks by itself: each card once, or again and again where the gateway wants several reads."""

    def __init__(self, protocol: type[Reader], speed: float) -> None:
        self.protocol = protocol
        self.times = WALK_TIMES if protocol.technology in ("epc", "active") else TIMES if protocol.confirm > 1 else 1
        self.gap = max(LEAST, REPEAT / speed)
        self._frames: deque[bytes] = deque()
        self._next = 0.0

    def present(self, card: str, now: float, url: str = "") -> None:
        self._frames.extend([self.protocol.frame(card)] * self.times)
        self._next = max(now, self._next)

    def join(self, card: str) -> None:
        self._frames = deque(chain.from_iterable((frame, self.protocol.frame(card)) for frame in self._frames))

    def busy(self, now: float) -> bool:
        return bool(self._frames) or now < self._next

    def speak(self, now: float) -> bytes:
        if not self._frames or now < self._next:
            return b""
        self._next = now + self.gap
        return self._frames.popleft()

    def forget(self) -> None:
        self._frames.clear()


class Pn532(Device):
    """A PN532 on HSU that must be asked: ACK and answer to each command, a card in the answer to InListPassiveTarget.

    Written from the NXP user manual (UM0701-02, sections 6.2 and 7), not from our reader: the two check each other.
    """

    def __init__(self, _protocol: type[Reader], speed: float) -> None:
        self.gap = max(LEAST, REPEAT / speed)
        self._heard = bytearray()
        self._out = bytearray()
        self._card = b""
        self._second = b""
        self._ntags: dict[str, Ntag424] = {}
        self._ntag: Ntag424 | None = None
        self._reported = False
        self._leaves = 0.0
        self._asked: float | None = None

    def present(self, card: str, now: float, url: str = "") -> None:
        self._card, self._second = bytes.fromhex(card.partition(":")[2]), b""
        self._reported, self._leaves = False, now + self.gap
        self._ntag = self._ntags.setdefault(card, Ntag424(url)) if url else None
        if self._ntag is not None:
            self._ntag.url = url
            self._ntag.arrive()

    def join(self, card: str) -> None:
        self._second = bytes.fromhex(card.partition(":")[2])

    def busy(self, now: float) -> bool:
        reading = self._ntag is not None and not self._ntag.was_read and now < self._leaves + HOLD
        return bool(self._card) and not (self._reported and now >= self._leaves and not reading)

    def hear(self, chunk: bytes, now: float) -> None:
        self._heard += chunk
        while (found := _take_frame(self._heard)) is not None:
            self._command(found, now)

    def speak(self, now: float) -> bytes:
        if self._asked is not None and (self._card or now >= self._asked + SEARCH):
            self._out += frame(self._targets())
            self._reported, self._asked = bool(self._card), None
        if not self.busy(now):
            self._card, self._ntag = b"", None
        said, self._out = bytes(self._out), bytearray()
        return said

    def forget(self) -> None:
        self._heard, self._out, self._asked, self._card = bytearray(), bytearray(), None, b""
        self._ntag = None

    def _command(self, body: bytes, now: float) -> None:
        self._asked = None  # a new command, or an ACK from the host, ends the running one
        if not body:
            return
        self._out += ACK
        code = body[1] if len(body) > 1 else 0
        if code == LIST_TARGETS:
            self._asked = now
        elif code == EXCHANGE:
            self._out += frame(b"\xd5\x41\x00" + self._ntag.answer(body[3:]) if self._ntag else NOBODY)
        else:
            self._out += frame(ANSWERS[code]) if code in ANSWERS else SYNTAX_ERROR

    def _targets(self) -> bytes:
        if self._ntag is not None and self._card:
            atqa = b"\x03\x04" if len(self._card) == 4 else b"\x03\x44"
            ats = bytes.fromhex("067777710280")
            return bytes([0xD5, 0x4B, 1, 1, *atqa, 0x20, len(self._card), *self._card, *ats])
        cards = [card for card in (self._card, self._second) if self._card and card]
        return bytes([0xD5, 0x4B, len(cards), *chain(*map(_target, range(1, 3), cards))])


DEVICES: dict[str, type[Speaker] | type[Pn532]] = {"pn532": Pn532}


def device(profile: str, protocol: type[Reader], speed: float) -> Device:
    """The simulated module of a reader profile, `speed` times as hurried as life."""
    return DEVICES.get(profile, Speaker)(protocol, speed)


def made(rng: Random, technology: str) -> str:
    """A card of that kind that nobody has."""
    first = "04" if technology == "iso14443a" else "67"  # a maker's byte, and far from the known phantoms
    alphabet = "0123456789" if technology == "active" else "0123456789ABCDEF"  # tags of 2.4 GHz count in decimal
    return f"{technology}:{first}{''.join(rng.choices(alphabet, k=DIGITS[technology] - len(first)))}"


def reads(protocol: type[Reader], card: str) -> bool:
    """Whether a reader of this kind understands what its module says of this card."""
    technology, _, digits = card.partition(":")
    if len(digits) not in LENGTHS.get(technology, ()) or set(digits) - set("0123456789ABCDEF"):
        return False
    try:
        reader = protocol()
        return Card(card) in chain(reader.feed(protocol.frame(card)), reader.flush())
    except (TypeError, ValueError):  # a profile that cannot do without options, a card of another kind
        return False


def _target(number: int, uid: bytes) -> bytes:
    atqa, sak = (b"\x00\x04", 0x08) if len(uid) == 4 else (b"\x00\x44", 0x00)
    return bytes([number, *atqa, sak, len(uid), *uid])


def frame(body: bytes) -> bytes:
    """A normal information frame: 00 00 FF LEN LCS body DCS 00."""
    return _START + bytes([len(body), -len(body) & 0xFF]) + body + bytes([-sum(body) & 0xFF, 0])


def _take_frame(heard: bytearray) -> bytes | None:
    """Cut the first whole frame off: its body, empty for an ACK; None while more bytes are needed."""
    while True:
        start = heard.find(_START)
        if start < 0:
            del heard[:-2]
            return None
        if len(heard) < start + 6:
            return None
        length, check = heard[start + 3], heard[start + 4]
        acknowledges = (length, check) == (0x00, 0xFF)
        if (length + check) & 0xFF and not acknowledges:
            del heard[: start + 3]
            continue
        end = start + (6 if acknowledges else 7 + length)
        if len(heard) < end:
            return None
        body = bytes(heard[start + 5 : start + 5 + length])
        del heard[:end]
        return body
