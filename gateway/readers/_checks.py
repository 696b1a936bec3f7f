"""The checks that reader frames end with, each over plain bytes."""

import binascii
from functools import reduce
from operator import xor as _xor


def xor(block: bytes) -> int:
    """All bytes XORed."""
    return reduce(_xor, block, 0)


def total(block: bytes) -> int:
    """Sum of all bytes, mod 256."""
    return sum(block) & 0xFF


_BYTES_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def mcrf4xx(block: bytes) -> int:
    """CRC-16/MCRF4XX: polynomial 0x1021 reflected, init FFFF, no final XOR."""
    # The C library knows the same CRC unreflected, and noise on a line without a start byte asks for it at each byte.
    crc = binascii.crc_hqx(block.translate(_BYTES_REVERSED), 0xFFFF)
    return _BYTES_REVERSED[crc & 0xFF] << 8 | _BYTES_REVERSED[crc >> 8]


def modbus(block: bytes) -> int:
    """CRC-16/MODBUS: polynomial 0x8005 reflected, init FFFF."""
    crc = 0xFFFF
    for byte in block:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def genibus(block: bytes) -> int:
    """CRC-16/GENIBUS, the CRC that every Gen2 tag keeps over its PC and EPC."""
    return binascii.crc_hqx(block, 0xFFFF) ^ 0xFFFF


_THINGMAGIC_START = binascii.crc_hqx(b"\x00\x00", 0xFFFF)


def thingmagic(block: bytes) -> int:
    """Polynomial 0x1021, init FFFF, data shifted in from below and never augmented with zeros: two bytes or more."""
    return binascii.crc_hqx(block[:-2], _THINGMAGIC_START) ^ int.from_bytes(block[-2:])
