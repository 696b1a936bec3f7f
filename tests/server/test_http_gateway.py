"""A gateway known only by its settings: the real Kannel, and a national one that speaks JSON."""

import json
import threading
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask import Flask
from werkzeug.datastructures import Headers
from werkzeug.serving import make_server

from server import config
from server.outbox import callbacks, fill, http
from server.outbox.providers import opened
from server.outbox.providers.base import Accepted, Forged, Incoming, SendFailed
from server.outbox.providers.http import Http
from server.outbox.rules import Outcome, TextState
from tests import kannel, services
from tests.server.foreign_texts import CALLBACK, DOUBTFUL, EN, NOT_TAKEN, PHONE, ZH, outgoing
from tests.server.outbox_texts import all_in, attempts, new_text, queued, sending, soon, stored
from tests.standins import Answer, Asked, StandIn, json_answer, running

BOOK = (Path(__file__).parents[2] / "docs" / "providers.md").read_text("utf-8")


def of_book(name: str) -> dict[str, Any]:
    """The settings that the book prints after a heading: what operators copy is what is tested."""
    example = BOOK.split(f"#### {name}\n", 1)[1].split("```toml\n", 1)[1].split("```", 1)[0]
    table: dict[str, Any] = tomllib.loads(example)["providers"]["http"]
    return table


KANNEL, NATIONAL = of_book("Kannel by `http`"), of_book("A gateway that speaks JSON")


def provider(table: dict[str, Any], url: str = "", **changes: Any) -> Http:
    return Http(config.convert(Http.Settings, {**table, **({"url": url} if url else {}), **changes}))


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    port = services.free_port()
    web = config.Web(port=port, url=f"http://127.0.0.1:{port}")
    return msgspec.structs.replace(settings, web=web, providers={"http": KANNEL | {"password_file": ""}})


