"""The URL that an NTAG 424 DNA wrote -> what it claims: who it is, its counter, its MAC. Pure; nothing is believed yet.

Layouts of NXP AN12196 and of public servers; the names of parameters and hex digits in either case:

    ?picc_data=EF96...&cmac=94EE...          ?e=EF96...&c=94EE...       UID and counter encrypted
    ?picc_data=FD91...&enc=CEE9...&cmac=...  ?e=FD91...CEE9...&c=...    and a part of the file with them
    ?uid=041E3C8A2D6B80&ctr=000006&cmac=...                             UID and counter in plain

The MAC covers nothing, or the text of the URL from the encrypted part of the file up to the MAC's own digits.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from server.cards.sun import FILE, PICC_AES, PICC_LRP, Malformed

NAMES = {
    "mac": ("cmac", "mac", "c", "m"),
    "picc": ("picc_data", "picc", "p", "e"),
    "enc": ("enc", "enc_file_data", "e"),
    "uid": ("uid", "u"),
    "counter": ("ctr", "counter", "n"),
}


class Layout(StrEnum):
    """Which parameters a card was set up to write."""

    PICC = "picc"
    PICC_ENC = "picc_enc"
    PLAIN = "plain"
    PLAIN_ENC = "plain_enc"


@dataclass(frozen=True)
class Message:
    """What one URL claims; `picc` is empty where UID and counter stand in plain. The counter's least byte is first."""

    picc: bytes
    uid: bytes
    counter: bytes
    covered: bytes  # what the MAC is made of
    mac: bytes

    @property
    def layout(self) -> Layout:
        """How the card writes."""
        if self.picc:
            return Layout.PICC_ENC if self.covered else Layout.PICC
        return Layout.PLAIN_ENC if self.covered else Layout.PLAIN


@dataclass(frozen=True)
class _Place:
    """Hex digits of a parameter and where they begin in the URL."""

    digits: str
    at: int

    @property
    def octets(self) -> bytes:
        return bytes.fromhex(self.digits)


def parsed(url: str) -> Message:
    """Take a URL apart. Raises Malformed, which says what is not as a card writes it."""
    given = _parameters(url)
    mac = _sized(given, "mac", 8)
    if "picc" in given:
        head, uid, counter = given["picc"], b"", b""
        size = PICC_AES if len(head.octets) % 16 == 0 else PICC_LRP
        if len(head.octets) < size or (len(head.octets) - size) % 16:
            raise Malformed(f"the encrypted data have {len(head.octets)} bytes, they must have 16 or 24, then blocks")
        picc, rest = head.octets[:size], _Place(head.digits[2 * size :], head.at + 2 * size)
    else:
        picc, rest = b"", _Place("", 0)
        uid, counter = _sized(given, "uid", 7).octets, _sized(given, "counter", 3).octets[::-1]
    return Message(picc, uid, counter, _covered(url, given.get("enc") or rest, mac), mac.octets)


def _parameters(url: str) -> dict[str, _Place]:
    found: dict[str, _Place] = {}
    for written in re.finditer(r"(?<=[?&])(\w+)=([^&#]*)", url.partition("#")[0]):
        name = next((name for name, spelt in NAMES.items() if written[1].lower() in spelt and name not in found), None)
        if name is None:
            if any(written[1].lower() in spelt for spelt in NAMES.values()):
                raise Malformed(f"{written[1]} stands there twice")
            continue  # a parameter of the school's own page
        if not re.fullmatch(r"([0-9A-Fa-f]{2})*", written[2]):
            raise Malformed(f"{written[1]} is not pairs of hexadecimal digits")
        found[name] = _Place(written[2], written.start(2))
    return found


def _sized(given: Mapping[str, _Place], name: str, size: int) -> _Place:
    place = given.get(name)
    if place is None:
        raise Malformed(f"there is no {name}: {' or '.join(NAMES[name])}")
    if len(place.digits) != 2 * size:
        raise Malformed(f"{name} has {len(place.digits)} digits, it must have {2 * size}")
    return place


def _covered(url: str, enc: _Place, mac: _Place) -> bytes:
    """The card has written capitals, whatever the way has made of them."""
    if not enc.digits:
        return b""
    size = len(enc.octets)
    if size % 16 or size > FILE or enc.at > mac.at:
        raise Malformed(f"the encrypted file has {size} bytes before the MAC; it has whole blocks and at most {FILE}")
    between = url[enc.at + len(enc.digits) : mac.at]
    return (enc.digits.upper() + between).encode()
