"""Rates and shares of providers: what an account allows for all senders together, and who gets the next text."""

import random
import threading
from collections import Counter
from datetime import timedelta

import msgspec
import pytest
from flask import Flask
from sqlalchemy import select

from server import clock, config
from server.db import db, transaction
from server.outbox import providers, rates, receipts, sender, service
from server.outbox.models import Attempt, OutboxText
from server.outbox.providers.base import Brought, Heard, News, Report, SendFailed, Sink
from server.outbox.rates import Rates
from server.outbox.rules import Lane, Outcome, TextState
from server.outbox.shares import Shares, ShareSettings
from tests.fakes import ScriptedProvider
from tests.server.outbox_texts import DAY, all_in, many, new_text, queued, sending, soon, stored

NAMES = ("first", "second")


def drawn(shares: Shares, admitted: tuple[str, ...] = NAMES) -> Counter[str | None]:
    draws = random.Random(7)
    return Counter(shares.choose(None, admitted, draws.random()) for _ in range(1000))


def test_without_weights_the_first_takes_all_that_it_can() -> None:
    shares = Shares(NAMES, {})
    assert drawn(shares) == {"first": 1000}
    assert drawn(shares, ("second",)) == {"second": 1000}
    assert shares.choose(None, (), 0.5) is None


def test_weights_share_the_texts_and_a_wanted_provider_stays() -> None:
    shares = Shares(NAMES, {"first": 3, "second": 1})
    assert 700 < drawn(shares)["first"] < 800
    assert drawn(shares, ("second",)) == {"second": 1000}
    assert shares.choose("second", NAMES, 0.0) == "second"
    assert shares.choose(None, NAMES, 1.0) == "second"


def test_a_provider_of_weight_nothing_only_helps_out() -> None:
    shares = Shares(NAMES, {"first": 1})
    assert drawn(shares) == {"first": 1000}
    assert drawn(shares, ("second",)) == {"second": 1000}


def test_many_errors_in_a_minute_cost_ten_points_which_come_back_slowly() -> None:
    shares = Shares(NAMES, {"first": 50, "second": 50})
    for n in range(51):
        shares.told("first", Outcome.UNKNOWN, n)
    assert shares.now == {"first": 40, "second": 50}
    for n in range(500):
        shares.told("second", Outcome.FAIL_NUMBER, n)  # not its fault
        shares.told("second", Outcome.RETRY_SAME, 1000 + n * 2)  # trouble, but too seldom
    assert shares.now == {"first": 40, "second": 50}
    shares.drift(2000)
    shares.drift(2000 + 450)
    assert shares.now == {"first": 45, "second": 50}
    shares.drift(9999)
    assert shares.now == {"first": 50, "second": 50}


def test_undelivered_texts_cost_points_down_to_the_least() -> None:
    shares = Shares(NAMES, {"first": 12, "second": 88}, ShareSettings())
    shares.undelivered({"first": 0.15, "second": 0.14})
    assert shares.now == {"first": 2, "second": 88}
    shares.undelivered({"first": 0.9})
    shares.undelivered({"first": 0.9, "other": 1.0})
    assert shares.now == {"first": 1, "second": 88}


