"""TZONE TZ-RD05 reader of 2.4 GHz active tags: the tag's number with battery, temperature and humidity.

Source: TZ-RD05 manual p.5 (manualshive 1187336): the check is the sum of all bytes before it; the baud is not stated.
Bit 7 of the state is a low battery; newer readers add an RSSI before the sum.
"""

from typing import ClassVar

from gateway.readers import _active
from gateway.readers.base import Card, Fault


class ActiveTzone(_active.Shaped):
    baud = 9600
    longest: ClassVar[int] = 4 + 255
    # 7E  len  reader x3  tag x4  state  battery mV x2  temperature x2  humidity  sum  03
    shape = _active.shape("7E", size=4, length_at=1, check="sum:0", id="5:9", tail="03", low="9&80")


PROTOCOL = ActiveTzone
EXAMPLES = [
    ("7e0d12345662160179000e1000ec4f7203", [Card("active:62160179")]),
    ("7e0d12345662160178000e1000ec4f7203", [Fault("checksum")]),
]
