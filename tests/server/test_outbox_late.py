"""A text that waited past its freshness never goes out as if it were fresh: it says so, or it does not go."""

import datetime as dt
from datetime import timedelta

import pytest
from flask import Flask

from server import clock
from server.attendance.news import Kind
from server.notify.rules import GatePolicy
from server.outbox import rules
from server.outbox.providers.base import Outgoing, Provider
from tests.fakes import ScriptedProvider
from tests.server.outbox_texts import all_in, change, new_text, queued, sending, soon, stored
from tests.server.test_notify_rules import AT, happening, planned

FRESH = dt.timedelta(minutes=10)
LATE_BODY = "【明德学校】林语晨 07:41 已到校（1号门）。[系统延迟补发]"


def test_a_fresh_text_knows_what_it_says_when_it_waits() -> None:
    (notice,) = planned(happening())
    assert (notice.wording, notice.late_at, notice.late_body) == ("arrived", AT + FRESH, LATE_BODY)


def test_a_text_that_is_late_already_says_so_at_once() -> None:
    (notice,) = planned(happening(), now=AT + dt.timedelta(minutes=11))
    assert (notice.wording, notice.body, notice.late_at) == ("arrived_delayed", LATE_BODY, None)


def test_a_text_without_a_time_never_claims_one() -> None:
    (notice,) = planned(happening(Kind.UNSURE))
    assert (notice.late_at, notice.late_body, notice.values) == (None, None, {"name": "林语晨", "gate": "1号门"})


def test_a_school_may_not_want_what_comes_late() -> None:
    policy = GatePolicy(late_texts=False)
    (notice,) = planned(happening(), policy=policy)
    assert (notice.late_at, notice.late_body) == (AT + FRESH, None)
    assert planned(happening(), policy=policy, now=AT + dt.timedelta(minutes=11)) == []


def test_the_placeholders_hold_what_the_words_say() -> None:
    (notice,) = planned(happening(late=7), pupil="林【语】晨")
    assert notice.values == {"name": "林 语 晨", "time": "07:41", "minutes": "7", "gate": "1号门"}


def sent_by(app: Flask, provider: ScriptedProvider) -> Outgoing:
    with sending(app, provider):
        soon(all_in("sent", count=1))
    return provider.sent[0]


@pytest.mark.usefixtures("school")
def test_the_provider_gets_wording_and_values_which_nobody_reads_in_the_table(app: Flask) -> None:
    (text_id,) = queued(new_text(values={"name": "林语晨", "time": "07:41"}))
    text = sent_by(app, ScriptedProvider())
    assert (text.wording, text.values) == ("arrived", {"name": "林语晨", "time": "07:41"})
    from server.db import db

    raw = db.session.connection().exec_driver_sql('SELECT "values" FROM outbox_text').scalar_one()
    assert raw and "07:41" not in raw
    assert stored(text_id).values == {"name": "林语晨", "time": "07:41"}


@pytest.mark.usefixtures("school")
def test_what_waited_too_long_goes_out_in_its_late_words(app: Flask) -> None:
    now = clock.now()
    waited, late_body = new_text(late_at=now, late_body=LATE_BODY + "。" * 40), LATE_BODY + "。" * 40
    (text_id,) = queued(waited)
    text = sent_by(app, ScriptedProvider())
    assert (text.body, text.wording) == (late_body, "arrived_delayed")
    row = stored(text_id)
    assert (row.body, row.wording, row.segments, row.late_at) == (late_body, "arrived_delayed", 2, None)


@pytest.mark.usefixtures("school")
def test_what_is_in_time_goes_out_in_its_first_words(app: Flask) -> None:
    queued(new_text(late_at=clock.now() + timedelta(minutes=1), late_body=LATE_BODY))
    assert sent_by(app, ScriptedProvider()).body == new_text().body


@pytest.mark.usefixtures("school")
def test_a_late_text_that_nobody_wants_is_put_away_and_says_why(app: Flask) -> None:
    provider = ScriptedProvider()
    (text_id,) = queued(new_text(late_at=clock.now()))
    with sending(app, provider):
        soon(all_in("suppressed", count=1))
    text = stored(text_id)
    assert (text.held, text.settled_at is not None, provider.sent) == (rules.Held.LATE, True, [])


@pytest.mark.usefixtures("school")
def test_a_second_try_of_a_late_text_is_late_once(app: Flask) -> None:
    (text_id,) = queued(new_text(late_at=clock.now(), late_body=LATE_BODY))
    sent_by(app, ScriptedProvider())
    change(text_id, state="queued", next_attempt_at=clock.now(), settled_at=None)
    assert sent_by(app, ScriptedProvider()).wording == "arrived_delayed"


class Templates(Provider):
    """A provider of approved templates that has but one."""

    name = "templates"

    def lacks(self, wordings):  # type: ignore[no-untyped-def]
        """All but one."""
        return [f"no template for {each}" for each in wordings if each != "arrived"]


def test_check_asks_for_a_template_of_every_wording(monkeypatch: pytest.MonkeyPatch) -> None:
    from server import check, config

    monkeypatch.setattr(check.providers, "opened", lambda settings: [Templates(None)])
    found = list(check._providers(config.Config(outbox=config.Outbox(providers=("templates",)))))
    assert "provider templates: no template for arrived_delayed" in found
    assert "provider templates: no template for absent" in found
    assert "provider templates: no template for gate_fault" in found
    assert not any(problem.endswith(" arrived") for problem in found)
