"""What bytes from a reader mean: one JSON line for each card or fault, before confirm and dedupe."""

import json
import re
from collections.abc import Iterator
from itertools import chain

from gateway import readers
from gateway.readers.base import Card, Value

_ORNAMENT = re.compile(r"0[xX]|\\[xX]|[\s:,]+")


class BadHex(ValueError):
    """The text is not pairs of hex digits; the sentence says where it stops being so."""


def octets(text: str) -> bytes:
    """Bytes from hex as people paste it: `02 36`, `02:36`, `0x02, 0x36`, over several lines. Raises BadHex."""
    if not text.strip():
        return b""
    digits = _ORNAMENT.sub("", text)
    if wrong := re.search(r"[^0-9A-Fa-f]", digits):
        raise BadHex(f"{wrong[0]!r} is no hex digit (after {wrong.start()} digits); write bytes as in: 02 36 37 03")
    if not digits:
        raise BadHex("there is no hex digit; write bytes as in: 02 36 37 03")
    if len(digits) % 2:
        raise BadHex(f"{len(digits)} hex digits are not whole bytes; a digit is missing")
    return bytes.fromhex(digits)


def lines(reader: str, text: str) -> Iterator[str]:
    """JSON lines for hex bytes from that reader, then silence. Raises readers.UnknownReader and BadHex at once."""
    protocol = readers.load(reader)()
    line = octets(text)
    return chain.from_iterable(map(_told, chain(protocol.feed(line), protocol.flush())))


def unknown() -> str:
    """The JSON line for a reader that is none: it lists the known."""
    return json.dumps({"fault": "unknown-reader", "known": readers.names()})


def _told(value: Value) -> list[str]:
    if isinstance(value, Card):
        return [json.dumps({"card": value.text})]
    # A sound frame that the gate refuses as a policy (two cards, a random UID) still says what it says.
    return [json.dumps({"card": card}) for card in value.cards] or [json.dumps({"fault": value.kind})]
