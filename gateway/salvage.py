"""The form of a tap in the spool, and finding such taps in a file that SQLite cannot read any more.

A body is `U` or `S` (unsent, stored), eight digits of crc32 and the JSON: it can be found and proved anywhere in the
raw bytes, in pages that have lost their tree and in a WAL that ends too early.
"""

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from gateway.wire import Tap

_BODY = re.compile(rb'[US][0-9a-f]{8}\{"id":"[0-9a-f-]{36}"[^{}]{50,800}\}')
_tap = msgspec.json.Decoder(Tap)
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Row:
    """A tap and whether the server has it."""

    tap: Tap
    stored: bool

    def moved(self, *, spool: str, seq: int) -> "Row":
        """The same tap under another number."""
        return Row(msgspec.structs.replace(self.tap, spool=spool, seq=seq), self.stored)


def body(row: Row) -> str:
    """What stands in the file."""
    text = _encode(row.tap)
    return f"{'S' if row.stored else 'U'}{zlib.crc32(text):08x}{text.decode()}"


def read(body: str | bytes) -> Row | None:
    """The row of a body; None when a bit of it is wrong."""
    raw = body.encode("utf-8", "replace") if isinstance(body, str) else body
    if raw[1:9] != b"%08x" % zlib.crc32(raw[9:]):
        return None
    try:
        return Row(_tap.decode(raw[9:]), raw[:1] == b"S")
    except msgspec.DecodeError:
        return None


def rows(raw: bytes) -> list[Row]:
    """Every row whose crc is right, anywhere in these bytes."""
    return merge(row for match in _BODY.finditer(raw) if (row := read(match.group())) is not None)


def merge(found: Iterable[Row]) -> list[Row]:
    """One row per id: pages are kept in several ages, and stored in any of them is stored."""
    by_id: dict[str, Row] = {}
    for row in found:
        if row.stored or row.tap.id not in by_id:
            by_id[row.tap.id] = row
    return list(by_id.values())
