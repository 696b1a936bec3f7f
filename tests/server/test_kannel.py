"""Texts through a real Kannel to its fake SMSC, receipts back over HTTP; and every answer that Kannel may give."""

import math
import re
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote_to_bytes

import msgspec
import pytest
from flask import Flask
from werkzeug.serving import make_server

from server import config
from server.outbox import http, rules, segments
from server.outbox.providers.base import Accepted, Outgoing, SendFailed
from server.outbox.providers.kannel import Kannel
from server.outbox.providers.phone import Phone
from server.outbox.rules import BreakerSettings, Outcome
from tests import kannel, services
from tests.server.outbox_texts import all_in, attempts, new_text, queued, sending, soon, stored

ZH = "【明德学校】林语晨 07:41 已到校（1号门 东门）。"


def provider(url: str, **changes: str) -> Kannel:
    return Kannel(Kannel.Settings(**{"url": url, "username": "school", "password": "s3cret", **changes}))


@pytest.fixture
def real(tmp_path: Path) -> Iterator[kannel.Kannel]:
    """Bearerbox, smsbox and a connected SMSC."""
    if not kannel.Kannel.available():
        services.missing("kannel (with kannel-extras)")
    with kannel.Kannel(tmp_path / "kannel") as running:
        yield running


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    """The server, reachable for receipts."""
    port = services.free_port()
    return msgspec.structs.replace(settings, web=config.Web(port=port, url=f"http://127.0.0.1:{port}"))


