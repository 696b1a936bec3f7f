"""A sender at work: sends at once, tries again, changes providers, keeps the gate's share, settles doubts."""

import math
import threading
import time
import uuid
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select, text

from server import clock
from server.db import db, transaction
from server.outbox import claims, rules, sender, wake
from server.outbox.models import PhoneText
from server.outbox.providers.base import Accepted, Outgoing, SendFailed
from server.outbox.providers.phone import Phone
from server.outbox.rules import Answer, Lane, Outcome, TextState
from tests.fakes import ScriptedProvider
from tests.server.outbox_texts import all_in, attempts, change, many, new_text, queued, sending, soon, stored

pytestmark = pytest.mark.usefixtures("school")


def phone() -> Phone:
    return Phone(Phone.Settings())


def test_every_text_reaches_its_phone_once(app: Flask) -> None:
    queued(*many(60))
    with sending(app, phone()):
        soon(all_in("delivered", count=60))
    received = db.session.execute(select(PhoneText.text_id, func.count()).group_by(PhoneText.text_id)).all()
    assert [count for _, count in received] == [1] * 60


def test_two_senders_share_the_work(app: Flask) -> None:
    first, second = ScriptedProvider(), ScriptedProvider()
    queued(*many(80))
    with sending(app, first), sending(app, second):
        soon(all_in("sent", count=80))
    given = [text.text_id for provider in (first, second) for text in provider.sent]
    assert len(given) == len(set(given)) == 80


def test_a_call_wakes_the_sender_before_it_would_look_by_itself(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "POLL", 60.0)
    provider = ScriptedProvider()
    with sending(app, provider) as at_work:
        soon(at_work.listener.path.exists)
        time.sleep(0.1)  # let its first look find nothing
        (text_id,) = queued(new_text())
        wake.notify(app.extensions["gatebell"].run_dir)
        soon(lambda: stored(text_id).state == "sent")


def test_the_provider_is_told_what_it_needs(app: Flask) -> None:
    provider = ScriptedProvider()
    (text_id,) = queued(new_text())
    with sending(app, provider):
        soon(all_in("sent", count=1))
    (text,) = provider.sent
    assert (text.text_id, text.phone, text.urgent) == (text_id, "+8613800000001", True)
    assert 590 < text.useful_for <= 600
    assert text.callback.startswith(f"http://127.0.0.1:8000/callback/scripted/dlr/{text_id}/")


