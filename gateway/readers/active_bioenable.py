"""Bioenable reader of 2.4 GHz active tags: the tag's number, its battery and the reader's clock.

Source: info.bioenabletech.com Support/products/Wireless/Active-RFID/battery_status; its "CRC" is an XOR, and
a tag status below 30 (hex) asks for a new battery.
The baud is not stated there.
"""

from typing import ClassVar

from gateway.readers import _active
from gateway.readers.base import Card, Fault


class ActiveBioenable(_active.Shaped):
    baud = 9600
    longest: ClassVar[int] = 2 + 255
    # 2F 50  place of check  server  reader  00 00  tag x2  battery  time x6  xor  2E
    shape = _active.shape("2F50", size=2, length_at=2, check="xor:1", id="7:9", tail="2E", low="9<30")


PROTOCOL = ActiveBioenable
EXAMPLES = [
    ("2f5010000200000ba838171410180707d22e", [Card("active:0BA8")]),
    ("2f5010000200000ba938171410180707d22e", [Fault("checksum")]),
]
