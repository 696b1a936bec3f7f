"""The sender: claims texts by lane, gives each to a provider on a thread of its own, and writes down what came of it.

Any number of senders may run, on any number of machines. A try is written down before its request leaves, so that
a crash at any point leaves either a text that was surely not sent or one that is known to be in doubt.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial

from flask import Flask
from sqlalchemy.orm import Session

from server import clock, config
from server.db import DATABASE_AWAY, db, transaction
from server.outbox import callbacks, claims, intake, queue, rates, rules, service
from server.outbox.claims import Claim, Result, Taken
from server.outbox.providers.base import Doubtful, Outgoing, Provider, SendFailed
from server.outbox.queue import Doubt
from server.outbox.rates import Rates
from server.outbox.rules import Answer, Breaker, Lane, Outcome, Step, TextState
from server.outbox.shares import Shares
from server.outbox.spending import Purse
from server.outbox.wake import Listener

log = logging.getLogger(__name__)

POLL = 0.25  # seconds between looks when nobody wakes us
LINGER = 0.02  # seconds that a result may wait for others to share its commit
SWEEP = 1.0
WEIGH = 60.0  # seconds between looks at which providers' texts arrive
START_AGAIN = 10.0
ASKED_AT_ONCE = 10
WAIT_FOR_DATABASE = 1.0


class Sender:
    """One sender of `outbox.senders` connections, run by one thread."""

    def __init__(self, app: Flask, providers: Sequence[Provider]) -> None:
        self.app = app
        self.settings: config.Config = app.extensions["gatebell"]
        self.providers = {provider.name: provider for provider in providers}
        self.names = tuple(self.providers)
        self.breakers = {name: Breaker() for name in self.names}
        self.shares = Shares(self.names, self.settings.outbox.weights)
        self.rates = {name: self.settings.outbox.per_second[name] for name in self.names
                      if name in self.settings.outbox.per_second}  # fmt: skip
        self.purse = Purse(self.settings.outbox.limits)
        self.closed = dict.fromkeys(self.names, 0.0)  # who is not started yet, and when to try
        self.listener = Listener(self.settings.run_dir)
        self.flying: dict[Future[Result], Claim] = {}
        self.asked: dict[Future[Answer], Doubt] = {}
        self.landed: list[Result] = []
        self.landed_at = 0.0
        self.exchanged_at = 0.0
        self.swept_at = 0.0
        self.polled_at = 0.0
        self.weighed_at = time.monotonic()
        self.more = False

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set, then let what is on its way land."""
        workers = self.settings.outbox.senders
        with self.app.app_context(), self.listener, ThreadPoolExecutor(workers, "outbox") as pool:
            try:
                while not stop.is_set():
                    self._open()
                    self.turn(pool, called=self.listener.wait(self._patience()))
                wait(self.flying)
                wait(self.asked)
                self._guarded(self._finish)
            finally:
                self._close()

    def _open(self) -> None:
        """Start the providers; one that cannot be started is tried again, and the others work without it."""
        for name in [name for name, at in self.closed.items() if at <= time.monotonic()]:
            try:
                self.providers[name].start(intake.sink(self.app, name))
            except OSError as error:
                log.error("provider %s cannot be started, trying again: %s", name, error)
                self.closed[name] = time.monotonic() + START_AGAIN
            else:
                del self.closed[name]

    def _close(self) -> None:
        for name in self.names:
            if name not in self.closed:
                self.providers[name].stop()

    def turn(self, pool: ThreadPoolExecutor, *, called: bool) -> None:
        """One look: what has landed, what is due, what must be asked."""
        self._land()
        if called or (self.more and self._wait_for_more() <= 0) or self._poll():
            self._guarded(lambda: self._exchange(pool))
        elif self.landed and self._wait_for_others() <= 0:
            self._guarded(self._record)
        if time.monotonic() - self.weighed_at >= WEIGH:
            self._guarded(self._weigh)
        if time.monotonic() - self.swept_at >= SWEEP:
            self._guarded(lambda: self._sweep(pool))

    def _patience(self) -> float:
        waits = [POLL]
        if self.more:
            waits.append(self._wait_for_more())
        if self.landed:
            waits.append(self._wait_for_others())
        return max(0.0, min(waits))

    def _wait_for_more(self) -> float:
        """Seconds until it is worth looking again by ourselves: a commit for many texts costs little more than one."""
        if 2 * len(self.flying) <= self.settings.outbox.senders:
            return 0.0
        return self.exchanged_at + LINGER - time.monotonic()

    def _wait_for_others(self) -> float:
        return self.landed_at + LINGER - time.monotonic()

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except DATABASE_AWAY as error:
            log.error("the outbox cannot use the database, trying again: %s", type(error).__name__)
            time.sleep(WAIT_FOR_DATABASE)

    def _poll(self) -> bool:
        if time.monotonic() - self.polled_at < POLL:
            return False
        self.polled_at = time.monotonic()
        return self._due()

    def _due(self) -> bool:
        found = queue.anything_due(db.session(), clock.now())
        db.session.rollback()
        return found

    def _exchange(self, pool: ThreadPoolExecutor) -> None:
        """Write down what has landed and take what is due, in one commit."""
        self.exchanged_at = time.monotonic()
        room = rules.room(self.settings.outbox.senders, [claim.lane for claim in self.flying.values()])
        if room[0] == 0 or not self._admitted():
            self.more = False
            return
        with transaction() as session:
            queue.record(session, self.landed)
            taken = self._claim(session, room)
        self._written()
        for claim in taken.claims:
            self._start(pool, claim)
        self.more = bool(taken.claims or taken.held)

    def _claim(self, session: Session, room: tuple[int, int]) -> Taken:
        now = clock.now()
        left = rates.load(session, self.rates, now)
        router = partial(self._provider_for, left)
        taken = claims.claim(session, now, room=room, provider_for=router, purse=self.purse)
        rates.save(session, left, now)
        return taken

    def _admitted(self) -> list[str]:
        now = time.monotonic()
        return [name for name in self.names if name not in self.closed and self.breakers[name].admits(now)]

    def _provider_for(self, left: Rates, wanted: str | None, lane: Lane) -> str | None:
        """By whom a text goes; None when nobody can take it now, or its provider has had enough for this second."""
        chosen = self.shares.choose(wanted, self._admitted(), random.random())
        if chosen is None or not left.admits(chosen, lane):
            return None
        left.give(chosen)
        self.breakers[chosen].given(time.monotonic())
        return chosen

    def _weigh(self) -> None:
        self.weighed_at = time.monotonic()
        self.shares.drift(self.weighed_at)
        if self.shares.full:
            self.shares.undelivered(service.undelivered(db.session(), clock.now()))
            db.session.rollback()

    def _start(self, pool: ThreadPoolExecutor, claim: Claim) -> None:
        future = pool.submit(self._send, claim, time.monotonic())
        self.flying[future] = claim
        future.add_done_callback(lambda _: self.listener.wake())

    def _send(self, claim: Claim, claimed_at: float) -> Result:
        provider = self.providers[claim.provider]
        deadline = claimed_at + rules.FRESH_CLAIM
        if time.monotonic() > deadline:
            return Result(claim, Outcome.RETRY_SAME, Step(TextState.QUEUED), clock.now(), detail="waited too long")
        with self.app.app_context():
            try:
                accepted = provider.send(self._outgoing(claim, deadline))
            except SendFailed as failed:
                return self._failed(claim, failed)
        step = Step(_taken(provider), provider=claim.provider)
        return Result(claim, Outcome.ACCEPTED, step, clock.now(), accepted.references)

    def _outgoing(self, claim: Claim, deadline: float) -> Outgoing:
        return Outgoing(
            text_id=claim.text_id,
            phone=claim.phone,
            body=claim.body,
            useful_for=clock.elapsed(clock.now(), claim.expires_at),
            urgent=claim.lane in {Lane.GATE, Lane.ALERT},
            callback=callbacks.url(self.settings, claim.provider, claim.text_id),
            deadline=deadline,
            wording=claim.wording,
            values=claim.values,
        )

    def _failed(self, claim: Claim, failed: SendFailed) -> Result:
        now = clock.now()
        step = rules.after_try(
            failed.outcome,
            tries=claim.n,
            provider=claim.provider,
            names=self.names,
            left=clock.elapsed(now, claim.expires_at),
            wanted=failed.after,
            draw=random.random(),
        )
        return Result(claim, failed.outcome, step, now, detail=failed.reason)

    def _land(self) -> None:
        for future in [future for future in self.flying if future.done()]:
            claim = self.flying.pop(future)
            result = self._result(future, claim)
            self.breakers[claim.provider].told(result.outcome, time.monotonic())
            self.shares.told(claim.provider, result.outcome, time.monotonic())
            self.landed_at = self.landed_at if self.landed else time.monotonic()
            self.landed.append(result)
            self.more = True

    def _result(self, future: Future[Result], claim: Claim) -> Result:
        error = future.exception()
        if error is None:
            return future.result()
        log.error("provider %s broke down over text %s", claim.provider, claim.text_id, exc_info=error)
        return self._failed(claim, SendFailed(Outcome.UNKNOWN, f"the provider broke down ({type(error).__name__})"))

    def _record(self) -> None:
        with transaction() as session:
            queue.record(session, self.landed)
        self._written()

    def _written(self) -> None:
        self.landed = []

    def _sweep(self, pool: ThreadPoolExecutor) -> None:
        self.swept_at = time.monotonic()
        self._settle()
        if not self._due():
            return
        with transaction() as session:
            queue.sweep(session, clock.now())
            doubts = queue.doubts(session, clock.now(), ASKED_AT_ONCE)
        for doubt in doubts:
            self.asked[pool.submit(self._ask, doubt)] = doubt

    def _ask(self, doubt: Doubt) -> Answer:
        if doubt.provider not in self.providers:
            return Answer.CANNOT_SAY
        with self.app.app_context():
            asked = Doubtful(doubt.text_id, doubt.phone, doubt.tried_at, doubt.body)
            return self.providers[doubt.provider].ask(asked)

    def _settle(self) -> None:
        done = {future: doubt for future, doubt in self.asked.items() if future.done()}
        if not done:
            return
        with transaction() as session:
            for future, doubt in done.items():
                self._settled(session, doubt, Answer.CANNOT_SAY if future.exception() else future.result())
        for future in done:
            del self.asked[future]

    def _settled(self, session: Session, doubt: Doubt, answer: Answer) -> None:
        now = clock.now()
        step = rules.settle(
            answer,
            lane=doubt.lane,
            age=clock.elapsed(doubt.tried_at, now),
            doubtful=doubt.doubtful,
            expired=doubt.expires_at <= now,
        )
        if step.state is TextState.SENT:
            step = replace(step, state=_taken(self.providers[doubt.provider]))
        queue.settle(session, doubt, replace(step, provider=doubt.provider), answer, now)

    def _finish(self) -> None:
        self._land()
        self._settle()
        if self.landed:
            self._record()


def _taken(provider: Provider) -> TextState:
    return TextState.DELIVERED if provider.delivers else TextState.SENT
