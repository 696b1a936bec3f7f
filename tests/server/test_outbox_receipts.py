"""Receipts that name no text of ours: matched by the provider's number, however it is written and whenever it comes."""

import uuid
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select

from server import clock
from server.db import db, transaction
from server.outbox import claims, intake, queue, receipts, references, rules
from server.outbox.claims import Result
from server.outbox.models import Receipt, Segment
from server.outbox.providers.base import Accepted, Brought, Heard, News, Report
from server.outbox.rules import Outcome, Step, TextState
from tests.server.outbox_texts import change, many, new_text, queued, stored

pytestmark = pytest.mark.usefixtures("school")
LONG = "【明德学校】" + "明天家长会。" * 20


def taken(*parts: str, provider: str = "smpp") -> None:
    """A sender takes what is due, and its provider answers with these numbers."""
    with transaction() as session:
        found = claims.claim(session, clock.now(), room=(9, 9), provider_for=lambda wanted, lane: provider).claims
    answered(*parts, claim=found[0])


def answered(*parts: str, claim: claims.Claim) -> None:
    step = Step(TextState.SENT, provider=claim.provider)
    result = Result(claim, Outcome.ACCEPTED, step, clock.now(), Accepted(parts=parts).references)
    with transaction() as session:
        queue.record(session, [result])


def brought(*reports: tuple[str, TextState], provider: str = "smpp", about: uuid.UUID | None = None) -> None:
    news = [Report(News(state, f"stat:{state}", reference), about) for reference, state in reports]
    intake.keep(provider, Brought(reports=news))


def orphans() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(Receipt).where(Receipt.text_id.is_(None))) or 0


@pytest.mark.parametrize(("answer", "receipt"), [
    ("abc-1", "abc-1"),
    ("00012AF", "12af"),
    ("12af", "0012AF"),
    ("12af", "4783"),  # answered in hexadecimal, reported in decimal
    ("4783", "12AF"),
    ("0000004783", "12af"),
    (" 77 ", "77"),
    ("000", "0"),
])  # fmt: skip
def test_a_receipt_finds_its_text_by_any_spelling_of_its_number(answer: str, receipt: str) -> None:
    (text_id,) = queued(new_text())
    taken(answer)
    brought((receipt, TextState.DELIVERED))
    assert stored(text_id).state == "delivered"
    assert orphans() == 0


def test_the_same_spelling_goes_before_another_base() -> None:
    """1234 in hexadecimal is 4d2: the text that was called so by itself is meant, not the other."""
    first, second = queued(*many(2))
    with transaction() as session:
        found = claims.claim(session, clock.now(), room=(9, 9), provider_for=lambda wanted, lane: "smpp").claims
    numbers = {first: "1234", second: "4d2"}
    for claim in found:
        answered(numbers[claim.text_id], claim=claim)
    brought(("4D2", TextState.DELIVERED))
    assert [stored(text_id).state for text_id in (first, second)] == ["sent", "delivered"]


def test_a_number_that_could_be_two_texts_is_left_alone() -> None:
    first, second = queued(*many(2))
    with transaction() as session:
        found = claims.claim(session, clock.now(), room=(9, 9), provider_for=lambda wanted, lane: "smpp").claims
    for claim, number in zip(found, (str(int("4660", 16)), f"{4660:x}"), strict=True):
        answered(number, claim=claim)
    brought(("4660", TextState.DELIVERED))
    assert [stored(text_id).state for text_id in (first, second)] == ["sent", "sent"]
    assert orphans() == 1


def test_another_providers_number_is_not_ours() -> None:
    (text_id,) = queued(new_text())
    taken("77")
    brought(("77", TextState.DELIVERED), provider="kannel")
    assert stored(text_id).state == "sent"


def test_words_and_short_numbers_have_one_spelling() -> None:
    assert references.others("9f1c6c1e-77") == references.others("255") == references.others("") == ()
    assert references.key("") == ""
    assert references.others("DEADBEEF") == (str(0xDEADBEEF),)


def test_a_text_in_parts_is_delivered_when_all_are(app: Flask) -> None:
    (text_id,) = queued(new_text(body=LONG))
    taken("a1", "a2", "a3")
    for part in ("a2", "a1", "a1"):
        brought((part, TextState.DELIVERED))
        assert stored(text_id).state == "sent"
    brought(("a3", TextState.DELIVERED))
    assert (stored(text_id).state, stored(text_id).reference) == ("delivered", "a1")
    parts = db.session.execute(select(Segment.n, Segment.state).order_by(Segment.n)).all()
    assert [tuple(part) for part in parts] == [(1, "delivered"), (2, "delivered"), (3, "delivered")]


