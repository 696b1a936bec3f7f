"""What all providers that speak HTTP share: one way to ask a service, and what its silence, errors and answers mean.

The line between "surely not sent" and "may have been sent" is drawn here once: no connection, a certificate that is
not believed, 429 and 503 with Retry-After never took the text; any other failure after the request left may have.
"""

import datetime as dt
import json
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3.exceptions as under
from requests.adapters import HTTPAdapter

from server.outbox.providers.base import SendFailed
from server.outbox.rules import Outcome

TIMEOUT = (3.0, 8.0)  # seconds to connect, and for the whole answer after that
LARGEST = 1_000_000  # bytes of an answer that are read; none of ours needs a tenth
LONGEST_WAIT = 3600.0  # seconds that a service may make us wait by Retry-After
CONNECTIONS = 64
PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Reply:
    """An answer: its status, and its body as far as we read it."""

    service: str
    status: int
    body: bytes
    headers: Mapping[str, str]  # looked up in any case

    @property
    def text(self) -> str:
        """The body as text, whatever is in it."""
        return plain(self.body.decode("utf-8", "replace"))

    def fields(self) -> dict[str, Any]:
        """The body as a JSON object; empty when it is anything else (an error page, half an answer)."""
        found = json_of(self.body)
        return found if isinstance(found, dict) else {}

    def failed(self, outcome: Outcome | None = None, detail: str = "") -> SendFailed:
        """What to raise: the outcome that the provider found in the answer, else what the status alone says.

        `detail` must hold no number and no text: a code, not the service's own sentence.
        """
        code = re.sub(r"\d{7,}", "…", plain(detail))[:120]  # a service that breaks down may put a number there
        reason = f"{self.service} answered {self.status}{': ' if code else ''}{code}"
        return SendFailed(outcome or self._by_status(), reason, self.retry_after())

    def _by_status(self) -> Outcome:
        if self.status == 503 and "Retry-After" in self.headers:
            return Outcome.RETRY_OTHER
        if 300 <= self.status < 500 and self.status != 408:  # not taken: too many, account, address, form
            return Outcome.RETRY_OTHER
        return Outcome.UNKNOWN  # also 2xx that cannot be read: it may have been taken

    def retry_after(self) -> float | None:
        """Seconds that the service asks us to wait, given as seconds or as a date."""
        said = self.headers.get("Retry-After", "").strip()
        if said.isascii() and said.isdigit() and len(said) < 10:
            return min(float(said), LONGEST_WAIT)
        try:
            moment = parsedate_to_datetime(said)
        except (ValueError, OverflowError):
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        return min(max(0.0, moment.timestamp() - time.time()), LONGEST_WAIT)


def session() -> requests.Session:
    """For one provider, used by all its threads: no proxy and no .netrc of the machine, no cookies kept, no retry."""
    made = requests.Session()
    made.trust_env = False
    made.cookies.set_policy(_NoCookies())
    for scheme in ("http://", "https://"):
        made.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS, max_retries=0))
    return made


def ask(session: requests.Session, service: str, method: str, url: str, **request: Any) -> Reply:
    """One request (params, data, json, headers, auth as in requests), one answer of any status.

    Raises SendFailed: RETRY_OTHER where the request surely did not arrive, UNKNOWN where it may have. Its reason
    holds nothing of the address or of the service's words, which may hold a number.
    """
    given_up = time.monotonic() + sum(TIMEOUT)
    try:
        with session.request(method, url, timeout=TIMEOUT, allow_redirects=False, stream=True, **request) as answer:
            return Reply(service, answer.status_code, _read(answer, given_up), answer.headers)
    except (requests.RequestException, under.HTTPError, OSError) as error:
        raise unreachable(service, error) from None


def _read(answer: requests.Response, given_up: float) -> bytes:
    """As much as we need: a service that drips its answer, or never ends it, holds a sender no longer than others."""
    got = bytearray()
    while piece := answer.raw.read1(16_384, decode_content=True):  # what is there, not a full piece
        got += piece
        if len(got) > LARGEST or time.monotonic() > given_up:
            raise requests.ReadTimeout
    return bytes(got)


def unreachable(service: str, error: Exception) -> SendFailed:
    """What an error of requests means for the text."""
    if never_left(error):
        return SendFailed(Outcome.RETRY_OTHER, f"no connection to {service}")
    return SendFailed(Outcome.UNKNOWN, f"no answer from {service} ({type(error).__name__})")


def never_left(error: Exception) -> bool:
    """Whether the request surely did not arrive: name unknown, refused, connect timeout, certificate not believed."""
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return True
    cause = error.args[0] if error.args else None
    if isinstance(cause, under.MaxRetryError):
        cause = cause.reason
    if isinstance(cause, under.NewConnectionError | under.NameResolutionError | under.ConnectTimeoutError):
        return True
    # A TLS error while the answer is read is no refusal; one of the handshake is named as such.
    return isinstance(cause, under.SSLError) and _of_handshake(cause)


def _of_handshake(error: under.SSLError) -> bool:
    cause = error.args[0] if error.args else None
    words = ("handshake", "WRONG_VERSION", "UNSUPPORTED_PROTOCOL", "doesn't match")
    return isinstance(cause, ssl.SSLCertVerificationError) or any(word in str(error) for word in words)


def secret(value: str, file: str) -> str:
    """A secret from its own file, else from the settings. Raises SendFailed when the file cannot be read."""
    if not file:
        return value
    try:
        return Path(file).read_text("utf-8").strip()
    except OSError as error:
        raise SendFailed(Outcome.RETRY_OTHER, f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SendFailed(
            Outcome.RETRY_OTHER, f"{file} is not text; write the secret into it and nothing else"
        ) from None


def problems(
    name: str, url: str, hint: str = "is the address right, and does the firewall let it through?"
) -> list[str]:
    """Whether somebody listens at an address, for a provider's `check`."""
    try:
        place = urlsplit(url)
        host, port = place.hostname or "", place.port or PORTS.get(place.scheme, 0)
    except ValueError:
        return [f"{name}: {url} is no address"]
    if not host or not port:
        return [f"{name}: {url} is no address that begins with https:// or http://"]
    try:
        socket.create_connection((host, port), TIMEOUT[0]).close()
    except OSError as error:
        return [f"{name}: nobody answers at {host}:{port} ({error}); {hint}"]
    return []


def json_of(body: bytes | str) -> Any:
    """JSON from outside; None when it is none, also when it is nested beyond reason."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def plain(text: str) -> str:
    """What both databases can keep: no NUL, no half of a surrogate pair."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def word(entry: Mapping[str, Any], name: str) -> str:
    """A field of JSON that is a string or a number, as text; empty for all else."""
    value = entry.get(name)
    return plain(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else ""


class _NoCookies(DefaultCookiePolicy):
    """Threads share the session, and no service of ours needs a cookie."""

    def set_ok(self, cookie: Any, request: Any) -> bool:
        """Never."""
        return False
