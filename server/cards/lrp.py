"""NXP's Leakage Resilient Primitive: a cipher and a MAC of AES calls in which no key is used with many texts.

Source: NXP AN12304 "Leakage Resilient Primitive (LRP) Specification"; its algorithms 1 to 6 are named below, its worked
examples are the tests.
"""

from collections.abc import Callable, Iterator

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

BLOCK = 16
NIBBLES = 16
ZERO = bytes(BLOCK)
ON, OUT = b"\x55" * BLOCK, b"\xaa" * BLOCK  # what leads to the next state, and what gives a state's result


def encrypted(key: bytes, block: bytes) -> bytes:
    """One block by AES-128."""
    cipher = Cipher(AES(key), modes.ECB()).encryptor()
    return cipher.update(block) + cipher.finalize()


def decrypted(key: bytes, block: bytes) -> bytes:
    """One block back."""
    cipher = Cipher(AES(key), modes.ECB()).decryptor()
    return cipher.update(block) + cipher.finalize()


class Lrp:
    """LRP with one of the updated keys (number `update`) of a 16-byte key."""

    def __init__(self, key: bytes, update: int) -> None:
        self._plaintexts = plaintexts(key)
        self._key = updated_key(key, update)

    def cmac(self, message: bytes) -> bytes:
        """CMAC_LRP (algorithm 6): 16 bytes; as CMAC, with LRP in AES's place."""
        whole = len(message) > 0 and len(message) % BLOCK == 0
        first = doubled(self._evaluated(_nibbles(ZERO)))
        mask = first if whole else doubled(first)
        padded = message if whole else message + b"\x80" + bytes(-(len(message) + 1) % BLOCK)
        state = ZERO
        for block in _blocks(padded[:-BLOCK]):
            state = self._evaluated(_nibbles(_xor(block, state)))
        return self._evaluated(_nibbles(_xor(_xor(padded[-BLOCK:], state), mask)))

    def decrypted(self, message: bytes, *, counter: bytes) -> bytes:
        """LRICBDec (algorithm 5) of whole blocks without padding; `counter` is the first block's."""
        return self._by_block(decrypted, message, counter)

    def encrypted(self, message: bytes, *, counter: bytes) -> bytes:
        """LRICBEnc (algorithm 4) of whole blocks without padding."""
        return self._by_block(encrypted, message, counter)

    def _by_block(self, turned: Callable[[bytes, bytes], bytes], message: bytes, counter: bytes) -> bytes:
        start, size, done = int.from_bytes(counter), len(counter), b""
        for at, block in enumerate(_blocks(message)):
            key = self._evaluated(_nibbles(((start + at) % (1 << 8 * size)).to_bytes(size)))
            done += turned(key, block)
        return done

    def _evaluated(self, nibbles: list[int]) -> bytes:
        """Algorithm 3: a walk through AES calls, one for each nibble, and one with zeros at its end."""
        state = self._key
        for nibble in nibbles:
            state = encrypted(state, self._plaintexts[nibble])
        return encrypted(state, ZERO)


def plaintexts(key: bytes) -> list[bytes]:
    """Algorithm 1: the 16 secret plaintexts of a key."""
    state, found = encrypted(key, ON), []
    for _ in range(NIBBLES):
        found.append(encrypted(state, OUT))
        state = encrypted(state, ON)
    return found


def updated_key(key: bytes, number: int) -> bytes:
    """Algorithm 2: the updated key of that number, from 0."""
    state = encrypted(key, OUT)
    for _ in range(number):
        state = encrypted(state, ON)
    return encrypted(state, OUT)


def doubled(block: bytes) -> bytes:
    """Twice a block in GF(2^128), as CMAC's subkeys are made (NIST SP 800-38B 6.1)."""
    number = int.from_bytes(block) << 1
    return ((number & ((1 << 128) - 1)) ^ (0x87 if number >> 128 else 0)).to_bytes(BLOCK)


def _nibbles(block: bytes) -> list[int]:
    return [nibble for byte in block for nibble in (byte >> 4, byte & 0x0F)]


def _blocks(message: bytes) -> Iterator[bytes]:
    return (message[at : at + BLOCK] for at in range(0, len(message), BLOCK))


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
