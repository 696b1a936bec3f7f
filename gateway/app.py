"""The gateway: builds the parts, and owns them in one thread that takes everything from one inbox.

Order at a tap: frame -> confirm and dedupe -> spool commit (fsync) -> green light -> publish.
"""

import importlib
import logging
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

import msgspec

from gateway import evacuation, feedback, passages, timebase, wire
from gateway.boots import Boots
from gateway.cards import Answer, Cards
from gateway.clock import Clock
from gateway.config import Config, ReaderSection
from gateway.dedupe import Verdict
from gateway.gate import Gate
from gateway.link import Connected, Denied, Heard, Link, Lost, Will
from gateway.ports import Health, Port, Read
from gateway.readers.base import Card, Fault
from gateway.seal import Seal
from gateway.selftest import Asked, Examination, Surroundings, Writing
from gateway.spool import Limits, NotStored, Spool, Touch
from gateway.status import absent, heartbeat, last_will
from gateway.trust import WORD_MS, Trust
from gateway.uplink import Uplink
from gateway.walkthrough import Passed
from gateway.watchdog import Watchdog, can_be_heard, hanging
from gateway.wire import Kind, ReaderHealth, Trouble

log = logging.getLogger("gateway")

TURN_S = 1.0  # the longest pause between two looks at the timers
WATCH_S = 0.2  # the same while somebody walks through
TURN_EVENTS = 200  # taken in one turn
WORD_S = WORD_MS / 1000  # taps wait so long for the server to say what time it is, while nobody else does
COMMIT_TAPS = 400  # at most so many taps share a commit: an SD card takes 10 ms to flush


class Stop:
    """Put into the inbox to end the gateway."""


