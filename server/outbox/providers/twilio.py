"""Twilio's Messages: one POST a text, a status callback at the text's own address, every callback signed.

Twilio docs: "Messages resource", "Outbound message status in status callbacks", "Webhooks security"
(X-Twilio-Signature, bodySHA256), "Error and warning dictionary". The resource has no idempotency key: a lost answer
is settled by a callback, or by looking whether the number was written to at all.
"""

import base64
import datetime as dt
import hashlib
import hmac
import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

from server import clock, config
from server.outbox import http
from server.outbox.providers.base import (
    Accepted,
    Brought,
    Doubtful,
    Forged,
    Heard,
    Incoming,
    News,
    Outgoing,
    Provider,
    Report,
    SendFailed,
)
from server.outbox.rules import Answer, Outcome, TextState

LONGEST_BODY = 1600
VALIDITY = (6, 36_000)  # seconds; Twilio takes 1 to 36000 and advises more than 5
DEFAULT_PORTS = {"https": 443, "http": 80}
EMPTY_TWIML = '<?xml version="1.0" encoding="UTF-8"?><Response></Response>'

# Whether a number was written to is certain only when the list had time to fill, and reaches back far enough.
SURE_AFTER = 30.0
CLOCKS_APART = dt.timedelta(seconds=60)
LISTED = 50

CODES: Mapping[int, Outcome] = {
    20003: Outcome.RETRY_OTHER,  # not our account
    20005: Outcome.RETRY_OTHER,  # account not active
    20404: Outcome.RETRY_OTHER,
    20429: Outcome.RETRY_SAME,
    14107: Outcome.RETRY_SAME,  # rate of this sender
    21211: Outcome.FAIL_NUMBER,
    21214: Outcome.FAIL_NUMBER,
    21217: Outcome.FAIL_NUMBER,
    21265: Outcome.FAIL_NUMBER,
    21408: Outcome.RETRY_OTHER,  # region not permitted for this account
    21601: Outcome.RETRY_OTHER,  # our sender cannot send texts
    21602: Outcome.FAIL_CONTENT,
    21603: Outcome.RETRY_OTHER,  # no sender given
    21604: Outcome.FAIL_NUMBER,
    21605: Outcome.FAIL_CONTENT,
    21606: Outcome.RETRY_OTHER,  # not our sender
    21608: Outcome.RETRY_OTHER,  # trial account
    21610: Outcome.FAIL_OPTOUT,
    21611: Outcome.RETRY_SAME,  # this sender's queue is full
    21612: Outcome.RETRY_OTHER,  # no route from this sender to this number
    21614: Outcome.FAIL_NUMBER,
    21617: Outcome.FAIL_CONTENT,
    21704: Outcome.RETRY_OTHER,  # messaging service without senders
    30002: Outcome.RETRY_OTHER,  # account suspended
}

STATES: Mapping[str, TextState] = {
    "accepted": TextState.SENT,
    "scheduled": TextState.SENT,
    "queued": TextState.SENT,
    "sending": TextState.SENT,
    "sent": TextState.SENT,
    "partially_delivered": TextState.SENT,
    "delivered": TextState.DELIVERED,
    "read": TextState.DELIVERED,
    "undelivered": TextState.FAILED,
    "failed": TextState.FAILED,
    "canceled": TextState.FAILED,
}
VALIDITY_OVER = "30036"


class Twilio(Provider):
    """What stands in the list for a number cannot be told from our own other texts but by its words."""

    name = "twilio"

    class Settings(config.Section, frozen=True):
        """`sender` is a number or name of ours, or `service` a messaging service that picks one."""

        account: str = ""  # AC...
        token: str = ""  # of the account: it also signs what Twilio brings
        token_file: str = ""
        key: str = ""  # SK..., an API key to log in with instead of account and token
        key_secret: str = ""
        key_secret_file: str = ""
        sender: str = ""
        service: str = ""  # MG...
        url: str = "https://api.twilio.com"

        def __post_init__(self) -> None:
            if not self.account.startswith("AC"):
                raise ValueError("account must be the Account SID, which begins with AC")
            if bool(self.sender) == bool(self.service):
                raise ValueError("give either `sender` (a number of yours) or `service` (MG...)")
            if not (self.token or self.token_file):
                raise ValueError("give `token_file` with the account's auth token: it proves what Twilio brings")

    settings: "Twilio.Settings"

    def __init__(self, settings: "Twilio.Settings") -> None:
        super().__init__(settings)
        self.http = http.session()

    @property
    def address(self) -> str:
        """Of the Messages resource."""
        account = quote(self.settings.account, safe="")
        return f"{self.settings.url.rstrip('/')}/2010-04-01/Accounts/{account}/Messages.json"

    def send(self, text: Outgoing) -> Accepted:
        """One request for one number."""
        if not text.body.strip():
            raise SendFailed(Outcome.FAIL_CONTENT, "the text is empty")
        if len(text.body) > LONGEST_BODY:
            raise SendFailed(Outcome.FAIL_CONTENT, f"Twilio takes {LONGEST_BODY} characters at most")
        reply = http.ask(self.http, "Twilio", "POST", self.address, data=self.form(text), auth=self._login())
        return _accepted(reply)

    def form(self, text: Outgoing) -> dict[str, str]:
        """The fields of a new message."""
        shortest, longest = VALIDITY
        fields = {
            "To": text.phone,
            "From": self.settings.sender,
            "MessagingServiceSid": self.settings.service,
            "Body": text.body,
            "StatusCallback": text.callback,
            "ValidityPeriod": str(min(longest, max(shortest, math.floor(text.useful_for)))),
        }
        return {name: value for name, value in fields.items() if value}

    def ask(self, text: Doubtful) -> Answer:
        """By the list of what went to this number since shortly before the try."""
        since = text.tried_at - CLOCKS_APART
        query = {"To": text.phone, "DateSent>": since.date().isoformat(), "PageSize": str(LISTED)}
        try:
            reply = http.ask(self.http, "Twilio", "GET", self.address, params=query, auth=self._login())
        except SendFailed:
            return Answer.CANNOT_SAY
        listed = _listed(reply) if reply.status == 200 else None
        if listed is None:
            return Answer.CANNOT_SAY
        if any(_same(row, text.body) and _made_at(row) >= since for row in listed):
            return Answer.TAKEN
        old_enough = clock.elapsed(text.tried_at, clock.now()) >= SURE_AFTER
        # Any text there, whatever its words, might be this one: Twilio may have changed its letters.
        return Answer.NOT_TAKEN if old_enough and not listed else Answer.CANNOT_SAY

    def take(self, request: Incoming) -> Brought:
        """A status callback has `MessageStatus`; what a person wrote has `Body`."""
        if not genuine(self._token(), request):
            raise Forged
        fields = request.form if request.method == "POST" else request.query
        if "MessageStatus" in fields:
            return Brought(reports=[Report(_news(fields))])
        if fields.get("From") and "Body" in fields:
            return Brought(heard=[Heard(_plain(fields["From"]), _plain(fields["Body"]), _sid(fields))])
        raise ValueError("neither a status nor a message")

    def acknowledgement(self) -> tuple[str, str]:
        """No answer to whoever wrote: that is the outbox's to decide."""
        return EMPTY_TWIML, "text/xml"

    def check(self) -> list[str]:
        """Whether the secrets can be read and Twilio knows the account."""
        try:
            self._login()
            self._token()
        except SendFailed as failed:
            return [f"twilio: {failed.reason}"]
        return http.problems("twilio", self.settings.url)

    def _login(self) -> tuple[str, str]:
        settings = self.settings
        if settings.key:
            return settings.key, http.secret(settings.key_secret, settings.key_secret_file)
        return settings.account, self._token()

    def _token(self) -> str:
        return http.secret(self.settings.token, self.settings.token_file)


