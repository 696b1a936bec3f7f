"""Everything that crosses the line between gate and server: topics, messages, their JSON, what is refused.

Shared by both halves. `docs/asyncapi.yaml` is generated from these Structs; `tests/wire/*.json` are golden.
Unknown fields are ignored, so fields may be added; a changed meaning needs a new VERSION in the topic.
"""

import os
import re
import time
import zlib
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

import msgspec

ROOT = "gatebell"
VERSION = 1
SHARDS = 64
MAX_TAPS = 50
MAX_PARTS = 256
PIECE_BYTES = 5_400  # of a gate list, before base64: a message stays under a broker's 8,192 bytes
MAX_GONE = 64

# Every bound is tighter than the databases behind it: a payload that decodes can be stored.
# `$` alone would let a trailing line feed pass in Python's regular expressions.
_END = r"$(?!\n)"
_SAFE = 2**53 - 1  # the largest integer that every JSON reader keeps exact
LAST_SEQ = _SAFE
LAST_MILLIS = 7258118400000  # year 2200

Name = Annotated[
    str,
    msgspec.Meta(pattern=rf"^[a-z0-9][a-z0-9-]{{0,31}}{_END}", description="school, gateway or reader id: no dots"),
]
Millis = Annotated[int, msgspec.Meta(ge=0, le=LAST_MILLIS, description="UTC milliseconds since 1970, up to year 2200")]
Ticks = Annotated[
    int, msgspec.Meta(ge=0, le=_SAFE, description="CLOCK_BOOTTIME milliseconds of the boot named beside it")
]
Count = Annotated[int, msgspec.Meta(ge=0, le=_SAFE)]
Seq = Annotated[int, msgspec.Meta(ge=1, le=_SAFE, description="grows by one with every tap of a spool")]
TapId = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^[0-9a-f]{{8}}-[0-9a-f]{{4}}-[0-9a-f]{{4}}-[0-9a-f]{{4}}-[0-9a-f]{{12}}{_END}", description="UUIDv7"
    ),
]
SpoolId = Annotated[
    str, msgspec.Meta(pattern=rf"^[0-9a-f]{{16}}{_END}", description="random, made with the spool file")
]
CardText = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^[a-z0-9]{{2,16}}:([0-9A-F]{{2}}){{1,32}}{_END}", description="canonical card: technology:HEX bytes"
    ),
]
Proof = Annotated[
    str,
    msgspec.Meta(
        max_length=512, pattern=rf"^[\x21-\x7e]+{_END}", description="what an NTAG 424 DNA wrote: a URL with its MAC"
    ),
]
Version = Annotated[
    str, msgspec.Meta(pattern=rf"^[0-9a-f]{{32}}{_END}", description="digest of a gate list; says nothing else")
]
Short = Annotated[str, msgspec.Meta(max_length=64, pattern=rf"^[^\x00-\x1f]*{_END}")]


class Direction(StrEnum):
    """Which way a reader lets through; `both` means that the server works it out from the day."""

    IN = "in"
    OUT = "out"
    BOTH = "both"


class ClockState(StrEnum):
    """How far the gateway trusts its own clock."""

    SYNCED = "synced"
    RTC = "rtc"
    UNSYNCED = "unsynced"


class ReaderHealth(StrEnum):
    """What a gateway knows of one reader."""

    UP = "up"
    DOWN = "down"
    MUTE = "mute"  # open, but only bytes that make no frame: wrong pin, baud or profile


class Trouble(StrEnum):
    """Why a reader is down or mute: the first word of ReaderState.why. A newer gateway may know more words."""

    MISSING = "missing"  # no such device: unplugged, or taken by a program below the port
    DENIED = "denied"  # this user may not open it
    HELD = "held"  # another program has the port; its name follows
    LOST = "lost"  # it was open, and reading or writing failed: pulled, reset, supply
    NO_ANSWER = "no-answer"  # a reader that must be asked says nothing
    STUCK = "stuck"  # its thread hangs in the driver: the gateway is about to be started again
    LEVEL = "level"  # only 00 or only FF: wrong voltage level, no ground, or nothing connected
    INVERTED = "inverted"  # the signal is upside down, as at an ID-12LA's D1
    BAUD = "baud"  # it sends at the speed that follows
    PARITY = "parity"  # it sends seven bits and a parity bit
    PROFILE = "profile"  # it speaks the profile that follows
    CONSOLE = "console"  # the Pi's login console uses this line
    CHECK = "check"  # whole frames with wrong checks: cable, supply, or another checksum
    UNFRAMED = "unframed"  # bytes that nothing here knows


