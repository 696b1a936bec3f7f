"""The evacuation count as a page on the gate's own network: plain numbers, to be read on a phone or printed.

Loaded only where [evacuation] asks for it: an HTTP server costs memory that a gate need not spend.
"""

import base64
import hashlib
import html
import logging
import sqlite3
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer

from gateway import evacuation
from gateway.evacuation import Count

log = logging.getLogger("gateway.evacuation")

PATIENCE_S = 3.0  # for one visitor: the next one waits meanwhile
STYLE = (
    "body{font:1.2rem/1.5 sans-serif;margin:1rem auto;max-width:40rem;padding:0 1rem}"
    "h1{font-size:4rem;margin:0}td{padding:.1rem 2rem .1rem 0}td+td{text-align:right}.doubt{font-weight:bold}"
)
POLICY = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class CannotListen(OSError):
    """The page's address cannot be used; the text says what to do. The gate goes on without the page."""


class Page:
    """Answers in a thread of its own; `counted` is called there."""

    def __init__(self, listen: str, gateway: str, counted: Callable[[], Count]) -> None:
        self.listen = listen
        self.gateway = gateway
        self.counted = counted

    def start(self) -> int:
        """Listen; gives the port. Raises CannotListen."""
        host, _, port = self.listen.rpartition(":")
        try:
            self._server = HTTPServer((host, int(port)), self._handler())
        except (OSError, OverflowError) as error:
            raise CannotListen(f"[evacuation] listen = {self.listen!r}: {error}; the page is not served") from None
        threading.Thread(target=self._server.serve_forever, name="evacuation", daemon=True).start()
        return self._server.server_port

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()

    def text(self) -> tuple[int, str]:
        """Status and page."""
        try:
            return 200, page(self.gateway, self.counted())
        except sqlite3.Error as error:
            return 503, f"<!doctype html><title>?</title><p>{html.escape(str(error))}</p>"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self.text

        class Handler(BaseHTTPRequestHandler):
            """GET / and nothing else."""

            timeout = PATIENCE_S
            server_version, sys_version = "gate", ""

            def do_GET(self) -> None:
                """The page."""
                status, text = answer() if self.path == "/" else (404, "")
                body = text.encode()
                self.send_response(status)
                for name, value in (
                    ("Content-Type", "text/html; charset=utf-8"),
                    ("Content-Length", str(len(body))),
                    ("Cache-Control", "no-store"),
                    ("Content-Security-Policy", POLICY),
                    ("X-Content-Type-Options", "nosniff"),
                ):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Not in the log: who looks every ten seconds would fill it."""

        return Handler


def page(gateway: str, found: Count) -> str:
    """The whole page."""
    rows = "".join(f"<tr><td>{html.escape(name)}</td><td>{number}</td></tr>" for name, number in found.by_group)
    _, *said = (html.escape(line) for line in evacuation.lines(found))
    told = "".join(
        f"<p{' class=doubt role=alert' if line.startswith('!') else ''}>{line}</p>"
        for line in said[len(found.by_group) :]
    )
    return (
        f'<!doctype html><html lang="zh-Hans"><head><meta charset="utf-8"><meta http-equiv="refresh" content="10">'
        f'<meta name="viewport" content="width=device-width"><title>{found.inside} · {html.escape(gateway)}</title>'
        f"<style>{STYLE}</style></head><body><p>校内人数 <span lang=en>Inside now</span></p><h1>{found.inside}</h1>"
        f"{told}<table>{rows}</table></body></html>"
    )
