"""The calendar in a browser: a day is changed and undone by keyboard, a year is taken, a bad setting is explained."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import choose, keep

pytestmark = pytest.mark.browser
Open = Callable[..., Page]


def test_a_day_is_changed_and_undone_by_keyboard(opened: Open) -> None:
    page = opened("phone")
    choose(page, "en-GB")
    page.goto("/calendar?year=2026")
    page.locator("a", has_text="24").filter(has_text="School day").last.press("Enter")
    page.get_by_label("Day off").focus()
    page.keyboard.press("Space")
    page.get_by_label("Called").fill("Sports day")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Changed.")
    keep(page, "calendar-phone")
    page.get_by_role("status").get_by_role("button", name="Undo").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Undone")


def test_a_year_is_proposed_and_taken(opened: Open) -> None:
    page = opened()
    choose(page, "zh-CN")
    page.goto("/calendar?year=2026")
    page.get_by_role("button", name="查出 2026 年的节假日").click()
    expect(page.locator("#proposals")).to_contain_text("国庆节")
    keep(page, "calendar-proposals-desktop")
    page.get_by_role("button", name="采用勾选的日子").click()
    expect(page.get_by_role("status")).to_contain_text("已更改")
    expect(page.locator("td.y-holiday").first).to_be_visible()
    keep(page, "calendar-desktop")
    page.get_by_role("status").get_by_role("button", name="撤销").click()
    page.goto("/calendar?year=2031")
    expect(page.locator(".banner")).to_contain_text("2031")


def test_a_bad_setting_is_said_at_its_field_and_keeps_what_was_typed(opened: Open) -> None:
    page = opened("phone")
    choose(page, "zh-CN")
    page.goto("/settings?of=attendance.Policy")
    keep(page, "settings-phone")
    page.locator("#f-grace").fill("999")
    page.keyboard.press("Enter")
    expect(page.locator("#why-grace")).to_contain_text("0")
    expect(page.locator("#f-grace")).to_have_value("999")
    expect(page.locator("#f-grace")).to_be_focused()
