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


def _reflected(poly: int) -> tuple[int, ...]:
    table = []
    for entry in range(256):
        crc = entry
        for _ in range(8):
            crc = crc >> 1 ^ (poly if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_MCRF4XX = _reflected(0x8408)
_MODBUS = _reflected(0xA001)


def _crc(table: tuple[int, ...], block: bytes) -> int:
    crc = 0xFFFF
    for byte in block:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc


def mcrf4xx(block: bytes) -> int:
    """CRC-16/MCRF4XX: polynomial 0x1021 reflected, init FFFF, no final XOR."""
    return _crc(_MCRF4XX, block)


def modbus(block: bytes) -> int:
    """CRC-16/MODBUS: polynomial 0x8005 reflected, init FFFF."""
    return _crc(_MODBUS, block)


def genibus(block: bytes) -> int:
    """CRC-16/GENIBUS, the CRC that every Gen2 tag keeps over its PC and EPC."""
    return binascii.crc_hqx(block, 0xFFFF) ^ 0xFFFF


def thingmagic(block: bytes) -> int:
    """Polynomial 0x1021, init FFFF, data shifted in from below and never augmented with zeros."""
    crc = 0xFFFF
    for byte in block:
        for nibble in (byte >> 4, byte & 0xF):
            crc = (crc << 4 & 0xFFFF | nibble) ^ (crc >> 12) * 0x1021
    return crc