def genuine(token: str, request: Incoming) -> bool:
    """Whether Twilio signed this request, with or without the port in its address."""
    given = request.headers.get("X-Twilio-Signature", "")
    digest = parse_qs(urlsplit(request.url).query).get("bodySHA256", [""])[0]
    if digest:
        if not hmac.compare_digest(digest.lower(), hashlib.sha256(request.body).hexdigest()):
            return False
        fields: Mapping[str, str] = {}
    else:
        fields = request.form if request.method == "POST" else {}
    expected = [signature(token, url, fields) for url in _spellings(request.url)]
    return any([hmac.compare_digest(wanted.encode(), given.encode()) for wanted in expected])


def signature(token: str, url: str, fields: Mapping[str, str]) -> str:
    """Base64 of HMAC-SHA1 over the address and each field's name and value, sorted by name."""
    text = url + "".join(f"{name}{fields[name]}" for name in sorted(fields))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), hashlib.sha1)).decode()


def _spellings(url: str) -> list[str]:
    """Twilio signs with the port or without it, whichever way the address was entered."""
    place = urlsplit(url)
    host = place.netloc.removesuffix(f":{place.port}") if place.port else place.netloc
    port = place.port or DEFAULT_PORTS.get(place.scheme, 443)
    return [urlunsplit(place._replace(netloc=netloc)) for netloc in (host, f"{host}:{port}")]


def _accepted(reply: http.Reply) -> Accepted:
    """Raises SendFailed."""
    said = reply.fields()
    if reply.status == 201 and isinstance(said.get("sid"), str):
        return Accepted(str(said["sid"]))
    code = said.get("code")
    outcome = CODES.get(code) if isinstance(code, int) and 400 <= reply.status < 500 else None
    raise reply.failed(outcome, f"code {code}" if isinstance(code, int) else "")


def _news(fields: Mapping[str, str]) -> News:
    status, code = fields["MessageStatus"].lower(), fields.get("ErrorCode", "")
    state = STATES.get(status)
    if state is TextState.FAILED and code == VALIDITY_OVER:
        state = TextState.EXPIRED
    return News(state, _plain(f"{status} {code}".strip())[:400], _sid(fields))


def _sid(fields: Mapping[str, str]) -> str:
    return _plain(fields.get("MessageSid", "") or fields.get("SmsSid", ""))[:100]


def _plain(text: str) -> str:
    """PostgreSQL takes no NUL."""
    return text.replace("\0", "")


def _listed(reply: http.Reply) -> list[dict[str, Any]] | None:
    """What went out to the number, or None where the list is not whole or cannot be read."""
    said = reply.fields()
    rows = said.get("messages")
    if not isinstance(rows, list) or said.get("next_page_uri") or not all(isinstance(row, dict) for row in rows):
        return None
    return [row for row in rows if str(row.get("direction", "outbound")).startswith("outbound")]


def _same(row: Mapping[str, Any], body: str) -> bool:
    """A trial account puts its own words in front."""
    return bool(body) and str(row.get("body", "")).strip().endswith(body.strip())


def _made_at(row: Mapping[str, Any]) -> dt.datetime:
    """`date_created` as RFC 2822; the beginning of time for what cannot be read."""
    try:
        made = parsedate_to_datetime(str(row.get("date_created")))
    except ValueError:
        made = dt.datetime.min
    return made if made.tzinfo else made.replace(tzinfo=dt.UTC)


PROVIDER = Twilio
