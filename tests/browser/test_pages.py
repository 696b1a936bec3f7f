"""The staff's pages in a real browser: they live, they fit, they can be used without a mouse."""

from collections.abc import Callable
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from server import clock
from server.accounts.models import LoginSession
from server.attendance.models import PupilDay
from server.db import db, transaction
from tests import sample
from tests.browser.conftest import Served, keep

pytestmark = pytest.mark.browser
Open = Callable[..., Page]


def test_login_by_keyboard_and_a_wrong_password_is_said_at_the_field(opened: Open) -> None:
    page = opened(login="")
    page.goto("/texts")
    keep(page, "login-desktop")
    expect(page.locator("#login")).to_be_focused()
    page.keyboard.type("wangmin")
    page.keyboard.press("Tab")
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("账号或密码不对")
    expect(page.locator("#login")).to_have_value("wangmin")
    expect(page.locator("#password")).to_be_focused()
    page.keyboard.type(sample.PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/texts")
    page.locator(".me summary").click()
    page.get_by_role("button", name="退出登录").click()
    page.wait_for_url("**/login")


def test_the_english_pages_have_no_chinese_but_names(opened: Open) -> None:
    page = opened(language="en-GB")
    page.locator(".me summary").click()
    page.get_by_role("button", name="English").click()
    expect(page.locator("h1")).to_have_text("Today")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator(".sub")).to_contain_text("Wed 25 Nov")
    page.locator(".me summary").click()
    page.get_by_role("button", name="中文").click()
    expect(page.locator("h1")).to_have_text("今日")


def test_a_tap_appears_on_today_by_itself(served: Served, opened: Open) -> None:
    page = opened()
    number = page.locator(".count-big .number")
    before = number.inner_text()
    pupil_id, name, _class = served.site.pupils[7]
    at = clock.now()
    with served.site.app.app_context(), transaction() as session:
        session.add(sample.tap(at, pupil_id=UUID(pupil_id), seq=7001))
        day = session.get(PupilDay, (UUID(pupil_id), sample.DAY))
        assert day is not None
        day.status, day.first_in, day.inside = "in_school", at.replace(microsecond=0), True
    row = page.locator("tr.feed-row").first
    expect(row).to_contain_text(name)
    expect(row).to_contain_text("到校")
    expect(number).not_to_have_text(before)
    expect(page.locator("[data-badge]").first).to_contain_text("实时")


def test_the_page_is_live_also_when_a_script_is_slow(served: Served, opened: Open) -> None:
    page = opened()
    page.context.route("**/hx-sse.min.js", lambda route: (page.wait_for_timeout(400), route.continue_()))
    with page.expect_request("**/live?*"):
        page.goto("/texts")


def test_an_opened_table_stays_open_when_the_page_refreshes(served: Served, opened: Open) -> None:
    page = opened()
    page.get_by_text("用表格看这些数字").click()
    expect(page.locator(".numbers table")).to_be_visible()
    with served.site.app.app_context(), transaction() as session:
        session.add(sample.tap(clock.now(), seq=7003, card="em4100:00000BEEF2"))
    expect(page.locator("tr.feed-row").first).to_contain_text("EEF2")
    expect(page.locator(".numbers table")).to_be_visible()


def test_the_feed_does_not_move_under_the_pointer(served: Served, opened: Open) -> None:
    page = opened()
    first = page.locator("tr.feed-row").first
    first.hover()
    held = first.get_attribute("id")
    with served.site.app.app_context(), transaction() as session:
        session.add(sample.tap(clock.now(), seq=7002, card="em4100:00000BEEF1"))
    expect(page.locator(".todos .todo", has_text="EEF1").first).to_be_attached()  # the page did refresh
    assert page.locator("tr.feed-row").first.get_attribute("id") == held
    page.mouse.move(5, 5)
    expect(page.locator("tr.feed-row").first).to_contain_text("EEF1")


