"""R200 clones of the M100 UHF module: the same frames between AA and DD.

Sources: Sichuan Ruipin vendor sketch; PyPI rfid-r200 0.1.1. The frame's sum misses swapped bytes, so the tag's own CRC
must be right too.
"""

from typing import ClassVar

from gateway.readers import _bracket
from gateway.readers.base import Card, Fault, Reader, Step

LAYOUT = _bracket.layout(0xAA, 0xDD)


class R200(Reader):
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


PROTOCOL = R200
EXAMPLES = [
    ("aa02220011c73000e28068900000500e88c6a4a7119b29dd", [Card("epc:E28068900000500E88C6A4A7")]),
    ("bb01ff000115167e", [Fault("framing")]),  # the same module's other profile
]
