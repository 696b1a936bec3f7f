"""Chainway UR4 / UM202 UHF modules: told once to stream; silent while no tag is near.

Sources: PyPI chainway-serial 0.2.3 (frames.build_frame, const.START_INVENTORY_PAYLOAD); public UM202 capture.
"""

from typing import ClassVar

from gateway.readers import _checks, _identity
from gateway.readers._layout import Layout, ends_with_xor
from gateway.readers.base import Card, Fault, Frame, Reader, Step

TAG = 0x83
LAYOUT = Layout(
    b"\xa5\x5a",
    5,
    lambda window: window[3] if window[2] == 0 and window[3] >= 8 else 0,
    ends_with_xor(2),
    b"\r\n",
)


def _framed(code: int, block: bytes) -> bytes:
    body = (len(block) + 8).to_bytes(2) + bytes([code]) + block
    return LAYOUT.header + body + bytes([_checks.xor(body)]) + LAYOUT.tail


STREAM = _framed(0x82, b"\x00\x00")


class Chainway(Reader):
    baud = 115200
    technology = "epc"
    tells_rssi = tells_antenna = True
    longest: ClassVar[int] = 255

    def take(self, window: bytes) -> Step:
        # A5 5A  len x2  83  PC x2  EPC...  RSSI x2  antenna  xor  0D 0A
        frame = LAYOUT.take(window)
        if not isinstance(frame, bytes):
            return frame
        if frame[4] != TAG or len(frame) < 15:
            return Frame(len(frame))
        value = _identity.counted(frame[5:7], frame[7:-6])
        return Frame(len(frame), (_identity.heard(value, rssi=_dbm(frame[-6:-4]), antenna=frame[-4] or None),))

    def start(self) -> bytes:
        return STREAM

    @classmethod
    def frame(cls, card: str) -> bytes:
        return _framed(TAG, _identity.memory_of(card)[:-2] + b"\x00\xd4\x01")


def _dbm(raw: bytes) -> float:
    # tenths in 16 bits; the UM202 sends whole dBm in the low byte
    tenths = _identity.signed(raw)
    return tenths / 10 if tenths < 0 else _identity.signed(raw[1:])


PROTOCOL = Chainway
EXAMPLES = [
    ("a55a0019833000e200001b66040082172034d500d401b00d0a", [Card("epc:E200001B66040082172034D5")]),
    ("a55a0019833000e200001b66040082172034d500d401b00d", [Fault("framing")]),
    ("a55a000a820000880d0a", []),
]
