"""A sender killed at every step of a text's way: nothing is lost, and nothing is sent twice unless it is marked so."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select

from server.db import db
from server.outbox.models import OutboxText, PhoneText
from server.outbox.queue import LEFT_BEHIND, MAY_DOUBLE
from server.outbox.rules import Lane
from tests.server.outbox_child import POINTS
from tests.server.outbox_texts import attempts, many, new_text, queued, soon, states

pytestmark = pytest.mark.usefixtures("school")
TEXTS = 5
ROOT = Path(__file__).parents[2]


class Smsbox(ThreadingHTTPServer):
    """Accepts as Kannel's does, notes each number, and may kill the sender with its request half-way."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Sendsms)
        self.came: Counter[str] = Counter()
        self.victim = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}/cgi-bin/sendsms"


class _Sendsms(BaseHTTPRequestHandler):
    server: Smsbox

    def do_GET(self) -> None:
        """One text."""
        self.server.came[parse_qs(urlsplit(self.path).query)["to"][0]] += 1
        if self.server.victim:
            os.kill(self.server.victim, signal.SIGKILL)  # its request has left, no answer comes
            self.server.victim = 0
            return
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Quiet."""


@pytest.fixture
def smsbox() -> Iterator[Smsbox]:
    with Smsbox() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


@pytest.fixture
def child(database_url: str, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Starts a sender with these options."""

    @contextmanager
    def start(*options: str) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "tests.server.outbox_child", database_url, str(tmp_path), *options]
        with subprocess.Popen(command, cwd=ROOT) as process:
            try:
                yield process
            finally:
                process.terminate()
                process.wait(20)

    return start


def killed(process: subprocess.Popen[bytes]) -> bool:
    return process.wait(30) == -signal.SIGKILL


def texts() -> list[OutboxText]:
    db.session.rollback()
    return list(db.session.scalars(select(OutboxText).execution_options(populate_existing=True)))


def on_phones() -> Counter[object]:
    db.session.rollback()
    return Counter(db.session.scalars(select(PhoneText.text_id)))


def more(count: int) -> None:
    """Some more texts, to numbers of their own."""
    queued(*(new_text(f"+86138{count:03d}{n:05d}") for n in range(TEXTS)))


def test_a_provider_that_can_be_asked_gets_each_text_once(child) -> None:  # type: ignore[no-untyped-def]
    for count, point in enumerate(POINTS):
        more(count)
        with child("--at", point) as process:
            assert killed(process), point
    with child():
        soon(lambda: set(states()) == {"delivered"}, seconds=40)
    assert on_phones() == Counter(text.id for text in texts())
    assert len(texts()) == TEXTS * len(POINTS)


AT_KANNEL = [point for point in POINTS if point != "asked"]  # it cannot be


def test_a_provider_that_cannot_be_asked_gets_none_too_few_and_doubles_are_marked(  # type: ignore[no-untyped-def]
    child, smsbox: Smsbox
) -> None:
    for count, point in enumerate(AT_KANNEL):
        more(count)
        with child("--at", point, "--smsbox", smsbox.url) as process:
            assert killed(process), point
    with request_left(child, smsbox):
        soon(lambda: all(text.state == "sent" or text.settled_at for text in texts()), seconds=60)
    found = texts()
    # Two senders died over the same text: nobody knows of either copy, and it stands among the texts without receipt.
    open_ = {text.phone for text in found if text.state == "unknown"}
    assert all(len(attempts(text.id)) == 2 for text in found if text.phone in open_)
    assert {text.phone for text in found} - set(smsbox.came) <= open_
    assert max(smsbox.came.values()) == 2
    doubled = {number for number, copies in smsbox.came.items() if copies == 2}
    marked = {text.phone for text in found if text.error == MAY_DOUBLE}
    assert doubled <= marked | open_
    assert marked | open_ < {text.phone for text in found}


@contextmanager
def request_left(child, smsbox: Smsbox) -> Iterator[None]:  # type: ignore[no-untyped-def]
    """One more sender is killed while its provider has the request; then one that may work."""
    more(99)
    with child("--smsbox", smsbox.url) as process:
        smsbox.victim = process.pid
        assert killed(process)
    with child("--smsbox", smsbox.url):
        yield


def test_a_notice_in_doubt_is_not_sent_again_and_stays_to_be_seen(child, smsbox: Smsbox) -> None:  # type: ignore[no-untyped-def]
    queued(*many(TEXTS, lane=Lane.BULK))
    with child("--smsbox", smsbox.url) as process:
        smsbox.victim = process.pid
        assert killed(process)
    with child("--smsbox", smsbox.url):
        soon(lambda: all(text.settled_at or text.state == "sent" for text in texts()), seconds=40)
    assert max(smsbox.came.values()) == 1
    in_doubt = [text for text in texts() if text.state == "unknown"]
    assert in_doubt
    assert {text.error for text in in_doubt} == {LEFT_BEHIND}
    assert all(attempts(text.id) for text in texts())
