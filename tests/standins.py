"""Stand-ins for services that nobody can run here: real HTTP servers on a loopback port, as bad as they are told to be.

A test gives a function `answer(Asked) -> Answer`; what it checks of a request (a signature above all) it checks by
its own reading of the service's documentation, never by our signer.
"""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    target: str  # path with query, undecoded
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass(frozen=True)
class Answer:
    """What is answered, and how badly: `late` seconds after the request, `cut` after so many bytes of the body.

    `hang_up` takes the whole request and closes; `reset` does so with an RST; `drip` sends a byte every so many
    seconds.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    late: float = 0.0
    cut: int | None = None
    hang_up: bool = False
    reset: bool = False
    drip: float = 0.0


def json_answer(value: Any, status: int = 200, **how: Any) -> Answer:
    """An answer of JSON."""
    return Answer(msgspec.json.encode(value), status, {"Content-Type": "application/json; charset=utf-8"}, **how)


# What services and what stands before them say in bad hours; nothing of it may break a provider.
NONSENSE = (
    b"",
    b"<html><body><h1>502 Bad Gateway</h1></body></html>",
    b"{",
    b"[]",
    b"null",
    b'"OK"',
    b"{}",
    b"\x00\x00\x00",
    b"\xff\xfe\xff",
    b"[" * 100_000,
    b" " * 10_000_000,
)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def _any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        named = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path, named, self.rfile.read(length))
        self.server.asked.append(asked)
        answer = self.server.answer(asked)
        if answer.late:
            self.server.over.wait(answer.late)
        if answer.reset:  # linger 0: close() sends RST
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if answer.reset or answer.hang_up:
            self.close_connection = True
            self.connection.close()
            return
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        try:
            self.end_headers()
            for piece in self._pieces(answer):
                self.wfile.write(piece)
                self.wfile.flush()
        except OSError:  # the client has heard enough
            self.close_connection = True
        if answer.cut is not None:
            self.close_connection = True

    def _pieces(self, answer: Answer) -> Iterator[bytes]:
        if not answer.drip:
            yield answer.body[: answer.cut]
            return
        for byte in answer.body:
            yield bytes((byte,))
            if self.server.over.wait(answer.drip):
                return

    do_GET = do_POST = do_PUT = _any

    def log_message(self, *words: object) -> None:
        """Quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answer: Callable[[Asked], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.asked: list[Asked] = []
        self.over = threading.Event()

    def handle_error(self, *about: object) -> None:
        """A client that goes away is part of the tests; a stand-in's own fault is seen by the missing answer."""


class StandIn:
    """A running stand-in: where it is, what it was asked, and what it answers from now on."""

    def __init__(self, server: _Server) -> None:
        self._server = server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def asked(self) -> list[Asked]:
        return self._server.asked

    def answers(self, answer: Callable[[Asked], Answer] | Answer) -> None:
        """From now on, this."""
        self._server.answer = answer if callable(answer) else lambda asked: answer

    def soon_asked(self, count: int, seconds: float = 5.0) -> list[Asked]:
        """All requests, once there are so many."""
        end = time.monotonic() + seconds
        while len(self.asked) < count and time.monotonic() < end:
            time.sleep(0.01)
        assert len(self.asked) >= count
        return self.asked


@contextmanager
def running(answer: Callable[[Asked], Answer] | Answer = Answer()) -> Iterator[StandIn]:
    """A stand-in on a free port of this machine, for as long as the block runs."""
    with _Server(answer if callable(answer) else lambda asked: answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield StandIn(server)
        finally:
            server.over.set()
            server.shutdown()
            thread.join(10)
