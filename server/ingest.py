"""The MQTT process: taps and States come in, batches go through the pipeline, Stored goes back after the commit.

The network thread only puts what comes into a queue; the main thread decodes, commits, answers and acknowledges.
The broker is never trusted to keep anything: what is not answered Stored, the gateway sends again.
"""

import logging
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import paho.mqtt.client as mqtt
from flask import Flask

from gateway import wire
from server import clock, pipeline, service_manager
from server.config import Config
from server.db import DATABASE_AWAY, db, transaction
from server.gatelists import Lister
from server.gates import selftests
from server.gates import service as gates
from server.link import Link, Refused
from server.outbox import wake
from server.pipeline import Delivery, Report
from server.taps import service as taps

PATIENCE = 0.5  # seconds that the consumer waits for a message before it looks after the watchdog
BACK_OFF = (0.1, 5.0)  # seconds, first and longest, between tries while the database is away
WRONG_MS = 2_000  # a gateway's clock that is so far from ours is told what time it is
ASK_EVERY = 5.0  # seconds between looks for gaps that a gateway can fill
TEST_EVERY = 1.0  # seconds between looks for self-tests to be asked for

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Incoming:
    """One message as the network thread had it; `link` numbers the connection that it came by."""

    message: mqtt.MQTTMessage
    link: int
    at: datetime


