"""What every reader protocol is: bytes in, values out. No port, no clock, no I/O, no policy.

A protocol file holds one subclass, names it `PROTOCOL`, and ends with `EXAMPLES`: real frames and what they mean.
Confirming two equal reads, refusing the same card again and timing belong to the gateway (dedupe.py), not here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Card:
    """One good frame that names a card. `text` is canonical: `em4100:67003B51C6`, `iso14443a:04A1...`."""

    text: str


@dataclass(frozen=True)
class Fault:
    """Bytes that make no card: `kind` is one of the data file's words (checksum, framing, length, range, phantom ...).

    `detail` says more for a person; it never holds a card number.
    """

    kind: str
    detail: str = ""


Value = Card | Fault


class Reader:
    """One reader on one port. Feed it bytes in any pieces; it gives whole values and never raises on bad bytes."""

    baud: ClassVar[int] = 9600
    technology: ClassVar[str] = ""
    confirm: ClassVar[int] = 1  # equal reads wanted within 300 ms before a card counts
    interval: ClassVar[float | None] = None  # seconds between polls; None: the reader speaks by itself
    gap: ClassVar[float] = 0.05  # seconds of silence after which a partial frame is flushed

    def feed(self, chunk: bytes) -> Iterator[Value]:
        """Take bytes; give every card and fault they complete."""
        raise NotImplementedError

    def flush(self) -> Iterator[Value]:
        """The line has been silent for `gap` seconds: what is left is no frame any more."""
        yield from ()

    def start(self) -> bytes:
        """Bytes to write when the port has been opened."""
        return b""

    def poll(self) -> bytes:
        """Bytes to write every `interval` seconds; empty while an answer is awaited."""
        return b""

    @classmethod
    def frame(cls, card: str) -> bytes:
        """The bytes that this reader sends for a canonical card: for the simulator and tests."""
        raise NotImplementedError
