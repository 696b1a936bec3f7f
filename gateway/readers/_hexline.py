"""Frames of fixed length whose payload is hex digits as text, after an STX: RDM6300, ID-12LA, STX-hex8."""

from gateway.readers import _checks, _identity
from gateway.readers.base import Bad, Frame, Idle, More, Noise, Step, Value

STX = 0x02
DIGITS = frozenset(b"0123456789ABCDEFabcdef")


def digits_of(window: bytes, *, count: int, tail: bytes) -> bytes | Step:
    """The `count` digits of the frame `STX digits tail` at the start of `window`, or why there are none."""
    if window[0] in b"\r\n":
        return Idle()
    if window[0] != STX:
        start = window.find(STX)
        return Noise(len(window) if start < 0 else start)
    size = 1 + count + len(tail)
    for at, byte in enumerate(window[1:size], 1):
        if not (byte in DIGITS if at <= count else byte == tail[at - 1 - count]):
            return Bad("framing", at, f"byte {at + 1} of {size} does not belong there") if at > 2 else Noise(at)
    if len(window) < size:
        return More("framing", whole=Noise(len(window)) if len(window) <= 2 else None)  # noise may look like an STX
    return window[1 : 1 + count]


def em4100(digits: bytes, *, check: str = "xor") -> Value | None:
    """The id in twelve digits, ten of id and two of check; None when the check is wrong."""
    raw = bytes.fromhex(digits.decode())
    wanted = _checks.xor(raw[:5]) if check == "xor" else _checks.total(raw[:5])
    return _identity.em4100(raw[:5]) if wanted == raw[5] else None


def framed(window: bytes, *, tail: bytes, check: str = "xor") -> Step:
    """The step for an EM4100 id between STX and `tail`."""
    digits = digits_of(window, count=12, tail=tail)
    if not isinstance(digits, bytes):
        return digits
    size = 13 + len(tail)
    value = em4100(digits, check=check)
    return Bad("checksum", size) if value is None else Frame(size, (value,))


def text_of(card: str) -> bytes:
    """Twelve digits for a canonical em4100 card."""
    raw = _identity.raw_of(card)
    return f"{card.partition(':')[2]}{_checks.xor(raw):02X}".encode()
