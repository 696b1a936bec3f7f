"""Frames of China Mobile's CMPP, versions 2.0 and 3.0: bytes in, values out.

China Mobile Peer to Peer protocol, 2.0 (2002) and 3.0 (2003), chapter 7: header, CONNECT, SUBMIT, DELIVER, reports.
"""

import hashlib
import struct
from dataclasses import dataclass

CONNECT, TERMINATE, SUBMIT, DELIVER, ACTIVE_TEST = 1, 2, 4, 5, 8
ANSWER = 0x80000000
HEADER = struct.Struct(">III")
LONGEST = 8192
V2, V3 = 0x20, 0x30


class Broken(ValueError):
    """Bytes that are no frame of the version that was agreed on."""


@dataclass(frozen=True)
class Frame:
    """One frame: command, sequence number, what follows the header."""

    command: int
    sequence: int
    body: bytes = b""

    def encode(self) -> bytes:
        """As it goes over the wire."""
        return HEADER.pack(HEADER.size + len(self.body), self.command, self.sequence) + self.body


def header(octets: bytes) -> tuple[int, int, int]:
    """Length of the body, command, sequence. Raises Broken."""
    total, command, sequence = HEADER.unpack(octets)
    if not HEADER.size <= total <= LONGEST:
        raise Broken("a frame of impossible length")
    return total - HEADER.size, command, sequence


def field(text: str, size: int) -> bytes:
    """Left-justified, filled with zeros. Raises ValueError when it does not fit."""
    octets = text.encode("ascii")
    if len(octets) > size:
        raise ValueError(f"longer than {size} characters")
    return octets.ljust(size, b"\0")


def plain(octets: bytes) -> str:
    """What stands before the first zero."""
    return octets.split(b"\0", 1)[0].decode("latin-1").strip()


def connect(source: str, secret: str, stamp: str, version: int) -> bytes:
    """`stamp` is MMDDHHMMSS, in the digest and as a number."""
    digest = hashlib.md5(source.encode() + bytes(9) + secret.encode() + stamp.encode(), usedforsecurity=False).digest()
    return field(source, 6) + digest + struct.pack(">BI", version, int(stamp))


def connected(body: bytes) -> tuple[int, int]:
    """Status (1 octet in 2.0, 4 in 3.0) and the other side's version. Raises Broken."""
    if len(body) not in (18, 21):
        raise Broken("CONNECT_RESP of a wrong length")
    return int.from_bytes(body[:-17], "big"), body[-1]


@dataclass(frozen=True)
class Submit:
    """A message to one number; `content` has its user data header in front where `udhi` is set."""

    content: bytes
    fmt: int
    udhi: bool
    total: int
    number: int
    phone: str
    service: str
    corp: str
    source: str
    valid: str
    level: int = 0

    def encode(self, version: int) -> bytes:
        """The body of SUBMIT. Raises ValueError for a field that does not fit."""
        wide = version >= V3
        if len(self.content) > (160 if self.fmt == 0 else 140):
            raise ValueError("the message is too long")
        return b"".join([
            bytes(8), bytes([self.total, self.number, 1, self.level]), field(self.service, 10), b"\x02",
            field("", 32) + b"\0" if wide else field("", 21), bytes([0, int(self.udhi), self.fmt]),
            field(self.corp, 6), field("01", 2), field("0", 6), field(self.valid, 17), field("", 17),
            field(self.source, 21), b"\x01",
            field(self.phone, 32) + b"\0" if wide else field(self.phone, 21),
            bytes([len(self.content)]), self.content, bytes(20 if wide else 8),
        ])  # fmt: skip


def submitted(body: bytes) -> tuple[int, str]:
    """Result (1 octet in 2.0, 4 in 3.0) and Msg_Id as decimal text. Raises Broken."""
    if len(body) not in (9, 12):
        raise Broken("SUBMIT_RESP of a wrong length")
    return int.from_bytes(body[8:], "big"), str(int.from_bytes(body[:8], "big"))


@dataclass(frozen=True)
class Deliver:
    """What the operator brings: a reply, or a report when `report`."""

    msg_id: bytes
    phone: str
    fmt: int
    udhi: bool
    report: bool
    content: bytes


def deliver(body: bytes, version: int) -> Deliver:
    """Read DELIVER. Raises Broken."""
    wide = version >= V3
    at = 42 + (33 if wide else 21)
    if len(body) < at + 2 or len(body) < at + 2 + body[at + 1]:
        raise Broken("DELIVER is too short")
    return Deliver(
        body[:8], plain(body[42 : at - 1 if wide else at]), body[41], bool(body[40]), body[at] == 1,
        body[at + 2 : at + 2 + body[at + 1]],
    )  # fmt: skip


def deliver_answer(msg_id: bytes, result: int, version: int) -> bytes:
    """The body of DELIVER_RESP."""
    return msg_id + result.to_bytes(4 if version >= V3 else 1, "big")


def report(content: bytes) -> tuple[str, str]:
    """Msg_Id of the text as decimal text, and Stat. Raises Broken."""
    if len(content) < 15:
        raise Broken("a report is too short")
    return str(int.from_bytes(content[:8], "big")), plain(content[8:15])
