"""What may count as an identity: bytes of a sound frame -> a canonical card, or the fault `phantom`.

Cheap 125 kHz modules report ids with a valid check while no card is near (esprfid/esp-rfid#411, arendst/Tasmota#9522).
"""

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


def epc(raw: bytes) -> Value:
    """An EPC; all zeros is a real, unprogrammed tag."""
    return Card(f"epc:{raw.hex().upper()}")


def raw_of(text: str) -> bytes:
    """The bytes of a canonical card."""
    return bytes.fromhex(text.partition(":")[2])
