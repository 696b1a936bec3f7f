"""M100 / QM100 / YRM100 UHF modules: told once to poll 65,535 times, told again when they fall silent.

Sources: electron.id/protocol/el-uhf-rmt01-protocol; anteploon/yrm100lib doc/cmd_bytes.txt. The sum misses swapped
bytes, so the tag's own CRC must be right too.
"""

from gateway.readers import _bracket
from gateway.readers.base import Card, Fault


class M100(_bracket.Bracketed):
    layout = _bracket.layout(0xBB, 0x7E)


PROTOCOL = M100
EXAMPLES = [
    ("bb02220011c93400 30751feb705c5904e3d50d70 3a76ef7e", [Card("epc:30751FEB705C5904E3D50D70")]),
    ("bb02220011cb3400e200481ab0006013044509d09582d47e", [Fault("checksum")]),  # the sum is right, the tag's CRC is not
    ("bb01ff000115167e", []),
    ("bb0003000100047e", []),
]
