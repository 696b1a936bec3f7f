"""How a service's silence, errors and answers are understood: surely not sent, or perhaps sent."""

import socket
import threading
from pathlib import Path

import pytest

from server.outbox import http
from server.outbox.providers.base import SendFailed
from server.outbox.rules import Outcome
from tests import services, standins
from tests.standins import Answer


def asked(url: str, **request: object) -> http.Reply:
    with http.session() as session:
        return http.ask(session, "Them", "POST", url, **request)


def failure(url: str) -> SendFailed:
    with pytest.raises(SendFailed) as failed:
        asked(url, data=b"+8613800000001")
    assert "138" not in failed.value.reason and "127.0.0.1" not in failed.value.reason
    return failed.value


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", (1.0, 0.3))


@pytest.mark.parametrize("bad", [
    Answer(b"{}", late=2.0),
    Answer(hang_up=True),
    Answer(reset=True),
    Answer(b'{"Code":"OK"}', cut=5),
    Answer(b"x" * 3_000_000),
    Answer(b"x" * 1000, drip=0.2),
    Answer(b"not packed at all", headers={"Content-Encoding": "gzip"}),
])  # fmt: skip
def test_what_broke_off_after_the_request_left_may_have_been_sent(bad: Answer) -> None:
    with standins.running(bad) as service:
        assert failure(service.url).outcome is Outcome.UNKNOWN
        assert len(service.asked) == 1  # and was not sent twice


def test_an_answer_that_drips_for_ever_is_given_up() -> None:
    with standins.running(Answer(b"x" * 1000, drip=0.05)) as service:
        assert failure(service.url).outcome is Outcome.UNKNOWN


def test_no_connection_is_surely_not_sent() -> None:
    for url in (f"http://127.0.0.1:{services.free_port()}/", "http://no-such-host.invalid/", "ftp://x/", "http://"):
        assert failure(url).outcome is Outcome.RETRY_OTHER


def test_a_service_that_does_not_speak_tls_got_nothing() -> None:
    with standins.running() as service:
        assert failure(service.url.replace("http://", "https://")).outcome is Outcome.RETRY_OTHER
        assert service.asked == []


def test_a_listener_that_takes_nothing_off_its_queue_leaves_doubt() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert failure(f"http://127.0.0.1:{silent.getsockname()[1]}/").outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(("status", "headers", "outcome", "after"), [
    (429, {"Retry-After": "7"}, Outcome.RETRY_OTHER, 7.0),
    (429, {}, Outcome.RETRY_OTHER, None),
    (503, {"Retry-After": "99999999"}, Outcome.RETRY_OTHER, http.LONGEST_WAIT),
    (503, {"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}, Outcome.RETRY_OTHER, 0.0),
    (429, {"Retry-After": "soon"}, Outcome.RETRY_OTHER, None),
    (503, {}, Outcome.UNKNOWN, None),
    (500, {}, Outcome.UNKNOWN, None),
    (502, {}, Outcome.UNKNOWN, None),
    (408, {}, Outcome.UNKNOWN, None),
    (200, {}, Outcome.UNKNOWN, None),
    (302, {"Location": "http://127.0.0.1:1/"}, Outcome.RETRY_OTHER, None),
    (401, {}, Outcome.RETRY_OTHER, None),
    (404, {}, Outcome.RETRY_OTHER, None),
])  # fmt: skip
def test_what_a_status_alone_says(status: int, headers: dict[str, str], outcome: Outcome, after: float | None) -> None:
    with standins.running(Answer(b"", status, headers)) as service:
        failed = asked(service.url).failed()
    assert (failed.outcome, failed.after, failed.reason) == (outcome, after, f"Them answered {status}")


@pytest.mark.parametrize("body", standins.NONSENSE[:-1])
def test_nonsense_is_an_answer_without_fields(body: bytes) -> None:
    with standins.running(Answer(body)) as service:
        reply = asked(service.url)
    assert reply.fields() == {}
    assert "\0" not in reply.text


def test_threads_share_a_session_and_no_cookie() -> None:
    with standins.running(Answer(b"{}", headers={"Set-Cookie": "a=b; Path=/"})) as service, http.session() as session:
        threads = [
            threading.Thread(target=lambda: [http.ask(session, "Them", "GET", service.url) for _ in range(5)])
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(service.asked) == 40
        assert not any("cookie" in request.headers for request in service.asked)


def test_a_secret_comes_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    assert http.secret("", str(tmp_path / "secret")) == "from a file"
    assert http.secret("in the settings", "") == "in the settings"
    (tmp_path / "secret").write_bytes(b"\xff\xff")
    for name in ("secret", "none"):
        with pytest.raises(SendFailed) as failed:
            http.secret("", str(tmp_path / name))
        assert failed.value.outcome is Outcome.RETRY_OTHER


def test_check_says_what_is_wrong_with_an_address() -> None:
    with standins.running() as service:
        assert http.problems("them", service.url) == []
    assert "nobody answers" in http.problems("them", f"http://127.0.0.1:{services.free_port()}")[0]
    for wrong in ("", "sms.example", "http://[", "http://host:99999/"):
        assert "no address" in http.problems("them", wrong)[0]
