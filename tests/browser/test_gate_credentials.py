"""The Today page names a revoked gate that still sends, and a gate whose certificate ends."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from server import clock
from server.db import transaction
from server.gates.models import Credential, Gateway
from server.taps import service as taps
from tests.browser.conftest import Served, choose

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def trouble(served: Served) -> None:
    """gate-4 was stolen ten minutes ago and goes on sending; gate-2 was last renewed long ago."""
    now = clock.now()
    stolen = Gateway(school_id="mingde", id="gate-4", name="4号门 北门", heard_at=now - timedelta(hours=1), state={})
    stolen.blocked_at = now - timedelta(minutes=10)
    ends = now + timedelta(days=20)
    with served.site.app.app_context(), transaction() as session:
        session.add(stolen)
        session.add(Credential(school_id="mingde", gateway_id="gate-2", serial="1f", made_at=now, expires_at=ends))
        taps.refuse("gatebell/1/00/mingde/gate-4/tap", b"{}", "gate gate-4 was revoked and still sends")


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en-GB", ("was revoked and still sends", "needs a new certificate", "Revoked")),
        ("zh-CN", ("已被吊销，却仍在发送", "需要新的证书", "已吊销")),
    ],
)
@pytest.mark.parametrize("size", ["desktop", "small"])
def test_staff_read_what_is_wrong_and_whom_to_tell(
    trouble: None, opened: Callable[..., Page], language: str, words: tuple[str, ...], size: str
) -> None:
    page = opened(size, language=language)
    choose(page, language)
    page.goto("/")
    for each in words:
        expect(page.get_by_text(each).locator("visible=true").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