class Ingest:
    """One ingest worker. Does nothing before run()."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.settings: Config = app.extensions["gatebell"]
        self.waiting: queue.SimpleQueue[Incoming | None] = queue.SimpleQueue()
        self.link = Link(self.settings, self._on_message, self._on_broken)
        self.stop = threading.Event()
        self.refusal: str | None = None
        self.asked_at = 0.0
        self.tested_at = 0.0

    def run(self) -> None:
        """Work until stopped. Raises Refused when the broker will not serve this client."""
        service_manager.end_process_on_thread_death()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.end())
        self.link.start()
        lister = threading.Thread(target=self._lister().run, args=(self.stop,), name="lists")
        lister.start()
        service_manager.tell("READY=1")
        with self.app.app_context():
            while not self.stop.is_set():
                self._turn()
        service_manager.tell("STOPPING=1")
        lister.join()
        self.link.stop()
        if self.refusal:
            raise Refused(self.refusal)

    def end(self) -> None:
        """Finish the batch in hand and return from run(); safe in a signal handler and in any thread."""
        self.stop.set()
        self.waiting.put(None)

    def _on_message(self, message: mqtt.MQTTMessage, link: int) -> None:
        self.waiting.put(Incoming(message, link, clock.now()))

    def _on_broken(self, reason: str) -> None:
        self.refusal = reason
        self.end()

    def _turn(self) -> None:
        service_manager.tell("WATCHDOG=1")
        batch = self._collect()
        if batch:
            self._until_kept(batch)
        if time.monotonic() - self.asked_at >= ASK_EVERY:
            self.asked_at = time.monotonic()
            self._guarded(self._ask_again)
        if time.monotonic() - self.tested_at >= TEST_EVERY:
            self.tested_at = time.monotonic()
            self._guarded(self._ask_for_tests)
        db.session.remove()

    def _collect(self) -> list[Incoming]:
        """What waits, and what comes within the linger time, up to a full batch."""
        batch: list[Incoming] = []
        patience, until = PATIENCE, 0.0
        while len(batch) < self.settings.ingest.batch and not self.stop.is_set():
            try:
                incoming = self.waiting.get(timeout=patience) if patience > 0 else self.waiting.get_nowait()
            except queue.Empty:
                break
            if incoming is not None:
                batch.append(incoming)
                until = until or time.monotonic() + self.settings.ingest.linger_ms / 1000
                patience = until - time.monotonic()
        return batch

    def _until_kept(self, batch: Sequence[Incoming]) -> None:
        """Keep the batch, however long the database stays away; leaves it unacknowledged only when stopped."""
        pause, longest = BACK_OFF
        while not self._guarded(lambda: self._keep(batch)):
            service_manager.tell("WATCHDOG=1")
            if self.stop.wait(pause):
                return
            pause = min(2 * pause, longest)

    def _guarded(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except DATABASE_AWAY as error:
            log.error("the database cannot be used, the gates keep their taps meanwhile: %s", _short(error))
            return False
        return True

    def _keep(self, batch: Sequence[Incoming]) -> None:
        """Commit -> Stored -> acknowledge -> wake the senders, in this order."""
        deliveries, reports = self._understood(batch)
        for report in reports:
            self._say_the_time(report)
        if reports:
            pipeline.heard(reports)
        for part in _in_batches(deliveries, self.settings.ingest.batch):
            for (school_id, gateway_id), ids in pipeline.handle(part, clock.now()).items():
                self._send(school_id, gateway_id, wire.Kind.STORED, wire.Stored(ids=ids))
        for incoming in batch:
            self.link.acknowledge(incoming.message, incoming.link)
        if deliveries:
            wake.notify(self.settings.run_dir)

    def _understood(self, batch: Sequence[Incoming]) -> tuple[list[Delivery], list[Report]]:
        """Decode; what is malformed is kept raw and counted, and stops nothing."""
        deliveries, reports = [], []
        for incoming in batch:
            topic, payload = incoming.message.topic, bytes(incoming.message.payload)
            try:
                school_id, gateway_id, kind = wire.address(topic)
                decoded = wire.decode(kind, payload)
            except wire.Malformed as error:
                log.warning("refused a message: %s", error)
                with transaction():
                    taps.refuse(topic, payload, str(error))
                continue
            if isinstance(decoded, wire.Taps):
                deliveries.append(Delivery(topic, school_id, gateway_id, decoded, incoming.at))
            elif isinstance(decoded, wire.State):
                reports.append(Report(topic, school_id, gateway_id, decoded, _heard_at(incoming, decoded)))
        return deliveries, reports

    def _say_the_time(self, report: Report) -> None:
        """To a gateway whose clock is not set or not right; before anything that takes time."""
        state = report.state
        wrong = abs(clock.to_millis(clock.now()) - state.at) > WRONG_MS or state.clock != wire.ClockState.SYNCED
        if state.online and state.boot and wrong:
            word = wire.Now(boot=state.boot, ticks=state.ticks, at=clock.to_millis(clock.now()))
            self._send(report.school_id, report.gateway_id, wire.Kind.COMMAND, word)

    def _ask_again(self) -> None:
        """Ask gateways for numbers that are missing here; they keep their taps for a week."""
        if not gates.to_ask_for(db.session(), clock.now()):
            return
        with transaction() as session:
            asked = gates.to_ask_for(session, clock.now())
            for gap in asked:
                gap.asked_at = clock.now()
            gaps = sorted((gap.school_id, gap.gateway_id, gap.spool, gap.first_seq) for gap in asked)
        for school_id, gateway_id, spool, first in gaps:
            log.warning("gateway %s/%s is asked for its taps from number %d on", school_id, gateway_id, first)
            self._send(school_id, gateway_id, wire.Kind.COMMAND, wire.Resync(spool=spool, start=first))

    def _ask_for_tests(self) -> None:
        """Send the self-tests that somebody or the bell wants."""
        if not selftests.has_unsent():
            return
        with transaction() as session:
            questions = selftests.take_unsent(session, clock.now())
        for each in questions:
            self._send(each.school_id, each.gateway_id, wire.Kind.COMMAND, each.command)

    def _lister(self) -> Lister:
        """Brings their lists to the gates of the schools that this worker hears."""

        def serves(school_id: str, gateway_id: str) -> bool:
            topic = wire.topic(school_id, gateway_id, wire.Kind.STATE, shard=self._shard(school_id))
            return self.link.is_up() and any(
                mqtt.topic_matches_sub(each, topic) for each in self.settings.ingest.filters
            )

        def send(school_id: str, gateway_id: str, part: wire.ListPart) -> None:
            self._send(school_id, gateway_id, wire.Kind.COMMAND, part)

        return Lister(self.app, send=send, serves=serves)

    def _shard(self, school_id: str) -> str:
        return wire.shard(school_id, sharded=self.settings.ingest.sharded)

    def _send(self, school_id: str, gateway_id: str, kind: wire.Kind, message: wire.Message) -> None:
        topic = wire.topic(school_id, gateway_id, kind, shard=self._shard(school_id))
        self.link.publish(topic, wire.encode(message))


def run(app: Flask) -> None:
    """Take in taps until SIGTERM."""
    Ingest(app).run()


def _heard_at(incoming: Incoming, state: wire.State) -> datetime:
    """A retained State is old news: it was said when it says, if its clock can be believed, and not after now."""
    if incoming.message.retain and state.clock != wire.ClockState.UNSYNCED:
        return min(incoming.at, clock.from_millis(state.at))
    return incoming.at


def _in_batches(deliveries: Sequence[Delivery], most: int) -> Iterator[list[Delivery]]:
    """Whole messages, at most `most` taps together."""
    part: list[Delivery] = []
    for delivery in deliveries:
        if part and sum(len(each.message.taps) for each in part) + len(delivery.message.taps) > most:
            yield part
            part = []
        part.append(delivery)
    if part:
        yield part


def _short(error: Exception) -> str:
    return (str(getattr(error, "orig", None) or error).strip() or type(error).__name__).splitlines()[0]
