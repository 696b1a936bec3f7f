"""The absence board in a browser: the brake from banner to undo, the ladder from question to confirmed leave."""

import uuid
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import delete, select

from server import clock, replies
from server.absence import contacts
from server.absence.models import AbsenceCase, AbsenceStep
from server.db import db, transaction
from server.leave.models import Leave
from server.outbox import inbound
from server.outbox.models import OutboxText
from server.outbox.providers.base import Heard
from server.people.models import Guardian, Pupil
from server.schools.models import School
from server.taps.models import Tap
from tests import sample
from tests.browser.conftest import Served, choose, keep
from tests.browser.test_axe import violations
from tests.browser.test_fit import SIDEWAYS, TOO_SMALL

pytestmark = pytest.mark.browser
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def board(served: Served) -> dict[str, uuid.UUID]:
    """Three held, one whose first contact was asked, one who wrote "1", one whom nobody can be texted about."""
    with served.site.app.app_context():
        with transaction() as session:
            found = session.scalars(select(Pupil).order_by(Pupil.number).limit(40)).all()
            people = contacts.contacts_of(session, [pupil.id for pupil in found])
            can, cannot = [p for p in found if people.get(p.id)], [p for p in found if not people.get(p.id)]
            chosen = {name: pupil.id for name, pupil in zip(NAMES, [*can[:5], cannot[0]], strict=True)}
            session.execute(delete(Tap).where(Tap.pupil_id.in_(chosen.values())))
            for name, pupil_id in chosen.items():
                _case(session, name, pupil_id)
            for name in ("asking", "answered"):
                case = session.scalars(select(AbsenceCase).where(AbsenceCase.pupil_id == chosen[name])).one()
                contacts.ask(session, session.get_one(School, "mingde"), case, 0, people[chosen[name]][0], clock.now())
                case.next_at = sample.moment(8, 10)
        with transaction() as session:
            for text in session.scalars(select(OutboxText).where(OutboxText.kind == "absent")):
                text.state, text.attempts, text.sent_at, text.settled_at = "delivered", 1, clock.now(), clock.now()
        _reply(chosen["answered"], "1")
        db.session.remove()
    return chosen


NAMES = ("held-1", "held-2", "held-3", "asking", "answered", "person")


def _case(session, name: str, pupil_id: uuid.UUID) -> None:
    at = sample.moment(7, 50)
    case = AbsenceCase(school_id="mingde", pupil_id=pupil_id, date=sample.DAY, session="am", n=1, opened_at=at)
    case.state = {"held": "held", "person": "person"}.get(name.partition("-")[0], "asking")
    case.why, case.changed_at = (["gate_silent"] if case.state == "held" else []), at
    session.add(case)
    session.flush()


def _reply(pupil_id: uuid.UUID, body: str) -> None:
    query = select(Guardian.phone).join(AbsenceStep, AbsenceStep.guardian_id == Guardian.id)
    phone = db.session.scalars(
        query.join(AbsenceCase, AbsenceCase.id == AbsenceStep.case_id).where(AbsenceCase.pupil_id == pupil_id)
    ).first()
    with transaction() as session:
        inbound.take(session, "kannel", Heard(phone, body), clock.now())
    replies.hand_out()


@pytest.mark.parametrize(("size", "language"), [("desktop", "zh-CN"), ("phone", "zh-CN"), ("small", "en-GB")])
def test_the_board_fits_and_axe_finds_nothing(served: Served, board, opened: Open, size: str, language: str) -> None:
    page = opened(size, language=language)
    choose(page, language)
    with served.site.app.app_context():
        case_id = db.session.scalars(select(AbsenceCase.id).where(AbsenceCase.pupil_id == board["answered"])).one()
        db.session.remove()
    for url in ("/absence", f"/absence/{case_id}", "/absence/send", "/replies"):
        page.goto(url)
        expect(page.locator("h1")).to_be_visible()
        assert violations(page) == [], url
        assert page.evaluate(SIDEWAYS) <= 0 and page.evaluate(TOO_SMALL) == [], url
    if size != "small":
        page.goto("/absence")
        keep(page, f"absence-{size}")


def test_the_ladder_shows_who_was_asked_and_one_click_confirms(served: Served, board, opened: Open) -> None:
    page = opened("desktop")
    choose(page, "en-GB")
    page.goto("/absence")
    rows = page.locator("#asking .case")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("Nobody can be texted")
    rungs = rows.nth(1).locator(".rung b")
    expect(rungs).to_have_text(["Mother", "Father", "Grandmother", "School calls"])
    expect(rows.nth(1).locator(".rung").first).to_contain_text("Delivered")
    expect(rows.nth(1).locator("[aria-current=step]")).to_contain_text("Mother")
    expect(rows.nth(1).locator(".rung").last).to_contain_text("School calls")
    confirm = rows.nth(2).get_by_role("button", name="Confirm: ill")
    confirm.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#asking .case")).to_have_count(2)
    expect(page.locator("#done")).to_contain_text("Ill")
    with served.site.app.app_context():
        assert db.session.scalars(select(Leave.state)).all() == ["approved"]
        db.session.remove()


def test_the_brake_is_released_only_with_its_count_and_taken_back(served: Served, board, opened: Open) -> None:
    page = opened("desktop")
    choose(page, "en-GB")
    page.goto("/absence")
    brake = page.locator(".brake")
    expect(brake).to_contain_text("3 alerts held")
    expect(brake).to_contain_text("No parent has been told anything.")
    brake.get_by_role("button", name="to register").click()
    expect(page.locator(".brake")).to_contain_text("Asked to register")
    page.get_by_role("link", name="Send anyway…").click()
    expect(page.locator("h1")).to_contain_text("Ask the families of 3 pupils?")
    page.get_by_role("button", name="Send to 3 families").click()
    expect(page.locator(".undo-bar")).to_contain_text("3 families are about to be asked")
    page.get_by_role("button", name="Hold again").click()
    expect(page.locator(".brake")).to_contain_text("3 alerts held")
