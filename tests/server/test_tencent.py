"""Tencent: the published signatures, what a stand-in that checks them takes, every code, receipts, doubtful texts."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from server import clock
from server.outbox import http
from server.outbox.providers import tencent
from server.outbox.providers.base import Accepted, Doubtful
from server.outbox.providers.tencent import Tencent
from server.outbox.rules import Answer, Outcome
from server.outbox.templates import Template
from tests import clouds, standins
from tests.clouds import TEXT_ID, incoming, outgoing, refusal
from tests.standins import Asked, StandIn, json_answer

TEMPLATES = {"arrived": Template(code="449739", params=("time", "name"))}


def provider(url: str, **changes: Any) -> Tencent:
    settings = {"url": url, "secret_id": "AKID", "secret": "s3cret", "app": "1400006666", "templates": TEMPLATES}
    return Tencent(Tencent.Settings(**{**settings, **changes}))


def status(code: str = "Ok", **changes: Any) -> dict[str, Any]:
    one = {"SerialNo": "5000:1045710669157053657849499619", "PhoneNumber": "+8613800000001", "Fee": 1, "Code": code}
    return {"Response": {"SendStatusSet": [{**one, "Message": "13800000001 林语晨", **changes}], "RequestId": "a0"}}


def error(code: str) -> dict[str, Any]:
    return {"Response": {"Error": {"Code": code, "Message": "13800000001 林语晨"}, "RequestId": "a0"}}


@pytest.fixture
def cloud() -> Iterator[StandIn]:
    def answer(asked: Asked) -> standins.Answer:
        signed = clouds.tc3(asked, "AKID", "s3cret")
        return json_answer(status() if signed else error("AuthFailure.SignatureFailure"))

    with standins.running(answer) as running:
        yield running


@pytest.mark.parametrize(("key", "more", "proof"), [
    ("Gu5t9xGARNpq86cd98joQYCN3EXAMPLE", {}, "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168"),
    ("Gu5t9xGARNpq86cd98joQYCN3*******", {"x-tc-action": "describeinstances"},
     "be4f67d323c78ab9acb7395e43c0dbcf822a9cfac32fea2449a7bc7726b770a3"),
])  # fmt: skip
def test_the_published_vectors(key: str, more: dict[str, str], proof: str) -> None:
    body = rb'{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}'
    headers = {"content-type": "application/json; charset=utf-8", "host": "cvm.tencentcloudapi.com", **more}
    assert tencent.signature(key, "cvm", headers, body, 1551113065) == proof


def test_a_text_is_signed_and_its_values_stand_in_order(cloud: StandIn) -> None:
    assert provider(cloud.url).send(outgoing()) == Accepted("5000:1045710669157053657849499619")
    (asked,) = cloud.asked
    assert asked.json == {
        "PhoneNumberSet": ["+8613800000001"], "SmsSdkAppId": "1400006666", "SignName": "明德学校",
        "TemplateId": "449739", "TemplateParamSet": ["07:41", "林语晨"], "SessionContext": str(TEXT_ID),
    }  # fmt: skip
    assert (asked.headers["x-tc-action"], asked.headers["x-tc-version"]) == ("SendSms", "2021-01-11")


def test_a_wrong_secret_is_refused_by_the_stand_in(cloud: StandIn) -> None:
    failed = refusal(provider(cloud.url, secret="wrong"))
    assert (failed.outcome, "AuthFailure" in failed.reason) == (Outcome.RETRY_OTHER, True)


@pytest.mark.parametrize(("code", "outcome"), [
    ("InternalError.Timeout", Outcome.UNKNOWN), ("InternalError.SendAndRecvFail", Outcome.UNKNOWN),
    ("InternalError.RequestTimeException", Outcome.UNKNOWN), ("InternalError.OtherError", Outcome.UNKNOWN),
    ("LimitExceeded.DeliveryFrequencyLimit", Outcome.RETRY_SAME),
    ("LimitExceeded.GlobalSmsSendingRateLimit", Outcome.RETRY_SAME), ("RequestLimitExceeded", Outcome.RETRY_SAME),
    ("LimitExceeded.PhoneNumberThirtySecondLimit", Outcome.RETRY_OTHER),
    ("LimitExceeded.PhoneNumberOneHourLimit", Outcome.RETRY_OTHER),
    ("LimitExceeded.PhoneNumberDailyLimit", Outcome.RETRY_OTHER),
    ("LimitExceeded.PhoneNumberSameContentDailyLimit", Outcome.RETRY_OTHER),
    ("LimitExceeded.AppMainlandChinaDailyLimit", Outcome.RETRY_OTHER),
    ("FailedOperation.InsufficientBalanceInSmsPackage", Outcome.RETRY_OTHER),
    ("FailedOperation.SignatureIncorrectOrUnapproved", Outcome.RETRY_OTHER),
    ("FailedOperation.TemplateUnapprovedOrNotExist", Outcome.RETRY_OTHER),
    ("UnauthorizedOperation.RequestIpNotInWhitelist", Outcome.RETRY_OTHER),
    ("FailedOperation.PhoneNumberInBlacklist", Outcome.FAIL_OPTOUT),
    ("InvalidParameterValue.IncorrectPhoneNumber", Outcome.FAIL_NUMBER),
    ("FailedOperation.ContainSensitiveWord", Outcome.FAIL_CONTENT),
    ("FailedOperation.TemplateParamSetNotMatchApprovedTemplate", Outcome.FAIL_CONTENT),
    ("InvalidParameterValue.TemplateParameterFormatError", Outcome.FAIL_CONTENT),
    ("InvalidParameterValue.TemplateParameterLengthLimit", Outcome.FAIL_CONTENT),
    ("InvalidParameterValue.ProhibitedUseUrlInTemplateParameter", Outcome.FAIL_CONTENT),
    ("FailedOperation.MarketingTemplateWithoutUnsubscribe", Outcome.FAIL_CONTENT),
    ("FailedOperation.MarketingSendTimeConstraint", Outcome.RETRY_OTHER),
    ("FailedOperation.Novelty", Outcome.RETRY_OTHER), ("", Outcome.UNKNOWN), ("13800000001", Outcome.RETRY_OTHER),
])  # fmt: skip
def test_every_code_of_a_number_and_of_a_request(code: str, outcome: Outcome) -> None:
    for said in (status(code), error(code)):
        with standins.running(json_answer(said)) as cloud:
            assert refusal(provider(cloud.url)).outcome is outcome
            assert len(cloud.asked) == 1


@pytest.mark.parametrize("said", [
    {"Response": {"SendStatusSet": []}}, {"Response": {"SendStatusSet": [None]}}, {"Response": {"SendStatusSet": "x"}},
    {"Response": {"Error": "x"}}, {"Response": 1}, {"Response": {"SendStatusSet": [{}, {}]}},
])  # fmt: skip
def test_an_answer_without_the_numbers_status_leaves_doubt(said: Any) -> None:
    with standins.running(json_answer(said)) as cloud:
        assert refusal(provider(cloud.url)).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("body", standins.NONSENSE)
def test_nonsense_leaves_doubt_and_is_no_receipt(body: bytes) -> None:
    with standins.running(standins.Answer(body)) as cloud:
        assert refusal(provider(cloud.url)).outcome is Outcome.UNKNOWN
        assert provider(cloud.url).ask(doubtful()) is Answer.CANNOT_SAY
    with pytest.raises(ValueError):
        provider("").take(incoming(body))


def test_a_lost_answer_leaves_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", (1.0, 0.2))
    for bad in (json_answer(status(), late=1.0), json_answer(status(), cut=9), json_answer({}, hang_up=True)):
        with standins.running(bad) as cloud:
            assert refusal(provider(cloud.url)).outcome is Outcome.UNKNOWN


def doubtful() -> Doubtful:
    return Doubtful(TEXT_ID, "+8613800000001", clock.now())


@pytest.mark.parametrize(("total", "mine", "answer"), [
    (0, None, Answer.CANNOT_SAY), (3, 1, Answer.TAKEN), (250, 249, Answer.TAKEN), (250, None, Answer.CANNOT_SAY),
])  # fmt: skip
def test_only_what_is_listed_is_certain(total: int, mine: int | None, answer: Answer) -> None:
    def listed(asked: Asked) -> standins.Answer:
        assert asked.headers["x-tc-action"] == "PullSmsSendStatusByPhoneNumber" and clouds.tc3(asked, "AKID", "s3cret")
        numbers = range(asked.json["Offset"], min(asked.json["Offset"] + asked.json["Limit"], total))
        rows = [{"SerialNo": f"{n}", "SessionContext": str(TEXT_ID if n == mine else uuid.uuid4())} for n in numbers]
        return json_answer({"Response": {"PullSmsSendStatusSet": rows, "RequestId": "a0"}})

    with standins.running(listed) as cloud:
        assert provider(cloud.url).ask(doubtful()) is answer


RECEIPT = {
    "user_receive_time": "2026-11-25 07:41:08", "nationcode": "86", "mobile": "13800000001", "report_status": "SUCCESS",
    "errmsg": "DELIVRD", "description": "用户短信送达成功", "sid": "5000:1045710669157053657849499619",
}  # fmt: skip
REPLY = {
    "extend": "",
    "mobile": "13800000002",
    "nationcode": "86",
    "sign": "明德学校",
    "text": "TD",
    "time": 1457336869,
}


def test_receipts_name_their_text_by_the_serial_number() -> None:
    failed = {**RECEIPT, "report_status": "FAIL", "errmsg": "EXPIRED", "sid": "5000:2"}
    brought = provider("").take(incoming(json.dumps([failed, RECEIPT, RECEIPT, {"sid": "x"}, 3]).encode()))
    assert [(report.text_id, report.news.state, report.news.reference) for report in brought.reports] == [
        (None, "expired", "5000:2"), *[(None, "delivered", "5000:1045710669157053657849499619")] * 2
    ]  # fmt: skip
    assert not any("138" in report.news.raw for report in brought.reports)


def test_a_reply_and_the_acknowledgement() -> None:
    (heard,) = provider("").take(incoming(json.dumps(REPLY).encode())).heard
    assert (heard.phone, heard.body) == ("+8613800000002", "TD")
    assert json.loads(provider("").acknowledgement()[0]) == {"result": 0, "errmsg": "OK"}


def test_check_says_what_is_missing(cloud: StandIn) -> None:
    assert provider(cloud.url).check() == []
    named = {"arrived": Template(code="1", params={"a": "name"})}
    problems = provider(cloud.url, secret_id="", app="", secret="", templates=named).check()
    assert [
        word in problem for word, problem in zip(("list", "secret_id", "app", "secret_file"), problems, strict=True)
    ]
    assert "left" in provider(cloud.url).lacks(["arrived", "left"])[0]
