"""The gateway: builds the parts, and owns them in one thread that takes everything from one inbox.

Order at a tap: frame -> confirm and dedupe -> spool commit (fsync) -> green light -> publish.
"""

import logging
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

import msgspec

from gateway import feedback, timebase, wire
from gateway.boots import Boots
from gateway.clock import Clock
from gateway.config import Config, ReaderSection
from gateway.dedupe import Dedupe, Verdict
from gateway.link import Connected, Denied, Heard, Link, Lost, Will
from gateway.ports import Health, Port, Read
from gateway.readers.base import Card, Fault
from gateway.spool import Limits, NotStored, Spool, Touch
from gateway.status import Record, absent, heartbeat, last_will
from gateway.trust import WORD_MS, Trust
from gateway.uplink import Uplink
from gateway.watchdog import Watchdog
from gateway.wire import Kind

log = logging.getLogger("gateway")

TURN_S = 1.0  # the longest pause between two looks at the timers
TURN_EVENTS = 200  # taken in one turn
WORD_S = WORD_MS / 1000  # taps wait so long for the server to say what time it is, while nobody else does
COMMIT_TAPS = 50  # at most so many taps share a commit
REFUSED = {"two-cards", "random-uid"}  # faults that a pupil causes and can mend


class Stop:
    """Put into the inbox to end the gateway."""


class Gate:
    """One reader as the main thread sees it."""

    def __init__(self, section: ReaderSection, port: Port) -> None:
        self.section = section
        self.port = port
        self.record = Record(section)
        self.dedupe = Dedupe(confirm=section.confirm(), same_card_ms=round(section.same_card_s * 1000))
        self._red = 0

    def may_show_red(self, fault: Fault, ticks: int) -> bool:
        """Once a second for a card that was held to the reader and cannot be taken."""
        if fault.kind not in REFUSED or ticks - self._red < 1_000:
            return False
        self._red = ticks
        return True


