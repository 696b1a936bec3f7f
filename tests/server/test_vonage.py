"""Vonage: a status for each message of a text behind HTTP 200, and receipts that prove who made them."""

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from flask import Flask
from werkzeug.datastructures import Headers

from server import config
from server.outbox import callbacks, http
from server.outbox.providers import opened
from server.outbox.providers.base import Accepted, Forged, Incoming, SendFailed
from server.outbox.providers.vonage import Vonage
from server.outbox.rules import Outcome, TextState
from tests import services
from tests.server.foreign_texts import CALLBACK, DOUBTFUL, EN, NOT_TAKEN, PHONE, ZH, outgoing
from tests.server.outbox_texts import new_text, queued, stored
from tests.standins import Answer, StandIn, json_answer, running

TABLE = {"key": "abcd1234", "secret": "s3cret", "signature_secret": "signs", "sender": "School"}
RECEIPT = {
    "msisdn": "8613800000001", "to": "School", "network-code": "46000", "messageId": "0A01", "price": "0.03",
    "status": "delivered", "scts": "2611270741", "err-code": "0", "api-key": "abcd1234",
    "message-timestamp": "2026-11-27 07:41:03",
}  # fmt: skip


def provider(url: str = "http://127.0.0.1:1", **changes: Any) -> Vonage:
    return Vonage(config.convert(Vonage.Settings, {**TABLE, "url": url, **changes}))


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr(http, "TIMEOUT", (1.0, 0.3))
    with running() as desk:
        yield desk


def messages(*statuses: str, words: str = "") -> Answer:
    parts = []
    for n, status in enumerate(statuses, 1):
        said = {"message-id": f"0A0{n}"} if status == "0" else {"error-text": words}
        parts.append({"to": "8613800000001", "status": status} | said)
    return json_answer({"message-count": str(len(parts)), "messages": parts})


def test_a_text_is_taken_with_all_its_fields(desk: StandIn) -> None:
    desk.answers(messages("0"))
    sender = provider(desk.url)
    assert sender.send(outgoing()) == Accepted("0A01")
    assert desk.asked[0].form == {
        "api_key": "abcd1234", "api_secret": "s3cret", "from": "School", "to": "8613800000001", "text": ZH,
        "type": "unicode", "ttl": "100000", "client-ref": str(uuid.UUID(int=7)), "callback": CALLBACK,
        "status-report-req": "1",
    }  # fmt: skip
    desk.answers(messages("0", "0"))
    assert sender.send(outgoing()) == Accepted("0A01", ("0A01", "0A02"))
    form = sender.form(outgoing(body=EN, useful_for=1.0))
    assert (form["type"], form["ttl"]) == ("text", "20000")
    assert sender.form(outgoing(useful_for=1e9))["ttl"] == "604800000"
    sender.http.close()


def failure(desk: StandIn, answer: Answer) -> SendFailed:
    desk.answers(answer)
    sender = provider(desk.url)
    with pytest.raises(SendFailed) as failed:
        sender.send(outgoing())
    sender.http.close()
    assert "138" not in failed.value.reason and "林" not in failed.value.reason and "s3cret" not in failed.value.reason
    return failed.value


@pytest.mark.parametrize(("status", "outcome"), [
    ("1", Outcome.RETRY_SAME), ("2", Outcome.FAIL_CONTENT), ("3", Outcome.FAIL_CONTENT), ("4", Outcome.RETRY_OTHER),
    ("5", Outcome.UNKNOWN), ("6", Outcome.FAIL_NUMBER), ("7", Outcome.FAIL_OPTOUT), ("8", Outcome.RETRY_OTHER),
    ("9", Outcome.RETRY_OTHER), ("10", Outcome.RETRY_SAME), ("12", Outcome.FAIL_CONTENT),
    ("14", Outcome.RETRY_OTHER), ("15", Outcome.RETRY_OTHER), ("29", Outcome.RETRY_OTHER),
    ("33", Outcome.FAIL_NUMBER), ("99", Outcome.RETRY_OTHER),
])  # fmt: skip
def test_what_each_status_means(desk: StandIn, status: str, outcome: Outcome) -> None:
    assert failure(desk, messages(status, words=f"about {PHONE}")).outcome is outcome
    assert failure(desk, messages(status, status)).outcome is outcome


@pytest.mark.parametrize("words", ["Missing to param", "Invalid value for param: to"])
def test_a_wrong_number_is_told_from_a_wrong_text(desk: StandIn, words: str) -> None:
    assert failure(desk, messages("3", words=words)).outcome is Outcome.FAIL_NUMBER


@pytest.mark.parametrize("statuses", [("0", "1"), ("1", "0"), ("0", "0", "9")])
def test_half_a_text_is_in_doubt_and_not_sent_again_at_once(desk: StandIn, statuses: tuple[str, ...]) -> None:
    failed = failure(desk, messages(*statuses))
    assert failed.outcome is Outcome.UNKNOWN
    assert f"only {statuses.count('0')} of the text's {len(statuses)}" in failed.reason


@pytest.mark.parametrize("answer", [*DOUBTFUL, json_answer({"messages": []})])
def test_what_leaves_a_doubt(desk: StandIn, answer: Answer) -> None:
    assert failure(desk, answer).outcome in {Outcome.UNKNOWN}


