"""Frames that say their own length: one look at header, length, check and end mark for all protocols of that kind."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.readers.base import Bad, More, Noise, Step


@dataclass(frozen=True)
class Layout:
    """`size` gives the whole length once `head` bytes are there, 0 for an impossible one.

    `sound` says whether the check is right, of the frame without its tail.
    """

    header: bytes
    head: int
    size: Callable[[bytes], int]
    sound: Callable[[bytes], bool]
    tail: bytes = b""

    def take(self, window: bytes) -> bytes | Step:
        """The whole frame at the start of `window`, or why there is none."""
        shared = min(len(self.header), len(window))
        if window[:shared] != self.header[:shared]:
            start = window.find(self.header[:1], 1)
            return Noise(len(window) if start < 0 else start)
        if len(window) < self.head:
            return More()
        size = self.size(window)
        if size < self.head:
            return Noise()
        if len(window) < size:
            return More("framing" if self._tail_lost(window, size) else "length")
        return self._judged(window[:size])

    def _tail_lost(self, window: bytes, size: int) -> bool:
        there = size - len(self.tail)
        left = window[there:]
        return len(window) >= there and self.tail.startswith(left) and self.sound(window[:there])

    def _judged(self, frame: bytes) -> bytes | Step:
        if not frame.endswith(self.tail):
            return Bad("framing", len(frame), "the end mark is missing")
        if not self.sound(frame.removesuffix(self.tail)):
            return Bad("checksum", len(frame))
        return frame


def ends_with_xor(start: int) -> Callable[[bytes], bool]:
    """The last byte is the XOR of all from `start` on."""

    def sound(frame: bytes) -> bool:
        check = 0
        for byte in frame[start:]:
            check ^= byte
        return check == 0

    return sound


def ends_with_sum(start: int) -> Callable[[bytes], bool]:
    """The last byte is the sum of all from `start` on."""
    return lambda frame: sum(frame[start:-1]) & 0xFF == frame[-1]
