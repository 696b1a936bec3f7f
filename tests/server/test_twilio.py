"""Twilio: what we ask, what its answers and callbacks mean, and that nobody else's callback is believed."""

import base64
import datetime as dt
import hashlib
import hmac
import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import Headers

from server import clock, config
from server.outbox import callbacks, http
from server.outbox.providers import opened, twilio
from server.outbox.providers.base import Accepted, Doubtful, Forged, Incoming, SendFailed
from server.outbox.providers.twilio import Twilio
from server.outbox.rules import Answer, Outcome
from tests import services
from tests.server.foreign_texts import CALLBACK, DOUBTFUL, NOT_TAKEN, PHONE, ZH, outgoing
from tests.server.outbox_texts import new_text, queued, stored
from tests.standins import Answer as Said
from tests.standins import Asked, StandIn, json_answer, running

STARTED = dt.datetime(2026, 11, 27, 0, 0, 20, tzinfo=dt.UTC)
TABLE = {"account": "AC0123", "token": "12345", "sender": "+15005550006"}


def provider(url: str = "https://api.twilio.com", **changes: str) -> Twilio:
    return Twilio(config.convert(Twilio.Settings, {**TABLE, "url": url, **changes}))


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr(http, "TIMEOUT", (1.0, 0.3))
    with running() as desk:
        yield desk


def created(seen: Asked) -> Said:
    """As Twilio: basic authentication and the fields of the Messages resource, or a refusal."""
    login = base64.b64encode(b"AC0123:12345").decode()
    if seen.headers.get("authorization") != f"Basic {login}":
        return json_answer({"code": 20003, "message": "Authenticate", "status": 401}, 401)
    if seen.path != "/2010-04-01/Accounts/AC0123/Messages.json" or seen.method != "POST":
        return json_answer({"code": 20404}, 404)
    return json_answer({"sid": "SM1", "status": "queued", "num_segments": "2"}, 201)


def test_a_text_is_taken_with_all_its_fields(desk: StandIn) -> None:
    desk.answers(created)
    sender = provider(desk.url)
    assert sender.send(outgoing()) == Accepted("SM1")
    assert desk.asked[0].form == {
        "To": PHONE, "From": "+15005550006", "Body": ZH, "ValidityPeriod": "100",
        "StatusCallback": CALLBACK,
    }  # fmt: skip
    service = provider(sender="", service="MG1").form(outgoing(useful_for=1.0))
    assert (service["MessagingServiceSid"], service["ValidityPeriod"], "From" in service) == ("MG1", "6", False)
    assert sender.form(outgoing(useful_for=1e9))["ValidityPeriod"] == "36000"
    sender.http.close()


def failure(desk: StandIn, answer: Said, **changes: Any) -> SendFailed:
    desk.answers(answer)
    sender = provider(desk.url)
    with pytest.raises(SendFailed) as failed:
        sender.send(outgoing(**changes))
    sender.http.close()
    assert "138" not in failed.value.reason and "林" not in failed.value.reason
    return failed.value


@pytest.mark.parametrize(("status", "code", "outcome"), [
    (401, 20003, Outcome.RETRY_OTHER), (403, 20005, Outcome.RETRY_OTHER), (429, 20429, Outcome.RETRY_SAME),
    (400, 21211, Outcome.FAIL_NUMBER), (400, 21614, Outcome.FAIL_NUMBER), (400, 21604, Outcome.FAIL_NUMBER),
    (400, 21610, Outcome.FAIL_OPTOUT), (400, 21408, Outcome.RETRY_OTHER), (400, 21606, Outcome.RETRY_OTHER),
    (400, 21608, Outcome.RETRY_OTHER), (429, 21611, Outcome.RETRY_SAME), (400, 21612, Outcome.RETRY_OTHER),
    (400, 21617, Outcome.FAIL_CONTENT), (400, 21602, Outcome.FAIL_CONTENT), (400, 29999, Outcome.RETRY_OTHER),
    (500, 20500, Outcome.UNKNOWN), (500, 21211, Outcome.UNKNOWN),
])  # fmt: skip
def test_what_each_code_means(desk: StandIn, status: int, code: int, outcome: Outcome) -> None:
    said = {"code": code, "message": f"The 'To' number {PHONE} ...", "status": status}
    assert failure(desk, json_answer(said, status)).outcome is outcome


@pytest.mark.parametrize("answer", DOUBTFUL)
def test_what_leaves_a_doubt(desk: StandIn, answer: Said) -> None:
    assert failure(desk, answer).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("answer", NOT_TAKEN)