@pytest.fixture
def web(app: Flask, settings: config.Config) -> Iterator[None]:
    """Our own pages on a real port, where Kannel brings its receipts."""
    server = make_server("127.0.0.1", settings.web.port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield
    server.shutdown()
    thread.join(10)
    server.server_close()


def received(real: kannel.Kannel, coding: str) -> list[bytes]:
    """The texts in one coding as the SMSC got them."""
    found = re.findall(rf"<10690000 \+86\d+ {coding} (.*)>".encode(), real.sent())
    return [unquote_to_bytes(text.replace(b"+", b" ")) for text in found]


@pytest.mark.kannel
@pytest.mark.usefixtures("school", "web")
def test_a_chinese_and_an_english_text_arrive_and_are_known_to_be_delivered(app: Flask, real: kannel.Kannel) -> None:
    en = "Lin Yuchen 07:41 arrived at school (Gate 1)."
    first, second = queued(new_text(body=ZH), new_text("+8613800000002", body=en))
    with sending(app, provider(real.url)):
        soon(all_in("delivered", count=2))
    assert [text.decode("utf-16-be") for text in received(real, "ucs-2")] == [ZH]
    assert [text.decode() for text in received(real, "text")] == [en]
    assert [attempts(text_id) for text_id in (first, second)] == [[(1, "kannel", "accepted")]] * 2


@pytest.mark.kannel
@pytest.mark.usefixtures("school", "web")
def test_texts_wait_for_a_gateway_that_was_killed(
    app: Flask, real: kannel.Kannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "BACK_OFF", (0.2,))
    real.kill()
    (text_id,) = queued(new_text(body=ZH))
    with sending(app, provider(real.url)) as at_work:
        at_work.breakers["kannel"].settings = BreakerSettings(pause=0.2)
        soon(lambda: len(attempts(text_id)) > 1)
        assert stored(text_id).error == "no connection to Kannel's smsbox"
        real.start()
        soon(all_in("delivered", count=1))
    assert len(received(real, "ucs-2")) == 1
    outcomes = [outcome for _, _, outcome in attempts(text_id)]
    assert (outcomes[0], outcomes[-1]) == ("retry_other", "accepted")


@pytest.mark.kannel
@pytest.mark.usefixtures("school", "web")
def test_a_text_that_kannel_holds_back_is_sent_and_later_delivered(app: Flask, real: kannel.Kannel) -> None:
    real.stop_smsc()
    (text_id,) = queued(new_text(body=ZH))
    with sending(app, provider(real.url)):
        soon(all_in("sent", count=1))
        real.start_smsc()
        soon(lambda: stored(text_id).state == "delivered")


@pytest.mark.kannel
@pytest.mark.usefixtures("school", "web")
def test_a_wrong_password_is_shown_and_the_next_provider_sends(app: Flask, real: kannel.Kannel) -> None:
    (text_id,) = queued(new_text(body=ZH))
    with sending(app, provider(real.url, password="wrong")):
        soon(lambda: stored(text_id).error is not None)
    text = stored(text_id)
    assert (text.state, text.error) == ("queued", "Kannel answered 403: Authorization failed for sendsms")
    (second_id,) = queued(new_text("+8613800000002"))
    with sending(app, provider(real.url, password="wrong"), Phone(Phone.Settings())):
        soon(lambda: stored(second_id).state == "delivered")
    assert attempts(second_id) == [(1, "kannel", "retry_other"), (2, "phone", "accepted")]


@pytest.mark.kannel
@pytest.mark.usefixtures("school", "web")
def test_a_number_that_no_operator_takes_fails(app: Flask, real: kannel.Kannel) -> None:
    (text_id,) = queued(new_text("+8619900000001"))
    with sending(app, provider(real.url)):
        soon(all_in("failed", count=1))
    assert attempts(text_id) == [(1, "kannel", "fail_number")]


def outgoing(**changes: object) -> Outgoing:
    text = {"text_id": uuid.uuid4(), "phone": "+8613800000001", "body": ZH, "useful_for": 100.0, "urgent": True}
    return Outgoing(
        **{**text, "callback": "http://127.0.0.1:8000/callback/kannel/dlr/1/2", "deadline": math.inf, **changes}
    )  # type: ignore[arg-type]


class Answering(BaseHTTPRequestHandler):
    """Answers with what stands in the server's `status` and `words`; status 0 hangs up, -1 never answers."""

    def do_GET(self) -> None:
        server: AnsweringServer = self.server  # type: ignore[assignment]
        server.asked.append(self.path)
        if server.status == -1:
            server.over.wait(10)
        if server.status <= 0:
            return
        self.send_response(server.status)
        self.send_header("Content-Length", str(len(server.words)))
        self.end_headers()
        self.wfile.write(server.words.encode())

    def log_message(self, *words: object) -> None:
        """Quiet."""


class AnsweringServer(ThreadingHTTPServer):
    """What an smsbox says in a bad hour."""

    status, words = 202, "0: Accepted for delivery"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.asked: list[str] = []
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/cgi-bin/sendsms"


@pytest.fixture
def answering() -> Iterator[AnsweringServer]:
    with AnsweringServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join(10)


@pytest.mark.parametrize(("status", "words", "outcome"), [
    (503, "Temporal failure, try again later.", Outcome.RETRY_SAME),
    (400, "Empty receiver number not allowed, rejected", Outcome.FAIL_NUMBER),
    (400, "Number(s) has/have been denied by white- and/or black-lists.", Outcome.FAIL_NUMBER),
    (400, "Message too long", Outcome.FAIL_CONTENT),
    (403, "Authorization failed for sendsms", Outcome.RETRY_OTHER),
    (403, "Not routable. Do not try again.", Outcome.FAIL_NUMBER),
    (404, "Not found", Outcome.RETRY_OTHER),
    (302, "", Outcome.RETRY_OTHER),
    (500, "", Outcome.UNKNOWN),
    (0, "", Outcome.UNKNOWN),
    (-1, "", Outcome.UNKNOWN),
])  # fmt: skip
def test_what_each_answer_of_kannel_means(
    answering: AnsweringServer, monkeypatch: pytest.MonkeyPatch, status: int, words: str, outcome: Outcome
) -> None:
    monkeypatch.setattr(http, "TIMEOUT", (1.0, 0.2))
    answering.status, answering.words = status, words
    sender = provider(answering.url)
    with pytest.raises(SendFailed) as failed:
        sender.send(outgoing())
    sender.http.close()
    assert failed.value.outcome is outcome
    assert "138" not in failed.value.reason
    assert "s3cret" not in failed.value.reason


@pytest.mark.parametrize("words", ["0: Accepted for delivery", "3: Queued for later delivery"])
def test_both_kinds_of_202_are_accepted(answering: AnsweringServer, words: str) -> None:
    answering.status, answering.words = 202, words
    sender = provider(answering.url)
    assert sender.send(outgoing()) == Accepted()
    sender.http.close()


def test_a_refused_connection_was_surely_not_sent() -> None:
    with pytest.raises(SendFailed) as failed:
        provider(f"http://127.0.0.1:{services.free_port()}/cgi-bin/sendsms").send(outgoing())
    assert failed.value.outcome is Outcome.RETRY_OTHER


@pytest.mark.parametrize("body", ["", "  \n"])
def test_an_empty_text_is_refused_by_us(answering: AnsweringServer, body: str) -> None:
    with pytest.raises(SendFailed, match="empty"):
        provider(answering.url).send(outgoing(body=body))
    assert answering.asked == []


def test_the_fields_of_sendsms(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from a file\n")
    sender = provider("", password_file=str(tmp_path / "password"), strip="+86", sender="1069", smsc="mobile")
    form = sender.form(outgoing())
    assert form["to"] == "13800000001"
    assert (form["coding"], form["charset"], form["dlr-mask"]) == ("2", "UTF-8", "31")
    assert (form["validity"], form["priority"]) == ("2", "3")
    assert (form["from"], form["smsc"], form["password"]) == ("1069", "mobile", "from a file")
    assert form["dlr-url"].endswith("/dlr/1/2?type=%d&answer=%A&reference=%F")
    assert sender.form(outgoing(body="Arrived.", urgent=False, useful_for=3.0)).items() >= {
        "coding": "0", "validity": "1", "priority": "0"
    }.items()  # fmt: skip
    assert not segments.is_gsm(ZH)


def test_check_says_that_nobody_listens_and_that_the_password_is_missing(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{services.free_port()}/cgi-bin/sendsms"
    problems = provider(url, password_file=str(tmp_path / "none")).check()
    assert [re.sub(r"\d{4,}", "N", problem) for problem in problems] == [
        f"kannel: {tmp_path / 'none'} cannot be read: No such file or directory",
        "kannel: nobody answers at 127.0.0.1:N ([Errno 111] Connection refused); is smsbox running?",
    ]
