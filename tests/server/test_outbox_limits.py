"""Order for each number, and how much is too much: a stuck reader, a number's day, a school's money."""

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from server import clock
from server.config import Limits
from server.db import db, transaction
from server.outbox import claims, limits, queue, spending
from server.outbox.claims import Claim, Result
from server.outbox.limits import Brief
from server.outbox.rules import Held, Lane, Outcome, Step, TextState
from server.outbox.spending import Purse
from tests.server.outbox_texts import DAY, change, many, new_text, queued, stored

PUPIL = uuid.uuid4()
NOW = clock.now()


def brief(**changes: Any) -> Brief:
    """A sent arrival of one pupil, an hour ago."""
    at = NOW - timedelta(hours=1)
    text = Brief(
        id=uuid.uuid4(),
        recipient="mother",
        pupil_id=PUPIL,
        kind="in",
        lane=Lane.GATE,
        wording="arrived",
        state=TextState.SENT,
        attempts=1,
        event_at=at,
        created_at=at,
        sent_at=at,
        settled_at=None,
        lease_until=None,
    )
    return replace(text, **changes)


def fresh(**changes: Any) -> Brief:
    """A text that is due now."""
    words = {
        "state": TextState.QUEUED,
        "attempts": 0,
        "event_at": NOW,
        "created_at": NOW,
        "sent_at": None,
        "kind": "out",
    }
    return brief(**(words | changes))


def held(text: Brief, *others: Brief, **most: int) -> tuple[str, str | None] | None:
    found = limits.hold(text, others, Limits(**most), NOW)
    return (found.state, found.why) if found else None


JUST = NOW - timedelta(seconds=5)


@pytest.mark.parametrize(("other", "verdict"), [
    (brief(event_at=JUST, created_at=JUST, sent_at=JUST), ("queued", None)),
    (brief(event_at=JUST, created_at=JUST, sent_at=JUST, state=TextState.DELIVERED), None),
    (brief(event_at=JUST, created_at=JUST, sent_at=NOW - timedelta(seconds=31)), None),
    (brief(event_at=JUST, created_at=JUST, state=TextState.QUEUED, attempts=1, sent_at=None), ("queued", None)),
    (brief(event_at=JUST, created_at=JUST, state=TextState.UNKNOWN, sent_at=None), ("queued", None)),
    (brief(event_at=JUST, created_at=JUST, state=TextState.UNKNOWN, sent_at=None, settled_at=NOW), None),
    (brief(event_at=JUST, created_at=JUST, sent_at=JUST, pupil_id=uuid.uuid4()), None),
    (brief(event_at=JUST, created_at=JUST, sent_at=JUST, recipient="father"), None),
    (brief(event_at=JUST, created_at=JUST, sent_at=JUST, lane=Lane.BULK), None),
    (brief(event_at=NOW + timedelta(seconds=1), created_at=JUST, sent_at=JUST), None),
])  # fmt: skip
def test_left_waits_until_arrived_is_there_or_half_a_minute_old(other: Brief, verdict: object) -> None:
    assert held(fresh(), other) == verdict


@pytest.mark.parametrize(("lane", "until", "verdict"), [
    (Lane.GATE, NOW + timedelta(seconds=3), ("queued", None)),
    (Lane.GATE, NOW - timedelta(seconds=3), None),  # its sender is dead
    (Lane.BULK, NOW + timedelta(seconds=3), None),  # a notice that hangs does not hold up the gate
])  # fmt: skip
def test_one_text_of_a_number_and_lane_is_on_its_way_at_a_time(lane: Lane, until: Any, verdict: object) -> None:
    sibling = brief(pupil_id=uuid.uuid4(), lane=lane, state=TextState.CLAIMED, lease_until=until)
    assert held(fresh(), sibling) == verdict


def test_a_newer_event_of_its_kind_replaces_what_still_waits() -> None:
    newer = fresh(kind="in", event_at=NOW + timedelta(minutes=5))
    older = fresh(kind="in")
    assert held(older, newer) == ("suppressed", "overtaken")
    assert held(newer, older) == ("queued", None)  # for the moment, until the older one is put away
    assert held(fresh(kind="in", attempts=1), newer) is None  # it may be there already
    assert held(older, replace(newer, state=TextState.FAILED)) is None
    assert held(older, replace(newer, kind="out")) is None
    notice = replace(older, lane=Lane.BULK)
    assert held(notice, replace(newer, lane=Lane.BULK)) is None  # two notices are two things


@pytest.mark.parametrize(("count", "age", "other", "verdict"), [
    (2, 50, {}, None),
    (3, 50, {}, ("suppressed", "pupil")),
    (3, 61, {}, None),
    (3, 50, {"pupil_id": uuid.uuid4()}, None),
    (4, 300, {}, ("suppressed", "wording")),
    (4, 300, {"wording": "left"}, None),
    (5, 300, {"wording": "left"}, ("suppressed", "number")),
    (5, 1441, {"wording": "left"}, None),
    (5, 300, {"wording": "left", "attempts": 0}, None),
])  # fmt: skip
def test_limits_count_what_went_out(count: int, age: float, other: dict[str, Any], verdict: object) -> None:
    at = NOW - timedelta(minutes=age)
    went = [brief(**({"created_at": at, "sent_at": at, "event_at": at} | other)) for _ in range(count)]
    most = {"pupil_per_hour": 3, "wording_per_day": 4, "number_per_day": 5}
    assert held(fresh(), *went, **most) == verdict
    assert held(fresh(), *went, pupil_per_hour=0, wording_per_day=0, number_per_day=0) is None


