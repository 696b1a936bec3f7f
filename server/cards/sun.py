"""Whether an NTAG 424 DNA really wrote the message that was read from it (SUN, secure unique NFC). Pure: keys come in.

Sources: NXP AN12196 "NTAG 424 DNA features and hints" (AES: pages 10 to 18; AuthenticateEV2First: table 14),
NXP NT4H2421Gx data sheet 9.3 (session keys of AES and LRP), NXP AN12304 (LRP), NXP AN10922 (keys of one card from a
master key). Vectors: icedevml/sdm-backend (commit bebab6e) and johnnyb/ntag424-java (commit ccf4753).

    picc_data, decrypted   C7 | UID x7 | counter x3, least byte first | random x5
    MAC in the message     bytes 1, 3 .. 15 of the full CMAC

A verdict says that the card is genuine and which counter it showed. That a counter grows is for the caller to keep.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from server.cards.lrp import Lrp, encrypted

UID_AND_COUNTER = 0xC7  # PICCDataTag: 7 bytes of UID, and the counter
KEY = 16
PICC_AES, PICC_LRP = 16, 24
FILE = 256  # bytes of the NDEF file of an NTAG 424 DNA
FOR_FILE, FOR_MAC = bytes.fromhex("C33C00010080"), bytes.fromhex("3CC300010080")
LRP_HEAD, LRP_TAIL = bytes.fromhex("00010080"), bytes.fromhex("1EE1")
ZERO_IV = bytes(16)


class Malformed(ValueError):
    """The question cannot be answered; the sentence says which field is wrong."""


class WrongMac(ValueError):
    """Not written by the card that has these keys, or changed since."""

    def __init__(self) -> None:
        super().__init__("mac")


class Replayed(ValueError):
    """A genuine message whose counter was seen before: a copy."""

    def __init__(self) -> None:
        super().__init__("replay")


@dataclass(frozen=True)
class Fields:
    """The fields of a question, each a text of hexadecimal digits; whatever is wrong with one is said by its name."""

    given: Mapping[str, object]

    def octets(self, name: str, *sizes: int) -> bytes:
        """Bytes of a field that must be there, of one of these sizes. Raises Malformed."""
        text = self.given.get(name)
        if not isinstance(text, str):
            raise Malformed(f"{name} is missing; it is a text of hexadecimal digits")
        try:
            octets = bytes.fromhex(text)
        except ValueError:
            raise Malformed(f"{name} is not pairs of hexadecimal digits") from None
        if sizes and len(octets) not in sizes:
            raise Malformed(f"{name} has {len(octets)} bytes, it must have {' or '.join(map(str, sizes))}")
        return octets

    def last_counter(self) -> int:
        """The last counter that was accepted of this card; -1 when there was none. Raises Malformed."""
        last = self.given.get("last_ctr")
        if last is None:
            return -1
        if not isinstance(last, int) or isinstance(last, bool) or last < 0:
            raise Malformed("last_ctr is not a whole number from 0")
        return last

    def mac_input(self) -> bytes:
        """What the MAC covers: nothing, or the encrypted file's digits and the text between them and the MAC."""
        enc = self.file()
        if not enc:
            return b""
        suffix = self.given.get("mac_input_suffix", "&cmac=")
        if not isinstance(suffix, str) or not suffix.isascii():
            raise Malformed("mac_input_suffix is not an ASCII text")
        return (enc.hex().upper() + suffix).encode()

    def file(self) -> bytes:
        """The encrypted part of the file, empty when the message has none. Raises Malformed."""
        if self.given.get("enc") in (None, ""):
            return b""
        enc = self.octets("enc")
        if len(enc) % 16 or len(enc) > FILE:
            raise Malformed(f"enc has {len(enc)} bytes; it has whole blocks of 16 and at most {FILE}")
        return enc


def answer(question: Mapping[str, object]) -> dict[str, str | int]:
    """Verify one message, or compute keys, as `mode` asks. Raises Malformed, WrongMac and Replayed."""
    mode = question.get("mode")
    if not isinstance(mode, str) or mode not in MODES:
        raise Malformed(f"mode is {mode!r}; there are: {', '.join(MODES)}")
    return MODES[mode](Fields(question))


def _by_aes(fields: Fields) -> dict[str, str | int]:
    file_key, uid, counter, plain = _who(fields)
    mac_key = _cmac(file_key, FOR_MAC + uid + counter)
    full = _cmac(mac_key, fields.mac_input())
    told = _accepted(fields, uid, counter, full)
    told |= {"picc_plain": _hex(plain)} if plain else {}
    told |= {"sv2": _hex(FOR_MAC + uid + counter), "kses_mac": _hex(mac_key), "cmac_full": _hex(full)}
    if enc := fields.file():
        file_iv = encrypted(key := _cmac(file_key, FOR_FILE + uid + counter), counter + bytes(13))
        told |= {"kses_enc": _hex(key), "file_iv": _hex(file_iv), "file_plain": _hex(_cbc_back(key, file_iv, enc))}
    return told


def _by_lrp(fields: Fields) -> dict[str, str | int]:
    file_key, uid, counter, plain = _who(fields)
    master = _lrp_master(file_key, uid, counter)
    full = _lrp_mac(master, fields.mac_input())
    told = _accepted(fields, uid, counter, full)
    told |= {"picc_plain": _hex(plain)} if plain else {}
    told |= {"cmac_full": _hex(full)}
    if enc := fields.file():
        told["file_plain"] = _hex(Lrp(master, 1).decrypted(enc, counter=counter + bytes(3)))
    return told