class ListKind(StrEnum):
    """The three lists that a gate decides by when nobody can be asked: see gateway/gatelist.py."""

    CARDS = "cards"
    EXITS = "exits"
    INSIDE = "inside"


class Tap(msgspec.Struct, frozen=True, kw_only=True):
    """One presentation of one card. `id` is the only key for deduplication; `(spool, seq)` only shows gaps."""

    id: TapId
    spool: SpoolId
    seq: Seq
    gateway: Name
    reader: Name
    direction: Direction
    card: CardText
    at: Millis
    clock: ClockState
    boot: Short
    ticks: Ticks
    late: bool = False
    earliest: Millis | msgspec.UnsetType = msgspec.UNSET  # of an unsynced tap: it was not made before,
    latest: Millis | msgspec.UnsetType = msgspec.UNSET  # nor after
    sun: Proof | msgspec.UnsetType = msgspec.UNSET  # of cards that can prove themselves; the server verifies it


class Taps(msgspec.Struct, frozen=True, kw_only=True):
    """gate -> server, topic …/tap: taps in the order of seq, with the gateway's clocks at the moment of sending."""

    sent: Millis
    boot: Short
    ticks: Ticks
    taps: Annotated[list[Tap], msgspec.Meta(min_length=1, max_length=MAX_TAPS)]


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """server -> gate, topic …/stored: these taps are committed, new or known before. Only this empties a spool."""

    ids: Annotated[list[TapId], msgspec.Meta(min_length=1, max_length=500)]


class ReaderState(msgspec.Struct, frozen=True, kw_only=True):
    """Health of one reader since the gateway's start; `faults` counts by kind (checksum, framing, phantom ...)."""

    reader: Name
    health: ReaderHealth
    profile: Short
    cards: Count = 0
    faults: Annotated[dict[Short, Count], msgspec.Meta(max_length=32)] = {}
    last_card: Millis | None = None
    why: Short | msgspec.UnsetType = msgspec.UNSET  # a word of Trouble and what it is about, unless all is well


