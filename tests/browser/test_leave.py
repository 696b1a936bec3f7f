"""Leave in a real browser: the family asks on a phone, the teacher decides by keyboard, and every page fits."""

import datetime as dt
import re
import uuid
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from server import clock
from server.db import db, transaction
from server.leave import links, requests
from server.leave.models import LeaveKind, LeaveSource
from server.people.models import Guardian, Guardianship
from server.schools.models import School
from tests import sample
from tests.browser.conftest import Served, choose, keep
from tests.browser.test_axe import violations
from tests.browser.test_fit import DOUBLED, NAMELESS, SIDEWAYS, TOO_SMALL, UNDER_THE_FOOT

pytestmark = pytest.mark.browser
Open = Callable[..., Page]


def of_class(served: Served, n: int, place: int) -> str:
    return [pupil for pupil, _name, room in served.site.pupils if room == served.site.classes[n]][place]


def link_of(served: Served, pupil: str) -> str:
    with served.site.app.app_context():
        query = select(Guardian).join(Guardianship, Guardianship.guardian_id == Guardian.id)
        mother = db.session.scalars(
            query.where(Guardianship.pupil_id == uuid.UUID(pupil), Guardianship.rank == 1)
        ).one()
        token = links.token(mother, uuid.UUID(pupil), clock.now() + dt.timedelta(days=1))
        db.session.remove()
    return f"/l/{token}"


def asked(served: Served, pupil: str) -> str:
    with served.site.app.app_context(), transaction() as session:
        mother = session.scalars(
            select(Guardianship.guardian_id).where(Guardianship.pupil_id == uuid.UUID(pupil), Guardianship.rank == 1)
        ).one()
        wanted = requests.Wanted(
            uuid.UUID(pupil),
            LeaveKind.SICK,
            sample.moment(24, 0),
            sample.moment(48, 0),
            LeaveSource.LINK,
            reason="发烧 39 度，去医院",
            guardian_id=mother,
        )
        school = session.get_one(School, "mingde")
        return str(requests.ask(session, school, wanted, requests.Actor(guardian_id=mother), clock.now()).id)


@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
def test_a_family_asks_for_leave_on_a_small_phone(served: Served, opened: Open, language: str) -> None:
    pupil = of_class(served, 1, 1 if language == "zh-CN" else 2)
    page = opened("small", login="", language=language)
    page.goto(link_of(served, pupil) + ("?lang=en" if language == "en-GB" else ""))
    assert violations(page) == [] and page.evaluate(SIDEWAYS) <= 0
    page.get_by_role("button", name="Go on" if language == "en-GB" else "继续").click()
    expect(page.locator("h1")).to_be_visible()
    for check in (TOO_SMALL, NAMELESS):
        assert page.evaluate(check) == []
    assert violations(page) == [] and page.evaluate(SIDEWAYS) <= 0
    keep(page, f"leave-family-{language[:2]}")
    page.locator("input[name=kind]").first.check()
    page.fill("#from", "2026-11-26")
    page.fill("#to", "2026-11-27")
    page.fill("#reason", "发烧")
    page.locator(".go").click()
    expect(page.get_by_role("status")).to_be_visible()
    expect(page.locator(".card h2").first).to_contain_text(
        "Thu 26 Nov" if language == "en-GB" else "11月26日至11月27日"
    )


def test_a_teacher_decides_by_keyboard(served: Served, opened: Open) -> None:
    leave = asked(served, of_class(served, 1, 3))
    page = opened("desktop", login="lijing")
    choose(page, "en-GB")
    page.goto("/leave")
    page.locator(f"a[href='/leave/{leave}']").focus()
    page.keyboard.press("Enter")
    button = page.get_by_role("button", name="Approve the leave")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".leave-title .pill")).to_have_text(re.compile("Approved"))


@pytest.mark.parametrize("size", ["desktop", "phone", "small"])
@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
def test_every_page_of_the_desk_fits_and_can_be_used(served: Served, opened: Open, size: str, language: str) -> None:
    place = {"desktop": 4, "phone": 5, "small": 6}[size] + (3 if language == "zh-CN" else 0)
    leave = asked(served, of_class(served, 1, place))
    page = opened(size, language=language)
    choose(page, language)
    pages = {
        "inbox": "/leave",
        "one": f"/leave/{leave}",
        "new": f"/leave/new?pupil={of_class(served, 0, 0)}",
        "search": "/leave/new?q=林",
        "trip": f"/leave/trip?class={served.site.classes[0]}",
        "warnings": "/leave/warnings",
        "pupil": f"/pupils/{of_class(served, 1, place)}",
    }
    for name, url in pages.items():
        page.goto(url)
        if name == "one":
            page.locator(".leave-more summary").click()
        for check in (TOO_SMALL, NAMELESS):
            assert page.evaluate(check) == [], name
        assert page.evaluate(SIDEWAYS) <= 0, name
        assert page.evaluate(DOUBLED) == [], name
        assert size == "desktop" or page.evaluate(UNDER_THE_FOOT) <= 0, name
        assert violations(page) == [], name
        if language == "zh-CN" and size != "small":
            keep(page, f"leave-{name}-{size}")
