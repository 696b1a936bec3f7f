"""The lists that a gate decides by when nobody can be asked, and their way over the wire in pieces.

Three documents, apart because they change at different speeds: which cards there are (some 30 kB for 3,000 pupils,
when cards change), who may leave when (1 kB, daily), who is inside (1 kB, all morning). A card stands in them as a
keyed hash with a key of that gate alone, its holder as a number that means nothing elsewhere: no name, no card.

A document is JSON, deflated and cut; its version is the digest of the deflated bytes, so pieces that were lost, came
twice, in another order or from another server can never become a wrong list.
"""

import hashlib
import struct
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Annotated, TypeVar

import msgspec

from gateway.wire import PIECE_BYTES, ListKind, ListPart, Millis, Short, Version

NOBODY = 0xFFFF  # the holder of a card that was reported lost or is blocked
MOST_BYTES = 8 << 20  # of a document: sixty thousand pupils need less than two million
UNFINISHED = 2  # versions of one list whose pieces are kept while the others are on their way
HASH = 8
_RECORD = struct.Struct(f">{HASH}sH")
_NUMBER = struct.Struct(">H")

Holder = Annotated[int, msgspec.Meta(ge=0, lt=NOBODY)]
Span = tuple[Millis, Millis]  # from <= t < to


class BadList(ValueError):
    """The pieces of a version are all there and make no list."""


class Group(msgspec.Struct, frozen=True):
    """A class: its name, for the evacuation count, and the timetable by which it may leave."""

    name: Short
    timetable: Short


class CardList(msgspec.Struct, frozen=True, kw_only=True):
    """Which cards the school knows.

    `cards`: hash (8 bytes) and holder (2) of each; `groups_of`: the place in `groups` (2) of each holder.
    """

    key: Annotated[bytes, msgspec.Meta(min_length=16, max_length=64)]
    groups: list[Group]
    groups_of: bytes
    cards: bytes

    def holders(self) -> dict[bytes, int]:
        """Holder by hash; NOBODY for a card that is lost or blocked. Raises BadList."""
        try:
            return {hashed: holder for hashed, holder in _RECORD.iter_unpack(self.cards)}
        except struct.error:
            raise BadList("cards are not whole records") from None

    def group_numbers(self) -> list[int]:
        """The place in `groups` of each holder. Raises BadList."""
        try:
            numbers = [number for (number,) in _NUMBER.iter_unpack(self.groups_of)]
        except struct.error:
            raise BadList("groups are not whole numbers") from None
        if max(numbers, default=-1) >= len(self.groups):
            raise BadList("a holder is of a group that is not there")
        return numbers


class Pass(msgspec.Struct, frozen=True):
    """One pupil may leave in this time."""

    holder: Holder
    starts: Millis
    ends: Millis


class ExitList(msgspec.Struct, frozen=True, kw_only=True):
    """When who may leave, by timetable. Outside `starts`..`ends` it says nothing; not `strict`: always."""

    cards: Version  # the CardList whose holders it counts in
    strict: bool
    starts: Millis
    ends: Millis
    free: dict[Short, list[Span]]
    passes: list[Pass]


class InsideList(msgspec.Struct, frozen=True, kw_only=True):
    """Who is inside, as the server knew it `at`: one bit for each holder, the lowest bit of a byte first."""

    cards: Version
    at: Millis
    holders: bytes

    def numbers(self) -> set[int]:
        """The holders that are inside."""
        return {8 * place + bit for place, byte in enumerate(self.holders) for bit in range(8) if byte >> bit & 1}


Document = CardList | ExitList | InsideList
Known = TypeVar("Known", CardList, ExitList, InsideList)


def hashed(card: str, key: bytes) -> bytes:
    """What stands for a card in the list with this key."""
    return hashlib.blake2b(card.encode(), key=key, digest_size=HASH).digest()


def records(cards: Iterable[tuple[bytes, int]]) -> bytes:
    """Pairs of hash and holder as they stand in a CardList; sorted, so that their order says nothing."""
    return b"".join(_RECORD.pack(*each) for each in sorted(cards))


def numbers(values: Iterable[int]) -> bytes:
    """Group numbers as they stand in a CardList."""
    return b"".join(_NUMBER.pack(value) for value in values)


def bits(holders: Iterable[int]) -> bytes:
    """Holders as they stand in an InsideList."""
    numbers = sorted(holders)
    whole = bytearray(numbers[-1] // 8 + 1 if numbers else 0)
    for holder in numbers:
        whole[holder // 8] |= 1 << holder % 8
    return bytes(whole)


def packed(document: Document) -> bytes:
    """As it is sent and kept."""
    return zlib.compress(msgspec.json.encode(document), 6)


def version(raw: bytes) -> str:
    """The digest by which a packed list is named."""
    return hashlib.blake2b(raw, digest_size=16).hexdigest()


def unpacked(raw: bytes, kind: type[Known]) -> Known:
    """The document in packed bytes. Raises BadList."""
    try:
        inflater = zlib.decompressobj()
        text = inflater.decompress(raw, MOST_BYTES)
        if not inflater.eof:
            raise BadList("too long, or cut short")
        return msgspec.json.decode(text, type=kind)
    except (zlib.error, msgspec.DecodeError) as error:
        raise BadList(str(error)) from None


def cut(kind: ListKind, raw: bytes) -> Iterator[ListPart]:
    """The messages that bring packed bytes to a gate."""
    parts, name = -(-len(raw) // PIECE_BYTES), version(raw)
    for part in range(parts):
        piece = raw[part * PIECE_BYTES : (part + 1) * PIECE_BYTES]
        yield ListPart(kind=kind, version=name, part=part, parts=parts, piece=piece)


class Pieces:
    """The pieces of one list on their way."""

    def __init__(self) -> None:
        self._versions: OrderedDict[str, dict[int, bytes]] = OrderedDict()

    def take(self, part: ListPart) -> bytes | None:
        """The whole packed list when this was the last piece of its version; None while some are missing.

        Raises BadList when all are there and are not what the version says: it begins anew then.
        """
        pieces = self._versions.setdefault(part.version, {})
        self._versions.move_to_end(part.version)
        while len(self._versions) > UNFINISHED:
            self._versions.popitem(last=False)
        pieces[part.part] = part.piece
        if len(pieces) < part.parts:
            return None
        del self._versions[part.version]
        raw = b"".join(pieces[number] for number in sorted(pieces))
        if version(raw) != part.version:
            raise BadList(f"{len(pieces)} pieces do not make version {part.version}")
        return raw