class Gateway:
    """`run` until a signal or a Stop in the inbox."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        self.boots = Boots(Path(config.data_dir) / "boots.json")
        self.clock = self._clock()
        limits = Limits(config.spool.max_mb << 20, config.spool.reserve_mb << 20, config.spool.keep_days)
        path = Path(config.data_dir) / "spool.db"
        self.spool = Spool(path, gateway=config.gateway, clock=self.clock, limits=limits)
        self.uplink = Uplink(self.spool, self.clock, lambda payload: self.link.publish(self._topic(Kind.TAP), payload))
        self.link = Link(
            config.mqtt,
            client_id=f"gatebell-{config.school}-{config.gateway}",
            will=Will(self._topic(Kind.STATE), lambda birth: wire.encode(last_will(birth))),
            now=lambda: max(self.clock.now(), self.boots.birth + 1),
            inbox=self.inbox,
        )
        self.gates = {section.id: Gate(section, self._port(section)) for section in config.reader}
        self.lights: feedback.Feedback = feedback.Silent()
        self.watchdog = Watchdog.from_environment()
        self.full = False
        self.gone: list[wire.Gone] = []
        self._birth = 0
        self._running = False
        self._next_beat = 0.0
        self._next_sign = 0.0

    def _clock(self) -> Clock:
        return Clock(base=timebase.from_environment(), trusted=self.config.clock == "trust", trust=Trust(self.boots))

    def _port(self, section: ReaderSection) -> Port:
        return Port(section, ticks=self.clock.ticks, inbox=self.inbox)

    def _topic(self, kind: Kind) -> str:
        return wire.topic(self.config.school, self.config.gateway, kind, shard=self.config.shard)

    # life

    def run(self) -> None:
        """Take taps until stopped. Raises SpoolUnusable and FeedbackError before anything has begun."""
        self.lights = feedback.load(self.config.feedback)
        self.spool.open()
        self.clock.open()
        try:
            self._start()
            while self._running:
                self._turn(list(self._events()))
        finally:
            self._end()

    def _start(self) -> None:
        self._running = True
        for gate in self.gates.values():
            gate.port.start()
        self.link.start()
        self.watchdog.say("READY=1")
        log.info("gateway %s of %s: spool %s, next tap #%d", *self._names(), self.spool.id, self.spool.next_seq)

    def _names(self) -> tuple[str, str]:
        return self.config.gateway, self.config.school

    def _end(self) -> None:
        self.watchdog.say("STOPPING=1")
        for gate in self.gates.values():
            gate.port.stop()
        farewell = msgspec.structs.replace(self._state(), online=False)
        self.link.stop(self._topic(Kind.STATE), wire.encode(farewell))
        self.spool.close()
        self.boots.save()
        self.lights.close()

    def stop_on_signals(self) -> None:
        """SIGTERM and SIGINT end `run` cleanly."""

        def stop(_number: int, _frame: FrameType | None) -> None:
            self.inbox.put(Stop())  # SimpleQueue is made for this: it may be interrupted by itself

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)

    # one turn

    def _events(self) -> Iterator[Any]:
        """What waits in the inbox; waits itself for the first until a timer is due."""
        due = self.uplink.next_due()
        wait = TURN_S if due is None else min(TURN_S, max(0.0, due - time.monotonic()))
        try:
            yield self.inbox.get(timeout=wait)
            for _ in range(TURN_EVENTS - 1):
                yield self.inbox.get_nowait()
        except Empty:
            return

    def _turn(self, events: list[Any]) -> None:
        touches: list[Touch] = []
        for event in events:
            if isinstance(event, Read):
                touches.extend(self._touches(event))
            else:
                self._on_event(event)
        now = time.monotonic()
        for start in range(0, len(touches), COMMIT_TAPS):
            self._store(touches[start : start + COMMIT_TAPS], now)
        self.clock.state()
        self.uplink.send_due(now)
        self.spool.settle(now)
        self._beat(now)

    def _touches(self, read: Read) -> Iterator[Touch]:
        """The new presentations among what a reader said."""
        gate = self.gates[read.reader]
        for value in read.values:
            if isinstance(value, Fault):
                gate.record.count(value)
                log.debug("reader %s: %s %s", read.reader, value.kind, value.detail)
                if gate.may_show_red(value, read.ticks):
                    self.lights.refused()
            elif self._is_new(gate, value, read.ticks):
                state, at = self.clock.state(), self.clock.at(read.ticks)
                yield Touch(read.reader, gate.section.direction, value.text, at, state, read.ticks)

    def _is_new(self, gate: Gate, card: Card, ticks: int) -> bool:
        verdict = gate.dedupe.admits(card.text, ticks)
        if verdict is Verdict.AGAIN:
            self.lights.again()
        return verdict is Verdict.NEW

    def _store(self, touches: list[Touch], now: float) -> None:
        """To disk, then the lights, then to the broker."""
        try:
            taps = self.spool.put(touches)
        except NotStored as error:
            self._refuse(touches, error)
            return
        self.full = False
        for tap in taps:
            self.lights.accepted()
            self.gates[tap.reader].record.touched(tap.at)
            log.info("tap #%d at %s %s: %s", tap.seq, tap.reader, tap.direction, masked(tap.card))
        self.uplink.live(taps, now)

    def _refuse(self, touches: list[Touch], error: NotStored) -> None:
        if not self.full:
            self._next_beat = 0.0
        self.full = True
        for touch in touches:
            self.gates[touch.reader].dedupe.forget(touch.card)
            self.lights.refused()
        log.error("%d taps REFUSED: %s", len(touches), error)

    # other events

    def _on_event(self, event: Any) -> None:
        match event:
            case Health(reader, health, why):
                self._on_health(reader, health, why)
            case Connected():
                self._on_connected(event)
            case Lost():
                self._on_lost(event)
            case Heard(topic, payload):
                self._on_message(topic, payload)
            case Denied(what, reason):
                log.error("the broker denies our %s: %s; check its access rules", what, reason)
            case Stop():
                self._running = False

    def _on_health(self, reader: str, health: wire.ReaderHealth, why: str) -> None:
        self.gates[reader].record.health = health
        self._next_beat = 0.0  # tell it at once
        log.log(
            logging.INFO if health is wire.ReaderHealth.UP else logging.WARNING, "reader %s %s: %s", reader, health, why
        )

    def _on_connected(self, event: Connected) -> None:
        self.link.adopt(event, [self._topic(Kind.STORED), self._topic(Kind.COMMAND)])
        self._birth = event.birth
        self.boots.born(event.birth)
        now = time.monotonic()
        unsure = self.clock.settled_now() is None
        self.uplink.connected(event.max_packet, held_until=now + WORD_S if unsure else 0.0)
        self._next_beat = 0.0
        self._beat(now)  # the birth goes before the taps

    def _on_lost(self, event: Lost) -> None:
        if self.link.drop(event):
            self.uplink.lost()
            log.warning("connection to the broker lost: %s; taps go on to the spool", event.reason)

    def _on_message(self, topic: str, payload: bytes) -> None:
        try:
            message = wire.decode(wire.address(topic).kind, payload)
        except wire.Malformed as error:
            log.error("message thrown away: %s", error)
            return
        now = time.monotonic()
        match message:
            case wire.Stored(ids=ids):
                self.uplink.stored(ids, now)
            case wire.Announce():
                self.uplink.hurry(now)
                self._next_beat = 0.0
            case wire.Resync(spool=spool, start=start):
                self._resync(spool, max(1, start))
            case wire.Now(boot=boot):
                if boot == self.clock.boot and self.clock.trust.hear(message, self.clock.ticks()):
                    self.uplink.release()

    def _resync(self, spool: str, start: int) -> None:
        """Send again what is kept, and say what is not: the server must not wait for it."""
        if spool == self.spool.id:
            log.warning("the server asks again for all from #%d: %d taps", start, self.spool.resend(start))
            self.uplink.again()
        else:
            log.warning("the server asks for spool %s, this is %s: nothing to send again", spool, self.spool.id)
        self.gone = absent(self.spool, spool, start)
        self._next_beat = 0.0

    # signs of life

    def _state(self) -> wire.State:
        records = [gate.record for gate in self.gates.values()]
        for gate in self.gates.values():
            if gate.dedupe.unconfirmed:
                gate.record.faults["unconfirmed"] = gate.dedupe.unconfirmed
        said = heartbeat(self._birth, clock=self.clock, spool=self.spool, records=records, full=self.full)
        return msgspec.structs.replace(said, gone=self.gone)

    def _beat(self, now: float) -> None:
        if self.uplink.online and now >= self._next_beat:
            self._next_beat = now + self.config.heartbeat_s
            self.link.publish(self._topic(Kind.STATE), wire.encode(self._state()), retain=True)
        if self.watchdog.interval and now >= self._next_sign and all(g.port.is_moving() for g in self.gates.values()):
            self._next_sign = now + self.watchdog.interval
            self.watchdog.say("WATCHDOG=1", f"STATUS={self.spool.depth()} taps wait, broker {self.uplink.online}")


def masked(card: str) -> str:
    """A card for the log: technology and the last four digits at most."""
    technology, _, number = card.partition(":")
    shown = min(4, len(number) // 2)
    return f"{technology}:…{number[-shown:]}" if shown else f"{technology}:…"