@pytest.mark.usefixtures("school")
def test_the_share_that_did_not_arrive_counts_only_who_reports() -> None:
    texts = queued(*many(60))
    ago = clock.now() - timedelta(minutes=7)
    with transaction() as session:
        for n, text_id in enumerate(texts):
            text = session.get_one(OutboxText, text_id)
            text.provider, text.sent_at, text.state = ("kannel", "silent")[n // 30], ago, TextState.SENT
    with transaction() as session:
        for text_id in texts[:24]:
            receipts.receive(session, "kannel", News(TextState.DELIVERED, "1"), text_id)
    assert service.undelivered(db.session(), clock.now()) == {"kannel": pytest.approx(0.2)}


def test_weights_and_rates_of_nobody_are_named(app: Flask) -> None:
    for key in ("weights", "per_second"):
        outbox = config.convert(config.Outbox, {"providers": ["kannel"], key: {"kanel": 3}})
        with pytest.raises(config.ConfigError, match=rf"outbox.{key}: 'kanel' is not in outbox.providers"):
            providers.opened(config.Config(outbox=outbox))


def test_a_bucket_holds_the_texts_of_one_second() -> None:
    assert rates.filled(0, 10, 0.5) == 5
    assert rates.filled(8, 10, 60) == 10
    assert rates.filled(0, 0.2, 60) == 1
    assert rates.filled(3, 10, -5) == 3  # a clock that was set back


def test_a_third_of_the_rate_is_kept_for_the_gate() -> None:
    left = Rates({"smpp": 10.0}, {"smpp": 10.0})
    assert left.admits("other", Lane.BULK)
    bulk = 0
    while left.admits("smpp", Lane.BULK):
        left.give("smpp")
        bulk += 1
    gate = 0
    while left.admits("smpp", Lane.GATE):
        left.give("smpp")
        gate += 1
    assert (bulk, gate) == (7, 3)


def limited(app: Flask, per_second: float) -> None:
    outbox = msgspec.structs.replace(app.extensions["gatebell"].outbox, per_second={"scripted": per_second})
    app.extensions["gatebell"] = msgspec.structs.replace(app.extensions["gatebell"], outbox=outbox)


@pytest.mark.usefixtures("school")
def test_two_senders_together_keep_to_the_rate_of_the_account(app: Flask) -> None:
    limited(app, 20)
    first, second = ScriptedProvider(), ScriptedProvider()
    queued(*many(60))
    with sending(app, first), sending(app, second):
        soon(all_in("sent", count=60), seconds=30)
    assert len(first.sent) + len(second.sent) == 60
    at = sorted(db.session.scalars(select(Attempt.started_at)))
    within = timedelta(seconds=1)
    assert max(sum(begin <= moment < begin + within for moment in at) for begin in at) <= 20 + 20 + 1
    assert (at[-1] - at[0]).total_seconds() >= (60 - 20) / 20 - 0.1  # a full bucket, then what flows in


class Line(ScriptedProvider):
    """A provider that stays open and hears by itself, on a thread of its own."""

    def __init__(self, *, fails: int = 0) -> None:
        super().__init__(name="line")
        self.fails, self.sink, self.stopped = fails, None, False  # type: ignore[assignment]
        self.sink: Sink | None

    def start(self, sink: Sink) -> None:
        """As an SMPP line that may not get through."""
        if self.fails:
            self.fails -= 1
            raise ConnectionRefusedError("nobody there")
        self.sink = sink

    def stop(self) -> None:
        """Closed."""
        self.stopped = True

    def hears(self, brought: Brought) -> None:
        """What comes in on the line's thread; an error is the caller's."""
        assert self.sink
        self.sink(brought)


@pytest.mark.usefixtures("school")
def test_what_a_line_hears_is_committed_when_its_sink_returns(app: Flask) -> None:
    line, (text_id,) = Line(), queued(new_text())
    with sending(app, line):
        soon(all_in("sent", count=1))
        report = Report(News(TextState.DELIVERED, "DELIVRD", "REF-1"))
        thread = threading.Thread(target=line.hears, args=(Brought([report], [Heard("13800000001", "TD", "mo-1")]),))
        thread.start()
        thread.join(10)
        assert stored(text_id).state == "delivered"
    assert line.stopped


@pytest.mark.usefixtures("school")
def test_a_line_that_cannot_be_opened_is_tried_again_and_others_send(
    app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sender, "START_AGAIN", 0.3)
    line, other = Line(fails=2), ScriptedProvider(name="other")
    queued(new_text())
    with sending(app, line, other):
        soon(all_in("sent", count=1))
        assert [len(line.sent), len(other.sent)] == [0, 1]
        soon(lambda: line.sink is not None)
        queued(new_text("+8613900000009"))
        soon(all_in("sent", count=2))
        assert [len(line.sent), len(other.sent)] == [1, 1]
    assert "provider line cannot be started" in caplog.text


@pytest.mark.usefixtures("school")
def test_a_line_that_never_opened_is_not_closed(app: Flask) -> None:
    line = Line(fails=9)
    with sending(app, line) as at_work:
        soon(lambda: line.fails < 9)
        assert at_work._admitted() == []
    assert not line.stopped


@pytest.mark.usefixtures("school")
def test_texts_are_shared_by_weight_and_failures_move_on(app: Flask) -> None:
    outbox = msgspec.structs.replace(app.extensions["gatebell"].outbox, weights={"first": 1, "second": 1})
    app.extensions["gatebell"] = msgspec.structs.replace(app.extensions["gatebell"], outbox=outbox)
    first = ScriptedProvider([SendFailed(Outcome.RETRY_OTHER, "down")] * 2, name="first")
    second = ScriptedProvider(name="second")
    queued(*many(60))
    with sending(app, first, second):
        soon(all_in("sent", count=60), seconds=30)
    assert len(first.sent) + len(second.sent) == 62
    assert min(len(first.sent), len(second.sent)) > 10
    assert service.counts("mingde", DAY) == {TextState.SENT: 60}
