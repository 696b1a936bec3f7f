"""M100 / QM100 / YRM100 UHF modules: told once to poll 65,535 times, told again when they fall silent.

Sources: electron.id/protocol/el-uhf-rmt01-protocol; anteploon/yrm100lib doc/cmd_bytes.txt. The sum misses swapped
bytes, so the tag's own CRC must be right too.
"""

from typing import ClassVar

from gateway.readers import _bracket
from gateway.readers.base import Card, Fault, Reader, Step

LAYOUT = _bracket.layout(0xBB, 0x7E)


class M100(Reader):
    """`region` is the law of the country, `power_dbm` the transmit power."""

    baud = 115200
    technology = "epc"
    interval = 2.0
    longest: ClassVar[int] = _bracket.LONGEST

    def __init__(self, region: str = "china-900", power_dbm: float = 20.0) -> None:
        super().__init__()
        self._script = _bracket.script(LAYOUT, region=region, power_dbm=power_dbm)

    def take(self, window: bytes) -> Step:
        return _bracket.take(LAYOUT, window)

    def start(self) -> bytes:
        return self._script

    def poll(self) -> bytes:
        return self.nudge(_bracket.many(LAYOUT))

    @classmethod
    def frame(cls, card: str) -> bytes:
        return _bracket.notice(LAYOUT, card)


PROTOCOL = M100
EXAMPLES = [
    ("bb02220011c93400 30751feb705c5904e3d50d70 3a76ef7e", [Card("epc:30751FEB705C5904E3D50D70")]),
    ("bb02220011cb3400e200481ab0006013044509d09582d47e", [Fault("checksum")]),  # the sum is right, the tag's CRC is not
    ("bb01ff000115167e", []),
    ("bb0003000100047e", []),
]
