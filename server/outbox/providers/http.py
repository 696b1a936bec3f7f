"""Any gateway that takes a text by one HTTP request: what to ask, and what its answers mean, stand in the settings.

The model is Kannel's `smsc = http, system-type = generic` (user guide 1.4.5, "Generic HTTP client"). Patterns are
Python's regular expressions and are looked for in "STATUS BODY", as in `202 0: Accepted for delivery`.
"""

import hmac
import math
import re
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from server import config
from server.outbox import fill, http, segments
from server.outbox.providers.base import (
    Accepted,
    Brought,
    Forged,
    Heard,
    Incoming,
    News,
    Outgoing,
    Provider,
    Report,
    SendFailed,
)
from server.outbox.rules import Outcome, TextState

LONGEST_NUMBER = 32
WORDS = 120  # characters of an answer that staff may read


class Receipt(config.Section, frozen=True):
    """Where a receipt's parts stand: names of fields, in JSON with dots (`data.status`, `results.0.id`)."""

    state: str = ""  # empty: no receipts come
    id: str = ""  # holds {id}; empty: the receipt comes to {callback}
    reference: str = ""  # holds the gateway's own number
    words: str = ""  # says more about a failure
    every: str = ""  # the list, where many come at once
    states: dict[str, TextState] = {}  # pattern -> delivered, sent, failed, expired; the first that is found counts


class Reply(config.Section, frozen=True):
    """Where the parts of what a person wrote stand."""

    phone: str = ""  # empty: no replies come
    text: str = ""
    reference: str = ""
    every: str = ""


