"""What pages do with addresses and forms that no page of ours sends: a sentence, never a 500."""

import re
import uuid

import pytest
from sqlalchemy import select

from server.db import db
from server.outbox import callbacks
from server.outbox.models import OutboxText, Receipt
from tests import sample
from tests.server.site import Site, Visitor

ODD = (
    "%00",
    "a%00b",
    "%ff%fe",
    "%ed%a0%80",
    "%F0%9F%94%94",
    "%0d%0aX:1",
    "x" * 5000,
    "%27%22%3Cscript%3E",
    "%25",
    "-1",
)
DAYS = ("0001-01-01", "9999-12-31", "9999-01-01", "1969-12-31", "2200-01-01", "20261125", "2026-W48-3", "2026-11-25T00")
PLACES = ("/?", "/classes?", "/find?q={}", "/find?state={}", "/texts?q={}", "/texts?state={}", "/texts?before={}~x")
PLACES += (
    "/texts?day={}",
    "/phone?q={}",
    "/phone/{}",
    "/classes/{}",
    "/pupils/{}",
    "/texts?before=1~{}",
    "/login?next={}",
)


@pytest.fixture
def office(site: Site) -> Visitor:
    return site.visitor("wangmin")


@pytest.mark.parametrize("place", PLACES)
def test_odd_words_in_an_address_break_no_page(office: Visitor, place: str) -> None:
    for word in ODD:
        code = office.get(place.format(word)).status_code
        assert code < 500, f"{place.format(word)[:80]} gave {code}"


def test_odd_days_are_shown_or_refused(site: Site, office: Visitor) -> None:
    pupil_id, _name, class_id = site.pupils[0]
    for page in ("/texts", f"/pupils/{pupil_id}", f"/classes/{class_id}"):
        codes = {day: office.get(f"{page}?day={day}").status_code for day in DAYS}
        assert set(codes.values()) <= {200, 422}, f"{page}: {codes}"
        assert codes["0001-01-01"] == codes["9999-12-31"] == 422


@pytest.mark.parametrize("word", ["a\0b", "\ud800", "😀" * 300, "x" * 100_000])
def test_odd_logins_are_wrong_logins(site: Site, word: str) -> None:
    stranger = site.stranger()
    token = stranger.token()
    for field in ("login", "password", "next"):
        form = {"login": "wangmin", "password": "wrong", "next": "/", "csrf_token": token, field: word}
        body = "&".join(f"{name}={_quoted(value)}" for name, value in form.items())
        answer = stranger.client.post("/login", data=body, content_type="application/x-www-form-urlencoded")
        assert answer.status_code in {400, 413, 422}, f"{field}: {answer.status_code}"


def _quoted(word: str) -> str:
    return "".join(f"%{byte:02X}" for byte in word.encode("utf-8", "surrogatepass"))


def test_odd_cookies_are_no_login(site: Site) -> None:
    for value in ("x" * 4000, "%00", '"\\355\\240\\200"', "é", '"\\000"'):
        answer = site.app.test_client().get("/", headers={"Cookie": f"gatebell={value}; gatebell-form={value}"})
        assert answer.status_code == 302, value


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "\\\\evil.example",
     " //evil.example", "javascript:alert(1)", "/\r\nSet-Cookie: a=b", "evil.example", "///evil.example"],
)  # fmt: skip
def test_nobody_is_sent_to_another_server_after_the_login(site: Site, target: str) -> None:
    stranger = site.stranger()
    done = stranger.post("/login", login="wangmin", password=sample.PASSWORD, next=target)
    assert done.status_code == 303 and done.headers["Location"] == "/"
    assert stranger.post("/language", locale="en", next=target).headers["Location"] == "/"
    assert stranger.client.get("/login", query_string={"next": target}).headers["Location"] == "/"


def test_no_answer_repeats_a_host_that_the_browser_made_up(site: Site, office: Visitor) -> None:
    for visitor in (office, site.stranger()):
        for url in ("/", "/login", "/texts", "/nothing"):
            answer = visitor.get(url, **{"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
            assert "evil.example" not in answer.get_data(as_text=True) + str(answer.headers), url


def test_every_form_needs_its_token(site: Site, office: Visitor) -> None:
    asked = 0
    for rule in site.app.url_map.iter_rules():
        for method in (rule.methods or set()) & {"POST", "PUT", "PATCH", "DELETE"}:
            if rule.endpoint in {"outbox.receipt", "outbox.reply"}:
                continue
            url = re.sub(r"<[^>]*>", str(uuid.uuid4()), rule.rule)
            assert office.client.open(url, method=method).status_code == 400, f"{method} {url}"
            foreign = {"X-CSRFToken": site.stranger().token()}
            assert office.client.open(url, method=method, headers=foreign).status_code == 400, f"{method} {url}"
            asked += 1
    assert asked >= 4


def test_a_session_that_somebody_planted_is_not_taken_over_by_a_login(site: Site) -> None:
    victim = site.stranger()
    victim.client.set_cookie("gatebell", "planted-by-somebody-else")
    victim.log_in("wangmin")
    thief = site.stranger()
    thief.client.set_cookie("gatebell", "planted-by-somebody-else")
    assert thief.get("/").status_code == 302 and victim.get("/").status_code == 200


def test_odd_receipts_are_kept_or_refused(site: Site) -> None:
    with site.app.app_context():
        settings = site.app.extensions["gatebell"]
        text = db.session.scalars(select(OutboxText).limit(1)).one()
        path = callbacks.url(settings, "kannel", text.id).removeprefix(settings.web.url)
    client = site.app.test_client()
    for query in ("type=1&answer=%00&reference=a%00b", "type=1&answer=%ed%a0%80", "type=" + "9" * 5000, "type=-1"):
        assert client.get(f"{path}?{query}").status_code in {200, 400}, query[:40]
    assert client.post(path, data={"type": "8", "answer": "y" * 9000, "reference": "z" * 9000}).status_code == 200
    with site.app.app_context():
        assert db.session.scalars(select(Receipt).where(Receipt.provider == "kannel")).all()