@pytest.mark.parametrize(("spent", "lane", "why"), [
    (9.99, Lane.BULK, None),
    (10, Lane.BULK, "money"),
    (10, Lane.DIRECT, "money"),
    (10, Lane.GATE, None),
    (14.99, Lane.ALERT, None),
    (15, Lane.GATE, "money_hard"),
    (15, Lane.BULK, "money_hard"),
])  # fmt: skip
def test_gate_and_alert_texts_go_on_when_the_days_money_is_spent(spent: float, lane: Lane, why: object) -> None:
    assert limits.money(spent, lane, Limits(money_per_day=10, hard_money_per_day=15)) == why
    assert limits.money(spent, lane, Limits()) is None


def test_the_hard_sum_is_twice_the_other_where_none_is_set() -> None:
    assert limits.hard(Limits(money_per_day=10)) == 20
    assert limits.hard(Limits(money_per_day=10, hard_money_per_day=5)) == 10


def taken(purse: Purse | None = None, most: int = 100) -> list[Claim]:
    with transaction() as session:
        router = lambda wanted, lane: "phone"  # noqa: E731
        return list(claims.claim(session, clock.now(), room=(most, most), provider_for=router, purse=purse).claims)


def went(claim: Claim, outcome: Outcome = Outcome.ACCEPTED) -> None:
    step = Step(TextState.DELIVERED if outcome is Outcome.ACCEPTED else TextState.FAILED)
    with transaction() as session:
        queue.record(session, [Result(claim, outcome, step, clock.now())])


@pytest.mark.usefixtures("school")
def test_a_stuck_reader_cannot_send_500_texts() -> None:
    """One card in and out all the time: twelve texts go, all others are there to be seen, with the reason."""
    begins, pupil, sent = clock.now() - timedelta(minutes=9), uuid.uuid4(), 0
    for n in range(500):
        queued(new_text(pupil_id=pupil, kind=("in", "out")[n % 2], n=n, event_at=begins + timedelta(seconds=n)))
        for claim in taken():
            went(claim)
            sent += 1
    assert sent == 12
    db.session.rollback()
    counted = db.session.execute(db.text("SELECT state, held, count(*) FROM outbox_text GROUP BY state, held"))
    assert {tuple(row) for row in counted} == {("delivered", None, 12), ("suppressed", "pupil", 488)}


@pytest.mark.usefixtures("school")
def test_bulk_waits_for_money_and_goes_when_there_is_some() -> None:
    limit = Limits(money_per_day=0.1, price_per_message=0.05)
    notices = queued(*many(3, lane=Lane.BULK))
    first, second = taken(Purse(limit), most=2)
    went(first)
    went(second)
    assert taken(Purse(limit)) == []
    (waiting,) = [text_id for text_id in notices if stored(text_id).held]
    text = stored(waiting)
    assert (text.state, text.held, text.settled_at) == ("queued", Held.MONEY, None)
    assert 50 < (text.next_attempt_at - clock.now()).total_seconds() <= 60
    (gate,) = queued(new_text("+8613900000001"))
    assert [claim.text_id for claim in taken(Purse(limit))] == [gate]
    change(waiting, next_attempt_at=clock.now())
    assert [claim.text_id for claim in taken(Purse(Limits(money_per_day=0.2)))] == [waiting]
    assert stored(waiting).held is None


@pytest.mark.usefixtures("school")
def test_what_waited_for_money_until_its_end_is_seen_with_its_reason() -> None:
    (text_id,) = queued(new_text())
    change(text_id, held=Held.MONEY_HARD, expires_at=clock.now())
    with transaction() as session:
        queue.sweep(session, clock.now())
    assert (stored(text_id).state, stored(text_id).held) == ("expired", Held.MONEY_HARD)


@pytest.mark.usefixtures("school")
def test_what_a_provider_took_or_may_have_taken_is_counted() -> None:
    queued(new_text("+861", body="字" * 71), new_text("+862"), new_text("+863"))
    outcomes = {2: Outcome.ACCEPTED, 1: Outcome.UNKNOWN}
    for claim in taken():
        length = 2 if claim.phone == "+861" else 1
        went(claim, Outcome.FAIL_NUMBER if claim.phone == "+863" else outcomes[length])
    assert spending.segments_of(db.session(), [("mingde", DAY)]) == {("mingde", DAY): 3}


@pytest.mark.usefixtures("school")
def test_two_texts_of_one_number_are_never_taken_by_two_senders(app: Flask) -> None:
    """On PostgreSQL two claims run side by side; neither sees the other's before its commit."""
    queued(*(new_text(pupil_id=uuid.uuid4()) for _ in range(2)))
    with transaction() as session:
        router = lambda wanted, lane: "phone"  # noqa: E731
        (first,) = claims.claim(session, clock.now(), room=(9, 9), provider_for=router).claims
        if db.engine.dialect.name == "postgresql":
            assert beside(app) == []
    assert taken() == []
    went(first)
    with transaction() as session:
        session.execute(db.text("UPDATE outbox_text SET next_attempt_at = created_at"))
    assert len(taken()) == 1


def beside(app: Flask) -> list[Claim]:
    """What another sender would take while this test's transaction is open."""
    import threading

    found: list[Claim] = []

    def work() -> None:
        with app.app_context():
            found.extend(taken())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    return found
