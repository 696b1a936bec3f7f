"""What a serial receiver makes of a line that it listens to wrongly: at another speed, upside down, with a parity bit.

A line is a row of levels, eight to a bit of the sender. The receiver waits for a fall, looks at the middle of each of
its own bits, and gives what it has whether or not the stop bit is there, as Linux does without INPCK (termios(3)).
"""

from collections.abc import Sequence

FINE = 8  # levels to a bit of the sender
GAP = 20  # bits of rest between two frames


def levels(chunk: bytes, *, inverted: bool = False, stops: int = 1) -> bytes:
    """Eight bits without parity on the wire, at rest before and after: one byte a level, 1 is high."""
    low, high = (b"\1", b"\0") if inverted else (b"\0", b"\1")
    bits = [high * GAP]
    for byte in chunk:
        data = (high if byte >> place & 1 else low for place in range(8))
        bits += [low, *data, high * stops]
    return b"".join(bytes([bit]) * FINE for piece in [*bits, high * GAP] for bit in piece)


def received(line: Sequence[int], ratio: float = 1.0) -> bytes:
    """The bytes of a receiver whose bit is `ratio` bits of the sender long."""
    bit = FINE * ratio
    found, at, last = bytearray(), 1, len(line) - round(10 * bit)
    while at < last:
        if not (line[at - 1] and not line[at]):
            at += 1
            continue
        data = sum(line[round(at + bit * (1.5 + place))] << place for place in range(8))
        found.append(data)
        at += round(bit * 9.5)
    return bytes(found)
