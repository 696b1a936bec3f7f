"""AWS End User Messaging: requests that bear the right signature, errors by name and field, events through SNS."""

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
from server.outbox.providers import aws, opened
from server.outbox.providers.aws import Aws
from server.outbox.providers.base import Accepted, Forged, Incoming, SendFailed
from server.outbox.rules import Outcome
from tests import services
from tests.server import amazon
from tests.server.foreign_texts import DOUBTFUL, NOT_TAKEN, PHONE, ZH, outgoing
from tests.server.outbox_texts import new_text, queued, stored
from tests.standins import Answer, Asked, StandIn, json_answer, running

TABLE = {
    "region": "us-east-1", "key_id": "AKIDEXAMPLE", "secret": "s3cret", "sender": "+15005550006",
    "configuration_set": "gate", "topic": amazon.TOPIC,
}  # fmt: skip
EVENT = {
    "eventType": "TEXT_DELIVERED", "eventVersion": "1.0", "eventTimestamp": 1795765263470, "isFinal": True,
    "originationPhoneNumber": "+15005550006", "destinationPhoneNumber": PHONE, "messageId": "862a8790-60c0",
    "messageStatus": "DELIVERED", "messageStatusDescription": "Message has been accepted by phone",
    "totalMessageParts": 1,
}  # fmt: skip


def provider(url: str = "", **changes: str) -> Aws:
    return Aws(config.convert(Aws.Settings, {**TABLE, "url": url, **changes}))


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr(http, "TIMEOUT", (1.0, 0.3))
    with running() as desk:
        yield desk


def taken(asked: Asked) -> Answer:
    """As AWS: the signature first, then the target."""
    if not amazon.proven(asked.method, asked.target, asked.headers, asked.body, secret="s3cret"):
        return json_answer({"__type": "InvalidSignatureException"}, 403)
    if asked.headers["x-amz-target"] != "PinpointSMSVoiceV2.SendTextMessage":
        return json_answer({"__type": "UnknownOperationException"}, 400)
    return json_answer({"MessageId": "862a8790-60c0"})


def test_a_signed_text_is_taken_with_all_its_fields(desk: StandIn) -> None:
    desk.answers(taken)
    sender = provider(f"{desk.url}/")
    assert sender.send(outgoing()) == Accepted("862a8790-60c0")
    assert desk.asked[0].json == {
        "DestinationPhoneNumber": PHONE, "OriginationIdentity": "+15005550006", "MessageBody": ZH,
        "MessageType": "TRANSACTIONAL", "ConfigurationSetName": "gate", "TimeToLive": 100,
        "Context": {"gatebell": str(uuid.UUID(int=7))},
    }  # fmt: skip
    assert desk.asked[0].headers["content-type"] == "application/x-amz-json-1.0"
    assert "/us-east-1/sms-voice/aws4_request" in desk.asked[0].headers["authorization"]
    assert sender.form(outgoing(useful_for=1.0))["TimeToLive"] == 5
    assert sender.form(outgoing(useful_for=1e9))["TimeToLive"] == 259_200
    assert provider().address == "https://sms-voice.us-east-1.amazonaws.com/"
    sender.http.close()


def failure(desk: StandIn, answer: Any, **changes: str) -> SendFailed:
    desk.answers(answer)
    sender = provider(f"{desk.url}/", **changes)
    with pytest.raises(SendFailed) as failed:
        sender.send(outgoing())
    sender.http.close()
    assert "138" not in failed.value.reason and "林" not in failed.value.reason and "s3cret" not in failed.value.reason
    return failed.value


def test_another_secret_is_refused_by_the_service(desk: StandIn) -> None:
    failed = failure(desk, taken, secret="wrong")
    assert (failed.outcome, failed.reason) == (Outcome.RETRY_OTHER, "AWS answered 403: InvalidSignatureException")


