"""One thread per reader: opens the port by its stable name, feeds the protocol, opens again when it was unplugged."""

import errno
import io
import logging
import select
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import serial

from gateway import holders
from gateway.config import ReaderSection
from gateway.devices import plain
from gateway.diagnosis import Setting, diagnose
from gateway.readers.base import Card, Reader, Value
from gateway.watchdog import Pulse
from gateway.wire import ReaderHealth, Trouble

log = logging.getLogger("gateway.ports")

READ_TIMEOUT_S = 0.1
REST_S = 0.25  # how long a quiet line is left alone: a wake-up costs as much as a tap, and most of the day nobody comes
WRITE_TIMEOUT_S = 0.5
BACK_OFF_S = (0.2, 1.0, 2.0, 5.0, 10.0)
MOST_BYTES = 256  # in one read, so that a flood does not become one huge commit
MUTE_BYTES = 200
KEPT_NOISE = 256
LOOK_AGAIN = 8  # the bytes are looked at anew when there are so many times more of them
ANSWER_S = 5.0
STUCK_S = 30.0
BUSY_EVENTS = 2_000  # so many wait for the main thread: leave the bytes to the kernel


@dataclass(frozen=True)
class Read:
    """What a piece of bytes meant; `ticks` is when the bytes came."""

    reader: str
    values: tuple[Value, ...]
    ticks: int


@dataclass(frozen=True)
class Health:
    """A reader is up, down or mute from now on; `why` for the log, `word` for the wire."""

    reader: str
    health: ReaderHealth
    why: str
    word: str = ""


class NoAnswer(OSError):
    """A reader that must be asked has not said a byte for too long."""