@pytest.fixture
def web(app: Flask, settings: config.Config) -> Iterator[None]:
    server = make_server("127.0.0.1", settings.web.port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.mark.kannel
@pytest.mark.usefixtures("school", "web")
def test_the_real_kannel_by_settings_alone(app: Flask, tmp_path: Path) -> None:
    if not kannel.Kannel.available():
        services.missing("kannel (with kannel-extras)")
    (tmp_path / "password").write_text("s3cret")
    with kannel.Kannel(tmp_path / "kannel") as real:
        sender = provider(KANNEL, real.url, password_file=str(tmp_path / "password"))
        first, second = queued(new_text(body=ZH), new_text("+8613800000002", body=EN))
        (barred,) = [queued(new_text("+8619900000001"))[-1]]
        with sending(app, sender):
            soon(all_in("delivered", "failed", count=3))
        assert (stored(first).state, stored(second).state, stored(barred).state) == ("delivered", "delivered", "failed")
        assert attempts(barred) == [(1, "http", "fail_number")]
        wrong = provider(KANNEL, real.url, password_file="", password="wrong")
        with pytest.raises(SendFailed, match="answered 403") as failed:
            wrong.send(outgoing())
        assert failed.value.outcome is Outcome.RETRY_OTHER
        wrong.http.close()
        sender.http.close()
    assert ZH.encode("utf-16-be") in _unquoted(real.sent())


def _unquoted(log: bytes) -> bytes:
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(log.replace(b"+", b" "))


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr(http, "TIMEOUT", (1.0, 0.3))
    with running() as desk:
        yield desk


def national(asked: Asked) -> Answer:
    """One that reads JSON and wants its key in a header."""
    if asked.headers.get("authorization") != "Bearer s3cret":
        return json_answer({"code": 401, "msg": "bad key"})
    said = asked.json
    return json_answer({"code": 0, "data": {"msgId": 987654321, "to": said["to"], "len": len(said["text"])}})


def test_a_gateway_that_speaks_json(desk: StandIn) -> None:
    desk.answers(national)
    sender = provider(NATIONAL, desk.url, password="s3cret", password_file="")
    tricky = 'He said "{phone}" \\ \n{id} 😀'
    assert sender.send(outgoing(body=tricky)) == Accepted("987654321")
    assert desk.asked[0].json == {
        "to": "13800000001", "text": tricky, "ref": str(uuid.UUID(int=7)), "notify": CALLBACK, "ttl": 100,
    }  # fmt: skip
    assert desk.asked[0].headers["content-type"].startswith("application/json")
    sender.http.close()


def test_a_header_of_any_letters(desk: StandIn) -> None:
    desk.answers(json_answer({"code": 0}))
    headers = {"X-Sign": " 【{sender}】 {text}", "content-type": "application/json"}
    sender = provider(NATIONAL, desk.url, headers=headers, sender="明德", password="s3cret", password_file="")
    assert sender.send(outgoing(body="a\r\nX-Evil: 1")) == Accepted(None)
    assert desk.asked[0].headers["x-sign"].encode("latin-1").decode() == "【明德】 a X-Evil: 1"
    assert "x-evil" not in desk.asked[0].headers
    sender.http.close()


def failure(desk: StandIn, answer: Answer) -> SendFailed:
    desk.answers(answer)
    sender = provider(NATIONAL, desk.url, password="s3cret", password_file="")
    with pytest.raises(SendFailed) as failed:
        sender.send(outgoing())
    sender.http.close()
    assert "138" not in failed.value.reason and "林" not in failed.value.reason and "s3cret" not in failed.value.reason
    return failed.value


@pytest.mark.parametrize(("code", "outcome"), [
    (401, Outcome.RETRY_OTHER), (1001, Outcome.FAIL_NUMBER), (1002, Outcome.FAIL_CONTENT),
    (1003, Outcome.FAIL_OPTOUT), (1004, Outcome.RETRY_SAME), (7777, Outcome.UNKNOWN),
])  # fmt: skip
def test_its_errors_mean_what_the_settings_say(desk: StandIn, code: int, outcome: Outcome) -> None:
    assert failure(desk, json_answer({"code": code, "msg": f"about {PHONE}"})).outcome is outcome


@pytest.mark.parametrize("answer", DOUBTFUL)
def test_what_leaves_a_doubt(desk: StandIn, answer: Answer) -> None:
    assert failure(desk, answer).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("answer", NOT_TAKEN)
def test_what_was_surely_not_taken(desk: StandIn, answer: Answer) -> None:
    assert failure(desk, answer).outcome in {Outcome.RETRY_SAME, Outcome.RETRY_OTHER}


def incoming(body: Any = b"", **query: str) -> Incoming:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Incoming("POST", "https://s.example/cb", Headers({"X-Token": "shared"}), query, {}, raw)


RECEIPTS = {"list": [
    {"ref": str(uuid.UUID(int=7)), "msgId": 1, "status": "DELIVRD", "note": "ok"},
    {"ref": "not ours", "msgId": 2, "status": "EXPIRED"},
    {"ref": None, "msgId": 3, "status": "WHAT"},
    {"msgId": 4, "status": "UNDELIV", "note": "a\0b"},
    {"msgId": 5}, 3, None,
]}  # fmt: skip


def test_many_receipts_at_once() -> None:
    reports = provider(NATIONAL).take(incoming(RECEIPTS)).reports
    assert [(report.text_id, report.news.state, report.news.reference) for report in reports] == [
        (uuid.UUID(int=7), TextState.DELIVERED, "1"), (None, TextState.EXPIRED, "2"), (None, None, "3"),
        (None, TextState.FAILED, "4"),
    ]  # fmt: skip
    assert (reports[0].news.raw, reports[3].news.raw) == ("DELIVRD ok", "UNDELIV ab")
    assert provider(NATIONAL).acknowledgement() == ('{"code": 0}', "application/json")


def test_a_reply_and_what_is_neither() -> None:
    (heard,) = provider(NATIONAL).take(incoming({"from": "13800000001", "content": "TD", "moId": 9})).heard
    assert (heard.phone, heard.body, heard.reference) == ("13800000001", "TD", "9")
    for body in (b"", b"{", b"[]", b"{}", b"[" * 100_000, b"\0", {"list": 3}, {"from": "1" * 40, "content": "x"}):
        with pytest.raises(ValueError):
            provider(NATIONAL).take(incoming(body))


def test_who_does_not_know_the_shared_token_is_forged() -> None:
    table = NATIONAL | {"token_header": "X-Token", "token": "shared"}
    assert provider(table).take(incoming(RECEIPTS)).reports
    for wrong in ("other", "", "ä"):
        with pytest.raises(Forged):
            provider(table | {"token": "guess" if wrong == "" else wrong}).take(incoming(RECEIPTS))


@pytest.mark.parametrize(("bits", "state"), [
    ("1", "delivered"), ("3", "delivered"), ("2", "failed"), ("8", "sent"), ("4", "sent"), ("12", "sent"),
    ("16", "failed"), ("32", "expired"), ("34", "expired"),
])  # fmt: skip
def test_kannels_bits_by_pattern(bits: str, state: str) -> None:
    (report,) = provider(KANNEL).take(incoming(type=bits, answer="x", reference="7")).reports
    assert (report.news.state, report.news.raw) == (state, f"{bits} x")


def test_values_never_leave_their_place() -> None:
    values = {"text": "a&b=c\r\nX: y<{id}>", "id": "7"}
    assert fill.address("http://g/?t={text}&i={id}", values) == "http://g/?t=a%26b%3Dc%0D%0AX%3A%20y%3C%7Bid%7D%3E&i=7"
    assert fill.header("k {text}", values) == "k a&b=c X: y<{id}>"
    assert fill.body("<t>{text}</t>", values, "text/xml; charset=utf-8") == "<t>a&amp;b=c\r\nX: y&lt;{id}&gt;</t>"
    assert json.loads(fill.body('{"t": "{text}"}', values, "application/json"))["t"] == values["text"]
    assert fill.body("t={text}", {"text": "a b&c"}, "application/x-www-form-urlencoded") == "t=a%20b%26c"


@pytest.mark.parametrize(("changes", "says"), [
    ({"url": "gateway.example"}, "url must begin with https://"),
    ({"method": "FETCH"}, "method must be GET, POST or PUT"),
    ({"form": {"a": "b"}}, "either `form` or `body`"),
    ({"method": "GET"}, "put the fields into `query`"),
    ({"body": '{"to": "{fone}", "text": "{text}"}'}, "no placeholder {fone}; there are: phone, text"),
    ({"body": '{"to": "{phone}"}'}, "{text} stands nowhere"),
    ({"body": '{"to": "{phone}", "text": {text} x}'}, "body is not JSON once its placeholders are filled in"),
    ({"success": ""}, "success must be a pattern"),
    ({"success": "("}, "success: '(' is no pattern"),
    ({"success": ".*"}, "success is found in any answer"),
    ({"reference": "id"}, "reference needs a group"),
    ({"errors": {"[": "unknown"}}, "errors: '[' is no pattern"),
    ({"errors": {"x": "accepted"}}, "cannot mean accepted"),
    ({"errors": {"x": "lost"}}, "lost"),
    ({"receipt": {"state": "status", "id": "ref"}}, "receipt.states must say"),
    ({"receipt": {"state": "s", "id": "r", "states": {"x": "queued"}}}, "can mean delivered, sent, failed or expired"),
    ({"receipt": {"stat": "s"}}, "did you mean `state`"),
    ({"reply": {"phone": "from"}}, "reply.text must name"),
    ({"token_header": "X-Token"}, "token_file"),
])  # fmt: skip
def test_settings_are_checked_at_start(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(config.ConfigError) as error:
        opened(config.Config(outbox=config.Outbox(providers=("http",)), providers={"http": NATIONAL | changes}))
    assert says in str(error.value) and "[providers.http]" in str(error.value)


@pytest.mark.usefixtures("school")
def test_receipts_through_the_routes(app: Flask) -> None:
    (text_id,) = queued(new_text(PHONE))
    path = callbacks.url(app.extensions["gatebell"], "http", text_id).split("/callback/")[1]
    for bits, state in (("8", "sent"), ("1", "delivered"), ("1", "delivered"), ("16", "delivered")):
        assert app.test_client().get(f"/callback/{path}?type={bits}&answer=a&reference=77").status_code == 200
        assert stored(text_id).state == state
    assert app.test_client().get(f"/callback/{path}?answer=a").status_code == 400


def test_check_says_what_is_missing() -> None:
    sender = provider(NATIONAL, f"http://127.0.0.1:{services.free_port()}", password_file="")
    assert "nobody answers" in sender.check()[0]
    assert "/nowhere" in provider(NATIONAL, password_file="/nowhere").check()[0]
