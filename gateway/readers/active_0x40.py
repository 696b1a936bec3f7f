"""RS-232 reader of 2.4 GHz active tags, vendor unknown: the tag's label as eight decimal digits.

Source: a Stack Overflow question (copy at example-a.com/answer/43001797); its author read one byte too many.
"""

from typing import ClassVar

from gateway.readers import _active
from gateway.readers.base import Card, Fault


class Active0x40(_active.Shaped):
    baud = 115200
    longest: ClassVar[int] = 7
    # 40  00  label x4  xor
    shape = _active.shape("40", size=7, check="xor:0", id="2:6", order="bcd")


PROTOCOL = Active0x40
EXAMPLES = [
    ("40000216032374", [Card("active:02160323")]),
    ("40000216032375", [Fault("checksum")]),
]
