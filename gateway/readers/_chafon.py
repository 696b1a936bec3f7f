"""Chafon UHF readers: `Len Adr Cmd [Status] data CRC`, without a start byte: length and CRC alone make a frame.

Sources: wabson/chafon-rfid (commit 05b55f3); Timereversal/rfidtime; UR-008 manual v1.14; ZK-RFID102 manual 8.2.1.
"""

from collections.abc import Iterator

from gateway.readers import _checks, _identity
from gateway.readers._layout import Layout
from gateway.readers.base import Fault, Step, Value

BROADCAST = 0xFF
INVENTORY, INFO, MODE, REPORT = 0x01, 0x21, 0x76, 0xEE
TAGS = {1, 2, 3, 4}  # done, scan time over, more frames follow, memory full: tags are in each of them
LONGEST = 256


def _sound(frame: bytes) -> bool:
    return _checks.mcrf4xx(frame[:-2]) == int.from_bytes(frame[-2:], "little")


LAYOUT = Layout(b"", 1, lambda window: window[0] + 1 if window[0] >= 4 else 0, _sound)


def take(window: bytes) -> bytes | Step:
    """The whole frame at the start of `window`, or why there is none."""
    return LAYOUT.take(window)


def framed(body: bytes) -> bytes:
    """Length before and CRC behind: `body` is address, command and data."""
    counted = bytes([len(body) + 2]) + body
    return counted + _checks.mcrf4xx(counted).to_bytes(2, "little")


def tags(block: bytes, *, count: int, after: int) -> tuple[Value, ...]:
    """`count` EPCs, each with its length before it and `after` bytes behind it, that fill `block` exactly."""
    found = list(_split(block, count, after))
    if sum(1 + len(epc) + after for epc in found) != len(block) or len(found) != count:
        return (Fault("length", "the list of tags does not fit its frame"),)
    return tuple(map(_identity.epc, found))


def _split(block: bytes, count: int, after: int) -> Iterator[bytes]:
    for _ in range(count):
        if not block or len(block) < 1 + block[0] + after:
            return
        yield block[1 : 1 + block[0]]
        block = block[1 + block[0] + after :]


def counted(card: str) -> bytes:
    """Length and EPC of a canonical card."""
    raw = _identity.raw_of(card)
    return bytes([len(raw)]) + raw
