"""ThingMagic M5e / M6e / M7e UHF modules that already stream or are asked by another host: we listen.

Sources: sparkfun/SparkFun_Simultaneous_RFID_Tag_Reader_Library parseResponse(); erossi/m5e_rfid README. How streaming
is started differs from module to module, so it is set up with the maker's tool.
"""

from typing import ClassVar

from gateway.readers import _checks, _identity
from gateway.readers.base import Bad, Card, Fault, Frame, More, Noise, Reader, Step, Value

ONE_TAG, STREAM = 0x21, 0x22
# What a record may tell before the tag's memory, bit for bit of its metadata flags: bytes of each.
COUNT, RSSI, ANTENNA, FREQUENCY, TIME, PHASE, PROTOCOL_ID, MEMORY, PINS = FIELDS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
RECORD = bytes.fromhex("10001B 01FF01 01 C4 11 0E1640 00000127 0000 05 0000 0F")  # once, -60 dBm, antenna 1
BYTES = {COUNT: 1, RSSI: 1, ANTENNA: 1, FREQUENCY: 3, TIME: 4, PHASE: 2, PROTOCOL_ID: 1, PINS: 1}


class Thingmagic(Reader):
    baud = 115200
    technology = "epc"
    tells_rssi = tells_antenna = True
    longest: ClassVar[int] = 7 + 255

    def take(self, window: bytes) -> Step:
        # FF  len  op  [status x2]  data...  CRC x2        the host's frames have no status
        if window[0] != 0xFF:
            start = window.find(0xFF)
            return Noise(len(window) if start < 0 else start)
        if len(window) < 2:
            return More()
        for size in (window[1] + 5, window[1] + 7):
            if len(window) >= size and _sound(window[:size]):
                return Frame(size, _meaning(window[:size]) if size == window[1] + 7 else ())
        size = window[1] + 7
        return More() if len(window) < size else Bad("checksum", size)

    @classmethod
    def frame(cls, card: str) -> bytes:
        memory = _identity.memory_of(card)
        record = RECORD + (8 * len(memory)).to_bytes(2) + memory
        head = bytes([0xFF, len(record), STREAM, 0, 0]) + record
        return head + _checks.thingmagic(head[1:]).to_bytes(2)


def _sound(frame: bytes) -> bool:
    return _checks.thingmagic(frame[1:-2]) == int.from_bytes(frame[-2:])


def _meaning(frame: bytes) -> tuple[Value, ...]:
    code, status, block = frame[2], frame[3:5], frame[5:-2]
    if status != b"\x00\x00" or not block:
        return ()
    if code == ONE_TAG:  # EPC and CRC; the PC is not sent, but the tag's CRC is over it
        return (_single(block),)
    if code == STREAM and len(block) > 6 and block[3] < 2:  # two bytes of flags, none that is not known here
        return (_record(block),)
    return ()


def _single(block: bytes) -> Value:
    values = [_identity.gen2(bytes([len(block) - 2 >> 1 << 3 | low, 0]) + block) for low in (0, 4)]
    return next((value for value in values if isinstance(value, Card)), values[0])


def _record(block: bytes) -> Value:
    # 10 00 1B  flags x2  type  [count  RSSI  antenna  freq x3  time x4  phase x2  protocol
    # bits of data x2  data...  pins]  bits of memory x2  PC x2  EPC...  CRC x2
    flags, at, told = int.from_bytes(block[3:5]), 6, dict[int, bytes]()
    for field in FIELDS:
        if flags & field:
            size = BYTES.get(field) or 2 + (int.from_bytes(block[at : at + 2]) + 7) // 8
            told[field] = block[at : at + size]
            at += size
    bits, memory = int.from_bytes(block[at : at + 2]), block[at + 2 :]
    if not bits or len(memory) != bits // 8:
        return Fault("length", "the record does not fit its frame")
    return _identity.heard(_identity.gen2(memory), **_strength(told))


def _strength(told: dict[int, bytes]) -> dict[str, int]:
    rssi, antenna = told.get(RSSI), told.get(ANTENNA)
    # the antenna that sent stands in the high half, the one that heard in the low one
    return ({"rssi": _identity.signed(rssi)} if rssi else {}) | ({"antenna": antenna[0] & 0x0F} if antenna else {})


PROTOCOL = Thingmagic
EXAMPLES = [
    (
        "ff2822000010001b01ff0101c4110e16400000012700000500000f00803000000000000000000000001545e94a561d",
        [Card("epc:000000000000000000001545")],
    ),
    ("ff0e210000e200322fe20df9311328b7e3d100aad0", [Card("epc:E200322FE20DF9311328B7E3")]),
    ("ff0022040084e0", []),
    ("ff00031d0c", []),
]
