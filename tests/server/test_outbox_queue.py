"""The queue on both databases: one cause one text, one claim one sender, old results and dead senders do no harm."""

import threading
import uuid
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select

from server import clock
from server.db import db, transaction
from server.outbox import claims, queue, receipts, rules, service
from server.outbox.claims import Claim, Result
from server.outbox.models import OutboxText
from server.outbox.providers.base import News
from server.outbox.rules import Answer, Lane, Outcome, Step, TextState
from server.schools.models import School
from tests.server.outbox_texts import attempts, change, many, new_text, queued, states, stored

pytestmark = pytest.mark.usefixtures("school")


def claimed(*, room: tuple[int, int] = (100, 100)) -> list[Claim]:
    with transaction() as session:
        router = lambda wanted, lane: wanted or "phone"  # noqa: E731
        return list(claims.claim(session, clock.now(), room=room, provider_for=router).claims)


def accepted(claim: Claim, state: TextState = TextState.SENT) -> Result:
    return Result(claim, Outcome.ACCEPTED, Step(state, provider="phone"), clock.now(), ("ref",))


def recorded(*results: Result) -> None:
    with transaction() as session:
        queue.record(session, results)


def swept() -> None:
    with transaction() as session:
        queue.sweep(session, clock.now())


def test_a_repeat_of_the_same_cause_makes_no_second_text() -> None:
    text = new_text()
    other_event, other_number = replace(text, n=2), replace(text, phone="+8613800000009")
    with transaction() as session:
        assert service.enqueue(session, [text, text]) == 1
        assert service.enqueue(session, [text, other_event, other_number]) == 2
    with transaction() as session:
        assert service.enqueue(session, [replace(text, body="other words", wording="late")]) == 0
    assert db.session.scalar(select(func.count()).select_from(OutboxText)) == 3


def test_a_text_is_rolled_back_with_its_cause() -> None:
    with pytest.raises(RuntimeError), transaction() as session:
        service.enqueue(session, [new_text()])
        raise RuntimeError
    assert states() == []


def test_the_number_is_not_readable_in_the_table(app: Flask) -> None:
    (text_id,) = queued(new_text())
    raw = db.session.connection().exec_driver_sql("SELECT phone, recipient FROM outbox_text").one()
    assert "13800000001" not in str(raw)
    assert stored(text_id).phone == "+8613800000001"


def test_a_claimed_text_is_not_claimed_again_and_its_try_is_on_record() -> None:
    (text_id,) = queued(new_text())
    (claim,) = claimed()
    assert (claim.text_id, claim.n, claim.provider) == (text_id, 1, "phone")
    assert claimed() == []
    assert attempts(text_id) == [(1, "phone", None)]


def test_gate_before_alert_before_direct_before_bulk() -> None:
    queued(*(new_text(f"+8613800000{n}", lane=lane) for n, lane in enumerate(reversed(Lane))))
    assert [claim.lane for claim in claimed()] == list(Lane)


def test_bulk_is_left_when_only_the_gates_share_is_free() -> None:
    queued(*many(5, lane=Lane.BULK))
    assert len(claimed(room=(4, 2))) == 2
    queued(new_text("+861"))
    assert [claim.lane for claim in claimed(room=(4, 0))] == [Lane.GATE]


def test_one_number_gets_one_text_at_a_time() -> None:
    arrived, left = queued(new_text(), new_text(kind="out"))
    (first,) = claimed()
    assert claimed() == []
    recorded(accepted(first, TextState.DELIVERED))
    change(left if first.text_id == arrived else arrived, next_attempt_at=clock.now())
    assert {first.text_id, claimed()[0].text_id} == {arrived, left}


def test_what_is_not_due_or_over_is_not_claimed() -> None:
    later, over = queued(*many(2))
    change(later, next_attempt_at=clock.now() + timedelta(minutes=1))
    change(over, expires_at=clock.now())
    assert claimed() == []


def test_a_text_nobody_needs_any_more_expires_unsent() -> None:
    (text_id,) = queued(new_text())
    change(text_id, expires_at=clock.now())
    swept()
    text = stored(text_id)
    assert (text.state, text.error, text.settled_at is not None) == ("expired", queue.NEVER_SENT, True)
    assert attempts(text_id) == []


def test_an_accepted_text_is_sent_with_the_providers_reference() -> None:
    (text_id,) = queued(new_text())
    recorded(accepted(*claimed()))
    text = stored(text_id)
    assert (text.state, text.reference, text.lease_until, text.error) == ("sent", "ref", None, None)
    assert text.sent_at is not None
    assert attempts(text_id) == [(1, "phone", "accepted")]


def test_a_refused_text_is_queued_again_for_the_provider_of_its_step() -> None:
    (text_id,) = queued(new_text())
    (claim,) = claimed()
    step = Step(TextState.QUEUED, 30.0, "kannel")
    recorded(Result(claim, Outcome.RETRY_OTHER, step, clock.now(), detail="403"))
    text = stored(text_id)
    assert (text.state, text.provider, text.error) == ("queued", "kannel", "403")
    assert 28 < clock.elapsed(clock.now(), text.next_attempt_at) <= 30


