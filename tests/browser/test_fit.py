"""Every page fits: 360 px without sideways scroll, 200 % zoom, 44 px for a finger, and 786 pupils."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Served, choose, keep, log_in, pages

pytestmark = pytest.mark.browser
Open = Callable[..., Page]

TOO_SMALL = """() => [...document.querySelectorAll("a, button, input:not([type=hidden]), summary")]
  .filter((e) => e.checkVisibility() && !e.closest(".skip, .plain-table"))
  .map((e) => [e.getBoundingClientRect(), e])
  .filter(([box]) => box.height < 43.5 || box.width < 43.5)
  .map(([box, e]) => `${e.tagName} ${e.className} "${e.textContent.trim().slice(0, 30)}" ${box.width}x${box.height}`)"""
NAMELESS = """() => [...document.querySelectorAll("a, button, input:not([type=hidden]), summary")]
  .filter((e) => e.checkVisibility())
  .filter((e) => !(e.textContent.trim() || e.getAttribute("aria-label") || (e.labels && e.labels.length)))
  .map((e) => e.outerHTML.slice(0, 120))"""
DOUBLED = """() => {
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  return ids.filter((id, n) => ids.indexOf(id) !== n);
}"""
OVER_THE_NAME = """() => [...document.querySelectorAll(".class-list a")].filter((row) => {
  const box = (part) => row.querySelector(part).getBoundingClientRect();
  const [name, count] = [box(".class-name b"), box(".class-counts")];
  return name.right > count.left && name.bottom > count.top && count.bottom > name.top;
}).map((row) => row.textContent.trim())"""
UNDER_THE_FOOT = """() => {
  scrollTo({top: document.documentElement.scrollHeight, behavior: "instant"});
  const ends = [...document.querySelectorAll("main .card")].filter((e) => e.checkVisibility())
    .map((e) => e.getBoundingClientRect().bottom);
  return Math.max(...ends) - document.querySelector(".dock-nav").getBoundingClientRect().top;
}"""
SIDEWAYS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def school_size() -> dict[str, object]:
    """The size of the school in the sources."""
    return {"grades": (7, 8, 9, 10, 11, 12), "of_grade": 3, "pupils": 786}


KEPT = {"today", "classes", "class", "pupil", "pupils", "texts", "phone"}


@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_a_small_phone_needs_no_sideways_scroll_and_no_small_fingers(
    served: Served, opened: Open, language: str
) -> None:
    page = opened("small", login="", language=language)
    page.goto("/login")
    assert page.evaluate(SIDEWAYS) <= 0
    log_in(page, "wangmin")
    choose(page, language)
    for name, url in pages(served).items():
        page.goto(url)
        assert page.evaluate(SIDEWAYS) <= 0, f"{name} in {language}"
        assert page.evaluate(TOO_SMALL) == [], name
        assert page.evaluate(NAMELESS) == [], name
        assert page.evaluate(OVER_THE_NAME) == [], f"{name} in {language}"
        assert page.evaluate(UNDER_THE_FOOT) <= 0, f"{name} in {language}"
        page.set_viewport_size({"width": 320, "height": 640})
        assert page.evaluate(SIDEWAYS) <= 0, f"{name} in {language} at 320 px"
        page.set_viewport_size({"width": 360, "height": 640})


def test_a_large_screen_has_landmarks_names_and_room_for_fingers_and_can_be_zoomed(
    served: Served, opened: Open
) -> None:
    page = opened("desktop")
    choose(page, "zh-CN")
    for name, url in pages(served).items():
        page.goto(url)
        assert page.evaluate(TOO_SMALL) == [], name
        assert page.evaluate(NAMELESS) == [], name
        assert page.evaluate(DOUBLED) == [], name
        assert page.locator("h1").count() == 1, name
        assert page.locator("main, header, nav[aria-label]").count() >= 3, name
        page.set_viewport_size({"width": 640, "height": 450})  # what 200 % zoom leaves of 1280 x 900
        assert page.evaluate(SIDEWAYS) <= 0, name
        page.set_viewport_size({"width": 1280, "height": 900})
        if name in KEPT:
            keep(page, f"{name}-desktop")


def test_today_of_786_pupils_is_live_in_both_languages(served: Served, opened: Open) -> None:
    page = opened("phone")
    choose(page, "en-GB")
    expect(page.locator(".count-big")).to_contain_text("of 786")
    choose(page, "zh-CN")
    expect(page.locator(".count-big")).to_contain_text("/ 786 人")
    expect(page.locator("tr.feed-row")).to_have_count(8)
    expect(page.locator("[data-badge]").first).to_contain_text("实时")


def test_pictures_of_the_phone_and_of_english_are_kept(served: Served, opened: Open) -> None:
    """Also the one test that opens the whole demo phone on a phone."""
    page = opened("phone")
    choose(page, "zh-CN")
    for name in sorted(KEPT):
        page.goto(pages(served)[name])
        expect(page.locator("h1")).to_be_visible()
        keep(page, f"{name}-phone")
    page.goto("/phone")
    page.locator("#phone-rows a").first.click()
    expect(page.locator(".bubble").first).to_be_visible()
    keep(page, "phone-open-phone")
    wide = opened("desktop")
    choose(wide, "en-GB")
    keep(wide, "today-english")
    choose(wide, "zh-CN")


def test_a_printed_page_is_only_its_content(served: Served, opened: Open) -> None:
    page = opened()
    page.goto(f"/classes/{served.site.classes[0]}")
    page.emulate_media(media="print")
    expect(page.locator(".bar")).to_be_hidden()
    expect(page.locator(".pupil-rows tbody tr").first).to_be_visible()
    card = page.locator(".card:has(.pupil-rows)")
    expect(card).to_have_css("break-inside", "auto")  # a card longer than the paper begins on the first sheet
