"""Frames of 2.4 GHz active tags as a description: header, length, check, and where the tag's number stands."""

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from gateway.readers import _checks, _identity
from gateway.readers._layout import Layout
from gateway.readers.base import Card, Fault, Frame, Reader, Step

CHECKS = {"xor": _checks.xor, "sum": _checks.total}


@dataclass(frozen=True)
class Shape:
    """All positions count from the frame's first byte.

    `size` is the whole length, or what is added to the byte at `length_at`. `check` is `xor` or `sum` and the first
    byte under it (`xor:1`); the check byte stands right before `tail`. `id` is the number's slice (`7:9`).
    `order` is `msb`, `lsb`, or `bcd` for decimal digits. `low` is where a low battery shows:
    a byte's place, and its bit (`&`) or its least value of a good one (`<`).
    """

    header: bytes
    size: int
    check: tuple[str, int]
    id: slice
    length_at: int | None = None
    tail: bytes = b""
    order: str = "msb"
    low: tuple[int, str, int] | None = None

    @cached_property
    def layout(self) -> Layout:
        """The frame without its meaning."""
        head = max(len(self.header), 1) if self.length_at is None else self.length_at + 1
        return Layout(self.header, head, self._size, self._sound, self.tail)

    def meaning(self, frame: bytes) -> Step:
        """The step of a sound frame."""
        raw = frame[self.id]
        if self.order == "bcd" and not raw.hex().isdecimal():
            return Frame(len(frame), (Fault("range", "the tag's number has a digit above 9"),))
        value = _identity.card("active", raw[::-1] if self.order == "lsb" else raw)
        if isinstance(value, Card):
            value = replace(value, low_battery=self._is_low(frame))
        return Frame(len(frame), (value,))

    def _is_low(self, frame: bytes) -> bool:
        if self.low is None or self.low[0] >= len(frame) - 1 - len(self.tail):  # a short frame does not tell
            return False
        place, how, value = self.low
        return bool(frame[place] & value) if how == "&" else frame[place] < value

    def framed(self, card: str) -> bytes:
        """A frame with this tag's number, a good battery, and zeros for all else."""
        raw = _identity.raw_of(card)
        last = max(self.id.stop, self.low[0] + 1 if self.low else 0)
        size = self.size if self.length_at is None else last + 1 + len(self.tail)
        frame = bytearray(size - len(self.tail))
        frame[: len(self.header)] = self.header
        if self.length_at is not None:
            frame[self.length_at] = size - self.size
        if self.low and self.low[1] == "<":
            frame[self.low[0]] = self.low[2]
        frame[self.id] = raw[::-1] if self.order == "lsb" else raw
        frame[-1] = CHECKS[self.check[0]](bytes(frame[self.check[1] : -1]))
        return bytes(frame) + self.tail

    def _size(self, window: bytes) -> int:
        size = self.size if self.length_at is None else self.size + window[self.length_at]
        return size if size >= self.id.stop + 1 + len(self.tail) else 0

    def _sound(self, frame: bytes) -> bool:
        return CHECKS[self.check[0]](frame[self.check[1] : -1]) == frame[-1]


def shape(
    header: str,
    *,
    size: int,
    check: str,
    id: str,
    order: str = "msb",
    tail: str = "",
    length_at: int = -1,
    low: str = "",
) -> Shape:
    """A Shape from an operator's words. Raises ValueError with a sentence."""
    checked, numbered = re.fullmatch(r"(xor|sum):(\d+)", check), re.fullmatch(r"(\d+):(\d+)", id)
    battery = re.fullmatch(r"(\d+)([&<])([0-9A-Fa-f]{2})", low)
    if checked is None:
        raise ValueError(f"check is `xor:<first byte>` or `sum:<first byte>`, not {check!r}")
    if numbered is None or not 0 < int(numbered[2]) - int(numbered[1]) <= 16:
        raise ValueError(f"id is `<first byte>:<byte after the last>`, not {id!r}")
    if order not in ("msb", "lsb", "bcd"):
        raise ValueError(f"order is msb, lsb or bcd, not {order!r}")
    if not re.fullmatch(r"([0-9A-Fa-f]{2})+", header) or not re.fullmatch(r"([0-9A-Fa-f]{2})*", tail):
        raise ValueError(f"header and tail are bytes in hex such as 40 or 7E, not {header!r} and {tail!r}")
    if low and battery is None:
        raise ValueError(f"low is `<byte>&<its bit in hex>` or `<byte><<least good value in hex>`, not {low!r}")
    if size < 1:
        raise ValueError(f"size is at least 1, not {size!r}")
    return Shape(
        bytes.fromhex(header),
        size,
        (checked[1], int(checked[2])),
        slice(int(numbered[1]), int(numbered[2])),
        None if length_at < 0 else length_at,
        bytes.fromhex(tail),
        order,
        (int(battery[1]), battery[2], int(battery[3], 16)) if battery else None,
    )


class Shaped(Reader):
    """A reader whose frame is known; its file gives the `shape`."""

    technology = "active"
    shape: ClassVar[Shape]

    def take(self, window: bytes) -> Step:
        frame = self.shape.layout.take(window)
        return self.shape.meaning(frame) if isinstance(frame, bytes) else frame

    @classmethod
    def frame(cls, card: str) -> bytes:
        return cls.shape.framed(card)