@pytest.mark.parametrize(("status", "said", "outcome"), [
    (400, {"__type": "ThrottlingException"}, Outcome.RETRY_SAME),
    (400, {"__type": "com.amazonaws.pinpointsmsvoicev2#ThrottlingException"}, Outcome.RETRY_SAME),
    (500, {"__type": "InternalServerException", "RequestId": "r"}, Outcome.UNKNOWN),
    (400, {"__type": "ServiceQuotaExceededException", "Reason": "MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT"},
     Outcome.RETRY_OTHER),
    (400, {"__type": "AccessDeniedException"}, Outcome.RETRY_OTHER),
    (400, {"__type": "ResourceNotFoundException"}, Outcome.RETRY_OTHER),
    (400, {"__type": "UnrecognizedClientException"}, Outcome.RETRY_OTHER),
    (400, {"__type": "ExpiredTokenException"}, Outcome.RETRY_OTHER),
    (400, {"__type": "ConflictException", "Reason": "DESTINATION_PHONE_NUMBER_OPTED_OUT"}, Outcome.FAIL_OPTOUT),
    (400, {"__type": "ConflictException", "Reason": "SENDER_ID_NOT_REGISTERED"}, Outcome.RETRY_OTHER),
    (400, {"__type": "ValidationException", "Fields": [{"Name": "DestinationPhoneNumber", "Message": PHONE}]},
     Outcome.FAIL_NUMBER),
    (400, {"__type": "ValidationException", "Fields": [{"Name": "MessageBody"}]}, Outcome.FAIL_CONTENT),
    (400, {"__type": "ValidationException", "Reason": "INVALID_PARAMETER"}, Outcome.RETRY_OTHER),
    (400, {"__type": "ValidationException", "Fields": [3, {}]}, Outcome.RETRY_OTHER),
    (400, {"__type": ["x"]}, Outcome.RETRY_OTHER),
])  # fmt: skip
def test_what_each_error_means(desk: StandIn, status: int, said: dict[str, Any], outcome: Outcome) -> None:
    assert failure(desk, json_answer({**said, "Message": f"about {PHONE}"}, status)).outcome is outcome


@pytest.mark.parametrize("answer", DOUBTFUL)
def test_what_leaves_a_doubt(desk: StandIn, answer: Answer) -> None:
    assert failure(desk, answer).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("answer", NOT_TAKEN)
def test_what_was_surely_not_taken(desk: StandIn, answer: Answer) -> None:
    assert failure(desk, answer).outcome in {Outcome.RETRY_SAME, Outcome.RETRY_OTHER}


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """SNS's own addresses, of which one holds its certificate."""
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return amazon.CERTIFICATE if url == amazon.CERT_URL else b"<ConfirmSubscriptionResponse/>"

    monkeypatch.setattr(aws, "fetch", fetch)
    aws.certificate.cache_clear()
    yield asked
    aws.certificate.cache_clear()


def incoming(body: bytes) -> Incoming:
    return Incoming("POST", "https://s.example/cb", Headers(), {}, {}, body)


def test_a_subscription_to_our_topic_is_confirmed(fetched: list[str]) -> None:
    url = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37"
    brought = provider().take(incoming(amazon.subscription(url)))
    assert (brought.reports, brought.heard) == ((), ())
    assert fetched == [amazon.CERT_URL, url]


@pytest.mark.parametrize("url", [
    "https://evil.example/", "http://sns.us-east-1.amazonaws.com/", "https://169.254.169.254/latest",
])  # fmt: skip
def test_no_other_address_is_ever_visited(fetched: list[str], url: str) -> None:
    with pytest.raises(Forged):
        provider().take(incoming(amazon.subscription(url)))
    fields = json.loads(amazon.post(EVENT)) | {"SigningCertURL": url}
    with pytest.raises(Forged):
        provider().take(incoming(json.dumps(fields).encode()))
    assert set(fetched) <= {amazon.CERT_URL}


def test_anothers_topic_is_not_believed_however_well_signed(fetched: list[str]) -> None:
    theirs = "arn:aws:sns:us-east-1:999999999999:theirs"
    for body in (amazon.post(EVENT, topic=theirs), amazon.subscription(amazon.CERT_URL, topic=theirs)):
        with pytest.raises(Forged):
            provider().take(incoming(body))
    with pytest.raises(Forged):
        provider(topic="").take(incoming(amazon.post(EVENT)))
    assert fetched == []


def test_the_certificate_is_fetched_once(fetched: list[str]) -> None:
    for n in range(5):
        provider().take(incoming(amazon.post(EVENT, n=n)))
    assert fetched == [amazon.CERT_URL]


