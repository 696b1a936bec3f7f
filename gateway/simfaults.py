"""What can go wrong at a reader, on demand: each fault bends the bytes of a simulated module for some seconds.

No port and no clock: `now` is monotonic seconds. Which cards must become taps all the same stands in `expected`.
"""

import math
from collections.abc import Iterable
from enum import StrEnum
from random import Random

from gateway.readers.base import Reader

NOISE_S, PHANTOM_S, BYTE_S = 0.1, 0.5, 0.02
WRONG_BAUD = 2.0  # the port samples twice as fast as the module speaks


class Kind(StrEnum):
    """The words that scripts and trainers use."""

    NOISE = "noise"
    FLIP = "flip"
    TORN = "torn"
    UNPLUG = "unplug"
    MUTE = "mute"
    BAUD = "baud"
    STUCK = "stuck"
    TWO = "two"
    PHANTOM = "phantom"
    SLOW = "slow"


USUAL_S = {
    Kind.NOISE: 10.0,
    Kind.FLIP: 10.0,
    Kind.TORN: 10.0,
    Kind.UNPLUG: 10.0,
    Kind.MUTE: 15.0,
    Kind.BAUD: 15.0,
    Kind.STUCK: 120.0,
    Kind.TWO: 10.0,
    Kind.PHANTOM: 10.0,
    Kind.SLOW: 15.0,
}
MEANING = {
    Kind.NOISE: "random bytes between the frames, as a long cable picks up",
    Kind.FLIP: "one bit of every frame is wrong",
    Kind.TORN: "only the first half of every frame comes",
    Kind.UNPLUG: "the cable is pulled, and plugged in again when the time is over",
    Kind.MUTE: "cards are held to it and it says nothing",
    Kind.BAUD: "it speaks at half the speed that the port listens at",
    Kind.STUCK: "a card lies on the reader and is said again and again",
    Kind.TWO: "every card comes with a second one in the same wallet",
    Kind.PHANTOM: "numbers are sent while no card is near, as cheap 125 kHz modules do",
    Kind.SLOW: "one byte every 20 ms",
}


class Expected(StrEnum):
    """Whether a card that was shown must become a tap."""

    YES = "yes"
    NO = "no"
    ANY = "any"  # either is right: a touch that was cut short, a bit that may not have mattered


class Faults:
    """What is wrong with one line now."""

    def __init__(self, protocol: type[Reader], rng: Random) -> None:
        self.protocol = protocol
        self.rng = rng
        self._until: dict[Kind, float] = {}
        self._next: dict[Kind, float] = {}

    def begin(self, kind: Kind, until: float) -> None:
        """From now on, for so long."""
        self._until[kind] = until

    def heal(self) -> None:
        """Nothing is wrong any more."""
        self._until.clear()

    def active(self, now: float) -> frozenset[Kind]:
        """All that is wrong at this moment."""
        return frozenset(kind for kind, until in self._until.items() if now < until)

    def bend(self, said: bytes, now: float) -> bytes:
        """What comes down the wire of what the module says."""
        active = self.active(now)
        if not said or Kind.MUTE in active:
            return b""
        if Kind.TORN in active:
            said = said[: len(said) // 2]
        if Kind.FLIP in active:
            said = flipped(said, self.rng.randrange(8 * len(said)))
        if Kind.BAUD in active:
            said = sampled(said, WRONG_BAUD)
        return said

    def murmur(self, now: float) -> bytes:
        """What comes of no card at all."""
        said = b""
        if self._is_due(Kind.NOISE, now, NOISE_S):
            said += self.rng.randbytes(self.rng.randint(1, 24))
        if self._is_due(Kind.PHANTOM, now, PHANTOM_S):
            said += self.protocol.frame(phantom(self.protocol))
        return said

    def room(self, now: float) -> int | None:
        """How many bytes may be written at this moment; None for all."""
        if Kind.SLOW not in self.active(now):
            return None
        return int(self._is_due(Kind.SLOW, now, BYTE_S))

    def _is_due(self, kind: Kind, now: float, pause: float) -> bool:
        if kind not in self.active(now) or now < self._next.get(kind, 0.0):
            return False
        self._next[kind] = now + pause
        return True


def phantom(protocol: type[Reader]) -> str:
    """A card of nothing but zeros, which the gate must know for none. Raises ValueError where that is a real card."""
    blanks = {
        "em4100": "em4100:0000000000",
        "w26": "w26:000000",
        "w34": "w34:00000000",
        "iso14443a": "iso14443a:00000000",
    }
    if protocol.technology not in blanks:
        raise ValueError(f"a reader of {protocol.technology or 'several'} cards has no known phantoms")
    return blanks[protocol.technology]


def expected(protocol: type[Reader], throughout: Iterable[Kind], *, asked: bool) -> Expected:
    """What must become of a card while these faults hold. `asked`: the module answers questions (PN532)."""
    kinds = set(throughout)
    if kinds & {Kind.MUTE, Kind.TORN, Kind.BAUD} or (asked and Kind.TWO in kinds):
        return Expected.NO
    if kinds & {Kind.FLIP, Kind.TWO}:
        return Expected.ANY
    if Kind.NOISE in kinds and protocol.confirm == 1:
        return Expected.ANY  # noise may stand where its only frame begins
    if Kind.SLOW in kinds and (protocol.confirm > 1 or asked):
        return Expected.ANY  # two equal reads may be too far apart
    return Expected.YES


def flipped(said: bytes, bit: int) -> bytes:
    """The same bytes but for one bit."""
    spoilt = bytearray(said)
    spoilt[bit // 8] ^= 1 << bit % 8
    return bytes(spoilt)


def sampled(said: bytes, speed: float) -> bytes:
    """What a UART makes of bytes (8N1) when it runs `speed` times as fast as the sender."""
    levels = [level for byte in said for level in (0, *((byte >> bit) & 1 for bit in range(8)), 1)]
    heard, at = bytearray(), 0.0  # at: in bits of the sender
    while at < len(levels):
        if levels[int(at)]:
            at = math.floor(at) + 1.0
            continue
        moments = [at + (bit + 1.5) / speed for bit in range(8)]
        bits = [levels[int(moment)] if moment < len(levels) else 1 for moment in moments]
        heard.append(sum(level << place for place, level in enumerate(bits)))
        at += 9.5 / speed
    return bytes(heard)
