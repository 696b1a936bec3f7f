"""A real server with the sample school and a real Chromium; every page is watched for errors."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from argon2 import PasswordHasher, profiles
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from werkzeug.serving import make_server

from server import clock, config
from server.accounts import service as accounts
from tests import sample, services
from tests.server.site import Site

SCREENS = Path(__file__).parents[2] / "docs" / "screens"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]
TALLEST = 1500  # of a picture for the manual, in CSS pixels
KEEP = os.environ.get("GATEBELL_SCREENSHOTS") == "1"  # read before the tests' environment is emptied
ASKED_FOR = (
    "Failed to load resource: the server responded with a status of 4",
    "htmx: htmx:sse:error: SSE reconnect failed with status 401",
)
SIZES = {"desktop": (1280, 900), "phone": (390, 844), "small": (360, 640)}


class Served:
    """The sample school at an address."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.server = make_server("127.0.0.1", 0, site.app, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def start(self) -> None:
        """Serve."""
        self.thread.start()

    def stop(self) -> None:
        """Serve no more; open streams end first."""
        hub = self.site.app.extensions["gatebell-live"]
        for stream in tuple(hub.streams):
            hub.leave(stream)
        self.server.shutdown()
        self.thread.join(10)
        self.server.server_close()
        self.site.close()


@pytest.fixture(scope="module")
def patched() -> Iterator[pytest.MonkeyPatch]:
    """07:52 at the sample school, and cheap passwords, for a whole module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "_base", sample.clock_at(7, 52, 7))
        patch.setattr(accounts, "hasher", PasswordHasher.from_parameters(profiles.CHEAPEST))
        yield patch


@pytest.fixture(scope="module")
def school_size() -> dict[str, object]:
    """How large the sample school is; a module may say otherwise."""
    return {}


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory,
    sqlite_template: Path,
    patched: pytest.MonkeyPatch,
    school_size: dict[str, int],
) -> Iterator[Served]:
    """The sample school, served."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(sqlite_template, folder / "gatebell.db")
    settings = config.Config(
        database=config.Database(url=f"sqlite:///{folder}/gatebell.db"),
        secrets=config.Secrets(key_file=str(folder / "key")),
        run_dir=str(folder),
    )
    served = Served(Site(msgspec.structs.replace(settings, demo=True), **school_size))
    served.start()
    yield served
    served.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        services.missing("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


class Watch:
    """Everything that a browser complains of, but for answers that a test asked for."""

    def __init__(self) -> None:
        self.complaints: list[str] = []

    def on(self, page: Page) -> None:
        """Listen to one page."""
        page.on("console", self.said)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))

    def said(self, message: ConsoleMessage) -> None:
        """The console's line, when it is one of those."""
        if message.type in {"error", "warning"} and not message.text.startswith(ASKED_FOR):
            self.complaints.append(f"{message.type}: {message.text}")


@pytest.fixture
def watch() -> Iterator[Watch]:
    """No test may leave an error, a warning or a breach of the content policy in the console."""
    watch = Watch()
    yield watch
    assert watch.complaints == []


@pytest.fixture
def opened(chromium: Browser, served: Served, watch: Watch) -> Iterator[Callable[..., Page]]:
    """Opens a window: `opened("phone", login="wangmin", language="en-GB")`."""
    contexts: list[BrowserContext] = []

    def open_window(size: str = "desktop", *, login: str = "wangmin", language: str = "zh-CN", **more: object) -> Page:
        width, height = SIZES[size]
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            device_scale_factor=1 if size == "desktop" else 2,
            locale=language,
            timezone_id="Asia/Shanghai",
            has_touch=size != "desktop",
            base_url=served.url,
            **more,  # type: ignore[arg-type]
        )
        contexts.append(context)
        page = context.new_page()
        watch.on(page)
        if login:
            log_in(page, login)
        return page

    yield open_window
    for context in contexts:
        context.close()


def pages(served: Served) -> dict[str, str]:
    """Every page by name, with its longest content."""
    site = served.site
    return {
        "today": "/",
        "classes": "/classes",
        "class": f"/classes/{site.classes[4]}",
        "longest-name": f"/classes/{site.classes[17]}",
        "pupil": f"/pupils/{site.pupils[17][0]}",
        "find": "/find",
        "pupils": "/find?state=missing",
        "gates": "/gates",
        "calendar": "/calendar",
        "calendar-day": f"/calendar?day={sample.DAY}",
        "bells": "/calendar/bells",
        "calendar-files": "/calendar/files",
        "boarders": "/boarders",
        "settings": "/settings",
        "absence-settings": "/settings?of=absence.AbsencePolicy",
        "boarding-settings": "/settings?of=calendar.BoardingPolicy",
        "inside": "/inside",
        "rollcall": "/rollcall",
        "visitors": "/visitors",
        "texts": "/texts",
        "odd-uses": "/odd-uses",
        "odd-uses-seen": "/odd-uses?show=seen",
        "failed-texts": "/texts?state=failed",
        "absence": "/absence",
        "send-anyway": "/absence/send",
        "replies": "/replies",
        "leave": "/leave",
        "leave-new": f"/leave/new?pupil={site.pupils[17][0]}",
        "leave-search": "/leave/new?q=林",
        "leave-trip": f"/leave/trip?class={site.classes[4]}",
        "leave-warnings": "/leave/warnings",
        "phone": "/phone",
        "registers": "/register",
        "register": f"/register/{site.classes[4]}",
        "correction": f"/register/pupils/{site.pupils[17][0]}",
        "differences": "/register/differences",
        "gate": "/gate?q=2026",
        "at-the-gate": f"/gate/{site.pupils[17][0]}",
        "passes": "/passes",
        "reports": "/reports",
        "reports-term": "/reports?period=term",
        "report-class": f"/reports/classes/{site.classes[4]}",
        "report-pupil": f"/reports/pupils/{site.pupils[17][0]}",
        "month-sheet": f"/reports/classes/{site.classes[4]}/register",
        "nothing": "/nothing",
    }


def choose(page: Page, language: str) -> None:
    """Set the user's language."""
    english = language.startswith("en")
    page.locator(".me summary").click()
    page.get_by_role("button", name="English" if english else "中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "en" if english else "zh-CN")


def log_in(page: Page, login: str) -> None:
    """As a person does, by keyboard: the form has the focus already."""
    page.goto("/login")
    expect(page.locator("#login")).to_be_focused()
    page.keyboard.type(login)
    page.keyboard.press("Tab")
    page.keyboard.type(sample.PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/")


def keep(page: Page, name: str) -> None:
    """Save the page as a picture for the manual, when GATEBELL_SCREENSHOTS=1 asks for it."""
    if not KEEP:
        return
    SCREENS.mkdir(parents=True, exist_ok=True)
    size = page.viewport_size or {"width": 1280, "height": 900}
    tall = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": max(size["height"], min(tall, TALLEST))})
    page.wait_for_timeout(150)
    page.screenshot(path=str(SCREENS / f"{name}.png"))
    page.set_viewport_size(size)
