"""What is published from the spool, and when again: two lanes, live taps first, until the server says Stored."""

import logging
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import msgspec

from gateway.clock import Clock
from gateway.spool import Spool
from gateway.wire import MAX_TAPS, Tap, Taps, encode

log = logging.getLogger("gateway.uplink")

LIVE_IN_FLIGHT = 50  # taps
DRAIN_IN_FLIGHT = 4  # messages
FIRST_RESEND_S = 3.0
LAST_RESEND_S = 60.0
SILENT_S = 10.0
TAP_BYTES = 700  # no tap is longer in JSON, not even with an NTAG 424's message
ENVELOPE_BYTES = 512


@dataclass
class Flight:
    """One message on its way: the taps that no Stored has named yet, and when they are sent again."""

    taps: dict[str, Tap]
    live: bool
    due: float
    tries: int = 0


class Uplink:
    """Publishes what the spool holds. Times are monotonic seconds; `publish` takes one encoded Taps."""

    def __init__(self, spool: Spool, clock: Clock, publish: Callable[[bytes], None]) -> None:
        self.spool = spool
        self.clock = clock
        self.publish = publish
        self.online = False
        self.batch = MAX_TAPS
        self._flights: list[Flight] = []
        self._by_id: dict[str, Flight] = {}
        self._behind = True  # the spool may hold taps behind the cursor that are not in flight
        self._cursor = 0
        self._answered = 0.0
        self._held_until = 0.0

    def connected(self, max_packet: int | None, *, held_until: float = 0.0) -> None:
        """A new connection: all that is not stored goes out from `held_until` on, in messages that the broker takes."""
        self.lost()
        self.online = True
        self._held_until = held_until
        self.batch = max(1, min(MAX_TAPS, ((max_packet or 1 << 28) - ENVELOPE_BYTES) // TAP_BYTES))

    def lost(self) -> None:
        """No connection: what was in flight is in the spool."""
        self.online = False
        self.release()
        self._flights.clear()
        self._by_id.clear()
        self.again()

    def release(self) -> None:
        """What was held back may go."""
        self._held_until = 0.0

    def again(self) -> None:
        """The spool holds taps to be sent that are not new: start reading at its first."""
        self._behind, self._cursor = True, 0

    def live(self, taps: Sequence[Tap], now: float) -> None:
        """Send taps that were just spooled, past any backlog; when too many are unanswered they wait their turn."""
        if not self.online or now < self._held_until or self._live_in_flight() + len(taps) > LIVE_IN_FLIGHT:
            self._behind = True
            return
        for start in range(0, len(taps), self.batch):
            self._launch(taps[start : start + self.batch], live=True, now=now)

    def stored(self, ids: Collection[str], now: float) -> None:
        """The server has these. After a silence it is back, so what still waits for it is due soon."""
        self.spool.done(ids)
        for id in ids:
            flight = self._by_id.pop(id, None)
            if flight is not None:
                del flight.taps[id]
        self._flights = [flight for flight in self._flights if flight.taps]
        if now - self._answered > SILENT_S:
            self.hurry(now + FIRST_RESEND_S)
        self._answered = now

    def hurry(self, due: float) -> None:
        """Nothing in flight waits longer than `due`."""
        for flight in self._flights:
            flight.due, flight.tries = min(flight.due, due), 0

    def send_due(self, now: float) -> None:
        """Send again what was not answered in time, then fill the drain lane from the spool."""
        if not self.online or now < self._held_until:
            return
        self.release()
        for flight in [flight for flight in self._flights if flight.due <= now]:
            if flight.live:
                self._put_back(flight)
            else:
                flight.tries += 1
                log.info("%d taps unanswered, sent again (try %d)", len(flight.taps), flight.tries + 1)
                self._send(flight, now)
        while self._behind and sum(not flight.live for flight in self._flights) < DRAIN_IN_FLIGHT:
            self._drain(now)

    def next_due(self) -> float | None:
        """When `send_due` has something to do, as far as is known now."""
        return self._held_until or min((flight.due for flight in self._flights), default=None)

    def _put_back(self, flight: Flight) -> None:
        """A live tap has one try; then it is one of the backlog, so that live taps never wait for unanswered ones."""
        self._flights.remove(flight)
        for tap in flight.taps.values():
            del self._by_id[tap.id]
            self._cursor = min(self._cursor, tap.seq - 1)
        self._behind = True

    def _drain(self, now: float) -> None:
        taps = self.spool.unsent(limit=self.batch, after=self._cursor)
        self._behind = len(taps) == self.batch
        if taps:
            self._cursor = taps[-1].seq
        waiting = [tap for tap in taps if tap.id not in self._by_id]
        if waiting:
            self._launch(waiting, live=False, now=now)

    def _launch(self, taps: Sequence[Tap], *, live: bool, now: float) -> None:
        flight = Flight({tap.id: tap for tap in taps}, live, due=now)
        self._flights.append(flight)
        self._by_id.update(dict.fromkeys(flight.taps, flight))
        self._send(flight, now)

    def _send(self, flight: Flight, now: float) -> None:
        wait = min(LAST_RESEND_S, FIRST_RESEND_S * 2**flight.tries)
        flight.due = now + wait * random.uniform(1, 1.3)
        taps = [self._current(tap) for tap in flight.taps.values()]
        message = Taps(sent=self.clock.now(), boot=self.clock.boot, ticks=self.clock.ticks(), taps=taps)
        self.publish(encode(message))

    def _current(self, tap: Tap) -> Tap:
        """With its time mended if that is possible by now, and whether it is late at this sending."""
        return msgspec.structs.replace(self.clock.mend(tap), late=self.clock.is_late(tap))

    def _live_in_flight(self) -> int:
        return sum(len(flight.taps) for flight in self._flights if flight.live)
