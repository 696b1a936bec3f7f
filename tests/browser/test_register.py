"""The class register by thumb: two exceptions of 45 pupils in at most four taps, undo, no script; the guard's page."""

import uuid
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from server import clock
from server.accounts.rules import Grant
from server.accounts.service import create_user
from server.attendance import service as attendance
from server.attendance.models import ManualPassage, PupilDay, TeacherMark
from server.cards.models import Card
from server.db import db, transaction
from server.leave.models import Leave
from server.people.models import Pupil
from server.schools.models import School
from server.taps.models import Tap
from tests import sample
from tests.browser.conftest import Served, choose, keep
from tests.browser.test_axe import violations
from tests.browser.test_fit import NAMELESS, SIDEWAYS, TOO_SMALL

pytestmark = pytest.mark.browser
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def school_size() -> dict[str, object]:
    """Four classes of 45."""
    return {"pupils": 180}


@pytest.fixture(scope="module")
def classroom(served: Served) -> str:
    """8 (1) at 07:52, judged from its taps: every pupil has a card, one has leave, some did not come."""
    class_id = uuid.UUID(served.site.classes[0])
    with served.site.app.app_context():
        with transaction() as session:
            grant = Grant("class_teacher", class_id=class_id)
            create_user("mingde", "chenlaoshi", "陈老师", sample.PASSWORD, [grant])
            pupils = list(session.scalars(select(Pupil).where(Pupil.class_id == class_id).order_by(Pupil.seat)))
            for pupil in pupils:
                card = Card(school_id="mingde", text=f"em4100:9{pupil.seat:09X}", pupil_id=pupil.id)
                card.since = clock.now()
                session.add(card)
            _away(session, pupils[7])
            session.flush()
            school = session.get_one(School, "mingde")
            attendance.apply(school, {(pupil.id, sample.DAY) for pupil in pupils}, clock.now())
        db.session.remove()
    return str(class_id)


def _away(session: Session, pupil: Pupil) -> None:
    """This pupil has leave for the whole day, and did not come."""
    leave = Leave(school_id="mingde", pupil_id=pupil.id, kind="sick", state="approved", asked_at=clock.now())
    leave.starts_at, leave.ends_at = sample.moment(0, 0), sample.moment(24, 0)
    session.add(leave)
    session.execute(delete(Tap).where(Tap.pupil_id == pupil.id))


def marks(served: Served) -> list[str]:
    with served.site.app.app_context():
        found = sorted(
            str(mark.mark) for mark in db.session.scalars(select(TeacherMark).where(TeacherMark.undone_at.is_(None)))
        )
        db.session.remove()
    return found


def forget(served: Served) -> None:
    """The register as if nobody had looked yet."""
    with served.site.app.app_context():
        with transaction() as session:
            for table in ("register_entry", "class_register", "teacher_mark"):
                session.execute(db.text(f"DELETE FROM {table}"))
            school = session.get_one(School, "mingde")
            keys = {
                (row.pupil_id, row.date) for row in session.scalars(select(PupilDay).where(PupilDay.date == sample.DAY))
            }
            attendance.apply(school, keys, clock.now())
        db.session.remove()


class Taps:
    """Counts what a thumb does."""

    def __init__(self, page: Page) -> None:
        self.page, self.count = page, 0

    def on(self, name: str) -> None:
        """One tap on a button that says this."""
        self.page.get_by_role("button", name=name).first.tap()
        self.count += 1


def test_a_class_of_45_with_two_exceptions_takes_at_most_four_taps(
    served: Served, opened: Open, classroom: str
) -> None:
    forget(served)
    page = opened("phone", login="chenlaoshi")
    choose(page, "zh-CN")
    page.goto("/classes")
    taps = Taps(page)
    page.goto(f"/register/{classroom}")
    expect(page.locator("h1")).to_contain_text("45 人")
    assert page.locator(".look").count() + page.locator(".tile").count() + page.locator(".excused").count() == 45
    unseen = page.locator(".look").count()
    assert unseen >= 1
    name = page.locator(".look-who b").first.inner_text()
    taps.on(f"在 · {name}")
    expect(page.locator(".undo")).to_contain_text(name)
    tile = page.locator("button.tile").nth(8)
    here = tile.locator(".tile-name").inner_text()
    tile.tap()
    taps.count += 1
    expect(page.locator(".tile-absent")).to_contain_text(here)
    expect(page.locator(".undo")).to_contain_text(f"{here} 记为缺")
    keep(page, "register-phone")
    taps.on("完成点名")
    expect(page.locator(".finished")).to_contain_text("已完成")
    assert taps.count <= 4
    assert marks(served) == sorted(["absent", "present", *["unlooked"] * (unseen - 1)])