class Port:
    """Owns one thread and one port; reports into the inbox and keeps nothing else."""

    def __init__(self, section: ReaderSection, *, ticks: Callable[[], int], inbox: SimpleQueue[Any]) -> None:
        self.section = section
        self.ticks = ticks
        self.inbox = inbox
        self.pulse = Pulse(f"port {section.id}", STUCK_S)
        self.is_asked = section.protocol().interval is not None
        self.answered = 0.0  # monotonic time at which a reader that must be asked had last answered
        self._has_asked = False  # since the port was opened
        self._health: tuple[ReaderHealth, str] | None = None
        self._unframed = 0  # bytes since the last good frame
        self._look_at = MUTE_BYTES  # so many of them make us look what they are
        self._noise = b""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"port {section.id}", daemon=True)

    def start(self) -> None:
        """Begin to open and read."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; the port is closed when this returns, unless the driver hangs."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2 * WRITE_TIMEOUT_S)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            opened = time.monotonic()
            try:
                reader = self.section.protocol()
                with closing(self._open(reader)) as line:
                    self._listen(line, reader)
            except OSError as error:  # SerialException is one; pyserial also lets bare ones through
                self._is_down(error)
            failures = failures + 1 if time.monotonic() - opened < max(BACK_OFF_S) else 0
            self.pulse.beat()
            self._stop.wait(BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)])

    def _open(self, reader: Reader) -> Any:
        return serial.serial_for_url(
            self.section.port,
            baudrate=self.section.baud(),
            timeout=min(READ_TIMEOUT_S, reader.gap, reader.interval or READ_TIMEOUT_S),
            write_timeout=WRITE_TIMEOUT_S,
            exclusive=True if self.section.port.startswith("/") else None,
        )

    def _listen(self, line: Any, reader: Reader) -> None:
        self._forget_noise()
        self._has_asked = False
        line.write(reader.start())
        self._is_up()
        heard = polled = time.monotonic()
        quiet = False  # nothing to flush, nothing to ask
        while not self._stop.is_set():
            if quiet and not _stirs(line):
                self.pulse.beat()
                continue
            while self.inbox.qsize() > BUSY_EVENTS and not self._stop.wait(0.01):
                self.pulse.beat()
            chunk = line.read(min(line.in_waiting, MOST_BYTES) or 1)
            now = time.monotonic()
            self.pulse.beat()
            if chunk:
                heard, quiet = now, False
                self._take(chunk, reader.feed(chunk), reader)
            elif now - heard >= reader.gap:
                self._take(b"", reader.flush(), reader)
                quiet = reader.interval is None
            if reader.interval is not None:
                polled = self._poll(line, reader, now=now, polled=polled, heard=heard)

    def _poll(self, line: Any, reader: Reader, *, now: float, polled: float, heard: float) -> float:
        """Ask when it is time; gives when we last asked."""
        if now - polled < (reader.interval or 0):
            return polled
        if now - heard > ANSWER_S:
            raise NoAnswer(
                f"no byte for {ANSWER_S:g} s, the reader is started anew; look at its power and at TX and RX"
            )
        if self._has_asked and reader.is_answered():
            self.answered = now
        self._has_asked = True
        line.write(reader.poll())
        return now

    def _take(self, chunk: bytes, found: Iterable[Value], reader: Reader) -> None:
        ticks = self.ticks()
        values = tuple(found)
        if values:
            self.inbox.put(Read(self.section.id, values, ticks))
        if values or reader.is_spoilt():  # sound frames without a card are no faults
            self._diagnose(chunk, values)

    def _diagnose(self, chunk: bytes, values: tuple[Value, ...]) -> None:
        """Bytes without end and no frame are a wrong wire, speed or profile: say which, without a number."""
        if any(isinstance(value, Card) or value.cards or value.kind == "phantom" for value in values):
            self._forget_noise()
            self._report(ReaderHealth.UP, "frames again")
            return
        self._unframed += len(chunk)
        self._noise = (self._noise + chunk)[-KEPT_NOISE:]
        if self._unframed >= self._look_at:
            self._look_at = self._unframed * LOOK_AGAIN
            self._is_mute()

    def _forget_noise(self) -> None:
        self._unframed, self._look_at, self._noise = 0, MUTE_BYTES, b""

    # what is told

    def _is_up(self) -> None:
        holder = holders.of(plain(self.section.port)) if plain(self.section.port) else None
        if holder is not None and holder.sure:
            self._report(
                ReaderHealth.UP, f"open on {self.section.port}, and so it is for {holder}", Trouble.HELD, holder.name
            )
        else:
            self._report(ReaderHealth.UP, f"open on {self.section.port}")

    def _is_down(self, error: OSError) -> None:
        word, holder = _trouble(error), None
        if word in {Trouble.HELD, Trouble.MISSING, Trouble.LOST} and plain(self.section.port):
            holder = holders.of(plain(self.section.port))
        if holder is not None and holder.sure:
            word = Trouble.HELD
        about = holder.name if holder is not None and word is Trouble.HELD else ""
        told = f"; the port is held by {holder}" if about else f"; {holder}" if holder else ""
        self._report(ReaderHealth.DOWN, f"{self.section.port}: {error}{told}", word, about)

    def _is_mute(self) -> None:
        verdict = diagnose(self._noise, Setting(self.section.profile, self.section.baud()))
        often = Counter(self._noise).most_common(6)  # without their order they are nobody's number
        shown = " ".join(f"{byte:02x} x{times}" for byte, times in often)
        why = f"no valid frame in {MUTE_BYTES} bytes: {verdict.sentence} (most often: {shown})"
        self._report(ReaderHealth.MUTE, why, verdict.word, verdict.about)

    def _report(self, health: ReaderHealth, why: str, word: Trouble | None = None, about: str = "") -> None:
        told = f"{word or ''} {about}".strip()[:64]
        if self._health == (health, told):
            return
        self._health = (health, told)
        self.inbox.put(Health(self.section.id, health, why, told))


def _stirs(line: Any) -> bool:
    """False after a rest without a byte or a hang-up; True where the port is no file that could tell (loop://)."""
    try:
        return bool(select.select([line.fileno()], [], [], REST_S)[0])
    except io.UnsupportedOperation:
        return True


def _trouble(error: OSError) -> Trouble:
    """The word for what a port's own error says."""
    if isinstance(error, NoAnswer):
        return Trouble.NO_ANSWER
    if error.errno in {errno.ENOENT, errno.ENODEV, errno.ENXIO}:
        return Trouble.MISSING
    if error.errno in {errno.EACCES, errno.EPERM}:
        return Trouble.DENIED
    return Trouble.HELD if error.errno in {errno.EBUSY, errno.EAGAIN} else Trouble.LOST
