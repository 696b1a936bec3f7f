"""Rules of the outbox: states only move forward, waits are bounded by expiry, lanes keep their share, doubts end."""

import itertools
import math

import pytest

from server.outbox import rules
from server.outbox.rules import Answer, Breaker, Lane, Outcome, Step, TextState

NAMES = ("first", "second")


def after(outcome: Outcome, *, tries: int = 1, provider: str = "first", left: float = 600, **more: float) -> Step:
    return rules.after_try(outcome, tries=tries, provider=provider, names=NAMES, left=left, **more)


@pytest.mark.parametrize("order", list(itertools.permutations(("sent", "delivered", "failed", "sent"))))
def test_receipts_in_any_order_end_at_delivered(order: tuple[str, ...]) -> None:
    state = TextState.CLAIMED
    for news in order:
        state = TextState(news) if rules.forward(state, TextState(news)) else state
    assert state is TextState.DELIVERED


@pytest.mark.parametrize("final", [TextState.FAILED, TextState.EXPIRED, TextState.DELIVERED])
@pytest.mark.parametrize("news", [TextState.SENT, TextState.UNKNOWN, TextState.QUEUED, TextState.FAILED])
def test_a_final_state_is_not_undone(final: TextState, news: TextState) -> None:
    assert not rules.forward(final, news)


def test_a_receipt_settles_an_unknown_text() -> None:
    assert rules.forward(TextState.UNKNOWN, TextState.SENT)
    assert rules.forward(TextState.UNKNOWN, TextState.FAILED)


def test_waits_grow_and_jitter_stays_within_a_quarter() -> None:
    assert [rules.back_off(n, 0.5) for n in (1, 2, 3, 4, 9)] == [5, 15, 60, 300, 300]
    assert (rules.back_off(1, 0.0), rules.back_off(1, 1.0)) == (3.75, 6.25)


@pytest.mark.parametrize("outcome", [Outcome.FAIL_NUMBER, Outcome.FAIL_CONTENT, Outcome.FAIL_OPTOUT])
def test_what_can_never_work_is_not_tried_again(outcome: Outcome) -> None:
    assert after(outcome).state is TextState.FAILED


def test_trouble_with_a_route_goes_to_the_next_provider_at_once_and_waits_after_the_last() -> None:
    assert after(Outcome.RETRY_OTHER) == Step(TextState.QUEUED, 0.0, "second")
    assert after(Outcome.RETRY_OTHER, tries=2, provider="second") == Step(TextState.QUEUED, 15.0, "first")


def test_a_provider_may_ask_for_a_longer_wait() -> None:
    assert after(Outcome.RETRY_SAME, wanted=40.0) == Step(TextState.QUEUED, 40.0, "first")
    assert after(Outcome.RETRY_SAME, wanted=1.0) == Step(TextState.QUEUED, 5.0, "first")


def test_a_wait_never_reaches_beyond_the_expiry() -> None:
    assert after(Outcome.RETRY_SAME, tries=4, left=100).due_in == 50
    assert after(Outcome.RETRY_SAME, tries=9, left=0.5).due_in == 1
    assert after(Outcome.RETRY_SAME, left=0).state is TextState.EXPIRED


def test_a_lost_answer_is_doubt_and_no_retry() -> None:
    assert after(Outcome.UNKNOWN) == Step(TextState.UNKNOWN, 5.0, "first")


def settled(
    answer: Answer, *, lane: Lane = Lane.GATE, age: float = 0, doubtful: int = 1, expired: bool = False
) -> Step:
    return rules.settle(answer, lane=lane, age=age, doubtful=doubtful, expired=expired)


def test_a_provider_that_can_be_asked_settles_a_doubt_at_once() -> None:
    assert settled(Answer.TAKEN).state is TextState.SENT
    assert settled(Answer.NOT_TAKEN).state is TextState.QUEUED
    assert settled(Answer.NOT_TAKEN, expired=True).state is TextState.EXPIRED


def test_a_doubtful_gate_text_is_sent_once_more_after_a_minute() -> None:
    assert settled(Answer.CANNOT_SAY, age=6) == Step(TextState.UNKNOWN, 9)
    assert settled(Answer.CANNOT_SAY, age=60).state is TextState.QUEUED
    assert settled(Answer.CANNOT_SAY, age=60, doubtful=2) == Step(TextState.UNKNOWN, math.inf)


@pytest.mark.parametrize("lane", [Lane.ALERT, Lane.DIRECT, Lane.BULK])
def test_other_doubtful_texts_are_never_doubled(lane: Lane) -> None:
    assert settled(Answer.CANNOT_SAY, lane=lane, age=60) == Step(TextState.UNKNOWN, math.inf)


def test_nobody_is_sent_a_doubtful_text_after_its_time() -> None:
    assert settled(Answer.CANNOT_SAY, age=60, expired=True) == Step(TextState.UNKNOWN, math.inf)


@pytest.mark.parametrize(("workers", "gate", "bulk", "room"), [
    (4, 0, 0, (4, 2)),
    (4, 0, 2, (2, 0)),
    (4, 2, 2, (0, 0)),
    (4, 3, 0, (1, 1)),
    (16, 0, 11, (5, 0)),
    (2, 0, 0, (2, 1)),
    (1, 0, 0, (1, 1)),
])  # fmt: skip
def test_bulk_never_takes_the_connections_kept_for_the_gate(
    workers: int, gate: int, bulk: int, room: tuple[int, int]
) -> None:
    assert rules.room(workers, [Lane.GATE] * gate + [Lane.BULK] * bulk) == room


def test_a_cut_off_provider_is_passed_over() -> None:
    assert rules.choose(NAMES, None, NAMES) == "first"
    assert rules.choose(NAMES, "second", NAMES) == "second"
    assert rules.choose(NAMES, "first", ["second"]) == "second"
    assert rules.choose(NAMES, "gone", []) is None


def failed_breaker(*, at: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(5):
        breaker.told(Outcome.RETRY_OTHER, at)
    return breaker


def test_five_failures_open_the_breaker_and_one_probe_closes_it() -> None:
    breaker = failed_breaker()
    assert not breaker.admits(9.9)
    assert breaker.admits(10)
    breaker.given(10)
    assert not breaker.admits(11)
    breaker.told(Outcome.ACCEPTED, 11)
    assert breaker.admits(11)


def test_a_failed_probe_opens_the_breaker_again() -> None:
    breaker = failed_breaker()
    breaker.given(10)
    breaker.told(Outcome.UNKNOWN, 12)
    assert not breaker.admits(21)
    assert breaker.admits(22)


def test_a_probe_that_never_reports_does_not_cut_a_provider_off_for_ever() -> None:
    breaker = failed_breaker()
    breaker.given(10)
    assert breaker.admits(20)


def test_refused_numbers_and_old_failures_leave_the_breaker_closed() -> None:
    breaker = Breaker()
    for second in range(50):
        breaker.told(Outcome.FAIL_NUMBER, second)
    for minute in range(20):
        breaker.told(Outcome.RETRY_SAME, minute * 60)
    assert breaker.admits(19 * 60)


def test_percentiles_are_by_nearest_rank() -> None:
    assert rules.percentiles(range(1, 101), (50, 99)) == {50: 50, 99: 99}
    assert rules.percentiles([3.0], (50, 99)) == {50: 3.0, 99: 3.0}
    assert rules.percentiles([], (50,)) == {}
