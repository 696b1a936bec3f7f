"""An NTAG 424 DNA as the server meets it: it counts its readings and writes URLs. Its AES is the library's own."""

import os
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from server.cards import sunkeys
from server.cards.lrp import Lrp

UID = bytes.fromhex("04DE5F1EACC040")


@dataclass
class Ntag:
    """One card with its keys."""

    meta: bytes
    file: bytes
    uid: bytes = UID
    counter: int = 0
    mode: str = "AES"

    @property
    def text(self) -> str:
        """As a gateway names it."""
        return f"iso14443a:{self.uid.hex().upper()}"

    def url(self, counter: int | None = None, *, plain: bool = False, enc: bytes = b"") -> str:
        """The next reading, or the one with this counter."""
        self.counter = self.counter + 1 if counter is None else counter
        who = self.uid + self.counter.to_bytes(3, "little")
        head = f"uid={self.uid.hex()}&ctr={self.counter:06x}" if plain else f"picc_data={self._picc(who).hex().upper()}"
        covered = f"{enc.hex().upper()}&cmac=".encode() if enc else b""
        middle = f"&enc={enc.hex().upper()}" if enc else ""
        return f"https://gate.example/card?{head}{middle}&cmac={self._mac(who, covered).hex().upper()}"

    def _picc(self, who: bytes) -> bytes:
        plain = b"\xc7" + who + os.urandom(5)
        if self.mode == "LRP":
            chance = os.urandom(8)
            return chance + Lrp(self.meta, 0).encrypted(plain, counter=chance)
        cipher = Cipher(AES(self.meta), modes.CBC(bytes(16))).encryptor()
        return cipher.update(plain) + cipher.finalize()

    def _mac(self, who: bytes, covered: bytes) -> bytes:
        if self.mode == "LRP":
            master = Lrp(self.file, 0).cmac(bytes.fromhex("00010080") + who + bytes.fromhex("1EE1"))
            return Lrp(master, 0).cmac(covered)[1::2]
        return cmac(cmac(self.file, bytes.fromhex("3CC300010080") + who), covered)[1::2]


def cmac(key: bytes, message: bytes) -> bytes:
    """AES-CMAC."""
    mac = CMAC(AES(key))
    mac.update(message)
    return mac.finalize()


def of_school(school_id: str, uid: bytes = UID, *, version: int = 1, mode: str = "AES") -> Ntag:
    """A card into which the printed keys were written."""
    slots = sunkeys.of_card(school_id, uid, version).slots
    return Ntag(slots[sunkeys.META], slots[sunkeys.FILE_READ], uid, mode=mode)
