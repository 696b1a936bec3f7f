"""What may count as an identity: bytes of a sound frame -> a canonical card, or the fault `phantom`.

Cheap 125 kHz modules report ids with a valid check while no card is near (esprfid/esp-rfid#411, arendst/Tasmota#9522).
"""

from dataclasses import replace

from gateway.readers import _checks
from gateway.readers.base import Card, Fault, Value

PHANTOMS = frozenset(
    bytes.fromhex(text)
    for text in (
        "000000078F",
        "00F00000F0",
        "F000060007",
        "B59A99E5A9",
        "4FFB388FFF",
        "DA9386B5EA",
        "DAEF6FEE2B",
    )
)


def blank(raw: bytes) -> bool:
    """All zeros or all ones: what a dead wire or an empty field gives."""
    return not raw.strip(b"\x00") or not raw.strip(b"\xff")


def em4100(raw: bytes) -> Value:
    """Version byte and four id bytes."""
    if blank(raw[1:]) or raw in PHANTOMS:
        return Fault("phantom", "a valid frame that is sent while no card is near")
    return Card(f"em4100:{raw.hex().upper()}")


def card(technology: str, raw: bytes) -> Value:
    """Any other identity, in the order of the air interface."""
    if blank(raw):
        return Fault("phantom", "the id is all zeros or all ones")
    return Card(f"{technology}:{raw.hex().upper()}")


def contactless(raw: bytes) -> Value:
    """A UID of ISO 14443A, or the five bytes of an EM4100 from a reader of both."""
    return em4100(raw) if len(raw) == 5 else card("iso14443a", raw)


def epc(raw: bytes) -> Value:
    """An EPC of 2 to 32 bytes; all zeros is a real, unprogrammed tag."""
    if not 2 <= len(raw) <= 32:
        return Fault("length", f"an EPC of {len(raw)} bytes")
    return Card(f"epc:{raw.hex().upper()}")


def gen2(memory: bytes) -> Value:
    """PC, EPC and the tag's own CRC, which also finds what a frame's weak sum lets pass."""
    if len(memory) < 4 or (memory[0] >> 3) * 2 != len(memory) - 4:
        return Fault("length", "the tag names another length than the frame")
    if int.from_bytes(memory[-2:]) != _checks.genibus(memory[:-2]):
        return Fault("checksum", "the tag's own CRC")
    return epc(memory[2:-2])


def counted(pc: bytes, number: bytes) -> Value:
    """An EPC without the tag's CRC: its PC must agree on the length."""
    if (pc[0] >> 3) * 2 != len(number):
        return Fault("length", "the tag names another length than the frame")
    return epc(number)


def heard(value: Value, *, rssi: float | None = None, antenna: int | None = None) -> Value:
    """The same card with how strongly and by which antenna it was read."""
    return replace(value, rssi=rssi, antenna=antenna) if isinstance(value, Card) else value


def signed(raw: bytes) -> int:
    """Two's complement, most significant byte first."""
    return int.from_bytes(raw, signed=True)


def memory_of(text: str) -> bytes:
    """PC, EPC and CRC as a tag keeps them, for a canonical epc card."""
    raw = raw_of(text)
    memory = bytes([len(raw) // 2 << 3, 0]) + raw
    return memory + _checks.genibus(memory).to_bytes(2)


def raw_of(text: str) -> bytes:
    """The bytes of a canonical card."""
    return bytes.fromhex(text.partition(":")[2])