def _who(fields: Fields) -> tuple[bytes, bytes, bytes, bytes]:
    """File key, UID, counter (least byte first) and decrypted PICC data, which is empty when UID is told in plain."""
    file_key = fields.octets("file_key", KEY)
    if "picc_data" not in fields.given:
        return file_key, fields.octets("uid", 7), fields.octets("ctr_hex", 3)[::-1], b""
    meta_key, by_lrp = fields.octets("meta_key", KEY), fields.given["mode"] == "LRP"
    plain = opened(meta_key, fields.octets("picc_data", PICC_LRP if by_lrp else PICC_AES))
    return file_key, plain[1:8], plain[8:11], plain


def opened(meta_key: bytes, picc: bytes) -> bytes:
    """PICC data decrypted: AES has 16 bytes of it, LRP 24. Raises WrongMac when it is no UID with a counter."""
    if len(picc) == PICC_LRP:
        plain = Lrp(meta_key, 0).decrypted(picc[8:], counter=picc[:8])  # random x8 | encrypted x16
    else:
        plain = _cbc_back(meta_key, ZERO_IV, picc)
    if plain[0] != UID_AND_COUNTER:
        raise WrongMac  # another meta key's, or changed: nothing in it can be believed
    return plain


def mac_of(mode: str, file_key: bytes, uid: bytes, counter: bytes, covered: bytes) -> bytes:
    """The 8 bytes that the card writes; the counter has its least byte first."""
    if mode == "LRP":
        return _lrp_mac(_lrp_master(file_key, uid, counter), covered)[1::2]
    return _cmac(_cmac(file_key, FOR_MAC + uid + counter), covered)[1::2]


def _lrp_master(file_key: bytes, uid: bytes, counter: bytes) -> bytes:
    # session vector: 0001 0080 UID counter, zeros up to whole blocks, 1EE1: here it is one block
    return Lrp(file_key, 0).cmac(LRP_HEAD + uid + counter + LRP_TAIL)


def _lrp_mac(master: bytes, covered: bytes) -> bytes:
    return Lrp(master, 0).cmac(covered)


def _accepted(fields: Fields, uid: bytes, counter: bytes, full: bytes) -> dict[str, str | int]:
    if not hmac.compare_digest(full[1::2], fields.octets("cmac", 8)):
        raise WrongMac
    if int.from_bytes(counter, "little") <= fields.last_counter():
        raise Replayed
    return {"uid": _hex(uid), "ctr": int.from_bytes(counter, "little")}


def _session_keys(fields: Fields) -> dict[str, str | int]:
    """The keys of one reading of one card."""
    key, card = fields.octets("file_key", KEY), fields.octets("uid", 7) + fields.octets("ctr_hex", 3)[::-1]
    return {"kses_enc": _hex(_cmac(key, FOR_FILE + card)), "kses_mac": _hex(_cmac(key, FOR_MAC + card))}


def _ev2_first(fields: Fields) -> dict[str, str | int]:
    """AuthenticateEV2First from the reader's side, with the random number that it used."""
    key, rnd_a = fields.octets("key", KEY), fields.octets("rnd_a", 16)
    rnd_b = _cbc_back(key, ZERO_IV, fields.octets("e_rnd_b", 16))
    answered = _cbc_back(key, ZERO_IV, fields.octets("resp2", 32))  # TI x4 | RndA' x16 | PDcap2 x6 | PCDcap2 x6
    if not hmac.compare_digest(answered[4:20], rnd_a[1:] + rnd_a[:1]):
        raise WrongMac
    # A55A0001 0080 | RndA[15..14] | RndA[13..8] xor RndB[15..10] | RndB[9..0] | RndA[7..0], highest byte first
    mixed = bytes(a ^ b for a, b in zip(rnd_a[2:8], rnd_b[:6], strict=True))
    context = bytes.fromhex("00010080") + rnd_a[:2] + mixed + rnd_b[6:] + rnd_a[8:]
    vectors = bytes.fromhex("A55A") + context, bytes.fromhex("5AA5") + context
    return {
        "rnd_b": _hex(rnd_b),
        "cmd2": _hex(_cbc(key, ZERO_IV, rnd_a + rnd_b[1:] + rnd_b[:1])),
        "ti": _hex(answered[:4]),
        "sv1": _hex(vectors[0]),
        "kses_enc": _hex(_cmac(key, vectors[0])),
        "kses_mac": _hex(_cmac(key, vectors[1])),
    }


MODES = {"AES": _by_aes, "LRP": _by_lrp, "kdf": _session_keys, "EV2First": _ev2_first}


def diversified(master: bytes, uid: bytes, *, aid: bytes, system: bytes) -> bytes:
    """One card's AES-128 key of a master key, by NXP AN10922 2.2: CMAC of 01 | UID | AID | system identifier.

    Together they have 17 to 32 bytes: there AN10922's padding is CMAC's own.
    """
    context = b"\x01" + uid + aid + system
    if not KEY < len(context) <= 2 * KEY:
        raise ValueError(f"01, UID, AID and system identifier have {len(context)} bytes, they must have 17 to 32")
    return _cmac(master, context)


def _cmac(key: bytes, message: bytes) -> bytes:
    mac = CMAC(AES(key))
    mac.update(message)
    return mac.finalize()


def _cbc(key: bytes, start: bytes, message: bytes) -> bytes:
    cipher = Cipher(AES(key), modes.CBC(start)).encryptor()
    return cipher.update(message) + cipher.finalize()


def _cbc_back(key: bytes, start: bytes, message: bytes) -> bytes:
    cipher = Cipher(AES(key), modes.CBC(start)).decryptor()
    return cipher.update(message) + cipher.finalize()


def _hex(octets: bytes) -> str:
    return octets.hex().upper()