def test_a_receipt_that_came_before_the_result_stands() -> None:
    (text_id,) = queued(new_text())
    (claim,) = claimed()
    with transaction() as session:
        receipts.receive(session, "phone", News(TextState.DELIVERED, "1"), text_id)
    recorded(accepted(claim))
    text = stored(text_id)
    assert (text.state, text.reference) == ("delivered", "ref")
    assert text.sent_at is not None


def test_a_lost_answer_after_a_receipt_leaves_no_doubt() -> None:
    (text_id,) = queued(new_text())
    (claim,) = claimed()
    with transaction() as session:
        receipts.receive(session, "phone", News(TextState.SENT, "8"), text_id)
    recorded(Result(claim, Outcome.UNKNOWN, Step(TextState.UNKNOWN), clock.now()))
    assert stored(text_id).state == "sent"


def dead(text_id: uuid.UUID) -> None:
    change(text_id, lease_until=clock.now() - timedelta(seconds=1))
    swept()


def test_what_a_dead_sender_held_is_in_doubt_and_not_sent_blindly() -> None:
    (text_id,) = queued(new_text())
    claimed()
    dead(text_id)
    assert stored(text_id).state == "unknown"
    assert claimed() == []
    with transaction() as session:
        (doubt,) = queue.doubts(session, clock.now(), 10)
        assert queue.doubts(session, clock.now(), 10) == []  # for a lease's time nobody else asks
    assert (doubt.text_id, doubt.provider, doubt.doubtful) == (text_id, "phone", 1)


def settled(text_id: uuid.UUID, answer: Answer, step: Step) -> OutboxText:
    with transaction() as session:
        (doubt,) = queue.doubts(session, clock.now(), 10)
        queue.settle(session, doubt, step, answer, clock.now())
    return stored(text_id)


def test_a_doubt_is_settled_by_the_answer() -> None:
    taken, lost = queued(*many(2))
    claimed()
    dead(taken)
    text = settled(taken, Answer.TAKEN, Step(TextState.DELIVERED, provider="phone"))
    assert (text.state, text.error, text.sent_at is not None) == ("delivered", None, True)
    dead(lost)
    text = settled(lost, Answer.NOT_TAKEN, Step(TextState.QUEUED, provider="phone"))
    assert (text.state, text.error) == ("queued", queue.LEFT_BEHIND)
    assert [claim.n for claim in claimed()] == [2]


def test_a_second_copy_says_that_it_may_be_one() -> None:
    (text_id,) = queued(new_text())
    claimed()
    dead(text_id)
    assert settled(text_id, Answer.CANNOT_SAY, Step(TextState.QUEUED, provider="phone")).error == queue.MAY_DOUBLE
    recorded(accepted(*claimed()))
    assert (stored(text_id).state, stored(text_id).error) == ("sent", queue.MAY_DOUBLE)


def test_the_result_of_an_older_claim_does_not_undo_a_newer_one() -> None:
    (text_id,) = queued(new_text())
    (old,) = claimed()
    dead(text_id)
    settled(text_id, Answer.NOT_TAKEN, Step(TextState.QUEUED, provider="phone"))
    (new,) = claimed()
    recorded(Result(old, Outcome.RETRY_SAME, Step(TextState.QUEUED), clock.now()))
    assert (stored(text_id).state, stored(text_id).attempts) == ("claimed", 2)
    recorded(accepted(new))
    assert attempts(text_id) == [(1, "phone", "retry_same"), (2, "phone", "accepted")]


def test_a_doubt_without_end_is_closed_and_asked_no_more() -> None:
    (text_id,) = queued(new_text())
    claimed()
    dead(text_id)
    text = settled(text_id, Answer.CANNOT_SAY, rules.settle(
        Answer.CANNOT_SAY, lane=Lane.BULK, age=61, doubtful=1, expired=False))  # fmt: skip
    assert (text.state, text.settled_at is not None) == ("unknown", True)
    assert not queue.anything_due(db.session(), clock.now() + timedelta(days=1))


def test_idle_senders_see_what_is_due_without_a_lock(school: School) -> None:
    assert not queue.anything_due(db.session(), clock.now())
    (text_id,) = queued(new_text())
    assert queue.anything_due(db.session(), clock.now())
    claimed()
    assert not queue.anything_due(db.session(), clock.now())
    change(text_id, lease_until=clock.now())
    assert queue.anything_due(db.session(), clock.now())


def test_many_senders_never_claim_one_text_twice(app: Flask) -> None:
    queued(*many(200))
    taken: Counter[uuid.UUID] = Counter()

    def work() -> None:
        with app.app_context():
            while claims := claimed(room=(7, 7)):
                taken.update(claim.text_id for claim in claims)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(taken) == 200
    assert set(taken.values()) == {1}