@pytest.mark.parametrize("answer", NOT_TAKEN)
def test_what_was_surely_not_taken(desk: StandIn, answer: Answer) -> None:
    assert failure(desk, answer).outcome in {Outcome.RETRY_SAME, Outcome.RETRY_OTHER}


def token(body: bytes, *, secret: str = "signs", alg: str = "HS256", **claims: Any) -> str:
    """As "Validating webhooks" says that Vonage makes it."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    payload = {"iat": 1795765263, "jti": "j", "iss": "Vonage", "api_key": "abcd1234"}
    payload |= {"payload_hash": hashlib.sha256(body).hexdigest()} | claims
    head = part(json.dumps({"alg": alg, "typ": "JWT"}).encode()) + "." + part(json.dumps(payload).encode())
    return "Bearer " + head + "." + part(hmac.new(secret.encode(), head.encode(), hashlib.sha256).digest())


def incoming(body: bytes, authorization: str) -> Incoming:
    return Incoming("POST", "https://s.example/cb", Headers({"Authorization": authorization}), {}, {}, body)


BODY = json.dumps(RECEIPT | {"client-ref": str(uuid.UUID(int=7))}).encode()


def test_a_signed_receipt_names_our_text() -> None:
    (report,) = provider().take(incoming(BODY, token(BODY))).reports
    assert (report.text_id, report.news.state) == (uuid.UUID(int=7), TextState.DELIVERED)
    assert (report.news.reference, report.news.raw) == ("0A01", "delivered 0")


@pytest.mark.parametrize("authorization", [
    "", "Bearer", "Bearer a.b", "Bearer a.b.c", "Bearer ....", "Basic x", "Bearer ä.ö.ü",
    token(BODY, secret="other"), token(BODY + b" "), token(BODY, alg="none"), token(BODY, alg="RS256"),
    token(BODY, api_key="another"), token(BODY, payload_hash=None), token(BODY, payload_hash=3),
    token(BODY)[:-2], token(BODY).rpartition(".")[0] + ".",
])  # fmt: skip
def test_what_vonage_did_not_sign_is_forged(authorization: str) -> None:
    with pytest.raises(Forged):
        provider().take(incoming(BODY, authorization))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"a":' * 50_000, b"{}", b"\0", b'{"status": "delivered"}', b'{"text": "x"}']
)
def test_what_is_signed_and_nothing_for_us(body: bytes) -> None:
    with pytest.raises(ValueError):
        provider().take(incoming(body, token(body)))


def test_unsigned_ones_only_where_the_operator_says_so() -> None:
    sender = provider(signed=False, signature_secret="")
    request = Incoming("GET", "https://s.example/cb", Headers(), RECEIPT, {}, b"")
    (report,) = sender.take(request).reports
    assert (report.text_id, report.news.state) == (None, TextState.DELIVERED)
    assert "not signed" in sender.check()[0]


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    return msgspec.structs.replace(settings, providers={"vonage": TABLE})


@pytest.mark.usefixtures("school")
def test_receipts_twice_out_of_order_and_forged(app: Flask) -> None:
    (text_id,) = queued(new_text(PHONE))
    path = callbacks.url(app.extensions["gatebell"], "vonage", text_id).removeprefix("http://127.0.0.1:8000")

    def bring(status: str, **how: str) -> int:
        body = json.dumps(RECEIPT | {"status": status, "client-ref": str(text_id)}).encode()
        head = {"Authorization": token(body, **how), "Content-Type": "application/json"}
        return app.test_client().post(path, data=body, headers=head).status_code

    assert (bring("delivered", secret="guessed"), stored(text_id).state) == (403, "queued")
    assert (bring("accepted"), stored(text_id).state) == (200, "sent")
    for status in ("delivered", "delivered", "buffered", "failed"):
        assert bring(status) == 200
    assert (stored(text_id).state, stored(text_id).reference) == ("delivered", "0A01")


@pytest.mark.parametrize(("status", "state"), [
    ("expired", TextState.EXPIRED), ("failed", TextState.FAILED), ("rejected", TextState.FAILED),
    ("buffered", TextState.SENT), ("accepted", TextState.SENT), ("unknown", None), ("new", None),
])  # fmt: skip
def test_what_each_receipt_means(status: str, state: TextState | None) -> None:
    body = json.dumps(RECEIPT | {"status": status}).encode()
    assert provider().take(incoming(body, token(body))).reports[0].news.state is state


def test_a_reply() -> None:
    said = {"msisdn": "8613800000001", "to": "School", "messageId": "0B01", "text": "退订", "type": "unicode"}
    body = json.dumps(said).encode()
    (heard,) = provider().take(incoming(body, token(body))).heard
    assert (heard.phone, heard.body, heard.reference) == ("8613800000001", "退订", "0B01")


def test_settings_are_checked_at_start() -> None:
    def problem(**changes: str) -> str:
        with pytest.raises(config.ConfigError) as error:
            opened(config.Config(outbox=config.Outbox(providers=("vonage",)), providers={"vonage": TABLE | changes}))
        return str(error.value)

    assert "secret_file" in problem(secret="")
    assert "sender" in problem(sender="")
    assert "signed = false" in problem(signature_secret="")


def test_check_says_what_is_missing() -> None:
    assert "nobody answers" in provider(f"http://127.0.0.1:{services.free_port()}").check()[0]
    assert "/nowhere" in provider(secret_file="/nowhere").check()[0]
