"""The gates' page in a browser: it refreshes itself, a test is asked for by keyboard, and it fits a phone."""

from collections.abc import Callable, Iterator

import msgspec
import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from gateway import wire
from server import clock
from server.db import transaction
from server.gates import jobs, selftests
from server.gates.models import Gateway
from tests.browser.conftest import Served, choose, keep
from tests.server.gate import BOOT

Open = Callable[..., Page]


@pytest.fixture
def troubled(served: Served) -> Iterator[None]:
    """One gate with a reader that another program holds, and a caretaker."""
    now = clock.to_millis(clock.now())
    up = wire.ReaderState(reader="east-in", health=wire.ReaderHealth.UP, profile="rdm6300", last_card=now - 60_000)
    down = wire.ReaderState(reader="east-out", health=wire.ReaderHealth.DOWN, profile="em18", why="held ModemManager")
    state = wire.State(online=True, birth=now, at=now, boot=BOOT, clock=wire.ClockState.SYNCED, readers=[up, down])
    with served.site.app.app_context(), transaction() as session:
        first = session.scalars(select(Gateway).order_by(Gateway.id)).first()
        assert first is not None
        first.state, first.online, first.heard_at = msgspec.to_builtins(state), True, clock.now()
    yield


def answer(served: Served, **checks: str) -> None:
    """The gate answers all that it was asked."""
    with served.site.app.app_context():
        with transaction() as session:
            questions = selftests.take_unsent(session, clock.now())
        for each in questions:
            found = wire.Tested(number=each.command.number, at=0, checks={"spool": "ok", **checks})
            with transaction():
                selftests.answered("mingde", each.gateway_id, found, clock.now())
        jobs.judge_tests()


def test_a_test_is_asked_for_and_its_end_comes_by_itself(served: Served, opened: Open, troubled: None) -> None:
    page = opened()
    page.goto("/gates")
    card = page.locator(".gate-card").first
    expect(card).to_contain_text("读卡器 east-out 被程序 ModemManager 占用")
    card.get_by_role("button", name="立即自检").focus()
    page.keyboard.press("Enter")
    expect(card).to_contain_text("正在自检")
    expect(card.get_by_role("button", name="立即自检")).to_be_disabled()
    page.get_by_label("姓名").fill("王师傅")
    answer(served, spool="unwritten")
    expect(card).to_contain_text("自检：有问题", timeout=15_000)  # by itself
    expect(card).to_contain_text("网关写不了存储卡")
    expect(page.get_by_label("姓名")).to_have_value("王师傅")  # what is being typed stays
    page.get_by_label("手机号").fill("13900001234")
    page.get_by_role("button", name="添加").click()
    expect(page.locator(".contact")).to_contain_text("139****1234")
    keep(page, "gates-desktop")


@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
def test_the_page_fits_a_phone(served: Served, opened: Open, troubled: None, language: str) -> None:
    page = opened("small", language=language)
    page.goto("/gates")
    choose(page, language)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360
    page.goto("/")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    expect(page.locator(".gates .why").first).to_be_visible()

    page.locator(".gates a").first.click()
    expect(page.locator("h1")).to_be_visible()
    keep(page, f"gates-phone-{language[:2]}")
