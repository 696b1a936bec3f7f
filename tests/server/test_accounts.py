"""Logging in and staying in: what a stranger, a guesser and a copied cookie get."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from sqlalchemy import select

from gateway.timebase import Timebase
from server import clock, config
from server.accounts import service
from server.accounts.models import LoginSession, User
from server.cli import build
from server.db import db
from tests import sample
from tests.server.site import Site

PUBLIC = {"static", "accounts.login", "accounts.log_in", "accounts.log_out", "accounts.language"}
MACHINES = {"outbox.receipt", "outbox.reply"}  # each asks for a secret of its own
# The address itself is the key: without the right one there is nothing.
SIGNED = {"calendar.subscribed", "leavedesk.link_landing", "leavedesk.link_open"} | {
    "leavedesk.link_ask",
    "leavedesk.link_withdraw",
}


@pytest.fixture
def site(settings: config.Config, morning: None) -> Iterator[Site]:
    """A small school will do here."""
    site = Site(settings, pupils=4)
    yield site
    site.close()


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """So many seconds pass."""
    base = clock._base
    moved = Timebase(base.start, base.begins - round(seconds * 1000), base.speed, base.until)
    monkeypatch.setattr(clock, "_base", moved)


def test_every_endpoint_is_closed_to_strangers(site: Site) -> None:
    stranger, seen = site.stranger(), set()
    token = stranger.token()
    for rule in site.app.url_map.iter_rules():
        if rule.endpoint in PUBLIC | MACHINES | SIGNED:
            continue
        seen.add(rule.endpoint)
        url = re.sub(r"<[^>]*>", "00000000-0000-4000-8000-000000000000", rule.rule)
        for method in rule.methods or ():
            if method in {"HEAD", "OPTIONS"}:
                continue
            headers = {"X-CSRFToken": token}
            response = stranger.client.open(url, method=method, headers=headers)
            assert response.status_code in {302, 401}, f"{method} {url} gave {response.status_code}"
            assert "/login" in (response.headers.get("Location") or response.headers.get("HX-Redirect") or "")
    assert {"overview.today", "overview.pupil", "live.stream", "overview.number"} <= seen


def test_an_address_that_is_a_key_opens_nothing_with_a_wrong_one(site: Site) -> None:
    stranger, seen = site.stranger(), set()
    token = stranger.token()
    for rule in site.app.url_map.iter_rules():
        if rule.endpoint in SIGNED:
            seen.add(rule.endpoint)
            url = re.sub(r"<[^>]*>", "00000000-0000-4000-8000-000000000000", rule.rule)
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                response = stranger.client.open(url, method=method, headers={"X-CSRFToken": token})
                assert response.status_code in {404, 410}, f"{method} {url} gave {response.status_code}"
    assert seen == SIGNED


def test_what_is_open_is_listed_here(site: Site) -> None:
    everything = {rule.endpoint for rule in site.app.url_map.iter_rules()}
    assert everything >= PUBLIC | MACHINES


def test_a_stranger_is_led_to_the_login_and_back(site: Site) -> None:
    stranger = site.stranger()
    response = stranger.get("/texts?state=failed")
    assert response.headers["Location"] == "/login?next=/texts?state%3Dfailed"
    page = stranger.text(response.headers["Location"])
    assert 'value="/texts?state=failed"' in page
    done = stranger.post("/login", login="wangmin", password=sample.PASSWORD, next="/texts?state=failed")
    assert done.status_code == 303 and done.headers["Location"] == "/texts?state=failed"


def test_a_fragment_of_a_stranger_sends_the_whole_page_to_the_login(site: Site) -> None:
    response = site.stranger().get("/", **{"HX-Request": "true"})
    assert response.status_code == 401 and response.headers["HX-Redirect"] == "/login"


def test_unknown_login_and_wrong_password_get_the_same_answer(site: Site) -> None:
    stranger = site.stranger(**{"Accept-Language": "en"})
    answers = []
    for login in ("wangmin", "nobody"):
        response = stranger.post("/login", login=login, password="wrong")
        assert response.status_code == 422
        page = re.sub(r'value="[^"]*"|X-CSRFToken": "[^"]*"', "", response.get_data(as_text=True))
        answers.append(page)
    assert answers[0] == answers[1]
    assert "Login or password is wrong" in answers[0]


def test_an_unknown_login_costs_as_many_hashes_as_a_known_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []

    class Counting:
        def verify(self, stored: str, password: str) -> bool:
            checked.append(stored)
            return real.verify(stored, password)

        def hash(self, password: str) -> str:
            return real.hash(password)

    real = service.hasher
    monkeypatch.setattr(service, "hasher", Counting())
    for login in ("wangmin", "nobody"):
        site.stranger().log_in(login, "wrong")
    assert len(checked) == 2


def test_a_guesser_must_wait_even_with_the_right_password(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    guesser = site.stranger()
    for _ in range(5):
        assert guesser.log_in("wangmin", "wrong").status_code == 422
    refused = guesser.log_in("wangmin")
    assert refused.status_code == 429 and int(refused.headers["Retry-After"]) >= 1
    later(monkeypatch, int(refused.headers["Retry-After"]) + 1)
    assert guesser.log_in("wangmin").status_code == 303


def test_guessing_goes_on_counting_over_many_logins_from_one_address(site: Site) -> None:
    guesser = site.stranger()
    codes = [guesser.log_in(f"user{n}", "wrong").status_code for n in range(32)]
    assert codes[:30] == [422] * 30 and codes[-1] == 429


def test_guesses_at_the_same_moment_are_all_counted(site: Site) -> None:
    guessers = [site.stranger() for _ in range(12)]
    tokens = [guesser.token() for guesser in guessers]

    def guess(n: int) -> int:
        form = {"login": "wangmin", "password": "wrong", "csrf_token": tokens[n]}
        return guessers[n].client.post("/login", data=form).status_code

    with ThreadPoolExecutor(12) as pool:
        codes = list(pool.map(guess, range(12)))
    assert sorted(codes) == [422] * 5 + [429] * 7


def test_a_right_login_forgives_the_failures_before(site: Site) -> None:
    forgetful = site.stranger()
    for _ in range(3):
        for _ in range(4):
            forgetful.log_in("wangmin", "wrong")
        assert forgetful.log_in("wangmin").status_code == 303
        forgetful.post("/logout")


def test_a_copied_cookie_is_dead_after_the_logout(site: Site) -> None:
    visitor, thief = site.visitor("wangmin"), site.stranger()
    cookie = visitor.client.get_cookie("gatebell")
    assert cookie is not None
    thief.client.set_cookie("gatebell", cookie.value)
    assert thief.get("/").status_code == 200
    visitor.post("/logout")
    assert thief.get("/").status_code == 302
    assert visitor.get("/").status_code == 302


def test_each_login_has_a_new_session_and_the_table_holds_no_cookie(site: Site) -> None:
    one, other = (site.visitor("wangmin").client.get_cookie("gatebell") for _ in range(2))
    assert one is not None and other is not None and one.value != other.value
    assert len(one.value) >= 43  # 256 bits
    with site.app.app_context():
        stored = db.session.scalars(select(LoginSession.id_hash)).all()
    assert len(stored) == 2 and not {one.value, other.value} & set(stored)


def test_a_cookie_cannot_be_read_by_scripts_or_sent_by_other_sites(site: Site) -> None:
    header = site.stranger().log_in("wangmin").headers["Set-Cookie"]
    assert "HttpOnly" in header and "SameSite=Lax" in header and "Path=/" in header and "Domain" not in header


def test_behind_https_the_cookie_is_bound_to_the_host(settings: config.Config, morning: None) -> None:
    web = msgspec.structs.replace(settings.web, secure_cookies=True)
    site = Site(msgspec.structs.replace(settings, web=web))
    client = site.app.test_client()
    page = client.get("/login", base_url="https://school.example").get_data(as_text=True)
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token is not None
    form = {"login": "wangmin", "password": sample.PASSWORD, "csrf_token": token.group(1)}
    done = client.post(
        "/login", data=form, base_url="https://school.example", headers={"Referer": "https://school.example/login"}
    )
    cookies = done.headers.getlist("Set-Cookie")
    site.close()
    assert done.status_code == 303
    assert any(cookie.startswith("__Host-gatebell=") and "Secure" in cookie for cookie in cookies)
    assert "max-age" in done.headers["Strict-Transport-Security"]


def test_a_session_ends_after_half_an_hour_without_use_and_lives_with_use(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle, busy = site.visitor("wangmin"), site.visitor("menwei")
    for _ in range(2):
        later(monkeypatch, 20 * 60)
        assert busy.get("/").status_code == 200
    assert idle.get("/").status_code == 302


def test_a_session_ends_after_twelve_hours_of_use(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = site.visitor("wangmin")
    for _ in range(28):
        later(monkeypatch, 25 * 60)
        assert visitor.get("/login").status_code == 302  # still in: the login page leads on
    later(monkeypatch, 25 * 60)
    assert visitor.get("/").status_code == 302


def test_who_is_switched_off_is_out_at_once(site: Site) -> None:
    visitor = site.visitor("wangmin")
    with site.app.app_context(), db.session.begin():
        user = db.session.scalar(select(User).where(User.login == "wangmin"))
        assert user is not None
        user.active = False
    assert visitor.get("/").status_code == 302
    assert site.stranger().log_in("wangmin").status_code == 422


def test_a_form_without_its_token_is_refused_with_a_sentence(site: Site) -> None:
    client = site.stranger(**{"Accept-Language": "en"}).client
    response = client.post(
        "/login", data={"login": "wangmin", "password": sample.PASSWORD}, headers={"Accept-Language": "en"}
    )
    assert response.status_code == 400 and "open for too long" in response.get_data(as_text=True)


@pytest.mark.parametrize(
    ("accepts", "title"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "登录"),
        ("zh-TW", "登录"),
        ("en-GB,en;q=0.9", "Log in"),
        ("fr", "登录"),
        ("", "登录"),
    ],
)
def test_the_login_speaks_the_browsers_language_else_the_schools(site: Site, accepts: str, title: str) -> None:
    headers = {"Accept-Language": accepts} if accepts else {}
    page = site.stranger(**headers).text("/login")
    assert f"<title>{title}" in page
    assert f'<html lang="{"en" if title == "Log in" else "zh-CN"}"' in page


def test_the_chosen_language_is_remembered_with_the_user_and_in_the_browser(site: Site) -> None:
    visitor = site.visitor("wangmin")
    assert "<h1>今日</h1>" in visitor.text("/")
    visitor.post("/language", locale="en", next="/")
    assert "<h1>Today</h1>" in visitor.text("/") and "Wed 25 Nov" in visitor.text("/")
    visitor.post("/logout")
    assert "<title>Log in" in visitor.text("/login")
    assert "<h1>Today</h1>" in site.visitor("wangmin").text("/")


def test_gatebell_user_add_gives_a_login_with_its_scope(site: Site, settings: config.Config, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("eight bells ring\n")
    toml = f'[database]\nurl = "{settings.database.url}"\n[secrets]\nkey_file = "{settings.secrets.key_file}"\n'
    (tmp_path / "gatebell.toml").write_text(toml)
    command = ["--config", str(tmp_path / "gatebell.toml"), "user", "add", "sunli", "--name", "孙丽"]
    command += ["--password-file", str(tmp_path / "password"), "--role"]
    done = CliRunner().invoke(build(), [*command, "class_teacher:八（1）班"])
    assert done.exit_code == 0, done.output
    visitor = site.stranger()
    assert visitor.log_in("sunli", "eight bells ring").status_code == 303
    assert visitor.get(f"/classes/{site.classes[0]}").status_code == 200
    assert visitor.get(f"/classes/{site.classes[1]}").status_code == 404
    for role, says in (("class_teacher:八（9）班", "there is no class 八（9）班"), ("boss", "there is no role boss")):
        refused = CliRunner().invoke(build(), [*command, role])
        assert refused.exit_code == 1 and says in refused.output
    assert "already a user" in CliRunner().invoke(build(), [*command, "office"]).output
