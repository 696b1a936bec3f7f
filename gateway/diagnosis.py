"""What bytes that make no frame tell a person: which wire, speed or profile to check. No port, no clock, no log.

What a wrong speed or an inverted wire makes of a profile's frames is computed (uart.py) and compared with the bytes
that came: the explanation under which they are least surprising is given, when it is far less surprising than chance.
"""

import inspect
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from gateway import readers, uart
from gateway.readers.base import Card, Reader
from gateway.wire import Trouble

BAUDS = (4800, 9600, 19200, 38400, 57600, 115200)
CONSOLE = re.compile(rb"login: |Password: |Raspbian|Debian GNU|\[ *\d+\.\d{6}\] ")
WEAK = {"ascii-line", "ascii-hex6", "stx-hex8", "em18", "active-0x40", "active-bioenable"}  # little to check
SIZES = {"em4100": 5, "iso14443a": 4, "epc": 12, "w26": 3, "w34": 4, "active": 4, "active-bioenable": 2}  # of a card
FRAMES = 16  # a profile's frames that an explanation is made of
LEAST_BITS = 1.5  # a byte must be at least so much less surprising than chance
LEAST_LEAD = 0.25  # and than by the next best explanation


@dataclass(frozen=True)
class Verdict:
    """A word for the wire, what it is about, and the sentence for the person at the gate."""

    word: Trouble
    about: str
    sentence: str


@dataclass(frozen=True)
class Setting:
    """How a reader is set up here."""

    profile: str
    baud: int


def diagnose(noise: bytes, setting: Setting) -> Verdict:
    """The likeliest reason why these bytes, some 200 of them, hold no frame of the profile."""
    return (
        _level(noise)
        or _console(noise)
        or _other_profile(noise, setting)
        or _parity(noise, setting)
        or _check(noise, setting)
        or _line(noise, setting)
        or _nothing(setting)
    )


def _nothing(setting: Setting) -> Verdict:
    usual = readers.load(setting.profile).baud
    speed = f"it usually has {usual} baud, not {setting.baud}" if usual != setting.baud else f"has it {usual} baud"
    words = f"no profile knows these bytes: is it a {setting.profile}, {speed}, does its TX go to our RX?"
    return Verdict(Trouble.UNFRAMED, "", words)


def _level(noise: bytes) -> Verdict | None:
    if sum(byte in b"\x00\xff" for byte in noise) < 0.95 * len(noise):
        return None
    words = "only 00 and FF: join the grounds; 3.3 V TTL or RS-232 wrongly wired, or the reader is far slower"
    return Verdict(Trouble.LEVEL, "", words)


def _console(noise: bytes) -> Verdict | None:
    if not CONSOLE.search(noise):
        return None
    words = "the login console talks on this line: sudo raspi-config nonint do_serial_cons 1, then restart"
    return Verdict(Trouble.CONSOLE, "", words)


def _other_profile(noise: bytes, setting: Setting) -> Verdict | None:
    scores = {name: _score(readers.load(name)(), noise) for name in _others(setting.profile)}
    fitting = {name: score for name, score in scores.items() if score >= (2 if name in WEAK else 1)}
    if not fitting:
        return None
    best = max(fitting, key=lambda name: (fitting[name], name not in WEAK))
    return Verdict(Trouble.PROFILE, best, f'this looks like profile = "{best}"')


def _others(profile: str) -> Iterator[str]:
    """All readers of gates but this one, and but `active`, which is whatever its options say."""
    return (name for name in readers.names() if name not in {profile, "active"} and readers.load(name).technology)


def _score(reader: Reader, noise: bytes) -> int:
    """Cards less faults: whoever understands the most of it."""
    values = [*reader.feed(noise), *reader.flush()]
    return sum(1 if isinstance(value, Card) or value.cards else -1 for value in values)


