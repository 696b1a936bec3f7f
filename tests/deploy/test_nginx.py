"""deploy/nginx: the shipped file in a real nginx before the real pages."""

import contextlib
import http.client
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from werkzeug.serving import make_server

from server import config
from tests import sample, services
from tests.deploy.nginx import NAME, Nginx
from tests.server.site import Site

TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Message
    body: bytes


class Front:
    """nginx, and the application behind it, which counts what reaches it."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.reached: Counter[str] = Counter()
        self.seen: dict[str, Any] = {}
        self.asker = "127.0.0.1"  # each address has its own allowance
        application = site.app.wsgi_app

        def counted(environ: dict[str, Any], start: Any) -> Any:
            self.reached[environ["PATH_INFO"]] += 1
            self.seen = dict(environ)
            return application(environ, start)

        self.server = make_server("127.0.0.1", 0, counted, threaded=True)
        self.nginx = Nginx(folder / "nginx", self.server.server_port)

    def ask(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
        """One request over TLS with the certificate checked."""
        with self.open(path, method, body, **headers) as response:
            return Answer(response.status, response.headers, response.read())

    @contextlib.contextmanager
    def open(
        self, path: str, method: str = "GET", body: bytes = b"", **headers: str
    ) -> Iterator[http.client.HTTPResponse]:
        """The same, to be read bit by bit."""
        connection = http.client.HTTPSConnection(NAME, self.nginx.port, context=self.trust(), timeout=30)
        with contextlib.closing(connection):
            connection.sock = self.dial()
            named = {name.replace("_", "-"): text for name, text in headers.items()}
            connection.request(method, path, body or None, named)
            with connection.getresponse() as response:
                yield response

    def dial(self, **options: Any) -> ssl.SSLSocket:
        """A TLS connection to our name."""
        context = self.trust(**options)
        line = socket.create_connection(("127.0.0.1", self.nginx.port), 30, (self.asker, 0))
        try:
            return context.wrap_socket(line, server_hostname=NAME)
        except ssl.SSLError:
            line.close()
            raise

    def trust(self, alpn: tuple[str, ...] = ("http/1.1",), newest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """What a browser believes."""
        context = ssl.create_default_context(cafile=str(self.nginx.certificate))
        context.set_alpn_protocols(list(alpn))
        if newest:
            context.maximum_version = newest
        return context

    def log_in(self) -> str:
        """The cookies of somebody who is logged in."""
        page = self.ask("/login")
        form = page.headers["Set-Cookie"].split(";")[0]
        token = TOKEN.search(page.body.decode())
        assert token
        fields = urlencode({"login": "wangmin", "password": sample.PASSWORD, "csrf_token": token[1]}).encode()
        sent = {"Cookie": form, "Content-Type": "application/x-www-form-urlencoded", "Referer": f"https://{NAME}/login"}
        answer = self.ask("/login", "POST", fields, **sent)
        assert answer.status == 303, answer.body
        return "; ".join([form, *(line.split(";")[0] for line in answer.headers.get_all("Set-Cookie"))])


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Front]:
    """The sample school behind nginx."""
    if not services._program("nginx"):
        services.missing("nginx-light")
    folder = tmp_path_factory.mktemp("front")
    shutil.copy(sqlite_template, folder / "gatebell.db")
    settings = config.Config(
        database=config.Database(url=f"sqlite:///{folder}/gatebell.db"),
        secrets=config.Secrets(key_file=str(folder / "key")),
        web=config.Web(url=f"https://{NAME}", secure_cookies=True, proxies=1),
        run_dir=str(folder),
    )
    site = Site(settings)
    front = Front(site, folder)
    thread = threading.Thread(target=front.server.serve_forever, daemon=True)
    thread.start()
    with front.nginx:
        yield front
    hub = site.app.extensions["gatebell-live"]
    for stream in tuple(hub.streams):
        hub.leave(stream)
    front.server.shutdown()
    front.server.server_close()
    thread.join(10)
    site.close()


def test_nginx_itself_finds_the_file_in_order(front: Front) -> None:
    told = subprocess.run([*front.nginx.command(), "-t"], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert "warn" not in told.stderr


def plain(front: Front, path: str) -> Answer:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", front.nginx.plain, timeout=30)) as connection:
        connection.request("GET", path, headers={"Host": NAME})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())


def test_plain_http_is_sent_to_https_and_certificates_can_be_renewed(front: Front) -> None:
    challenge = front.nginx.folder / "www/.well-known/acme-challenge/token"
    challenge.parent.mkdir(parents=True, exist_ok=True)
    challenge.write_text("proof")
    home, proof = (plain(front, path) for path in ("/texts?day=2026-11-25", "/.well-known/acme-challenge/token"))
    assert (home.status, home.headers["Location"]) == (301, f"https://{NAME}/texts?day=2026-11-25")
    assert (proof.status, proof.body) == (200, b"proof")


def test_every_security_header_stands_once_and_is_the_application_s(front: Front) -> None:
    for path in ("/login", "/", "/static/gatebell.css", "/nothing/here"):
        headers = front.ask(path).headers
        doubled = [
            name for name, n in Counter(name.lower() for name in headers).items() if n > 1 and name != "set-cookie"
        ]
        assert doubled == []
        assert (
            headers["X-Content-Type-Options"] == "nosniff"
            and "default-src 'self'" in headers["Content-Security-Policy"]
        )
        assert headers["Strict-Transport-Security"].startswith("max-age=") and headers["Server"] == "nginx"


def test_the_application_knows_who_asks_and_how_whatever_the_client_claims(front: Front) -> None:
    lies = {"X_Forwarded_For": "6.6.6.6", "X_Forwarded_Proto": "http", "X_Forwarded_Host": "evil", "Forwarded": "for=6"}
    front.ask("/login", **lies)
    told = {name: front.seen.get(f"HTTP_{name.upper()}") for name in lies}
    assert told["X_Forwarded_For"] == "127.0.0.1" and told["X_Forwarded_Proto"] == "https"
    assert told["X_Forwarded_Host"] == NAME and not told["Forwarded"]


def test_browsers_get_http_2(front: Front) -> None:
    with contextlib.closing(front.dial(alpn=("h2", "http/1.1"))) as line:
        assert line.selected_alpn_protocol() == "h2"


def test_old_tls_and_other_names_are_refused(front: Front) -> None:
    with pytest.warns(DeprecationWarning), pytest.raises(ssl.SSLError):
        front.dial(newest=ssl.TLSVersion.TLSv1_1)
    stranger = ssl.create_default_context(cafile=str(front.nginx.certificate))
    with (
        socket.create_connection(("127.0.0.1", front.nginx.port)) as line,
        pytest.raises(ssl.SSLError, match="unrecognized name|UNRECOGNIZED_NAME"),
    ):
        stranger.wrap_socket(line, server_hostname="other.example")


def test_static_files_are_asked_for_once(front: Front) -> None:
    path = "/static/vendor/tabler-icons-3.51.0/sprite.svg"
    kinds = [front.ask(path, Accept_Encoding=kind) for kind in ("gzip", "gzip", "identity", "gzip", "identity")]
    assert [answer.status for answer in kinds] == [200] * 5
    assert front.reached[path] == 2  # once for each way to travel
    encodings = [answer.headers.get("Content-Encoding") for answer in kinds]
    assert encodings == ["gzip", "gzip", None, "gzip", None]
    assert "immutable" in kinds[1].headers["Cache-Control"]


def test_pages_are_never_kept(front: Front) -> None:
    before = front.reached["/login"]
    assert [front.ask("/login").headers["Cache-Control"] for _ in range(3)] == ["no-store"] * 3
    assert front.reached["/login"] == before + 3


def test_a_stream_s_words_come_at_once_and_it_stays_open(front: Front) -> None:
    cookies, began = front.log_in(), time.monotonic()
    with front.open("/live", Cookie=cookies) as stream:
        assert stream.status == 200 and stream.headers["Content-Type"].startswith("text/event-stream")
        first = stream.readline()
    assert first.strip() and time.monotonic() - began < 15


def test_a_body_that_is_too_large_never_reaches_the_application(front: Front) -> None:
    before = front.reached["/login"]
    with contextlib.closing(front.dial()) as line:
        line.sendall(f"POST /login HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: {17 << 20}\r\n\r\n".encode())
        assert b" 413 " in line.recv(200)
    assert front.reached["/login"] == before


def test_a_machine_that_tries_passwords_is_slowed_down(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(front, "asker", "127.0.0.9")  # nobody has asked from there
        told: Counter[int] = Counter()
        while told[429] < 10 and told.total() < 200:
            told[front.ask("/login").status] += 1
        assert told[429] == 10 and told[200] >= 21 and set(told) == {200, 429}  # one, and the shipped burst
        assert front.ask("/static/gatebell.css").status == 200  # and nothing else is
    assert front.ask("/login").status == 200  # nor anybody else


def test_numbers_are_for_this_machine_alone(front: Front) -> None:
    text = (front.nginx.folder / "gatebell.conf").read_text()
    block = text[text.index("location = /metrics") :]
    assert re.search(r"allow 127\.0\.0\.1;\s+allow ::1;\s+deny all;", block)


def test_the_log_holds_no_secret_of_a_link(front: Front) -> None:
    front.ask("/portal/SECRETTOKEN?key=SECRETKEY", Referer="https://x/SECRETREF")
    log = front.nginx.folder / "gatebell.log"
    until = time.monotonic() + 10
    while "/portal" not in log.read_text() and time.monotonic() < until:
        time.sleep(0.05)
    assert " GET /portal 404 " in log.read_text()
    assert all("SECRET" not in path.read_text() for path in front.nginx.folder.glob("*.log"))