def test_what_was_surely_not_taken(desk: StandIn, answer: Said) -> None:
    failed = failure(desk, answer)
    assert failed.outcome in {Outcome.RETRY_SAME, Outcome.RETRY_OTHER}
    assert failed.after == (7.0 if "Retry-After" in answer.headers else None)


def test_nobody_listens_and_texts_that_twilio_would_not_take(desk: StandIn) -> None:
    with pytest.raises(SendFailed) as failed:
        provider(f"http://127.0.0.1:{services.free_port()}").send(outgoing())
    assert failed.value.outcome is Outcome.RETRY_OTHER
    for body in ("  ", "x" * 1601):
        assert failure(desk, Said(status=500), body=body).outcome is Outcome.FAIL_CONTENT
    assert desk.asked == []


def row(body: str = ZH, *, ago: float = 10, **changes: str) -> dict[str, str]:
    made = STARTED - dt.timedelta(seconds=ago)
    return {"body": body, "direction": "outbound-api", "date_created": made.strftime("%a, %d %b %Y %H:%M:%S +0000"),
            **changes}  # fmt: skip


@pytest.mark.parametrize(("listed", "age", "answer"), [
    ([row()], 10, Answer.TAKEN),
    ([row("Sent from your Twilio trial account - " + ZH)], 10, Answer.TAKEN),
    ([row("another"), row()], 10, Answer.TAKEN),
    ([row("another")], 45, Answer.CANNOT_SAY),  # or this one, with changed letters
    ([row(ago=4000)], 45, Answer.CANNOT_SAY),  # yesterday's words
    ([row(date_created="?")], 45, Answer.CANNOT_SAY),
    ([], 5, Answer.CANNOT_SAY),  # the list may not show it yet
    ([], 45, Answer.NOT_TAKEN),
    ([row(direction="inbound")], 45, Answer.NOT_TAKEN),
])  # fmt: skip
def test_a_doubtful_text_is_looked_for(
    desk: StandIn, monkeypatch: pytest.MonkeyPatch, listed: list[dict[str, str]], age: float, answer: Answer
) -> None:
    desk.answers(json_answer({"messages": listed, "next_page_uri": None}))
    monkeypatch.setattr(clock, "now", lambda: STARTED)
    tried_at = STARTED - dt.timedelta(seconds=age)
    sender = provider(desk.url)
    assert sender.ask(Doubtful(uuid.uuid4(), PHONE, tried_at, ZH)) is answer
    (seen,) = desk.asked
    assert (seen.method, seen.query["To"]) == ("GET", PHONE)
    assert seen.query["DateSent>"] <= tried_at.date().isoformat()
    sender.http.close()


@pytest.mark.parametrize("answer", [
    *DOUBTFUL, *NOT_TAKEN, json_answer({"messages": []} | {"next_page_uri": "/more"}), json_answer({"messages": {}}),
])  # fmt: skip
def test_no_certain_answer_no_second_text(desk: StandIn, answer: Said) -> None:
    desk.answers(answer)
    sender = provider(desk.url)
    tried_at = clock.now() - dt.timedelta(seconds=50)
    assert sender.ask(Doubtful(uuid.uuid4(), PHONE, tried_at, ZH)) is Answer.CANNOT_SAY
    sender.http.close()


CALL = {"CallSid": "CA1234567890ABCDE", "Caller": "+14158675309", "Digits": "1234", "From": "+14158675309",
        "To": "+18005551212"}  # fmt: skip


def test_the_published_vectors() -> None:
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert twilio.signature("12345", url, CALL) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    other = CALL | {"Caller": "+12349013030", "From": "+12349013030"}
    assert twilio.signature("12345", url, other) == "0/KCTR6DLpKmkAf8muzZqo1nDgQ="


def sign(url: str, fields: dict[str, str]) -> str:
    """Twilio's own side, from "Webhooks security"."""
    text = url
    for name, value in sorted(fields.items()):
        text += name + value
    return base64.b64encode(hmac.new(b"12345", text.encode(), hashlib.sha1).digest()).decode()


def incoming(url: str, fields: dict[str, str], signature: str, body: bytes = b"") -> Incoming:
    return Incoming("POST", url, Headers({"x-twilio-signature": signature}), {}, fields, body)


@pytest.mark.parametrize(("told", "signed"), [
    ("https://s.example/cb", "https://s.example/cb"),
    ("https://s.example/cb", "https://s.example:443/cb"),
    ("https://s.example:8443/cb?a=1", "https://s.example:8443/cb?a=1"),
    ("https://s.example:8443/cb?a=1", "https://s.example/cb?a=1"),
    ("http://s.example/cb", "http://s.example:80/cb"),
])  # fmt: skip
def test_signed_with_and_without_the_port(told: str, signed: str) -> None:
    fields = {"MessageStatus": "sent", "MessageSid": "SM1"}
    assert provider().take(incoming(told, fields, sign(signed, fields))).reports[0].news.reference == "SM1"
    for spoilt in ("", "x", sign(signed + "x", fields), sign(signed, fields | {"MessageStatus": "delivered"}), "ä"):
        with pytest.raises(Forged):
            provider().take(incoming(told, fields, spoilt))


