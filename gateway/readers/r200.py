"""R200 clones of the M100 UHF module: the same frames between AA and DD.

Sources: Sichuan Ruipin vendor sketch; PyPI rfid-r200 0.1.1. The frame's sum misses swapped bytes, so the tag's own CRC
must be right too.
"""

from gateway.readers import _bracket
from gateway.readers.base import Card, Fault


class R200(_bracket.Bracketed):
    layout = _bracket.layout(0xAA, 0xDD)


PROTOCOL = R200
EXAMPLES = [
    ("aa02220011c73000e28068900000500e88c6a4a7119b29dd", [Card("epc:E28068900000500E88C6A4A7")]),
    ("bb01ff000115167e", [Fault("framing")]),  # the same module's other profile
]
