"""A connection that stays open to an operator: opened again with back-off, a window of unanswered messages.

One thread reads; any thread may submit. What SMPP and CMPP have in common, without a word of either.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from server.outbox.providers.base import SendFailed
from server.outbox.rules import Outcome

log = logging.getLogger(__name__)

WAIT_FOR_LINE = 3.0  # seconds that a text waits for the connection, or for room in the window
WAIT_FOR_ANSWER = 8.0
BACK_OFF = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)


class Refused(Exception):
    """The other side answers and does not let us in; the text tells the operator why."""


class Wire(Protocol):
    """One connection. All methods raise OSError when it is gone."""

    def open(self) -> None:
        """Connect and log in. Raises Refused."""

    def prepare(self, message: Any) -> tuple[int, Any]:
        """Its sequence number, and the frame."""

    def put(self, frame: Any) -> None:
        """Write a frame; several threads may."""

    def read(self, answered: Callable[[int, Any], None]) -> None:
        """Wait a second at most for one frame and act on it; keeps the connection alive."""

    def close(self) -> None:
        """Say good-bye if possible; never raises."""


class _Waiting:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.answer: Any = None


class Line:
    """`make` opens nothing yet: it returns a fresh Wire for each try."""

    def __init__(self, name: str, make: Callable[[], Wire], window: int) -> None:
        self.name = name
        self.trouble = "not connected yet"
        self._make = make
        self._room = threading.BoundedSemaphore(window)
        self._lock = threading.Lock()
        self._waiting: dict[int, _Waiting] = {}
        self._wire: Wire | None = None
        self._up = threading.Event()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to connect."""
        self._end.clear()
        self._thread = threading.Thread(target=self._run, name=f"{self.name}-line", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close it; texts without an answer become UNKNOWN."""
        self._end.set()
        if self._thread:
            self._thread.join(10)

    def submit(self, message: Any) -> Any:
        """Send one message and return its answer. Raises SendFailed: RETRY_OTHER, RETRY_SAME or UNKNOWN."""
        if not self._up.wait(WAIT_FOR_LINE):
            raise SendFailed(Outcome.RETRY_OTHER, f"{self.name}: {self.trouble}")
        if not self._room.acquire(timeout=WAIT_FOR_LINE):
            raise SendFailed(Outcome.RETRY_SAME, f"{self.name}: too many messages wait for an answer")
        try:
            return self._answer(message)
        finally:
            self._room.release()

    def _answer(self, message: Any) -> Any:
        waiting = _Waiting()
        with self._lock:
            wire = self._wire
            if wire is None:
                raise SendFailed(Outcome.RETRY_OTHER, f"{self.name}: {self.trouble}")
            try:
                number, frame = wire.prepare(message)
            except ValueError as error:  # a number, sender or text that the protocol has no room for
                raise SendFailed(Outcome.FAIL_CONTENT, f"{self.name}: the message cannot be written: {error}") from None
            self._waiting[number] = waiting
        try:
            wire.put(frame)
            waiting.done.wait(WAIT_FOR_ANSWER)
        except OSError:
            pass  # some of it may have left
        finally:
            with self._lock:
                if self._waiting.get(number) is waiting:
                    del self._waiting[number]
        if waiting.answer is None:
            raise SendFailed(Outcome.UNKNOWN, f"{self.name}: no answer to the message")
        return waiting.answer

    def _answered(self, number: int, answer: Any) -> None:
        with self._lock:
            waiting = self._waiting.pop(number, None)
        if waiting:
            waiting.answer = answer
            waiting.done.set()

    def _run(self) -> None:
        tries = 0
        while not self._end.is_set():
            since = time.monotonic()
            wire = self._make()
            try:
                wire.open()
                self._hold(wire)
                self.trouble = "the connection was closed"
            except Refused as refused:
                self.trouble = str(refused)
            except OSError as error:
                self.trouble = f"no connection ({error})"
            except Exception:  # a frame that the codec cannot read: a new connection is in step again
                log.exception("%s: the connection is opened again", self.name)
                self.trouble = "the other side sent what cannot be read"
            finally:
                self._drop(wire)
            if self._end.is_set():
                return
            tries = 0 if time.monotonic() - since > BACK_OFF[-1] else tries + 1
            pause = BACK_OFF[min(tries, len(BACK_OFF)) - 1] if tries else BACK_OFF[0]
            log.warning("%s: %s; next try in %.0f s", self.name, self.trouble, pause)
            self._end.wait(pause)

    def _hold(self, wire: Wire) -> None:
        with self._lock:
            self._wire = wire
        self.trouble = ""
        self._up.set()
        while not self._end.is_set():
            wire.read(self._answered)

    def _drop(self, wire: Wire) -> None:
        self._up.clear()
        with self._lock:
            self._wire = None
            lost, self._waiting = list(self._waiting.values()), {}
        for waiting in lost:
            waiting.done.set()
        wire.close()