class Tested(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway found when it tested itself; a check is `ok` or a word and what it is about (docs/wire.md)."""

    number: Short  # of the SelfTest that asked for it
    at: Millis
    checks: Annotated[dict[Short, Short], msgspec.Meta(max_length=80)]


class Locked(msgspec.Struct, frozen=True, kw_only=True):
    """A spool at the gate that only another machine can open: its disk was moved, its taps are missing."""

    spool: SpoolId
    next_seq: Count
    depth: Count


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of a spool that a gateway was asked for and does not have: they will never come."""

    spool: SpoolId
    first: Seq
    last: Seq


class State(msgspec.Struct, frozen=True, kw_only=True):
    """gate -> server, topic …/state, retained: birth and heartbeat; the last will is the same with online=false.

    `birth` is the time the connection was made: a will older than the newest birth says nothing.
    """

    online: bool
    birth: Millis
    at: Millis
    spool: SpoolId | None = None
    next_seq: Count = 0
    depth: Count = 0
    oldest: Millis | None = None
    boot: Short = ""
    ticks: Ticks = 0
    clock: ClockState = ClockState.UNSYNCED
    undervoltage: bool | None = None
    spool_full: bool = False
    version: Short = ""
    credential: Short = ""  # begin of the SHA-256 of the certificate in use: the server sees that a new one works
    readers: Annotated[list[ReaderState], msgspec.Meta(max_length=64)] = []
    tested: Tested | None = None  # the newest self-test since the gateway's start
    lists: Annotated[dict[Short, Version], msgspec.Meta(max_length=8)] | None = None  # held; None: it knows no lists
    locked: Annotated[list[Locked], msgspec.Meta(max_length=16)] = []
    gone: Annotated[list[Gone], msgspec.Meta(max_length=MAX_GONE)] = []


class Resync(msgspec.Struct, frozen=True, kw_only=True, tag="resync", tag_field="command"):
    """server -> gate, topic …/command: send again every kept tap of `spool` from seq `start` on, Stored or not."""

    spool: SpoolId
    start: Count


class Announce(msgspec.Struct, frozen=True, kw_only=True, tag="announce", tag_field="command"):
    """server -> gate, topic …/command: publish State now."""


class SelfTest(msgspec.Struct, frozen=True, kw_only=True, tag="selftest", tag_field="command"):
    """server -> gate, topic …/command: test yourself now and publish State with what you found; `sent` is our clock."""

    number: Short
    sent: Millis


class ListPart(msgspec.Struct, frozen=True, kw_only=True, tag="list", tag_field="command"):
    """server -> gate, topic …/command: one of the `parts` pieces of a gate list; see gateway/gatelist.py."""

    kind: ListKind
    version: Version
    part: Annotated[int, msgspec.Meta(ge=0, lt=MAX_PARTS)]
    parts: Annotated[int, msgspec.Meta(ge=1, le=MAX_PARTS)]
    piece: Annotated[bytes, msgspec.Meta(min_length=1, max_length=PIECE_BYTES, description="base64")]


class Now(msgspec.Struct, frozen=True, kw_only=True, tag="now", tag_field="command"):
    """server -> gate, topic …/command: what time it is, in answer to a State whose clock is not set or is wrong.

    `boot` and `ticks` are those of the State, so that the gateway knows how long the answer took.
    """

    boot: Short
    ticks: Ticks
    at: Millis


Command = Resync | Announce | Now | SelfTest | ListPart
Message = Taps | Stored | State | Resync | Announce | Now | SelfTest | ListPart


class Kind(StrEnum):
    """Last level of a topic."""

    TAP = "tap"
    STATE = "state"
    STORED = "stored"
    COMMAND = "command"


class Malformed(ValueError):
    """A payload or topic that is not of this wire; the text says where and why. Counted and kept, never retried."""


class Address(NamedTuple):
    """What a topic names."""

    school: str
    gateway: str
    kind: Kind


_PAYLOADS: dict[Kind, msgspec.json.Decoder[Any]] = {
    Kind.TAP: msgspec.json.Decoder(Taps),
    Kind.STATE: msgspec.json.Decoder(State),
    Kind.STORED: msgspec.json.Decoder(Stored),
    Kind.COMMAND: msgspec.json.Decoder(Command),
}
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_encoder = msgspec.json.Encoder()


def shard(school: str, *, sharded: bool) -> str:
    """Two digits: `00` for a single school, crc32 % 64 in a district."""
    return f"{zlib.crc32(school.encode()) % SHARDS:02d}" if sharded else "00"


def topic(school: str, gateway: str, kind: Kind, *, shard: str = "00") -> str:
    """`gatebell/1/<shard>/<school>/<gateway>/<kind>`."""
    return f"{ROOT}/{VERSION}/{shard}/{school}/{gateway}/{kind}"


def address(topic: str) -> Address:
    """Take a topic apart. Raises Malformed for another version, an unknown kind or a name with strange characters."""
    parts = topic.split("/")
    if len(parts) != 6 or parts[0] != ROOT:
        raise Malformed(f"topic {topic!r} is not {ROOT}/{VERSION}/<shard>/<school>/<gateway>/<kind>")
    if parts[1] != str(VERSION):
        raise Malformed(
            f"topic {topic!r}: wire version {parts[1]} is not known here, only {VERSION}; update the server"
        )
    if not (_NAME.fullmatch(parts[3]) and _NAME.fullmatch(parts[4])):
        raise Malformed(f"topic {topic!r}: school and gateway ids are a-z, 0-9 and '-', at most 32 characters")
    if parts[5] not in _PAYLOADS:
        raise Malformed(f"topic {topic!r}: unknown kind {parts[5]!r}")
    return Address(parts[3], parts[4], Kind(parts[5]))


def encode(message: Message) -> bytes:
    """JSON of one message."""
    return _encoder.encode(message)


def decode(kind: Kind, payload: bytes) -> Message:
    """The message that a payload of this kind holds. Raises Malformed naming the path and the reason."""
    try:
        message: Message = _PAYLOADS[kind].decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"{kind} payload of {len(payload)} bytes: {error}") from None
    return message


def new_tap_id(unix_ms: int | None = None) -> str:
    """A random UUIDv7 (RFC 9562 section 5.7): 48 bits of milliseconds, 74 random bits."""
    unix_ms = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
    bits = (unix_ms & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10))
    bits = bits & ~(0xF << 76) | 7 << 76
    bits = bits & ~(3 << 62) | 2 << 62
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