def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between tries that a test can wait for."""
    monkeypatch.setattr(rules, "BACK_OFF", (0.05,))


def test_a_text_that_was_not_taken_is_tried_again(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once(monkeypatch)
    provider = ScriptedProvider([SendFailed(Outcome.RETRY_SAME, "busy")] * 2)
    (text_id,) = queued(new_text())
    with sending(app, provider):
        soon(all_in("sent", count=1))
    assert [outcome for _, _, outcome in attempts(text_id)] == ["retry_same", "retry_same", "accepted"]
    assert (stored(text_id).error, stored(text_id).reference) == (None, "ref-3")


def test_trouble_with_the_first_provider_goes_to_the_second(app: Flask) -> None:
    first = ScriptedProvider([SendFailed(Outcome.RETRY_OTHER, "account")], name="first")
    second = ScriptedProvider(name="second")
    (text_id,) = queued(new_text())
    with sending(app, first, second):
        soon(all_in("sent", count=1))
    assert attempts(text_id) == [(1, "first", "retry_other"), (2, "second", "accepted")]


def test_a_refused_number_fails_and_goes_nowhere_else(app: Flask) -> None:
    first = ScriptedProvider([SendFailed(Outcome.FAIL_NUMBER, "no such number")], name="first")
    second = ScriptedProvider(name="second")
    (text_id,) = queued(new_text())
    with sending(app, first, second):
        soon(all_in("failed", count=1))
    assert (stored(text_id).error, second.sent) == ("no such number", [])


def test_a_provider_in_trouble_is_left_alone_and_nothing_is_lost(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once(monkeypatch)
    provider = ScriptedProvider([SendFailed(Outcome.RETRY_OTHER, "down")] * 8)
    queued(*many(20))
    with sending(app, provider) as at_work:
        at_work.breakers["scripted"].settings = rules.BreakerSettings(pause=0.3)
        soon(all_in("sent", count=20))
    assert len(provider.sent) == 28


def test_bulk_waits_for_the_gate(app: Flask) -> None:
    """Notices hold two of four connections and no more, however slow the provider is."""
    provider, go = ScriptedProvider(), threading.Event()
    provider.before = lambda text: None if text.urgent else (go.wait(10), None)[1]
    queued(*many(30, lane=Lane.BULK))
    with sending(app, provider):
        queued(*(new_text(f"+86139{n:08d}") for n in range(10)))
        soon(lambda: len(provider.sent) == 10)
        assert all(text.urgent for text in provider.sent)
        go.set()
        soon(all_in("sent", count=40))


def test_a_provider_that_breaks_down_leaves_a_doubt(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    provider = ScriptedProvider([RuntimeError("bug")])
    (text_id,) = queued(new_text(lane=Lane.BULK))
    with sending(app, provider):
        soon(all_in("unknown", count=1))
    assert "broke down" in caplog.text
    assert stored(text_id).error == "the provider broke down (RuntimeError)"


def doubtful(monkeypatch: pytest.MonkeyPatch) -> ScriptedProvider:
    monkeypatch.setattr(rules, "ASK_AGAIN", (0.05, 0.3))
    monkeypatch.setattr(rules, "DOUBT", 0.3)
    monkeypatch.setattr(sender, "SWEEP", 0.05)
    return ScriptedProvider([SendFailed(Outcome.UNKNOWN, "no answer")])


def test_a_doubtful_gate_text_is_sent_again_once(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = doubtful(monkeypatch)
    provider.replies.append(SendFailed(Outcome.UNKNOWN, "no answer"))
    (text_id,) = queued(new_text())
    with sending(app, provider):
        soon(lambda: len(attempts(text_id)) == 2)
        soon(lambda: stored(text_id).settled_at is not None)
    assert stored(text_id).state == "unknown"
    assert [outcome for _, _, outcome in attempts(text_id)] == ["unknown", "unknown"]
    assert len(provider.sent) == 2


def test_a_doubtful_notice_is_not_sent_again(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = doubtful(monkeypatch)
    (text_id,) = queued(new_text(lane=Lane.BULK))
    with sending(app, provider):
        soon(lambda: stored(text_id).settled_at is not None)
    assert (stored(text_id).state, len(provider.sent)) == ("unknown", 1)


@pytest.mark.parametrize(("answer", "copies"), [(Answer.TAKEN, 1), (Answer.NOT_TAKEN, 2)])
def test_a_provider_that_can_be_asked_is_asked(
    app: Flask, monkeypatch: pytest.MonkeyPatch, answer: Answer, copies: int
) -> None:
    provider = doubtful(monkeypatch)
    provider.answer = answer
    (text_id,) = queued(new_text())
    with sending(app, provider):
        soon(all_in("sent", count=1))
    assert provider.asked == [text_id]
    assert len(provider.sent) == copies


def test_what_a_dead_sender_left_is_asked_about_and_sent_when_it_is_missing(app: Flask) -> None:
    there, missing = queued(*many(2))
    with transaction() as session:
        taken = claims.claim(session, clock.now(), room=(2, 2), provider_for=lambda wanted, lane: "phone")
    arrived = next(claim for claim in taken.claims if claim.text_id == there)
    phone().send(Outgoing(there, arrived.phone, arrived.body, 60, True, "", math.inf))  # and then it died
    for text_id in (there, missing):
        change(text_id, lease_until=clock.now())
    with sending(app, phone()):
        soon(all_in("delivered", count=2))
    assert sorted(db.session.scalars(select(PhoneText.text_id))) == sorted([there, missing])


def test_stopping_waits_for_what_is_on_its_way(app: Flask) -> None:
    provider, started = ScriptedProvider(), threading.Event()
    provider.before = lambda text: (started.set(), time.sleep(0.3))[1]
    (text_id,) = queued(new_text())
    with sending(app, provider):
        assert started.wait(10)
    assert stored(text_id).state == "sent"


def test_a_claim_that_waited_too_long_is_handed_back(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "FRESH_CLAIM", -1.0)
    provider = ScriptedProvider()
    (text_id,) = queued(new_text())
    with sending(app, provider):
        soon(lambda: stored(text_id).attempts > 0 and stored(text_id).state == "queued")
        monkeypatch.setattr(rules, "FRESH_CLAIM", 5.0)
        soon(all_in("sent", count=1))
    assert len(provider.sent) == 1


def test_an_expired_text_is_not_sent(app: Flask) -> None:
    provider = ScriptedProvider()
    (text_id,) = queued(new_text())
    change(text_id, expires_at=clock.now())
    with sending(app, provider):
        soon(all_in(TextState.EXPIRED, count=1))
    assert provider.sent == []


def test_a_phone_that_was_kept_waiting_takes_nothing_after_the_deadline(app: Flask) -> None:
    with pytest.raises(SendFailed) as failed:
        phone().send(Outgoing(uuid.uuid4(), "+861", "x", 60, True, "", time.monotonic() - 0.1))
    assert failed.value.outcome is Outcome.RETRY_SAME
    assert db.session.scalar(select(func.count()).select_from(PhoneText)) == 0


def test_a_lost_database_is_waited_for_and_nothing_is_lost_or_doubled(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "LEASE", 1.0)
    monkeypatch.setattr(sender, "WAIT_FOR_DATABASE", 0.05)
    if db.engine.dialect.name != "postgresql":
        return
    provider = ScriptedProvider()
    provider.ask = lambda text_id: (  # type: ignore[method-assign]
        Answer.TAKEN if text_id in {text.text_id for text in provider.sent} else Answer.NOT_TAKEN
    )
    ids = queued(*many(150))
    others = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                  " AND pid <> pg_backend_pid()")  # fmt: skip
    with sending(app, provider):
        for done in (20, 60, 100):
            soon(lambda: len(provider.sent) >= done)  # noqa: B023
            db.session.execute(others)
            db.session.rollback()
        soon(all_in("sent", count=150), seconds=30)
    assert sorted(text.text_id for text in provider.sent) == sorted(ids)


def test_references_of_accepted_texts_are_kept(app: Flask, tmp_path: Path) -> None:
    provider = ScriptedProvider([Accepted("theirs")])
    (text_id,) = queued(new_text())
    with sending(app, provider):
        soon(all_in("sent", count=1))
    assert stored(text_id).reference == "theirs"
