"""What names a card lies on the disk only sealed: whoever has the disk without its machine reads no card.

Deterministic authenticated encryption after SIV (Rogaway and Shrimpton, 2006; RFC 5297): the tag is a keyed hash of the
text and of what it belongs to, and starts the key stream, so no nonce can come twice when a disk is copied or a power
cut takes the random generator back. Both keyed functions are BLAKE2b with a key (RFC 7693, section 2.9), the stream is
it in counter mode. It is no cipher of a library because a gate gets none: the standard library has no AES, the kernel's
(AF_ALG) is not in every kernel that we meet, and a cryptography package would double the memory.

Sealed: salt (8), tag (16), text. The salt stands in every one, so none needs another file to be opened again.
"""

import functools
import hashlib
import hmac
import logging
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gateway import durable, machine

log = logging.getLogger("gateway.seal")

SALT, TAG, BLOCK = 8, 16, 64
# 8 MB and some 30 ms here, once for each salt; a Pi Zero 2 takes a few tenths of a second.
SCRYPT = {"n": 2**13, "r": 8, "p": 1}


class Foreign(ValueError):
    """It was sealed by another machine, or is damaged."""


class Seal:
    """Seals and opens with the key of this machine; the salt for new ones lies in `folder`."""

    def __init__(self, folder: Path, key_file: str = "") -> None:
        self.folder = folder
        self.key_file = key_file
        self._keys: dict[bytes, tuple[bytes, bytes]] = {}

    @functools.cached_property
    def machine(self) -> machine.Machine:
        """What the key is made from; told once."""
        found = machine.identify(self.key_file)
        if not found.is_secret:
            log.warning("this machine has no number of its own: the cards on its disk can be read by whoever takes it")
        return found

    @functools.cached_property
    def salt(self) -> bytes:
        """For new ones. A lost one is no loss: each that is sealed has its own with it."""
        path = self.folder / "seal.salt"
        salt = path.read_bytes() if path.exists() else b""
        if len(salt) != SALT:
            salt = os.urandom(SALT)
            with suppress(OSError):  # a full disk: the next start makes another
                durable.write(path, salt)
        return salt

    def seal(self, text: bytes, about: bytes) -> bytes:
        """Encrypt; `about` is what the text belongs to, and is needed to open it."""
        tag_key, stream_key = self._keys_of(self.salt)
        tag = _tag(tag_key, text, about)
        return self.salt + tag + _mixed(stream_key, tag, text)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """What was sealed. Raises Foreign."""
        if len(sealed) < SALT + TAG:
            raise Foreign("too short to be sealed")
        tag_key, stream_key = self._keys_of(sealed[:SALT])
        tag = sealed[SALT : SALT + TAG]
        text = _mixed(stream_key, tag, sealed[SALT + TAG :])
        if not hmac.compare_digest(tag, _tag(tag_key, text, about)):
            raise Foreign("sealed by another machine, or damaged")
        return text

    def seal_text(self, text: str, about: str) -> str:
        """The same as letters."""
        return b64encode(self.seal(text.encode(), about.encode())).decode()

    def open_text(self, sealed: str, about: str) -> str:
        """What seal_text sealed. Raises Foreign."""
        try:
            return self.open(b64decode(sealed, validate=True), about.encode()).decode()
        except ValueError as error:
            raise Foreign(str(error)) from None

    def _keys_of(self, salt: bytes) -> tuple[bytes, bytes]:
        if salt not in self._keys:
            key = hashlib.scrypt(self.machine.identity, salt=b"gatebell seal 1" + salt, dklen=64, **SCRYPT)
            self._keys[salt] = key[:32], key[32:]
        return self._keys[salt]


def _tag(key: bytes, text: bytes, about: bytes) -> bytes:
    return hashlib.blake2b(len(about).to_bytes(4, "big") + about + text, key=key, digest_size=TAG).digest()


def _mixed(key: bytes, tag: bytes, text: bytes) -> bytes:
    if len(text) <= BLOCK:  # a card: spared what a list needs
        return _xor(text, hashlib.blake2b(tag + bytes(4), key=key).digest())
    return _xor(text, b"".join(_stream(key, tag, len(text))))


def _stream(key: bytes, tag: bytes, length: int) -> Iterator[bytes]:
    for number in range(-(-length // BLOCK)):
        yield hashlib.blake2b(tag + number.to_bytes(4, "big"), key=key).digest()


def _xor(text: bytes, stream: bytes) -> bytes:
    both = int.from_bytes(text, "big") ^ int.from_bytes(stream[: len(text)], "big")
    return both.to_bytes(len(text), "big")
