"""The form of a tap in the spool, and finding such taps in a file that SQLite cannot read any more.

A body is `U` or `S` (unsent, stored), eight digits of crc32 and the JSON: it can be found and proved anywhere in the
raw bytes, in pages that have lost their tree and in a WAL that ends too early. What names the card in it is sealed for
this machine; in the first format of the spool it was not, and such bodies are still read.
"""

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from gateway.seal import Foreign, Seal
from gateway.wire import Tap

_BODY = re.compile(rb'[US][0-9a-f]{8}\{"id":"[0-9a-f-]{36}"[^{}]{50,1400}\}')


class Kept(Tap, frozen=True, kw_only=True):
    """A tap as it lies on the disk: `card` holds card and `sun` sealed, or the plain card of the first format."""

    card: str


_kept = msgspec.json.Decoder(Kept)
_tap = msgspec.json.Decoder(Tap)
_encode = msgspec.json.Encoder().encode
_ROTTEN = b""  # of a body whose crc is wrong


@dataclass(frozen=True)
class Row:
    """A tap and whether the server has it."""

    tap: Tap
    stored: bool

    def moved(self, *, spool: str, seq: int) -> "Row":
        """The same tap under another number."""
        return Row(msgspec.structs.replace(self.tap, spool=spool, seq=seq), self.stored)


def body(row: Row, seal: Seal) -> str:
    """What stands in the file."""
    tap = row.tap
    secret = tap.card if tap.sun is msgspec.UNSET else f"{tap.card} {tap.sun}"
    bare = tap if tap.sun is msgspec.UNSET else msgspec.structs.replace(tap, sun=msgspec.UNSET)
    sealed = seal.seal_text(secret, tap.id)
    # in the bytes, where both are plain letters: a third of the time that another struct takes
    text = _encode(bare).replace(b'"card":"%b"' % tap.card.encode(), b'"card":"%b"' % sealed.encode(), 1)
    return f"{'S' if row.stored else 'U'}{zlib.crc32(text):08x}{text.decode()}"


def read(body: str | bytes, seal: Seal) -> Row | None:
    """The row of a body; None when a bit of it is wrong. Raises Foreign when another machine has sealed it."""
    raw = body.encode("utf-8", "replace") if isinstance(body, str) else body
    text = proved(raw)
    try:
        kept = _kept.decode(text)
        if ":" in kept.card:
            return Row(_tap.decode(text), raw[:1] == b"S")
        card, _, sun = seal.open_text(kept.card, kept.id).partition(" ")
        fields = msgspec.structs.asdict(kept) | {"card": card, "sun": sun or msgspec.UNSET}
        return Row(Tap(**fields), raw[:1] == b"S")
    except msgspec.DecodeError:
        return None


def proved(body: bytes) -> bytes:
    """The JSON of a body whose crc is right; nothing of another."""
    return body[9:] if body[1:9] == b"%08x" % zlib.crc32(body[9:]) else _ROTTEN


def rows(raw: bytes, seal: Seal) -> list[Row]:
    """Every row whose crc is right and that this machine can open, anywhere in these bytes."""
    return merge(row for match in _BODY.finditer(raw) if (row := own(match.group(), seal)) is not None)


def own(body: str | bytes, seal: Seal) -> Row | None:
    """The row of a body that is whole and this machine's; None of any other."""
    try:
        return read(body, seal)
    except Foreign:
        return None


def merge(found: Iterable[Row]) -> list[Row]:
    """One row per id: pages are kept in several ages, and stored in any of them is stored."""
    by_id: dict[str, Row] = {}
    for row in found:
        if row.stored or row.tap.id not in by_id:
            by_id[row.tap.id] = row
    return list(by_id.values())