class Http(Provider):
    """It cannot be asked about a text: a receipt settles what a lost answer left open."""

    name = "http"

    class Settings(config.Section, frozen=True):
        """`url`, `query`, `form`, `body` and `headers` may hold {placeholders}; see docs/providers.md."""

        url: str = ""
        method: str = "POST"
        query: dict[str, str] = {}
        form: dict[str, str] = {}
        body: str = ""
        content_type: str = "application/json; charset=utf-8"  # of `body`
        headers: dict[str, str] = {}
        username: str = ""
        password: str = ""
        password_file: str = ""
        sender: str = ""
        strip: str = ""  # cut off the front of numbers
        success: str = ""  # pattern
        reference: str = ""  # pattern; its first group is the gateway's own number for the text
        errors: dict[str, Outcome] = {}  # pattern -> outcome; the first that is found counts
        receipt: Receipt = Receipt()
        reply: Reply = Reply()
        answer: str = ""  # what a gateway wants to hear when it has brought something
        answer_type: str = "text/plain"
        token_header: str = ""  # a header by which the gateway proves itself ...
        token: str = ""  # ... with this in it
        token_file: str = ""

        def __post_init__(self) -> None:
            for complaint in complaints(self):
                raise ValueError(complaint)

    settings: "Http.Settings"

    def __init__(self, settings: "Http.Settings") -> None:
        super().__init__(settings)
        self.http = http.session()
        self.success = _pattern(settings.success)
        self.number = _pattern(settings.reference)
        self.errors = [(_pattern(found), outcome) for found, outcome in settings.errors.items()]
        self.states = [(_pattern(found), state) for found, state in settings.receipt.states.items()]

    def send(self, text: Outgoing) -> Accepted:
        """One request for one number."""
        if not text.body.strip():
            raise SendFailed(Outcome.FAIL_CONTENT, "the text is empty")
        settings, values = self.settings, self.values(text)
        parts: dict[str, Any] = {
            # Bytes: requests would refuse letters that Latin-1 has not.
            "headers": {name: fill.header(value, values).encode() for name, value in settings.headers.items()}
        }
        if settings.query:
            parts["params"] = {name: fill.plainly(value, values) for name, value in settings.query.items()}
        if settings.form:
            parts["data"] = {name: fill.plainly(value, values) for name, value in settings.form.items()}
        elif settings.body:
            parts["data"] = fill.body(settings.body, values, settings.content_type).encode()
            parts["headers"].setdefault("Content-Type", settings.content_type.encode())
        url = fill.address(settings.url, values)
        return self._accepted(http.ask(self.http, "the gateway", settings.method, url, **parts))

    def values(self, text: Outgoing) -> dict[str, str]:
        """What stands for each placeholder."""
        return {
            "phone": text.phone.removeprefix(self.settings.strip),
            "text": text.body,
            "id": str(text.text_id),
            "callback": text.callback,
            "sender": self.settings.sender,
            "username": self.settings.username,
            "password": http.secret(self.settings.password, self.settings.password_file),
            "seconds": str(max(1, math.floor(text.useful_for))),
            "minutes": str(max(1, math.ceil(text.useful_for / 60))),
            "coding": "0" if segments.is_gsm(text.body) else "2",
            "priority": "3" if text.urgent else "0",
            "wording": text.wording,
        }

    def take(self, request: Incoming) -> Brought:
        """What has the field of a state is a receipt, what has the field of a number was written by a person."""
        if self.settings.token_header:
            given = request.headers.get(self.settings.token_header, "")
            if not _same(given, http.secret(self.settings.token, self.settings.token_file)):
                raise Forged
        came = _came(request)
        receipt, reply = self.settings.receipt, self.settings.reply
        reports = [self._report(one) for one in _every(came, receipt.every) if _has(one, receipt.state)]
        heard = [self._heard(one) for one in _every(came, reply.every) if _has(one, reply.phone)]
        if not reports and not heard:
            raise ValueError("neither a receipt nor a reply")
        return Brought(reports=reports, heard=[] if reports else heard)

    def acknowledgement(self) -> tuple[str, str]:
        """As the settings say."""
        return self.settings.answer, self.settings.answer_type

    def check(self) -> list[str]:
        """Whether the secrets can be read and somebody answers."""
        try:
            http.secret(self.settings.password, self.settings.password_file)
            http.secret(self.settings.token, self.settings.token_file)
        except SendFailed as failed:
            return [f"http: {failed.reason}"]
        return http.problems("http", self.settings.url)

    def _accepted(self, reply: http.Reply) -> Accepted:
        """Raises SendFailed."""
        said = f"{reply.status} {reply.text}"
        if self.success.search(said):
            found = self.number.search(said) if self.settings.reference else None
            return Accepted(http.plain(found[1])[:100] if found and found[1] else None)
        for pattern, outcome in self.errors:
            if pattern.search(said):
                raise reply.failed(outcome)
        raise reply.failed(None)

    def _report(self, one: Any) -> Report:
        names = self.settings.receipt
        state = _at(one, names.state)
        raw = f"{state} {_at(one, names.words)}".strip()[:400]
        news = News(
            next((found for pattern, found in self.states if pattern.search(state)), None),
            raw,
            _at(one, names.reference)[:100],
        )
        try:
            return Report(news, uuid.UUID(_at(one, names.id)))
        except ValueError:
            return Report(news)

    def _heard(self, one: Any) -> Heard:
        names = self.settings.reply
        phone = _at(one, names.phone).strip()
        if not phone or len(phone) > LONGEST_NUMBER:
            raise ValueError("no sender")
        return Heard(phone, _at(one, names.text), _at(one, names.reference)[:100])


def complaints(settings: Http.Settings) -> list[str]:
    """What is wrong with the settings, in sentences for the operator."""
    return [*_of_request(settings), *_of_answers(settings), *_of_callbacks(settings)]


# As Http.values gives them.
PLACES = (
    "phone",
    "text",
    "id",
    "callback",
    "sender",
    "username",
    "password",
    "seconds",
    "minutes",
    "coding",
    "priority",
    "wording",
)


def _of_request(settings: Http.Settings) -> list[str]:
    found = []
    if not settings.url.startswith(("http://", "https://")):
        found.append("url must begin with https:// (or http:// for a gateway of your own network)")
    if settings.method not in {"GET", "POST", "PUT"}:
        found.append(f"method must be GET, POST or PUT, not {settings.method!r}")
    if settings.form and settings.body:
        found.append("give either `form` or `body`, not both")
    if settings.method == "GET" and (settings.form or settings.body):
        found.append("a GET has neither `form` nor `body`; put the fields into `query`")
    templates = [settings.url, settings.body, *settings.query.values(), *settings.form.values()]
    everything = "\n".join([*templates, *settings.headers.values()])
    for name in fill.unknown(everything, PLACES):
        found.append(f"there is no placeholder {{{name}}}; there are: {', '.join(PLACES)}")
    for name in ("phone", "text"):
        if f"{{{name}}}" not in everything:
            found.append(f"{{{name}}} stands nowhere in url, query, form or body: the gateway would not learn it")
    return found or _of_body(settings)


