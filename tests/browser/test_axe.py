"""axe-core finds nothing on any page: WCAG 2.x A and AA, and its own best practices."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Served, choose, pages

pytestmark = pytest.mark.browser
Open = Callable[..., Page]

AXE = (Path(__file__).parent / "vendor" / "axe-core-4.14.1" / "axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
RUN = """async (tags) => {
  const found = await axe.run(document, {runOnly: tags, resultTypes: ["violations"]});
  return found.violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 160)}`));
}"""


@pytest.fixture(scope="module")
def school_size() -> dict[str, object]:
    """All grades, so that the page with the longest names is among them."""
    return {"grades": (7, 8, 9, 10, 11, 12), "of_grade": 3, "pupils": 200}


def violations(page: Page) -> list[str]:
    """Each rule that the page breaks, with the element that breaks it.

    The window is as tall as the page meanwhile: what lies under the bar at a phone's foot can be scrolled out.
    """
    size = page.viewport_size or {"width": 1280, "height": 900}
    tall = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": max(size["height"], min(tall + 100, 12_000))})
    page.evaluate(AXE)
    found: list[str] = page.evaluate(RUN, RULES)
    page.set_viewport_size(size)
    return found


@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
@pytest.mark.parametrize("size", ["desktop", "small"])
def test_axe_finds_nothing_on_any_page(served: Served, opened: Open, size: str, language: str) -> None:
    page = opened(size, language=language)
    choose(page, language)
    for name, url in pages(served).items():
        page.goto(url)
        assert violations(page) == [], f"{name} in {language}"


@pytest.mark.parametrize("size", ["desktop", "small"])
def test_axe_finds_nothing_on_the_login_also_after_a_wrong_password(opened: Open, size: str) -> None:
    page = opened(size, login="")
    page.goto("/login")
    assert violations(page) == []
    page.fill("#login", "wangmin")
    page.fill("#password", "wrong")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    assert violations(page) == []


def test_axe_is_awake(opened: Open) -> None:
    page = opened()
    page.evaluate("document.querySelector('h1').insertAdjacentHTML('afterend', '<input>')")
    assert any(found.startswith("label:") for found in violations(page))