def test_undo_takes_back_and_the_bar_goes_by_itself(served: Served, opened: Open, classroom: str) -> None:
    forget(served)
    page = opened("phone", login="chenlaoshi")
    choose(page, "zh-CN")
    page.goto(f"/register/{classroom}")
    page.locator("button.tile").nth(3).tap()
    expect(page.locator(".tile-absent")).to_have_count(1)
    page.get_by_role("button", name="撤销").last.tap()
    expect(page.locator(".tile-absent")).to_have_count(0)
    assert marks(served) == []
    page.locator("button.tile").nth(3).tap()
    expect(page.locator(".undo")).to_be_visible()
    expect(page.locator(".undo")).to_be_hidden(timeout=12_000)
    assert marks(served) == ["absent"]


def test_late_with_minutes_and_on_leave_stand_in_the_bar(served: Served, opened: Open, classroom: str) -> None:
    forget(served)
    page = opened("phone", login="chenlaoshi")
    choose(page, "zh-CN")
    page.goto(f"/register/{classroom}")
    name = page.locator(".look-who b").first.inner_text()
    page.get_by_role("button", name=f"缺 · {name}").tap()
    page.locator("#minutes").fill("9")
    page.get_by_role("button", name="分 改迟到").tap()
    expect(page.locator(".said-late")).to_contain_text("迟到 9 分")
    page.locator("button.tile").nth(3).tap()
    expect(page.locator(".tile-absent")).to_have_count(1)
    page.get_by_role("button", name="改请假").tap()
    expect(page.locator(".tile-absent")).to_have_count(0)
    assert marks(served) == ["absent", "late"]  # the first word stands behind the newer one


def test_three_quick_taps_are_three_marks(served: Served, opened: Open, classroom: str) -> None:
    forget(served)
    page = opened("phone", login="chenlaoshi")
    page.goto(f"/register/{classroom}")
    page.evaluate("[4, 5, 6].forEach((n) => document.querySelectorAll('button.tile')[n].click())")
    expect(page.locator(".tile-absent")).to_have_count(3)
    assert marks(served) == ["absent"] * 3


def test_the_register_works_without_scripts_and_by_keyboard(served: Served, opened: Open, classroom: str) -> None:
    forget(served)
    page = opened("desktop", login="chenlaoshi", java_script_enabled=False)
    page.goto(f"/register/{classroom}")
    page.locator("button.tile").nth(2).focus()
    page.keyboard.press("Enter")
    expect(page.locator(".tile-absent")).to_have_count(1)
    page.get_by_role("button", name="撤销").last.click()
    expect(page.locator(".tile-absent")).to_have_count(0)
    page.locator("#finish button").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".finished")).to_be_visible()


def test_two_teachers_see_each_others_marks(served: Served, opened: Open, classroom: str) -> None:
    forget(served)
    one, two = opened("phone", login="chenlaoshi"), opened("phone", login="wangmin")
    for page in (one, two):
        page.goto(f"/register/{classroom}")
        expect(page.locator("button.tile").first).to_be_visible()
    one.locator("button.tile").nth(5).tap()
    expect(two.locator(".tile-absent")).to_have_count(1, timeout=10_000)
    expect(two.locator(".undo")).to_have_count(0)


