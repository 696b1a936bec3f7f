"""A text as the messages of a wire: cut like `segments` counts, encoded, with the header that joins them again.

3GPP TS 23.038 section 6.2.1 (alphabet, one octet a septet as SMPP carries it), TS 23.040 section 9.2.3.24.1 (8 bit
reference) and 9.2.3.24.8 (16 bit reference).
"""

import time
from dataclasses import dataclass

from server.outbox import segments

_ALPHABET = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = {0x0A: "\f", 0x14: "^", 0x28: "{", 0x29: "}", 0x2F: "\\", 0x3C: "[", 0x3D: "~", 0x3E: "]", 0x40: "|",
              0x65: "€"}  # fmt: skip
_ESCAPE = 0x1B
_CODES = {character: bytes([code]) for code, character in enumerate(_ALPHABET) if code != _ESCAPE} | {
    character: bytes([_ESCAPE, code]) for code, character in _EXTENSION.items()
}
JOIN_WITHIN = 600.0  # seconds that the first piece of a long text waits for the others
PIECES_KEPT = 1000


@dataclass(frozen=True)
class Part:
    """`body` with its header in front when `joined`; `gsm` tells the alphabet, else it is UCS-2."""

    body: bytes
    gsm: bool
    joined: bool
    number: int = 1
    total: int = 1


def cut(text: str, reference: int, *, gsm: bool) -> list[Part]:
    """The parts of a text; `reference` (0-255) is the same for all and new for each text."""
    encoded = [_CODES[character] if gsm else character.encode("utf-16-be", "replace") for character in text]
    single, part = (160, 153) if gsm else (140, 134)
    if sum(map(len, encoded)) <= single:
        return [Part(b"".join(encoded), gsm, joined=False)]
    bodies = [b""]
    for piece in encoded:  # an escape pair or a surrogate pair is never cut in two
        if len(bodies[-1]) + len(piece) > part:
            bodies.append(b"")
        bodies[-1] += piece
    total = len(bodies)
    if total > 255:
        raise ValueError("the text is too long for one number of parts")
    return [
        Part(bytes([5, 0, 3, reference, total, number]) + body, gsm, True, number, total)
        for number, body in enumerate(bodies, 1)
    ]


def of(text: str, reference: int) -> list[Part]:
    """In the default alphabet where it holds every character. Raises ValueError for more than 255 parts."""
    return cut(text, reference, gsm=segments.is_gsm(text))


def from_gsm(body: bytes) -> str:
    """Text of the default alphabet, one octet a septet; what is none is shown as a replacement character."""
    text, octets = "", iter(body)
    for code in octets:
        if code == _ESCAPE:
            after = next(octets, 0x20)
            text += _EXTENSION.get(after, _ALPHABET[after & 0x7F])
        else:
            text += _ALPHABET[code] if code < 128 else "\ufffd"
    return text


@dataclass(frozen=True)
class Header:
    """Which piece of which long text."""

    reference: int
    total: int
    number: int


def opened(body: bytes) -> tuple[Header | None, bytes]:
    """Take the user data header off a message that says it has one; a broken header stays in the text."""
    if not body or body[0] + 1 > len(body):
        return None, body
    header, rest = body[1 : body[0] + 1], body[body[0] + 1 :]
    found = None
    while len(header) >= 2 and len(header) >= 2 + header[1]:
        kind, size, value = header[0], header[1], header[2 : 2 + header[1]]
        if (kind, size) in ((0, 3), (8, 4)):
            found = Header(int.from_bytes(value[:-2], "big"), value[-2], value[-1])
        header = header[2 + size :]
    return found, rest


class Joiner:
    """Keeps the pieces of long replies until all are there; used by one thread."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int, int], tuple[float, dict[int, str]]] = {}

    def whole(self, sender: str, header: Header | None, text: str) -> str | None:
        """The whole text, or None while pieces are missing."""
        if header is None or header.total < 2:
            return text
        key = (sender, header.reference, header.total)
        pieces = self._kept.setdefault(key, (time.monotonic(), {}))[1]
        pieces[header.number] = text
        if any(number not in pieces for number in range(1, header.total + 1)):
            return None
        del self._kept[key]
        return "".join(pieces[number] for number in range(1, header.total + 1))

    def overdue(self) -> list[tuple[str, str]]:
        """Sender and what there is of texts whose rest does not come: a STOP in it still counts."""
        old = [key for key, (since, _) in self._kept.items() if time.monotonic() - since > JOIN_WITHIN]
        old += list(self._kept)[: max(0, len(self._kept) - PIECES_KEPT)]
        found = []
        for key in dict.fromkeys(old):
            pieces = self._kept.pop(key)[1]
            found.append((key[0], "".join(pieces[number] for number in sorted(pieces))))
        return found
