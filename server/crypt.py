"""Encryption and keyed hashes of what could identify a family, and the keys of what must prove itself.

One 32-byte secret (config `secrets.key_file`) gives them all by HKDF: to encrypt, to hash for look-up, to derive.
"""

import base64
import contextlib
import hashlib
import hmac
import os
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand


class KeyMissing(RuntimeError):
    """No secret is loaded; `gatebell check` says which key_file is wanted."""


class _Keys:
    cipher: AESGCM | None = None
    hashing: bytes = b""
    deriving: bytes = b""


def load(secret: bytes) -> None:
    """Use this secret from now on, at least 32 bytes. Raises KeyMissing when it is shorter."""
    if len(secret) < 32:
        raise KeyMissing(
            "secrets.key_file: the key needs at least 32 bytes; make one with: head -c 32 /dev/urandom | base64 > key"
        )
    _Keys.cipher = AESGCM(hmac.digest(secret, b"gatebell encrypt 1", hashlib.sha256))
    _Keys.hashing = hmac.digest(secret, b"gatebell look-up 1", hashlib.sha256)
    _Keys.deriving = hmac.digest(secret, b"gatebell derive 1", hashlib.sha256)


def load_file(path: Path) -> None:
    """Use the secret of a file; a new random one is written (mode 600) when there is none. Raises KeyMissing."""
    try:
        secret = _read(path)
    except OSError as error:
        raise KeyMissing(f"the key {path} cannot be used: {error.strerror}; look at secrets.key_file") from None
    load(secret)


def _read(path: Path) -> bytes:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _make(path)
    return path.read_bytes().strip()


def _make(path: Path) -> None:
    """A new secret appears whole or not at all: of two processes that start together, both use the first one's."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(base64.b64encode(os.urandom(32)).decode() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        os.unlink(name)


def seal(text: str) -> str:
    """Encrypt; the same text gives another result each time."""
    return base64.b64encode(seal_bytes(text.encode())).decode()


def unseal(sealed: str) -> str:
    """Decrypt what seal() gave. Raises cryptography's InvalidTag under another secret."""
    return unseal_bytes(base64.b64decode(sealed)).decode()


def seal_bytes(content: bytes) -> bytes:
    """The same for a file."""
    if _Keys.cipher is None:
        raise KeyMissing("no secret key is loaded")
    nonce = os.urandom(12)
    return nonce + _Keys.cipher.encrypt(nonce, content, None)


def unseal_bytes(sealed: bytes) -> bytes:
    """Decrypt what seal_bytes() gave."""
    if _Keys.cipher is None:
        raise KeyMissing("no secret key is loaded")
    return _Keys.cipher.decrypt(sealed[:12], sealed[12:], None)


def look_up(text: str) -> str:
    """Keyed hash, 32 hex characters: equal for equal texts, useless without the secret."""
    if not _Keys.hashing:
        raise KeyMissing("no secret key is loaded")
    return hmac.digest(_Keys.hashing, text.encode(), hashlib.sha256).hex()[:32]


def derived(purpose: str) -> bytes:
    """A key of 16 bytes for one purpose, always the same under one secret; no table holds it."""
    if not _Keys.deriving:
        raise KeyMissing("no secret key is loaded")
    return HKDFExpand(SHA256(), length=16, info=purpose.encode()).derive(_Keys.deriving)
