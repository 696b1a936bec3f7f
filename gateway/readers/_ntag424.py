"""What an NTAG 424 DNA wrote of itself (SUN): its NDEF file read command by command, and the URL in it.

Sources: NXP NT4H2421Gx data sheet 8.2.3 (files) and 10.9 (ISO commands); NFC Forum "Type 4 Tag" 5.4, "NDEF" 3.2 and
"URI Record Type Definition" 3.2. Everything a card says is untrusted: lengths are bounded, nothing raises, and whether
the message is genuine only the server can tell.
"""

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple

from gateway.readers.base import Card, Fault, Value

SELECT_APPLICATION = bytes.fromhex("00A4040007D276000085010100")
SELECT_NDEF_FILE = bytes.fromhex("00A4000C02E104")
CHUNK = 59  # fits with its status into one frame of 64 bytes between the PN532 and the card
FILE = 256  # bytes of the NDEF file, its length included
LONGEST = 288  # of a URL: such a file with its prefix written out
URL = re.compile(rb"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
WELL_KNOWN, URI = 1, b"U"
SHORT, HAS_ID, LAST = 0x10, 0x08, 0x40
PREFIXES = (
    *("", "http://www.", "https://www.", "http://", "https://", "tel:", "mailto:", "ftp://anonymous:anonymous@"),
    *("ftp://ftp.", "ftps://", "sftp://", "smb://", "nfs://", "ftp://", "dav://", "news:", "telnet://", "imap:"),
    *("rtsp://", "urn:", "pop:", "sip:", "sips:", "tftp:", "btspp://", "btl2cap://", "btgoep://", "tcpobex://"),
    *("irdaobex://", "file://", "urn:epc:id:", "urn:epc:tag:", "urn:epc:pat:", "urn:epc:raw:", "urn:epc:", "urn:nfc:"),
)
TRIES = 3  # a card that is moved is asked again before it goes without its message
GONE = 2  # empty fields in a row before a resting card is taken for gone

Steps = Generator[bytes, bytes, str]


def message() -> Steps:
    """Yields each command for the card and is sent its answer; gives the URL, or nothing where there is none."""
    for command in (SELECT_APPLICATION, SELECT_NDEF_FILE):
        if (yield command)[-2:] != b"\x90\x00":
            return ""
    length = _content((yield _read(0, 2)))
    end = 2 + int.from_bytes(length)
    file = length
    while 2 < end <= FILE and len(file) < end:
        block = _content((yield _read(len(file), min(CHUNK, end - len(file)))))
        if not block:
            return ""
        file += block
    return url(file[2:end]) if len(length) == 2 and end <= FILE else ""


def _read(offset: int, size: int) -> bytes:
    return b"\x00\xb0" + offset.to_bytes(2) + bytes([size])


def _content(answer: bytes) -> bytes:
    return answer[:-2] if answer[-2:] == b"\x90\x00" else b""


def url(ndef: bytes) -> str:
    """The first URI of an NDEF message in the characters of RFC 3986; empty if there is none."""
    while (record := _record(ndef)) is not None:
        if record.flags & 7 == WELL_KNOWN and record.kind == URI:
            return _written_out(record.payload)
        ndef = b"" if record.flags & LAST else record.rest
    return ""


class Record(NamedTuple):
    """One record of an NDEF message, and what follows it."""

    flags: int
    kind: bytes
    payload: bytes
    rest: bytes


def _record(ndef: bytes) -> Record | None:
    # flags  type length  payload length x1 or x4  [id length]  type  [id]  payload
    if len(ndef) < 3:
        return None
    flags = ndef[0]
    wide, named = 1 if flags & SHORT else 4, 1 if flags & HAS_ID else 0
    kind_at = 2 + wide + named
    id_at = kind_at + ndef[1]
    payload_at = id_at + int.from_bytes(ndef[2 + wide : kind_at])
    end = payload_at + int.from_bytes(ndef[2 : 2 + wide])
    return None if end > len(ndef) else Record(flags, ndef[kind_at:id_at], ndef[payload_at:end], ndef[end:])


def _written_out(payload: bytes) -> str:
    if not payload or payload[0] >= len(PREFIXES):
        return ""
    text = PREFIXES[payload[0]].encode() + payload[1:]
    return text.decode("ascii") if len(text) <= LONGEST and URL.fullmatch(text) else ""


@dataclass(frozen=True)
class Held:
    """A card in the field whose message is wanted; `value` is what it is without one."""

    value: Value
    target: int

    def is_of(self, value: Value) -> bool:
        """Whether that is the same card, as far as one can tell: a random UID may be new each time."""
        return self.value == value or (isinstance(self.value, Fault) and isinstance(value, Fault))

    def proved(self, sun: str) -> Value:
        """The card with its message: what was read on air stays its text, even where that is random."""
        if not sun:
            return self.value
        text = self.value.text if isinstance(self.value, Card) else self.value.cards[0]
        return Card(text, sun=sun)


class Dialogue:
    """Asks each card that comes for its message, once as long as it stays."""

    def __init__(self) -> None:
        self.command = b""  # for the card `target`, to be put next
        self.target = 0
        self._steps: Steps | None = None
        self._held: Held | None = None
        self._tries = 0
        self._resting: tuple[Held, Value] | None = None
        self._empty = 0

    @property
    def is_open(self) -> bool:
        """Whether a card's answer is awaited."""
        return self._steps is not None

    def listed(self, values: tuple[Value, ...], target: int | None) -> tuple[Value, ...]:
        """What is in the field now; `target` is the number of a single card that may have a message."""
        self._empty = 0 if values else self._empty + 1
        if target is None:
            if values or self._empty >= GONE:
                self._resting = None
            return self.given_up() + values
        (value,) = values
        if self._resting is not None and self._resting[0].is_of(value):
            return (self._resting[1],)
        before = () if self._held is not None and self._held.is_of(value) else self.given_up()
        self._held, self._steps, self.target = Held(value, target), message(), target
        self.command = next(self._steps)
        return before

    def answered(self, status: int, block: bytes) -> tuple[Value, ...]:
        """What came back for a command; the lower six bits of `status` are an error on air."""
        if self._steps is None:
            return ()
        if status & 0x3F:
            return self._failed()
        try:
            self.command = self._steps.send(block)
        except StopIteration as end:
            return self._finished(end.value)
        return ()

    def given_up(self) -> tuple[Value, ...]:
        """The card goes without its message, if there is one that waits."""
        held, self._held = self._held, None
        self._steps, self.command, self._tries = None, b"", 0
        return () if held is None else (held.value,)

    def _failed(self) -> tuple[Value, ...]:
        self._steps, self.command, self._tries = None, b"", self._tries + 1
        return self.given_up() if self._tries >= TRIES else ()

    def _finished(self, sun: str) -> tuple[Value, ...]:
        assert self._held is not None  # there are steps only for a card
        value = self._held.proved(sun)
        self._resting = (self._held, value)
        self.given_up()
        return (value,)
