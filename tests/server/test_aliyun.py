"""Aliyun: the published signature, what a stand-in that checks it takes, every code, looking for a doubtful text."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from server import clock
from server.outbox import callbacks, http
from server.outbox.providers import aliyun
from server.outbox.providers.aliyun import Aliyun
from server.outbox.providers.base import Accepted, Doubtful
from server.outbox.rules import Answer, Outcome
from server.outbox.templates import Template
from tests import clouds, standins
from tests.clouds import TEXT_ID, incoming, outgoing, refusal
from tests.server.outbox_texts import new_text, queued, stored
from tests.standins import Asked, StandIn, json_answer

TEMPLATES = {"arrived": Template(code="SMS_1", params=("name", "time"))}
OK = {"Code": "OK", "Message": "OK", "BizId": "900619746936498440^0", "RequestId": "F655A8D5"}


def provider(url: str, **changes: Any) -> Aliyun:
    settings = {"url": url, "key_id": "testId", "secret": "s3cret", "templates": TEMPLATES, **changes}
    return Aliyun(Aliyun.Settings(**settings))


@pytest.fixture
def cloud() -> Iterator[StandIn]:
    def answer(asked: Asked) -> standins.Answer:
        if not clouds.acs3(asked, "testId", "s3cret"):
            return json_answer({"Code": "SignatureDoesNotMatch"}, 400)
        return json_answer(OK)

    with standins.running(answer) as running:
        yield running


def test_the_published_vector() -> None:
    query = {"ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd", "RegionId": "cn-shanghai"}
    headers = {
        "host": "ecs.cn-shanghai.aliyuncs.com",
        "x-acs-action": "RunInstances",
        "x-acs-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "x-acs-date": "2023-10-26T10:22:32Z",
        "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d",
        "x-acs-version": "2014-05-26",
    }
    proof = aliyun.signature("YourAccessKeySecret", "POST", query, headers)
    assert proof == "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"


def test_a_text_is_signed_and_carries_our_id(cloud: StandIn) -> None:
    assert provider(cloud.url).send(outgoing()) == Accepted("900619746936498440^0")
    query = cloud.asked[0].query
    assert json.loads(query.pop("TemplateParam")) == {"name": "林语晨", "time": "07:41"}
    assert query == {
        "PhoneNumbers": "13800000001", "SignName": "明德学校", "TemplateCode": "SMS_1", "OutId": str(TEXT_ID)
    }  # fmt: skip
    provider(cloud.url, sign="【育才】").send(outgoing(phone="+85261234567"))
    assert cloud.asked[1].query["SignName"] == "育才"
    assert cloud.asked[1].query["PhoneNumbers"] == "85261234567"
    assert len({asked.headers["x-acs-signature-nonce"] for asked in cloud.asked}) == 2


def test_a_wrong_secret_is_refused_by_the_stand_in(cloud: StandIn) -> None:
    assert refusal(provider(cloud.url, secret="wrong")).outcome is Outcome.RETRY_OTHER


@pytest.mark.parametrize(("code", "status", "outcome"), [
    *((code, 200, outcome) for code, outcome in [
        ("isp.SYSTEM_ERROR", Outcome.RETRY_SAME), ("ServiceUnavailable", Outcome.RETRY_SAME),
        ("Throttling.User", Outcome.RETRY_SAME), ("isv.BUSINESS_LIMIT_CONTROL", Outcome.RETRY_OTHER),
        ("isv.DAY_LIMIT_CONTROL", Outcome.RETRY_OTHER), ("isv.MONTH_LIMIT_CONTROL", Outcome.RETRY_OTHER),
        ("isv.OUT_OF_SERVICE", Outcome.RETRY_OTHER), ("isv.AMOUNT_NOT_ENOUGH", Outcome.RETRY_OTHER),
        ("isp.RAM_PERMISSION_DENY", Outcome.RETRY_OTHER), ("isv.SMS_SIGNATURE_ILLEGAL", Outcome.RETRY_OTHER),
        ("isv.SIGN_STATE_ILLEGAL", Outcome.RETRY_OTHER), ("isv.SMS_TEMPLATE_ILLEGAL", Outcome.RETRY_OTHER),
        ("isv.DENY_IP_RANGE", Outcome.RETRY_OTHER), ("isv.PRODUCT_UN_SUBSCRIPT", Outcome.RETRY_OTHER),
        ("isv.MOBILE_NUMBER_ILLEGAL", Outcome.FAIL_NUMBER), ("isv.MOBILE_COUNT_OVER_LIMIT", Outcome.FAIL_NUMBER),
        ("isv.TEMPLATE_MISSING_PARAMETERS", Outcome.FAIL_CONTENT), ("isv.INVALID_JSON_PARAM", Outcome.FAIL_CONTENT),
        ("isv.PARAM_LENGTH_LIMIT", Outcome.FAIL_CONTENT), ("isv.PARAM_NOT_SUPPORT_URL", Outcome.FAIL_CONTENT),
        ("isv.BLACK_KEY_CONTROL_LIMIT", Outcome.FAIL_CONTENT), ("isv.SMS_CONTENT_ILLEGAL", Outcome.FAIL_CONTENT),
    ]),
    ("SignatureNonceUsed", 400, Outcome.UNKNOWN),
    ("Throttling", 503, Outcome.RETRY_SAME),
    ("isv.SOMETHING_NEW", 200, Outcome.RETRY_OTHER),
    ("InternalError", 500, Outcome.UNKNOWN),
    ("13800000001", 200, Outcome.RETRY_OTHER),
])  # fmt: skip
def test_every_code(code: str, status: int, outcome: Outcome) -> None:
    with standins.running(json_answer({"Code": code, "Message": "13800000001 林语晨"}, status)) as cloud:
        assert refusal(provider(cloud.url)).outcome is outcome
        assert len(cloud.asked) == 1


@pytest.mark.parametrize("body", standins.NONSENSE)
def test_nonsense_leaves_doubt_and_breaks_nothing(body: bytes) -> None:
    with standins.running(standins.Answer(body)) as cloud:
        assert refusal(provider(cloud.url)).outcome is Outcome.UNKNOWN
        assert provider(cloud.url).ask(doubtful()) is Answer.CANNOT_SAY


def doubtful(seconds: float = 60) -> Doubtful:
    return Doubtful(TEXT_ID, "+8613800000001", clock.now() - timedelta(seconds=seconds))


def listed(total: int, mine: int | None) -> Any:
    """QuerySendDetails over `total` texts of which the one at `mine` is ours."""

    def answer(asked: Asked) -> standins.Answer:
        query = asked.query
        assert asked.headers["x-acs-action"] == "QuerySendDetails" and clouds.acs3(asked, "testId", "s3cret")
        size, page = int(query["PageSize"]), int(query["CurrentPage"])
        numbers = range((page - 1) * size, min(page * size, total))
        rows = [{"OutId": str(TEXT_ID if n == mine else uuid.uuid4()), "SendStatus": 3} for n in numbers]
        return json_answer({"Code": "OK", "TotalCount": str(total), "SmsSendDetailDTOs": {"SmsSendDetailDTO": rows}})

    return answer


@pytest.mark.parametrize(("total", "mine", "answer"), [
    (0, None, Answer.NOT_TAKEN), (1, 0, Answer.TAKEN), (120, 119, Answer.TAKEN), (120, None, Answer.NOT_TAKEN),
    (100, 50, Answer.TAKEN), (5000, None, Answer.CANNOT_SAY),
])  # fmt: skip
def test_a_doubtful_text_is_looked_for_on_all_pages(total: int, mine: int | None, answer: Answer) -> None:
    with standins.running(listed(total, mine)) as cloud:
        assert provider(cloud.url).ask(doubtful()) is answer


def test_absence_is_no_proof_in_the_first_seconds_nor_in_half_a_list() -> None:
    with standins.running(listed(0, None)) as cloud:
        assert provider(cloud.url).ask(doubtful(5)) is Answer.CANNOT_SAY
        cloud.answers(json_answer({"Code": "OK", "TotalCount": "3", "SmsSendDetailDTOs": {"SmsSendDetailDTO": []}}))
        assert provider(cloud.url).ask(doubtful()) is Answer.CANNOT_SAY


def test_near_midnight_of_china_both_days_are_asked_for() -> None:
    with standins.running(listed(0, None)) as cloud:
        tried = datetime(2026, 11, 25, 16, 1, tzinfo=UTC)
        provider(cloud.url).ask(Doubtful(TEXT_ID, "+8613800000001", tried))
        assert [asked.query["SendDate"] for asked in cloud.asked] == ["20261125", "20261126"]


def test_a_lost_answer_leaves_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", (1.0, 0.2))
    for bad in (json_answer(OK, late=1.0), json_answer(OK, cut=9), json_answer(OK, reset=True)):
        with standins.running(bad) as cloud:
            assert refusal(provider(cloud.url)).outcome is Outcome.UNKNOWN


RECEIPT = {
    "phone_number": "13800000001", "send_time": "2026-11-25 07:41:05", "report_time": "2026-11-25 07:41:08",
    "success": True, "err_code": "DELIVERED", "err_msg": "用户接收成功", "sms_size": "1",
    "biz_id": "900619746936498440^0",
}  # fmt: skip
REPLY = {
    "phone_number": "13800000002", "content": "TD", "send_time": "2026-11-25 07:50:00", "dest_code": "10690000",
    "sequence_id": 1234567890,
}  # fmt: skip


@pytest.mark.usefixtures("school")
def test_receipts_by_the_hundred_twice_in_any_order_and_foreign_ones(app: Flask) -> None:
    ids = queued(*(new_text(f"+86138000{n:05}") for n in range(100)))
    late = {**RECEIPT, "out_id": str(ids[0]), "success": False, "err_code": "MK:0005"}
    batch = [{**RECEIPT, "out_id": str(text_id)} for text_id in ids] + [late, {**RECEIPT, "out_id": "theirs"}]
    path = callbacks.inbound_url(app.extensions["gatebell"], "aliyun").removeprefix("http://127.0.0.1:8000")
    for _ in range(2):
        answer = app.test_client().post(path, json=batch[::-1] + [None, 3, {}])
        assert (answer.status_code, answer.json) == (200, {"code": 0, "msg": "ok"})
    assert {stored(text_id).state for text_id in ids} == {"delivered"}
    assert app.test_client().post(path[:-1] + "-", json=batch).status_code == 404
    assert app.test_client().post(path, data=b"[" * 9000).status_code == 400


def test_a_receipt_and_a_reply_as_recorded() -> None:
    brought = provider("").take(incoming(json.dumps([{**RECEIPT, "out_id": str(TEXT_ID)}, REPLY]).encode()))
    (report,), (heard,) = brought.reports, brought.heard
    assert (report.text_id, report.news.state, report.news.raw) == (TEXT_ID, "delivered", "DELIVERED 用户接收成功")
    assert (heard.phone, heard.body, heard.reference) == ("13800000002", "TD", "1234567890")


@pytest.mark.parametrize("body", standins.NONSENSE)
def test_what_is_no_receipt_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        provider("").take(incoming(body))


def test_check_says_what_is_missing(cloud: StandIn) -> None:
    assert provider(cloud.url).check() == []
    wrong = {"arrived": Template(code="", params=("nmae",))}
    problems = provider(cloud.url, key_id="", secret="", templates=wrong).check()
    assert [word in problem for word, problem in zip(("code", "nmae", "key_id", "secret_file"), problems, strict=True)]
    assert len(problems) == 4
    assert "left" in provider(cloud.url).lacks(["arrived", "left"])[0]