class Gateway:
    """`run` until a signal or a Stop in the inbox."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        self.boots = Boots(Path(config.data_dir) / "boots.json")
        self.clock = self._clock()
        limits = Limits(config.spool.max_mb << 20, config.spool.reserve_mb << 20, config.spool.keep_days)
        folder = Path(config.data_dir)
        seal = Seal(folder, config.machine_key_file)
        self.spool = Spool(folder / "spool.db", gateway=config.gateway, clock=self.clock, limits=limits, seal=seal)
        self.cards = Cards(folder, seal)
        self.uplink = Uplink(self.spool, self.clock, lambda payload: self.link.publish(self._topic(Kind.TAP), payload))
        self.link = Link(
            config.mqtt,
            client_id=config.client_id,
            will=Will(self._topic(Kind.STATE), lambda birth: wire.encode(last_will(birth))),
            now=lambda: max(self.clock.now(), self.boots.birth + 1),
            inbox=self.inbox,
        )
        walks = passages.load(config)
        self.walks = list({id(walk): walk for walk in walks.values()}.values())  # two readers may share one
        self.gates = {reader.id: Gate(reader, self._port(reader), walks.get(reader.id)) for reader in config.reader}
        self.lights: feedback.Feedback = feedback.Silent()
        self.watchdog = Watchdog.from_environment()
        self.examination = Examination()
        self.writing = Writing()
        self.page: Any = None  # of the evacuation count, where it is asked for
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
        self.cards.open()
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
        self._start_page()
        self.watchdog.say("READY=1")
        log.info("gateway %s of %s: spool %s, next tap #%d", *self._names(), self.spool.id, self.spool.next_seq)

    def _start_page(self) -> None:
        if not self.config.evacuation.listen:
            return
        # By name: a gate without this page spends no memory on an HTTP server.
        pages = importlib.import_module("gateway.evacuationpage")
        page = pages.Page(self.config.evacuation.listen, self.config.gateway, self._counted)
        try:
            log.info("the evacuation count is served on port %d", page.start())
            self.page = page
        except pages.CannotListen as error:
            log.error("%s", error)

    def _counted(self) -> evacuation.Count:
        """Called by the page's thread: it looks at the file and at lists that never change."""
        lists = self.cards.lists
        taps = evacuation.taps_since(self.spool.path, self.spool.seal, lists.inside.at if lists else 0)
        is_set = self.clock.state() is not wire.ClockState.UNSYNCED
        return evacuation.count(lists, taps, self.clock.now() if is_set else None)

    def _names(self) -> tuple[str, str]:
        return self.config.gateway, self.config.school

    def _end(self) -> None:
        self.watchdog.say("STOPPING=1")
        if self.page is not None:
            self.page.stop()
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
        longest = WATCH_S if any(walk.waiting for walk in self.walks) else TURN_S
        wait = longest if due is None else min(longest, max(0.0, due - time.monotonic()))
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
        ticks = self.clock.ticks()
        touches.extend(self._passed(passed) for walk in self.walks for passed in walk.due(ticks))
        now = time.monotonic()
        for start in range(0, len(touches), COMMIT_TAPS):
            self._store(touches[start : start + COMMIT_TAPS], now)
        self.clock.state()
        self.uplink.send_due(now)
        self.spool.settle(now)
        self._look_after(now)
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
            elif gate.walk is not None:
                yield from map(self._passed, gate.walk.see(value, read.reader, read.ticks))
            elif self._is_new(gate, value, read.ticks):
                yield self._touch(value, gate, read.ticks, gate.section.direction)

    def _passed(self, passed: Passed) -> Touch:
        """The tap of somebody who walked through, at the time when the tag was first heard."""
        gate = self.gates[passed.reader]
        log.debug("reader %s: a tag passed, %d reads, at most %s dBm", passed.reader, passed.reads, passed.peak)
        return self._touch(passed.card, gate, passed.ticks, passed.direction or gate.section.direction)

    def _touch(self, card: Card, gate: Gate, ticks: int, direction: wire.Direction) -> Touch:
        if card.low_battery:
            gate.record.faults["low-battery"] += 1
        state, at = self.clock.state(), self.clock.at(ticks)
        return Touch(gate.section.id, direction, card.text, at, state, ticks, card.sun)

    def _is_new(self, gate: Gate, card: Card, ticks: int) -> bool:
        verdict = gate.dedupe.admits(card.text, ticks)
        if verdict is Verdict.AGAIN:
            at, state = self.clock.at(ticks), self.clock.state()
            self._show(self.cards.answer(card.text, gate.section.direction, at, state), self.lights.again)
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
            answer = self.cards.answer_to(tap)
            self._show(answer, self.lights.accepted)
            self.gates[tap.reader].record.touched(tap.at)
            log.info("tap #%d at %s %s: %s, %s", tap.seq, tap.reader, tap.direction, masked(tap.card), answer)
        self.uplink.live(taps, now)

    def _show(self, answer: Answer, welcome: Callable[[], None]) -> None:
        """Light and sound for a tap that is on disk."""
        {Answer.KNOWN: welcome, Answer.STRANGE: self.lights.strange, Answer.NO_PASS: self.lights.no_pass}[answer]()

    def _refuse(self, touches: list[Touch], error: NotStored) -> None:
        if not self.full:
            self._next_beat = 0.0
        self.full = True
        for touch in touches:
            self.gates[touch.reader].forget(touch.card)
            self.lights.refused()
        log.error("%d taps REFUSED: %s", len(touches), error)

    # other events

    def _on_event(self, event: Any) -> None:
        match event:
            case Health():
                self._on_health(event)
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

    def _on_health(self, event: Health) -> None:
        record = self.gates[event.reader].record
        record.health, record.why = event.health, event.word
        self._next_beat = 0.0  # tell it at once
        fine = event.health is ReaderHealth.UP and not event.word
        log.log(logging.INFO if fine else logging.WARNING, "reader %s %s: %s", event.reader, event.health, event.why)

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
            case wire.SelfTest():
                self.examination.begin(message, now, self.clock)
            case wire.ListPart():
                if self.cards.take(message):
                    self._next_beat = 0.0  # the server sends again what it does not hear of

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
            if gate.unconfirmed():
                gate.record.faults["unconfirmed"] = gate.unconfirmed()
        state = heartbeat(
            self._birth,
            clock=self.clock,
            spool=self.spool,
            records=records,
            full=self.full,
            tested=self.examination.found,
            lists=self.cards.versions(),
        )
        return msgspec.structs.replace(state, credential=self.link.credential, gone=self.gone)

    def _lasting(self) -> frozenset[feedback.Lasting]:
        dead = any(gate.record.health is not ReaderHealth.UP for gate in self.gates.values())
        return frozenset(
            sign
            for sign, holds in ((feedback.Lasting.OFFLINE, not self.uplink.online), (feedback.Lasting.DEAD, dead))
            if holds
        )

    def _beat(self, now: float) -> None:
        self.lights.show(self._lasting(), now)
        if self.uplink.online and now >= self._next_beat:
            self._next_beat = now + self.config.heartbeat_s
            self.link.publish(self._topic(Kind.STATE), wire.encode(self._state()), retain=True)
        if self.watchdog.interval and now >= self._next_sign:
            self._next_sign = now + self.watchdog.interval
            self._give_sign()

    def _look_after(self, now: float) -> None:
        """Readers whose thread hangs, and a self-test that has ended: told at once."""
        for gate in self.gates.values():
            if gate.port.pulse.is_late() and gate.record.why != Trouble.STUCK:
                why = f"its driver hangs for {gate.port.pulse.age():.0f} s: the gateway must be started again"
                self._on_health(Health(gate.section.id, ReaderHealth.DOWN, why, Trouble.STUCK))
        readers = [Asked(gate.record, gate.port.is_asked, gate.port.answered) for gate in self.gates.values()]
        if self.examination.is_over(readers, Surroundings(self.spool, self.clock, self.full), now):
            self._next_beat = 0.0

    def _give_sign(self) -> None:
        """The sign of life, if every thread lives, taps can be written and our log is read; STATUS has the words."""
        wrong = hanging([self.link.pulse, *(gate.port.pulse for gate in self.gates.values())])
        if not self.writing.works(self.spool, time.monotonic()):
            wrong.append(f"nothing can be written to {self.spool.path}")
        if not can_be_heard():
            wrong.append("nobody reads our log")
        up = sum(gate.record.health is ReaderHealth.UP for gate in self.gates.values())
        readers = f"{up} of {len(self.gates)} readers up, {self.spool.depth()} taps wait"
        line = "connected" if self.uplink.online else "no broker"
        status = f"STATUS={'; '.join(wrong) or f'{readers}, {line}'}"
        self.watchdog.say(*([status] if wrong else ["WATCHDOG=1", status]))


def masked(card: str) -> str:
    """A card for the log: technology and the last four digits at most."""
    technology, _, number = card.partition(":")
    shown = min(4, len(number) // 2)
    return f"{technology}:…{number[-shown:]}" if shown else f"{technology}:…"