def test_a_json_body_is_signed_by_its_digest() -> None:
    body = json.dumps({"a": 1}).encode()
    url = f"https://s.example/cb?bodySHA256={hashlib.sha256(body).hexdigest()}"
    request = incoming(url, {}, sign(url, {}), body)
    with pytest.raises(ValueError, match="neither"):  # genuine, and nothing for us
        provider().take(request)
    with pytest.raises(Forged):
        provider().take(incoming(url, {}, sign(url, {}), body + b" "))


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    return config.msgspec.structs.replace(settings, providers={"twilio": TABLE})


def brought(client: FlaskClient, url: str, fields: dict[str, str], signature: str | None = None) -> tuple[int, str]:
    given = sign(url, fields) if signature is None else signature
    path = url.removeprefix("http://127.0.0.1:8000")
    kind = "application/x-www-form-urlencoded"
    answer = client.post(path, data=urlencode(fields), content_type=kind, headers={"X-Twilio-Signature": given})
    return answer.status_code, answer.text


@pytest.mark.usefixtures("school")
def test_callbacks_out_of_order_twice_and_forged(app: Flask) -> None:
    client, (text_id,) = app.test_client(), queued(new_text(PHONE))
    url = callbacks.url(app.extensions["gatebell"], "twilio", text_id)

    def status(word: str, **more: str) -> dict[str, str]:
        return {"MessageSid": "SM1", "MessageStatus": word, "To": PHONE, "From": "+15005550006", **more}

    forged = brought(client, url, status("delivered"), sign(url, status("sent")))
    assert (forged[0], stored(text_id).state) == (403, "queued")
    assert brought(client, url, status("sent")) == (200, twilio.EMPTY_TWIML)
    assert (stored(text_id).state, stored(text_id).reference) == ("sent", "SM1")
    for word in ("delivered", "delivered", "sent", "undelivered"):
        assert brought(client, url, status(word))[0] == 200
    assert stored(text_id).state == "delivered"


@pytest.mark.usefixtures("school")
@pytest.mark.parametrize(("word", "code", "state"), [
    ("queued", "", "sent"), ("sending", "", "sent"), ("read", "", "delivered"), ("partially_delivered", "", "sent"),
    ("undelivered", "30003", "failed"), ("undelivered", "30007", "failed"), ("failed", "30036", "expired"),
    ("canceled", "", "failed"), ("somethingnew", "", "queued"),
])  # fmt: skip
def test_what_each_status_means(app: Flask, word: str, code: str, state: str) -> None:
    (text_id,) = queued(new_text(PHONE))
    url = callbacks.url(app.extensions["gatebell"], "twilio", text_id)
    fields = {"MessageSid": "SM1", "MessageStatus": word} | ({"ErrorCode": code} if code else {})
    assert brought(app.test_client(), url, fields)[0] == 200
    assert stored(text_id).state == state


@pytest.mark.usefixtures("school")
def test_a_reply_is_kept_and_answered_with_nothing(app: Flask) -> None:
    url = callbacks.inbound_url(app.extensions["gatebell"], "twilio")
    fields = {"MessageSid": "SM2", "SmsStatus": "received", "From": PHONE, "To": "+15005550006", "Body": "谢谢老师"}
    client = app.test_client()
    assert brought(client, url, fields) == (200, twilio.EMPTY_TWIML)
    assert brought(client, url, fields)[0] == 200
    assert provider().take(incoming(url, fields, sign(url, fields))).heard[0].body == "谢谢老师"
    assert brought(client, url, {"Digits": "1"})[0] == 400


def test_settings_are_checked_at_start() -> None:
    def problem(**changes: str) -> str:
        with pytest.raises(config.ConfigError) as error:
            table = {name: value for name, value in {**TABLE, **changes}.items() if value}
            opened(config.Config(outbox=config.Outbox(providers=("twilio",)), providers={"twilio": table}))
        return str(error.value)

    assert "begins with AC" in problem(account="SK1")
    assert "either `sender`" in problem(service="MG1")
    assert "token_file" in problem(token="")


def test_check_says_what_is_missing() -> None:
    sender = provider(f"http://127.0.0.1:{services.free_port()}")
    assert "nobody answers" in sender.check()[0]
    assert "/nowhere" in provider(token_file="/nowhere").check()[0]