def test_the_guard_finds_a_pupil_and_writes_an_entry_down_once(served: Served, opened: Open, classroom: str) -> None:
    forget(served)
    page = opened("phone", login="menwei")
    choose(page, "zh-CN")
    page.goto("/more")
    page.get_by_role("link", name="门卫登记").click()
    pupil_id, name = missing(served, classroom)
    page.locator("#q").fill(name)
    page.get_by_role("button", name="查找").click()
    page.locator(f'a.line[href$="{pupil_id}"]').click()
    expect(page.locator(".may")).to_contain_text("现在没有出门条")
    keep(page, "guard-phone")
    page.evaluate("""() => {
      const send = document.querySelector('form.correct button[value=in]');
      const twice = new FormData(send.form, send);
      return fetch(send.form.action, {method: "POST", body: twice, redirect: "manual"});
    }""")
    page.get_by_role("button", name="现在进校").tap()
    expect(page.locator(".done")).to_contain_text("已登记")
    with served.site.app.app_context():
        written = db.session.scalars(select(ManualPassage)).all()
        row = db.session.get_one(PupilDay, (uuid.UUID(pupil_id), sample.DAY))
        assert len(written) == 1 and row.inside
        db.session.remove()


def missing(served: Served, classroom: str) -> tuple[str, str]:
    """A pupil of the class whom no gate has seen."""
    with served.site.app.app_context():
        query = (
            select(Pupil.id, Pupil.name)
            .join(PupilDay, PupilDay.pupil_id == Pupil.id)
            .where(Pupil.class_id == uuid.UUID(classroom), PupilDay.date == sample.DAY)
            .where(PupilDay.status.in_(("not_yet", "unconfirmed")))
        )
        row = db.session.execute(query.order_by(Pupil.seat)).first()
        db.session.remove()
    assert row is not None
    return str(row.id), row.name


def test_an_exit_pass_is_printed_as_a6_and_checked_at_the_gate(served: Served, opened: Open, classroom: str) -> None:
    page = opened("desktop", login="chenlaoshi")
    choose(page, "zh-CN")
    page.goto("/passes")
    keep(page, "passes-desktop")
    page.get_by_role("button", name="打印").first.click()
    expect(page.locator(".paper svg")).to_be_visible()
    address = page.get_by_role("link", name="查验").get_attribute("href")
    assert address is not None
    page.emulate_media(media="print")
    expect(page.locator(".no-print").first).to_be_hidden()
    box = page.locator(".paper").bounding_box()
    assert box is not None and abs(box["width"] - 105 * 96 / 25.4) < 2 and abs(box["height"] - 148 * 96 / 25.4) < 2
    gate = opened("phone", login="menwei")
    choose(gate, "zh-CN")
    gate.goto(address)
    expect(gate.locator(".verdict")).to_contain_text("有效")
    keep(gate, "pass-check-phone")
    gate.get_by_role("button", name="放行并登记").tap()
    expect(gate.locator(".verdict")).to_contain_text("已用过")


def register_pages(classroom: str, pupil_id: str) -> dict[str, str]:
    """Every page of this feature."""
    return {
        "registers": "/register",
        "register": f"/register/{classroom}",
        "register-yesterday": f"/register/{classroom}?day=2026-11-24",
        "register-off": f"/register/{classroom}?day=2026-11-22",
        "correction": f"/register/pupils/{pupil_id}",
        "differences": "/register/differences",
        "gate": "/gate?q=2026",
        "person": f"/gate/{pupil_id}",
        "passes": "/passes",
    }


@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
def test_every_page_fits_a_small_phone_and_axe_finds_nothing(
    served: Served, opened: Open, classroom: str, language: str
) -> None:
    forget(served)
    small, wide = opened("small", language=language), opened("desktop", language=language)
    choose(small, language)
    for page in (small, wide):
        page.goto(f"/register/{classroom}")
        page.locator("button.tile").nth(9).click()
        expect(page.locator(".undo")).to_be_visible()
        assert violations(page) == [], f"the bar in {language}"
        assert page.evaluate(SIDEWAYS) <= 0
        for name, url in register_pages(classroom, served.site.pupils[0][0]).items():
            page.goto(url)
            expect(page.locator("h1")).to_have_count(1)
            assert page.evaluate(SIDEWAYS) <= 0, f"{name} in {language}"
            assert page.evaluate(TOO_SMALL) == [], f"{name} in {language}"
            assert page.evaluate(NAMELESS) == [], f"{name} in {language}"
            assert violations(page) == [], f"{name} in {language}"