def _parity(noise: bytes, setting: Setting) -> Verdict | None:
    reader, seven = readers.load(setting.profile)(), bytes(byte & 0x7F for byte in noise)
    if seven == noise or _score(reader, seven) < 1:
        return None
    return Verdict(
        Trouble.PARITY, "", "the eighth bit is a parity bit: set the reader to 8N1, eight bits and no parity"
    )


def _check(noise: bytes, setting: Setting) -> Verdict | None:
    protocol: Callable[..., Reader] = readers.load(setting.profile)
    if "checksum" in inspect.signature(protocol).parameters and _score(protocol(checksum="sum"), noise) >= 1:
        return Verdict(Trouble.CHECK, "sum", 'the check is a sum: options = { checksum = "sum" }')
    kinds = Counter(value.kind for value in protocol().feed(noise) if not isinstance(value, Card))
    if kinds["checksum"] < 3 or kinds["checksum"] < kinds.total() / 2:
        return None
    words = "whole frames with wrong checks: a shorter cable, a better supply, away from motors and locks"
    return Verdict(Trouble.CHECK, "", words)


def _line(noise: bytes, setting: Setting) -> Verdict | None:
    """The best explanation by another speed or an inverted signal."""
    saved = {cause: _bits_saved(noise, cause) for cause in _causes(setting)}
    best = max(saved, key=lambda cause: saved[cause])
    rivals = [bits for cause, bits in saved.items() if cause[1:3] != best[1:3]]
    if saved[best] < LEAST_BITS or saved[best] - max(rivals, default=0.0) < LEAST_LEAD:
        return None
    profile, baud, inverted = best[:3]
    other = "" if profile == setting.profile else f" and profile {profile}"
    if inverted:
        wire = (
            "take its D0 (TTL) output, not D1" if profile == "id12la" else "take the TTL output, or an RS-232 adapter"
        )
        return Verdict(Trouble.INVERTED, "", f"the signal is upside down: {wire}")
    return Verdict(Trouble.BAUD, str(baud), f"it seems to send at {baud} baud{other}: options = {{ baud = {baud} }}")


Cause = tuple[str, int, bool, float, int]  # profile, its speed, inverted, our bit in bits of its, stop bits


def _causes(setting: Setting) -> Iterator[Cause]:
    for stops in (1, 2):
        yield setting.profile, setting.baud, True, 1.0, stops
    for baud in BAUDS:
        if baud != setting.baud:
            yield setting.profile, baud, False, baud / setting.baud, 1
    for name in _others(setting.profile):
        baud = readers.load(name).baud
        if baud != setting.baud and readers.load(name).interval is None:
            yield name, baud, False, baud / setting.baud, 1


def _bits_saved(noise: bytes, cause: Cause) -> float:
    """By how many bits a byte is less surprising under this cause than among 256 equal ones."""
    counts, total = _expected(cause)
    return 8 + sum(math.log2(0.9 * counts[byte] / total + 0.1 / 256) for byte in noise) / len(noise)


@cache
def _expected(cause: Cause) -> tuple[Counter[int], int]:
    """How often each byte comes when a profile's frames are received in this way."""
    profile, _baud, inverted, ratio, stops = cause
    line = b"".join(uart.levels(frame, inverted=inverted, stops=stops) for frame in _frames(profile))
    found = uart.received(line, ratio)
    return Counter(found), max(1, len(found))


def _frames(profile: str) -> Iterator[bytes]:
    protocol, chance = readers.load(profile), random.Random(profile)
    for _ in range(FRAMES):
        yield protocol.frame(card(profile, chance))


def card(profile: str, chance: random.Random) -> str:
    """Some card that a reader of this profile might read; active tags have decimal numbers."""
    technology = readers.load(profile).technology
    digits = "0123456789" if technology == "active" else "0123456789ABCDEF"
    size = SIZES.get(profile) or SIZES[technology]
    return f"{technology}:{''.join(chance.choices(digits, k=2 * size))}"