def test_sns_out_of_reach_is_no_forgery_and_is_brought_again(monkeypatch: pytest.MonkeyPatch) -> None:
    aws.certificate.cache_clear()
    monkeypatch.setattr(aws, "fetch", lambda url: (_ for _ in ()).throw(OSError("no connection to SNS")))
    with pytest.raises(OSError):
        provider().take(incoming(amazon.post(EVENT)))


def test_what_fetch_reads_and_refuses(desk: StandIn) -> None:
    desk.answers(Answer(b"pem"))
    assert aws.fetch(desk.url) == b"pem"
    desk.answers(Answer(b"", 404))
    with pytest.raises(OSError, match="404"):
        aws.fetch(desk.url)
    with pytest.raises(OSError, match="no connection"):
        aws.fetch(f"http://127.0.0.1:{services.free_port()}")


@pytest.mark.usefixtures("fetched")
@pytest.mark.parametrize(
    "message", ["", "x", "[" * 50_000, "[]", "{}", '{"originationNumber": ""}', '{"eventType": 3}']
)
def test_what_is_signed_and_nothing_for_us(message: str) -> None:
    try:
        brought = provider().take(incoming(amazon.post(message)))
    except ValueError:
        return
    assert (brought.reports, brought.heard) == ((), ())


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    return msgspec.structs.replace(settings, providers={"aws": TABLE})


@pytest.mark.usefixtures("school", "fetched")
def test_events_of_any_text_come_to_one_address(app: Flask) -> None:
    first, second = queued(new_text(PHONE), new_text("+8613800000002"))
    path = callbacks.inbound_url(app.extensions["gatebell"], "aws").removeprefix("http://127.0.0.1:8000")

    def bring(kind: str, text_id: uuid.UUID | None, *, spoil: bool = False) -> int:
        context = {"gatebell": str(text_id)} if text_id else {"account": "bar"}
        body = amazon.post(EVENT | {"eventType": kind, "context": context})
        body = body.replace(b"DELIVERED", b"DELIVEREX") if spoil else body
        return app.test_client().post(path, data=body, content_type="text/plain; charset=UTF-8").status_code

    assert bring("TEXT_DELIVERED", first, spoil=True) == 403
    assert stored(first).state == "queued"
    assert [bring(kind, first) for kind in ("TEXT_DELIVERED", "TEXT_PENDING", "TEXT_DELIVERED")] == [200] * 3
    assert bring("TEXT_TTL_EXPIRED", second) == 200
    assert (stored(first).state, stored(second).state) == ("delivered", "expired")
    assert bring("TEXT_DELIVERED", None) == 200
    assert bring("TEXT_DELIVERED", uuid.uuid4()) == 200
    assert bring("VOICE_ANSWERED", first) == 200


@pytest.mark.usefixtures("fetched")
def test_each_event_and_a_reply() -> None:
    for kind, state in aws.STATES.items():
        (report,) = provider().take(incoming(amazon.post(EVENT | {"eventType": kind}))).reports
        assert (report.news.state, report.news.reference, report.text_id) == (state, "862a8790-60c0", None)
    said = {"originationNumber": PHONE, "destinationNumber": "+15005550006", "messageKeyword": "KEYWORD",
            "messageBody": "TD", "inboundMessageId": "in-1", "previousPublishedMessageId": "862a"}  # fmt: skip
    (heard,) = provider().take(incoming(amazon.post(said))).heard
    assert (heard.phone, heard.body, heard.reference) == (PHONE, "TD", "in-1")


def test_settings_are_checked_at_start_and_check_warns() -> None:
    def problem(**changes: str) -> str:
        with pytest.raises(config.ConfigError) as error:
            opened(config.Config(outbox=config.Outbox(providers=("aws",)), providers={"aws": TABLE | changes}))
        return str(error.value)

    assert "ap-southeast-1" in problem(region="Singapore")
    assert "secret_file" in problem(secret="")
    assert "arn:aws:sns" in problem(topic="gate")
    nobody = f"http://127.0.0.1:{services.free_port()}/"
    problems = provider(nobody, topic="", secret_file="").check()
    assert "nobody tells us" in problems[0] and "nobody answers" in problems[1]