def test_when_the_stream_dies_the_page_says_so_and_keeps_its_numbers(served: Served, opened: Open) -> None:
    page = opened()
    page.clock.install()
    page.goto("/")
    expect(page.locator("[data-badge]").first).to_contain_text("实时")
    number = page.locator(".count-big .number").inner_text()
    page.context.set_offline(True)
    page.clock.run_for(12_000)
    expect(page.locator("#cut-off")).to_be_visible()
    expect(page.locator("#cut-off")).to_contain_text("校门照常记录")
    assert page.locator(".count-big .number").inner_text() == number
    keep(page, "cut-off-desktop")
    page.context.set_offline(False)
    page.get_by_role("button", name="再连一次").click()
    page.clock.run_for(3_000)
    expect(page.locator("#cut-off")).to_be_hidden()


def test_who_is_logged_out_elsewhere_lands_on_the_login(served: Served, opened: Open) -> None:
    page = opened()
    with served.site.app.app_context(), transaction() as session:
        session.execute(db.delete(LoginSession))
    page.wait_for_url("**/login*", timeout=20_000)


def test_a_number_is_shown_on_request_and_stays(served: Served, opened: Open) -> None:
    page = opened()
    page.goto(f"/pupils/{served.site.pupils[3][0]}")
    expect(page.locator(".contact").first).to_contain_text("131****4474")
    page.get_by_role("button", name="的号码").first.click()
    expect(page.locator(".tel")).to_have_text("+8613100034474")


def test_from_the_class_to_the_pupil_and_back_by_keyboard(served: Served, opened: Open) -> None:
    page = opened()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.goto(f"/classes/{served.site.classes[0]}")
    link = page.locator(".pupil-rows a").first
    name = link.locator("b").inner_text()
    link.focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(name)
    page.locator(".crumb").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".pupil-rows")).to_be_visible()


def test_the_day_before_is_one_press_away(served: Served, opened: Open) -> None:
    page = opened()
    page.goto(f"/classes/{served.site.classes[0]}")
    page.get_by_role("link", name="前一天").click()
    expect(page.locator(".sub")).to_contain_text("11月24日 周二")
    page.get_by_role("link", name="今日").last.click()


def test_search_from_any_page(served: Served, opened: Open) -> None:
    page = opened()
    name = served.site.pupils[5][1]
    page.locator("#find").fill(name)
    page.keyboard.press("Enter")
    expect(page.locator(".pupil-rows b").first).to_have_text(name)


def test_texts_are_filtered_by_state(opened: Open) -> None:
    page = opened()
    page.goto("/texts")
    page.locator(".chip", has_text="未送达").click()
    expect(page.locator(".text-rows tbody tr")).to_have_count(1)
    expect(page.locator(".text-rows tbody tr")).to_contain_text("停机")


def test_a_text_rings_on_the_demo_phone_by_itself(served: Served, opened: Open) -> None:
    page = opened()
    page.goto("/phone")
    page.locator("#phone-rows a").first.click()
    expect(page.locator(".phone .bubble")).to_have_count(1)
    recipient = page.url.rsplit("/", 1)[1]
    with served.site.app.app_context(), transaction() as session:
        sample.ring(session, recipient, "【明德学校】好消息。", clock.now())
    expect(page.locator(".phone .bubble")).to_have_count(2)
    expect(page.locator(".phone .bubble").last).to_have_text("【明德学校】好消息。")


def test_a_class_teacher_sees_only_the_own_class(opened: Open) -> None:
    page = opened("phone", login="lijing")
    page.goto("/classes")
    expect(page.locator(".class-list li")).to_have_count(1)
    expect(page.locator(".class-list")).to_contain_text("八（2）班")
    assert any(cookie["name"] == "gatebell" and cookie["httpOnly"] for cookie in page.context.cookies())


def test_an_unknown_page_is_a_page_with_a_way_back(opened: Open) -> None:
    page = opened("phone")
    page.goto("/nothing")
    expect(page.locator("h1")).to_have_text("这里没有东西")
    page.get_by_role("link", name="回到今日").click()
    expect(page.locator("h1")).to_have_text("今日")
