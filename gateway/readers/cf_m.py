"""CF-series UHF readers (CF591, CF661, CF691, "UHF Prime" M100..M400) in the factory's active mode: we only listen.

Sources: public logs of CF661/CF691 (readers of ColombusAH/propagation-be rfid_full_log.txt). Nothing is ever written:
an unknown command (0052) rebooted a reader there.
"""

from typing import ClassVar

from gateway.readers import _checks, _identity
from gateway.readers._layout import Layout
from gateway.readers.base import Card, Fault, Frame, Reader, Step, Value

INVENTORY = b"\x00\x01"
LAYOUT = Layout(
    b"\xcf",
    5,
    lambda window: 7 + window[4],
    lambda frame: _checks.mcrf4xx(frame[:-2]) == int.from_bytes(frame[-2:]),
)


class CfM(Reader):
    baud = 115200
    technology = "epc"
    tells_rssi = tells_antenna = True
    longest: ClassVar[int] = 7 + 255

    def take(self, window: bytes) -> Step:
        # CF  addr  cmd x2  len  [status 00  RSSI x2  antenna  channel  length  EPC...]  CRC x2
        frame = LAYOUT.take(window)
        if not isinstance(frame, bytes):
            return frame
        tagged = frame[2:4] == INVENTORY and frame[4] > 5 and frame[5] == 0
        return Frame(len(frame), (_tag(frame[6:-2]),) if tagged else ())

    @classmethod
    def frame(cls, card: str) -> bytes:
        raw = _identity.raw_of(card)
        report = bytes.fromhex("00FD8A0100") + bytes([len(raw)]) + raw
        head = b"\xcf\x00" + INVENTORY + bytes([len(report)]) + report
        return head + _checks.mcrf4xx(head).to_bytes(2)


def _tag(report: bytes) -> Value:
    # RSSI x2  antenna  channel  length  EPC...
    epc = report[5:]
    if report[4] != len(epc):
        return Fault("length", "the tag names another length than the frame")
    return _identity.heard(_identity.epc(epc), rssi=_identity.signed(report[:2]) / 10, antenna=report[2] or None)


PROTOCOL = CfM
EXAMPLES = [
    ("cf0000011200fd8a01000ce280691500004020ed9648b35057", [Card("epc:E280691500004020ED9648B3")]),
    ("cf0000011200fd8a01000ce280691500004020ed9648b35750", [Fault("checksum")]),
    ("cf0000010112421d", []),
]