def _of_body(settings: Http.Settings) -> list[str]:
    if not settings.body or not settings.content_type.partition(";")[0].strip().lower().endswith("json"):
        return []
    try:
        msgspec.json.decode(fill.body(settings.body, dict.fromkeys(PLACES, "1"), settings.content_type))
    except ValueError as error:
        return [f"body is not JSON once its placeholders are filled in ({error}); text stands in quotes there"]
    return []


def _of_answers(settings: Http.Settings) -> list[str]:
    if not settings.success:
        return ["success must be a pattern that only a taken text's answer has, such as '^200 .*\"code\": ?0'"]
    found = []
    patterns = {"success": [settings.success], "reference": [settings.reference], "errors": [*settings.errors]}
    for name, wanted in {**patterns, "receipt.states": [*settings.receipt.states]}.items():
        found += [f"{name}: {pattern!r} is no pattern: {why}" for pattern in wanted if (why := _wrong(pattern))]
    if not found and settings.reference and not _pattern(settings.reference).groups:
        found.append("reference needs a group around the number, as in 'id=([0-9]+)'")
    if not found and _pattern(settings.success).search(""):
        found.append("success is found in any answer, also in a refusal")
    for pattern, outcome in settings.errors.items():
        if outcome is Outcome.ACCEPTED:
            found.append(f"errors: {pattern!r} cannot mean accepted; widen `success` instead")
    return found


def _of_callbacks(settings: Http.Settings) -> list[str]:
    receipt, found = settings.receipt, []
    if receipt.state and not receipt.states:
        found.append("receipt.states must say which words mean delivered, failed, expired or sent")
    taken = {TextState.DELIVERED, TextState.SENT, TextState.FAILED, TextState.EXPIRED}
    for pattern, state in receipt.states.items():
        if state not in taken:
            found.append(f"receipt.states: {pattern!r} can mean delivered, sent, failed or expired, not {state}")
    everything = "\n".join([settings.url, settings.body, *settings.query.values(), *settings.form.values()])
    if receipt.state and not (receipt.id or receipt.reference) and "{callback}" not in everything:
        found.append("a receipt could not be matched: send {callback}, or name receipt.id or receipt.reference")
    if settings.reply.phone and not settings.reply.text:
        found.append("reply.text must name the field that holds what was written")
    if settings.token_header and not (settings.token or settings.token_file):
        found.append("token_header needs `token_file` with what the gateway puts into that header")
    return found


def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(words, re.IGNORECASE | re.DOTALL)


def _wrong(words: str) -> str:
    """Why it is no pattern."""
    try:
        _pattern(words)
    except re.error as error:
        return str(error)
    return ""


def _same(given: str, wanted: str) -> bool:
    """In a time that tells nothing of where they differ; an empty secret is never right."""
    return bool(wanted) and hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _came(request: Incoming) -> Any:
    """JSON as it is, else query and form; None for broken JSON."""
    return http.json_of(request.body) if request.body.lstrip()[:1] in {b"{", b"["} else request.fields


def _every(came: Any, path: str) -> Sequence[Any]:
    """The single ones of what came."""
    found = _find(came, path) if path else came
    return found if isinstance(found, list) else [found]


def _find(came: Any, path: str) -> Any:
    """What stands at a path of names and list places, else None."""
    if isinstance(came, dict) and path in came:  # a name that has a dot in it
        return came[path]
    for name in path.split("."):
        if isinstance(came, dict):
            came = came.get(name)
        elif isinstance(came, list) and name.isascii() and name.isdigit() and int(name) < len(came):
            came = came[int(name)]
        else:
            return None
    return came


def _has(one: Any, path: str) -> bool:
    return bool(path) and _at(one, path) != ""


def _at(one: Any, path: str) -> str:
    """A value as text; empty for none."""
    found = _find(one, path) if path else None
    if isinstance(found, bool):
        return "true" if found else "false"
    return http.plain(str(found)) if isinstance(found, str | int | float) else ""


PROVIDER = Http
