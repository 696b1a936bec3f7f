"""Chafon UHF readers: `Len Adr Cmd [Status] data CRC`, without a start byte: length and CRC alone make a frame.

Sources: wabson/chafon-rfid (commit 05b55f3); Timereversal/rfidtime; UR-008 manual v1.14; ZK-RFID102 manual 8.2.1.
"""

from collections.abc import Iterator
from functools import partial
from itertools import starmap

from gateway.readers import _checks, _identity
from gateway.readers._layout import Layout
from gateway.readers.base import Fault, Step, Value

BROADCAST = 0xFF
INVENTORY, INFO, MODE, REPORT = 0x01, 0x21, 0x76, 0xEE
ZERO_DBM = 129  # of the RSSI byte, by the convention of its R2000 chip: good for comparing, not for measuring
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


def tags(block: bytes, *, count: int, after: int, antenna: int | None = None) -> tuple[Value, ...]:
    """`count` EPCs, each with its length before it and `after` bytes behind it (the RSSI), that fill `block`."""
    found = list(_split(block, count, after))
    if sum(1 + len(epc) + after for epc, _ in found) != len(block) or len(found) != count:
        return (Fault("length", "the list of tags does not fit its frame"),)
    return tuple(starmap(partial(_tag, antenna), found))


def _split(block: bytes, count: int, after: int) -> Iterator[tuple[bytes, bytes]]:
    for _ in range(count):
        if not block or len(block) < 1 + block[0] + after:
            return
        end = 1 + block[0]
        yield block[1:end], block[end : end + after]
        block = block[end + after :]


def _tag(antenna: int | None, epc: bytes, strength: bytes) -> Value:
    rssi = strength[0] - ZERO_DBM if strength else None
    return _identity.heard(_identity.epc(epc), rssi=rssi, antenna=antenna)


def antenna(mask: int) -> int | None:
    """Antennas are bits: 01, 02, 04, 08; None for none or several."""
    return mask.bit_length() if mask.bit_count() == 1 else None


def counted(card: str) -> bytes:
    """Length and EPC of a canonical card."""
    raw = _identity.raw_of(card)
    return bytes([len(raw)]) + raw
