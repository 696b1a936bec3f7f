"""云MAS: a stand-in that recomputes the mac, every code, and what public clients say that it brings."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from server.outbox import http
from server.outbox.providers.base import Accepted
from server.outbox.providers.yunmas import Yunmas
from server.outbox.rules import Outcome
from server.outbox.templates import Template
from tests import clouds, standins
from tests.clouds import incoming, outgoing, refusal
from tests.standins import Asked, StandIn, json_answer

OK = {"msgGroup": "0927152506001000833076", "rspcod": "success", "success": True}
TEMPLATES = {"arrived": Template(code="t-1", params=("name", "time"))}


def provider(url: str, **changes: Any) -> Yunmas:
    settings = {"url": url, "company": "明德学校", "user": "sms", "password": "s3cret", "sign": "9nKp0"}
    return Yunmas(Yunmas.Settings(**{**settings, **changes}))


@pytest.fixture
def gateway() -> Iterator[StandIn]:
    def answer(asked: Asked) -> standins.Answer:
        said = clouds.mas_fields(asked)
        if said is None:
            return json_answer({"rspcod": "IllegalMac", "success": False})
        right = said["secretKey"] == "s3cret"
        return json_answer(OK if right else {"rspcod": "InvalidUsrOrPwd", "success": False})

    with standins.running(answer) as running:
        yield running


def test_our_words_go_out_without_the_sign_that_it_adds(gateway: StandIn) -> None:
    assert provider(gateway.url).send(outgoing()) == Accepted("0927152506001000833076")
    (asked,) = gateway.asked
    said = clouds.mas_fields(asked) or {}
    assert asked.path == "/sms/norsubmit"
    assert (said["mobiles"], said["content"], said["sign"]) == (
        "13800000001",
        "林语晨 07:41 已到校（1号门）。",
        "9nKp0",
    )


def test_by_template(gateway: StandIn) -> None:
    provider(gateway.url, templates=TEMPLATES, extension="01").send(outgoing())
    said = clouds.mas_fields(gateway.asked[0]) or {}
    assert (gateway.asked[0].path, said["templateId"], said["addSerial"]) == ("/sms/tmpsubmit", "t-1", "01")
    assert json.loads(said["params"]) == ["林语晨", "07:41"]


def test_refused_before_sending(gateway: StandIn) -> None:
    assert refusal(provider(gateway.url), phone="+85261234567").outcome is Outcome.RETRY_OTHER
    assert refusal(provider(gateway.url), body="【明德学校】 ").outcome is Outcome.FAIL_CONTENT
    assert refusal(provider(gateway.url), body="x" * 501).outcome is Outcome.FAIL_CONTENT
    assert refusal(provider(gateway.url, templates=TEMPLATES), wording="left").outcome is Outcome.RETRY_OTHER
    assert gateway.asked == []


def test_a_wrong_password(gateway: StandIn) -> None:
    assert "InvalidUsrOrPwd" in refusal(provider(gateway.url, password="wrong")).reason


@pytest.mark.parametrize(("code", "outcome"), [
    ("IllegalMac", Outcome.RETRY_OTHER), ("IllegalSignId", Outcome.RETRY_OTHER), ("NoSignId", Outcome.RETRY_OTHER),
    ("InvalidUsrOrPwd", Outcome.RETRY_OTHER), ("OverDailyMax", Outcome.RETRY_OTHER),
    ("SystemBusy", Outcome.RETRY_SAME), ("FlowOverLimit", Outcome.RETRY_SAME), ("QueueOverLimit", Outcome.RETRY_SAME),
    ("InvalidMessage", Outcome.FAIL_CONTENT), ("TooManyMobiles", Outcome.FAIL_NUMBER),
    ("InvalidMobile", Outcome.FAIL_NUMBER), ("Novelty", Outcome.RETRY_OTHER), ("", Outcome.UNKNOWN),
])  # fmt: skip
def test_every_code(code: str, outcome: Outcome) -> None:
    with standins.running(json_answer({"msgGroup": "", "rspcod": code, "success": False})) as gateway:
        assert refusal(provider(gateway.url)).outcome is outcome


@pytest.mark.parametrize("body", standins.NONSENSE)
def test_nonsense_leaves_doubt_and_is_no_receipt(body: bytes) -> None:
    with standins.running(standins.Answer(body)) as gateway:
        assert refusal(provider(gateway.url)).outcome is Outcome.UNKNOWN
    with pytest.raises(ValueError):
        provider("").take(incoming(body))


def test_a_lost_answer_leaves_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", (1.0, 0.2))
    for bad in (json_answer(OK, late=1.0), json_answer(OK, cut=9), json_answer(OK, reset=True), json_answer(OK, 500)):
        with standins.running(bad) as gateway:
            assert refusal(provider(gateway.url)).outcome is Outcome.UNKNOWN


def test_what_it_brings() -> None:
    receipt = {"reportStatus": "CM:0000", "mobile": "13800000001", "errorCode": "DELIVRD", "msgGroup": "0927"}
    other = {**receipt, "reportStatus": "CM:0003", "errorCode": "MK:0001", "msgGroup": "0928"}
    late = {**receipt, "reportStatus": "CM:0002", "errorCode": "EXPIRED"}
    reply = {"mobile": "13800000002", "smsContent": "TD", "sendTime": "2026-11-25 07:50:00", "addSerial": ""}
    brought = provider("").take(incoming(json.dumps([receipt, other, late, reply, None]).encode()))
    assert [report.news.state for report in brought.reports] == ["delivered", "failed", "expired"]
    assert [report.news.reference for report in brought.reports] == ["0927", "0928", "0927"]
    assert [(heard.phone, heard.body) for heard in brought.heard] == [("13800000002", "TD")]
    assert len(provider("").take(incoming(json.dumps(receipt).encode())).reports) == 1


def test_check_says_what_is_missing(gateway: StandIn) -> None:
    assert provider(gateway.url).check() == []
    assert "HTTPS" in provider("").check()[0]
    problems = provider("http://no-such-host.invalid", company="", password="").check()
    assert [
        word in problem for word, problem in zip(("https", "company", "password_file", "nobody"), problems, strict=True)
    ]
    assert provider("").lacks(["arrived"]) == []
    assert provider("", templates=TEMPLATES).lacks(["left", "arrived"])
