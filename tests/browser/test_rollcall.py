"""The roll call in real browsers: two marshals at once, one of them without a network for a while, and then in sync."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import delete, select

from server.db import db, transaction
from server.rollcall.models import RollCall, RollEntry, RollTick
from tests.browser.conftest import Served, Watch, choose, keep
from tests.browser.test_axe import violations
from tests.browser.test_fit import DOUBLED, NAMELESS, SIDEWAYS, TOO_SMALL

pytestmark = pytest.mark.browser
Open = Callable[..., Page]
OFFLINE = ("net::ERR_", "htmx:sse:error", "htmx:error")


@pytest.fixture(autouse=True)
def no_roll(served: Served) -> Iterator[None]:
    """Each test rings its own alarm."""
    with served.site.app.app_context():
        with transaction() as session:
            session.execute(delete(RollCall))
        db.session.remove()
    yield


@pytest.fixture
def deaf(watch: Watch) -> Iterator[None]:
    """What a browser says of a network that the test has cut is no fault of a page."""
    yield
    watch.complaints[:] = [said for said in watch.complaints if not any(word in said for word in OFFLINE)]


def alarm(page: Page, kind: str = "drill") -> str:
    """Ring it as a person does; the address of the roll."""
    page.goto("/rollcall")
    form = page.locator(f"details:has(input[value={kind}])")
    form.locator("summary").click()
    form.locator("button").click()
    page.wait_for_url("**/rollcall/*-*")
    return page.url


def part_url(served: Served, url: str, n: int = 1) -> str:
    """The page of a class."""
    return f"{url}/parts/{served.site.classes[n]}"


def there(served: Served) -> dict[str, tuple[bool, str]]:
    """Entry -> ticked, and by whom said last, of those of whom something was said."""
    with served.site.app.app_context():
        rows = db.session.scalars(select(RollEntry).where(RollEntry.said_at.is_not(None))).all()
        db.session.remove()
    return {str(row.id): (row.there, row.said_name) for row in rows}


def rows_of(page: Page) -> list[str]:
    """The ids of the rows in their order."""
    found: list[str] = page.locator("[data-entry]").evaluate_all("rows => rows.map(row => row.dataset.entry)")
    return found


def touch(page: Page, entry: str) -> None:
    """Tick one name."""
    page.locator(f"#e-{entry} .roll-tick").click()


def undo(page: Page, entry: str) -> None:
    """Take it back."""
    page.locator(f"#e-{entry} .roll-undo").click()


def test_two_marshals_tick_and_undo_at_once_and_each_sees_the_other(served: Served, opened: Open) -> None:
    office, teacher = opened("desktop"), opened("phone", login="lijing")
    url = alarm(office)
    for page in (office, teacher):
        page.goto(part_url(served, url))
    order = rows_of(office)
    one, two, three = order[:3]
    missing = int(office.locator("[data-missing]").inner_text())
    touch(office, one)
    touch(teacher, two)
    expect(office.locator(f"#e-{two}")).to_have_class(re.compile("is-there"))
    expect(teacher.locator(f"#e-{one}")).to_have_class(re.compile("is-there"))
    expect(teacher.locator(f"#e-{one} [data-said]")).to_contain_text("王敏")
    undo(teacher, one)
    touch(office, three)
    expect(office.locator(f"#e-{one}")).not_to_have_class(re.compile("is-there"))
    expect(teacher.locator(f"#e-{three}")).to_have_class(re.compile("is-there"))
    for page in (office, teacher):
        expect(page.locator("[data-missing]")).to_have_text(str(missing - 2))
        assert rows_of(page) == order  # nothing moves under a finger
    assert there(served) == {one: (False, "李静"), two: (True, "李静"), three: (True, "王敏")}


def test_a_phone_without_network_keeps_its_ticks_over_a_reload_and_sends_them(
    served: Served, opened: Open, deaf: None
) -> None:
    office, teacher = opened("desktop"), opened("phone", login="lijing")
    url = alarm(office)
    for page in (office, teacher):
        page.goto(part_url(served, url))
    one, two, three, four = rows_of(teacher)[:4]
    teacher.context.set_offline(True)
    for entry in (one, two, three):
        touch(teacher, entry)
    undo(teacher, three)
    expect(teacher.locator("#unsent")).to_contain_text("4")
    expect(teacher.locator(f"#e-{one}")).to_have_class(re.compile("is-there"))
    touch(office, four)  # meanwhile the other marshal goes on, and ticks one of the same
    touch(office, two)
    expect(office.locator(f"#e-{two} [data-said]")).to_contain_text("王敏")
    assert set(there(served)) == {four, two}
    teacher.context.set_offline(False)
    teacher.reload()  # the queue lives in the phone, not in the page
    expect(teacher.locator("#unsent")).to_be_hidden(timeout=15000)
    expect(teacher.locator(f"#e-{four}")).to_have_class(re.compile("is-there"))
    expect(office.locator(f"#e-{one} [data-said]")).to_contain_text("李静")
    assert there(served) == {one: (True, "李静"), two: (True, "王敏"), three: (False, "李静"), four: (True, "王敏")}
    with served.site.app.app_context():
        assert len(db.session.scalars(select(RollTick)).all()) == 6
        db.session.remove()
    assert teacher.evaluate("Object.keys(localStorage).length") == 0


def test_a_tick_that_the_server_did_not_answer_is_sent_again_and_counts_once(
    served: Served, opened: Open, deaf: None
) -> None:
    page = opened("phone", login="lijing")
    office = opened("desktop")
    page.goto(part_url(served, alarm(office)))
    entry = rows_of(page)[0]
    lost = []

    def swallow(route: object) -> None:
        """The server takes it, and the answer is lost on the way."""
        if not lost:
            lost.append(route.fetch())  # type: ignore[attr-defined]
            route.abort()  # type: ignore[attr-defined]
        else:
            route.continue_()  # type: ignore[attr-defined]

    page.route("**/rollcall/entries/*", swallow)
    touch(page, entry)
    expect(page.locator("#unsent")).to_be_visible()
    expect(page.locator("#unsent")).to_be_hidden(timeout=15000)
    with served.site.app.app_context():
        assert len(db.session.scalars(select(RollTick)).all()) == 1
        db.session.remove()
    page.unroute("**/rollcall/entries/*")


def test_a_phone_that_is_logged_out_keeps_its_ticks_until_somebody_logs_in(served: Served, opened: Open) -> None:
    page, office = opened("phone", login="lijing"), opened("desktop")
    page.goto(part_url(served, alarm(office)))
    entry = rows_of(page)[0]
    cookies = page.context.cookies()
    page.context.clear_cookies()
    touch(page, entry)
    expect(page.locator("#unsent")).to_contain_text("重新登录")
    page.context.add_cookies(cookies)  # type: ignore[arg-type]
    expect(page.locator("#unsent")).to_be_hidden(timeout=15000)
    assert there(served) == {entry: (True, "李静")}


def test_without_script_a_tick_is_a_plain_form(served: Served, opened: Open) -> None:
    office = opened("desktop")
    url = alarm(office)
    page = opened("phone", login="lijing", java_script_enabled=False)
    page.goto(part_url(served, url))
    entry = re.search(r'data-entry="([^"]+)"', page.content())
    assert entry is not None
    touch(page, entry[1])
    page.wait_for_url("**#e-*")
    assert there(served) == {entry[1]: (True, "李静")}


def test_by_keyboard_alone_a_name_is_ticked_and_taken_back_and_said_aloud(served: Served, opened: Open) -> None:
    page = opened("desktop")
    page.goto(part_url(served, alarm(page)))
    entry = rows_of(page)[0]
    page.locator(f"#e-{entry} .roll-tick").focus()
    page.keyboard.press("Enter")
    expect(page.locator(f"#e-{entry} .roll-undo")).to_be_focused()
    expect(page.locator("#roll-said")).to_contain_text("已点到")
    page.keyboard.press("Enter")
    expect(page.locator(f"#e-{entry} .roll-tick")).to_be_focused()
    expect(page.locator("#roll-said")).to_contain_text("已撤销")


def test_the_desktop_follows_the_marshals_and_sends_somebody_where_nobody_ticks(served: Served, opened: Open) -> None:
    office, teacher = opened("desktop"), opened("phone", login="lijing")
    url = alarm(office, "real")
    expect(office.locator(".roll-kind")).to_contain_text("真实")
    own, other = served.site.classes[1], served.site.classes[0]
    expect(office.locator(f"#part-{own}")).to_contain_text("没有人在点")
    expect(teacher.get_by_role("link", name="去点名").first).to_be_visible()  # Today says it by itself
    teacher.goto(part_url(served, url))
    touch(teacher, rows_of(teacher)[0])
    expect(office.locator(f"#part-{own}")).to_contain_text("李静 正在点")
    expect(office.locator(".roll-marshals").first).to_contain_text("李静")
    office.locator(f"#send-{other} summary").click()
    office.locator(f"#send-{other} select").select_option(label="李静")
    office.locator(f"#send-{other} button").click()
    expect(office.locator(f"#part-{other}")).to_contain_text("已派 李静")
    teacher.goto(part_url(served, url, 0))
    expect(teacher.locator(".roll-tick").first).to_be_visible()
    before = office.locator(".roll-time").inner_text()
    expect(office.locator(".roll-time")).not_to_have_text(before)
    keep(office, "rollcall-desktop")
    keep(teacher, "rollcall-phone")


def test_the_roll_is_black_on_white_with_large_names_and_rows_and_no_navigation(served: Served, opened: Open) -> None:
    page = opened("phone")
    alarm(page)
    page.locator("a.roll-part:has(small)").first.click()  # a class with somebody in doubt
    row = page.locator(".roll-tick").first
    expect(row.locator("b")).to_have_css("font-size", "22px")
    expect(row).to_have_css("color", "rgb(0, 0, 0)")
    assert (row.bounding_box() or {"height": 0})["height"] >= 64
    assert page.locator(".top-nav, .dock-nav").count() == 0
    expect(page.locator(".roll-hatched")).to_contain_text("可能在校，也要找")
    page.goto("/inside/list")
    page.emulate_media(media="print")
    expect(page.locator(".no-print").first).to_be_hidden()
    assert page.locator("script").count() == 0


@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
@pytest.mark.parametrize("size", ["desktop", "small"])
def test_the_roll_fits_and_axe_finds_nothing(served: Served, opened: Open, size: str, language: str) -> None:
    page = opened(size)
    choose(page, language)
    url = alarm(page)
    page.locator("a.roll-part:has(small)").first.click()
    part = page.url
    touch(page, rows_of(page)[0])
    for address in (url, part, f"{url}/report", "/inside/list", "/inside", "/rollcall", "/visitors"):
        page.goto(address)
        assert violations(page) == [], address
        assert page.evaluate(SIDEWAYS) <= 0, address
        assert page.evaluate(TOO_SMALL) == [], address
        assert page.evaluate(NAMELESS) == [], address
        assert page.evaluate(DOUBLED) == [], address
        assert page.locator("h1").count() == 1, address
    choose_again(page)


def choose_again(page: Page) -> None:
    """The other tests read Chinese."""
    page.goto("/")
    choose(page, "zh-CN")