def test_a_text_in_parts_has_failed_when_one_has() -> None:
    (text_id,) = queued(new_text(body=LONG))
    taken("a1", "a2")
    brought(("a1", TextState.DELIVERED), ("a2", TextState.FAILED))
    assert (stored(text_id).state, stored(text_id).error) == ("failed", "stat:failed")


def test_a_receipt_that_comes_before_the_answer_waits_for_its_number() -> None:
    (text_id,) = queued(new_text())
    brought(("A77", TextState.DELIVERED), ("A77", TextState.DELIVERED))
    assert orphans() == 1
    taken("a77")
    assert (stored(text_id).state, orphans()) == ("delivered", 0)


def test_one_part_told_before_the_answer_is_not_the_whole_text() -> None:
    """The receipts carry our own id, as with Kannel, so nobody knows yet that there are two parts."""
    (text_id,) = queued(new_text(body=LONG))
    with transaction() as session:
        (claim,) = claims.claim(session, clock.now(), room=(9, 9), provider_for=lambda wanted, lane: "smpp").claims
    brought(("p1", TextState.DELIVERED), about=text_id)
    assert stored(text_id).state == "sent"
    answered("p1", "p2", claim=claim)
    assert stored(text_id).state == "sent"
    brought(("p2", TextState.DELIVERED), about=text_id)
    assert stored(text_id).state == "delivered"


def test_a_whole_text_told_before_its_answer_is_delivered_with_the_answer() -> None:
    (text_id,) = queued(new_text(body=LONG))
    with transaction() as session:
        (claim,) = claims.claim(session, clock.now(), room=(9, 9), provider_for=lambda wanted, lane: "kannel").claims
    brought(("f1", TextState.DELIVERED), about=text_id, provider="kannel")
    answered(claim=claim)
    assert stored(text_id).state == "delivered"


def waits() -> float | None:
    db.session.rollback()
    (receipt,) = db.session.scalars(select(Receipt)).all()
    return (receipt.match_at - clock.now()).total_seconds() if receipt.match_at else None


def matched() -> int:
    with transaction() as session:
        return receipts.match_again(session, clock.now())


@pytest.mark.parametrize(("age", "low", "high"), [(5, 15, 20), (590, 15, 20), (660, 3590, 3600), (86_400, 3590, 3600)])
def test_an_orphan_looks_often_at_first_and_hourly_later(age: float, low: float, high: float) -> None:
    brought(("z9", TextState.DELIVERED))
    assert matched() == 0  # it is not due yet
    aged(age)
    assert matched() == 0
    assert low < (waits() or 0) <= high


def aged(seconds: float) -> None:
    with transaction() as session:
        receipt = session.scalars(select(Receipt)).one()
        receipt.received_at, receipt.match_at = clock.now() - timedelta(seconds=seconds), clock.now()


def test_an_orphan_gives_up_when_no_operator_reports_any_more() -> None:
    brought(("z9", TextState.DELIVERED))
    aged(97 * 3600)
    assert matched() == 0
    assert (waits(), orphans()) == (None, 1)


def test_an_orphan_that_the_answer_missed_is_matched_by_the_job() -> None:
    """Receipt and answer were written at the same moment, and neither saw the other."""
    (text_id,) = queued(new_text())
    brought(("77", TextState.DELIVERED))
    with transaction() as session:
        session.scalars(select(Receipt)).one().match_at = None
    taken("77")
    assert stored(text_id).state == "sent"
    aged(5)
    assert matched() == 1
    assert (stored(text_id).state, orphans()) == ("delivered", 0)


def test_a_receipt_for_the_first_copy_counts_though_a_second_was_sent() -> None:
    (text_id,) = queued(new_text())
    taken("first")
    change(text_id, state=TextState.QUEUED, next_attempt_at=clock.now())
    taken("second")
    brought(("first", TextState.DELIVERED))
    assert stored(text_id).state == "delivered"


def test_what_is_brought_is_kept_whole_or_not_at_all(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider is told that we have it only when that is so."""
    (text_id,) = queued(new_text())
    taken("77")
    monkeypatch.setattr(intake.inbound, "take", lambda *words: 1 / 0)
    hear = Brought([Report(News(TextState.DELIVERED, "1", "77"))], [Heard("13800000001", "TD")])
    with pytest.raises(ZeroDivisionError):
        intake.sink(app, "smpp")(hear)
    assert stored(text_id).state == "sent"
    monkeypatch.undo()
    intake.sink(app, "smpp")(hear)
    assert stored(text_id).state == "delivered"


def test_a_text_is_what_its_parts_are() -> None:
    sent, delivered, failed, expired = TextState.SENT, TextState.DELIVERED, TextState.FAILED, TextState.EXPIRED
    assert rules.of_parts([delivered, delivered]) is delivered
    assert rules.of_parts([delivered, sent]) is sent
    assert rules.of_parts([delivered, failed, sent]) is failed
    assert rules.of_parts([sent, expired]) is expired
