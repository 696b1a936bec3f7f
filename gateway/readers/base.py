"""What every reader protocol is: bytes in, values out. No port, no clock, no I/O, no policy.

A protocol file holds one subclass, names it `PROTOCOL`, and ends with `EXAMPLES`: real frames and what they mean.
Confirming two equal reads, refusing the same card again and timing belong to the gateway (dedupe.py), not here.

A subclass writes `take(window)`: what stands at the start of these bytes? Reader does the rest once for all protocols:
pieces are joined, a frame is judged by its length and check and never by its end byte, a bad frame costs one byte
before the search goes on, and one damage is one fault however many bytes it spoils.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True)
class Card:
    """One good frame that names a card. `text` is canonical: `em4100:67003B51C6`, `iso14443a:04A1...`.

    How it was read makes no other card of it: `rssi` in dBm as far as the reader's maker says what its number means,
    `antenna` counted from 1, `sun` what an NTAG 424 DNA wrote of itself, `low_battery` of an active tag.
    """

    text: str
    rssi: float | None = field(default=None, compare=False)
    antenna: int | None = field(default=None, compare=False)
    sun: str = field(default="", compare=False, repr=False)
    low_battery: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Fault:
    """Bytes that make no card: `kind` is one of the data file's words (checksum, framing, length, range, phantom ...).

    `detail` says more for a person; it never holds a card number. `cards` are the canonical cards that a sound frame
    did name when it is refused as a policy (two cards in one wallet, a random UID); never logged by accident.
    """

    kind: str
    detail: str = ""
    cards: tuple[str, ...] = field(default=(), repr=False)


Value = Card | Fault


@dataclass(frozen=True)
class Frame:
    """`size` sound bytes, and what they mean; `answer` is false for an ACK, which does not end a question.

    `said` are the answer's own bytes, for a reader that talks on.
    """

    size: int
    values: tuple[Value, ...] = ()
    answer: bool = True
    said: bytes = b""


@dataclass(frozen=True)
class Bad:
    """A frame begins here and is wrong; faults within its `size` bytes are the same damage."""

    kind: str
    size: int = 1
    detail: str = ""


@dataclass(frozen=True)
class Noise:
    """`size` bytes that begin no frame: one `framing` fault for the whole run of them."""

    size: int = 1


@dataclass(frozen=True)
class Idle:
    """`size` bytes that mean nothing and harm nothing: wake-up zeros, a line end."""

    size: int = 1


@dataclass(frozen=True)
class More:
    """A frame may begin here but is not all there; silence makes it the fault `kind` (none if empty), or `whole`."""

    kind: str = "length"
    whole: Frame | Noise | None = None


Step = Frame | Bad | Noise | Idle | More


class Reader:
    """One reader on one port. Feed it bytes in any pieces; it gives whole values and never raises on bad bytes."""

    baud: ClassVar[int] = 9600
    technology: ClassVar[str] = ""
    tells_rssi: ClassVar[bool] = False  # in its cards
    tells_antenna: ClassVar[bool] = False
    confirm: ClassVar[int] = 1  # equal reads wanted within 300 ms before a card counts
    interval: float | None = None  # seconds between polls; None: the reader speaks by itself
    gap: ClassVar[float] = 0.05  # seconds of silence after which a partial frame is flushed
    longest: ClassVar[int] = 64  # bytes of the longest frame: all that is ever kept
    patience: ClassVar[int] = 5  # polls that a question may wait for its answer

    def __init__(self) -> None:
        self._kept = b""
        self._spoilt = False  # the bytes before this one were already reported
        self._quiet = 0  # bytes to come that belong to a frame already reported
        self._answered = True
        self._waited = 0

    def feed(self, chunk: bytes) -> Iterator[Value]:
        """Take bytes; give every card and fault they complete."""
        return iter(self._scan(chunk, ended=False))

    def flush(self) -> Iterator[Value]:
        """The line has been silent for `gap` seconds: what is left is no frame any more."""
        values = self._scan(b"", ended=True)
        self._spoilt, self._quiet = False, 0
        return iter(values)

    def take(self, window: bytes) -> Step:
        """What stands at the start of `window`: at least one byte, at most `longest`."""
        raise NotImplementedError

    def start(self) -> bytes:
        """Bytes to write when the port has been opened."""
        return b""

    def poll(self) -> bytes:
        """Bytes to write every `interval` seconds; empty while an answer is awaited."""
        return b""

    def ask(self, question: bytes) -> bytes:
        """`question` if the last one was answered or has waited `patience` polls, else nothing."""
        if not self._answered and self._waited < self.patience:
            self._waited += 1
            return b""
        self._answered, self._waited = False, 0
        return question

    def is_answered(self) -> bool:
        """Whether the last question, if there was one, has its answer."""
        return self._answered

    def is_spoilt(self) -> bool:
        """Whether what came last was no sound frame."""
        return self._spoilt

    def nudge(self, command: bytes) -> bytes:
        """`command` if no whole frame has come since the last poll: a reader that speaks by itself has stopped."""
        heard, self._answered = self._answered, False
        return b"" if heard else command

    @classmethod
    def frame(cls, card: str) -> bytes:
        """The bytes that this reader sends for a canonical card: for the simulator and tests."""
        raise NotImplementedError

    def _scan(self, chunk: bytes, *, ended: bool) -> list[Value]:
        line, at, values = self._kept + chunk, 0, list[Value]()
        while at < len(line):
            step = self.take(line[at : at + self.longest])
            if isinstance(step, More):
                if not ended and len(line) - at < self.longest:
                    break
                step = step.whole or (Bad(step.kind, len(line) - at) if step.kind else Idle())
            values += self._judge(step)
            at += 1 if isinstance(step, Bad) else step.size
        self._kept = line[at:]
        return values

    def _judge(self, step: Frame | Bad | Noise | Idle) -> tuple[Value, ...]:
        if isinstance(step, Frame):
            self._spoilt, self._quiet = False, 0
            self._answered = self._answered or step.answer
            return step.values
        if isinstance(step, Idle):
            self._quiet = max(0, self._quiet - step.size)
            return ()
        if isinstance(step, Bad):
            fresh = self._quiet == 0
            self._quiet = (step.size if fresh else self._quiet) - 1
            kind, detail = step.kind, step.detail
        else:
            fresh = not self._spoilt
            self._quiet = max(0, self._quiet - step.size)
            kind, detail = "framing", ""
        self._spoilt = True
        return (Fault(kind, detail),) if fresh else ()
