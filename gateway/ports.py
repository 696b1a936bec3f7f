"""One thread per reader: opens the port by its stable name, feeds the protocol, opens again when it was unplugged."""

import io
import logging
import select
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import serial

from gateway.config import ReaderSection
from gateway.readers.base import Card, Reader, Value
from gateway.wire import ReaderHealth

log = logging.getLogger("gateway.ports")

READ_TIMEOUT_S = 0.1
REST_S = 0.25  # how long a quiet line is left alone: a wake-up costs as much as a tap, and most of the day nobody comes
WRITE_TIMEOUT_S = 0.5
BACK_OFF_S = (0.2, 1.0, 2.0, 5.0, 10.0)
MOST_BYTES = 256  # in one read, so that a flood does not become one huge commit
MUTE_BYTES = 200
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
    """A reader is up, down or mute from now on."""

    reader: str
    health: ReaderHealth
    why: str


class NoAnswer(OSError):
    """A reader that must be asked has not said a byte for too long."""


class Port:
    """Owns one thread and one port; reports into the inbox and keeps nothing else."""

    def __init__(self, section: ReaderSection, *, ticks: Callable[[], int], inbox: SimpleQueue[Any]) -> None:
        self.section = section
        self.ticks = ticks
        self.inbox = inbox
        self._moved = time.monotonic()
        self._health: tuple[ReaderHealth, str] | None = None
        self._unframed = 0  # bytes since the last good frame
        self._noise = b""
        self._is_asked = False
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

    def is_moving(self) -> bool:
        """False when the thread hangs in a driver: only a restart of the process helps then."""
        return time.monotonic() - self._moved < STUCK_S

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            opened = time.monotonic()
            try:
                reader = self.section.protocol()
                with closing(self._open(reader)) as line:
                    self._listen(line, reader)
            except OSError as error:  # SerialException is one; pyserial also lets bare ones through
                self._report(ReaderHealth.DOWN, f"{self.section.port}: {error}")
            failures = failures + 1 if time.monotonic() - opened < max(BACK_OFF_S) else 0
            self._moved = time.monotonic()
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
        self._unframed, self._noise, self._is_asked = 0, b"", reader.interval is not None
        line.write(reader.start())
        self._report(ReaderHealth.UP, f"open on {self.section.port}")
        heard = polled = time.monotonic()
        quiet = False  # nothing to flush, nothing to ask
        while not self._stop.is_set():
            if quiet and not _stirs(line):
                self._moved = time.monotonic()
                continue
            while self.inbox.qsize() > BUSY_EVENTS and not self._stop.wait(0.01):
                self._moved = time.monotonic()
            chunk = line.read(min(line.in_waiting, MOST_BYTES) or 1)
            now = self._moved = time.monotonic()
            if chunk:
                heard, quiet = now, False
                self._take(chunk, reader.feed(chunk))
            elif now - heard >= reader.gap:
                self._take(b"", reader.flush())
                quiet = reader.interval is None
            if reader.interval is not None:
                polled = self._poll(line, reader, now=now, polled=polled, heard=heard)

    def _poll(self, line: Any, reader: Reader, *, now: float, polled: float, heard: float) -> float:
        """Ask when it is time; gives when we last asked."""
        if now - polled < (reader.interval or 0):
            return polled
        if now - heard > ANSWER_S:
            raise NoAnswer(f"no byte for {ANSWER_S:g} s, the reader is started anew")
        line.write(reader.poll())
        return now

    def _take(self, chunk: bytes, found: Iterable[Value]) -> None:
        ticks = self.ticks()
        values = tuple(found)
        if values:
            self.inbox.put(Read(self.section.id, values, ticks))
        self._diagnose(chunk, values)

    def _diagnose(self, chunk: bytes, values: tuple[Value, ...]) -> None:
        """Bytes without end and no frame are a wrong pin, baud or profile: say so once, without a number."""
        if any(isinstance(value, Card) or value.cards or value.kind == "phantom" for value in values):
            self._unframed, self._noise = 0, b""
            self._report(ReaderHealth.UP, "frames again")
            return
        if self._is_asked and not values:
            return  # answers without a card are no faults
        self._unframed += len(chunk)
        self._noise = (self._noise + chunk)[:64]
        if self._unframed >= MUTE_BYTES:
            self._report(ReaderHealth.MUTE, f"no frame in {MUTE_BYTES} bytes: wrong pin, baud or profile?")

    def _report(self, health: ReaderHealth, why: str) -> None:
        if self._health is not None and (self._health == (health, why) or self._health[0] == health == ReaderHealth.UP):
            return
        self._health = (health, why)
        if health is ReaderHealth.MUTE:
            log.debug("reader %s sends %s", self.section.id, self._noise.hex(" "))
        self.inbox.put(Health(self.section.id, health, why))


def _stirs(line: Any) -> bool:
    """False after a rest without a byte or a hang-up; True where the port is no file that could tell (loop://)."""
    try:
        return bool(select.select([line.fileno()], [], [], REST_S)[0])
    except io.UnsupportedOperation:
        return True
