"""Vonage's SMS API: HTTP says 200 always, a status for each of a text's messages; receipts and replies signed by JWT.

Vonage API reference "SMS API", guides "Delivery receipts", "Inbound SMS", "Validating webhooks" (HS256, payload_hash),
"Troubleshooting SMS" (status and err-code). RFC 7519, RFC 7515 for the token.
"""

import base64
import hashlib
import hmac
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from server import config
from server.outbox import http, segments
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

TTL = (20_000, 604_800_000)  # milliseconds that Vonage takes

# The status of one message; what is not here is trouble of the account: another provider may send.
OUTCOMES: Mapping[str, Outcome] = {
    "1": Outcome.RETRY_SAME,  # throttled
    "2": Outcome.FAIL_CONTENT,  # a field is missing
    "3": Outcome.FAIL_CONTENT,  # a field has a wrong value
    "4": Outcome.RETRY_OTHER,  # credentials
    "5": Outcome.UNKNOWN,  # an error inside Vonage while it processed the message
    "6": Outcome.FAIL_NUMBER,  # no route to this prefix
    "7": Outcome.FAIL_OPTOUT,  # the number is barred
    "8": Outcome.RETRY_OTHER,  # account barred
    "9": Outcome.RETRY_OTHER,  # no money
    "10": Outcome.RETRY_SAME,  # too many connections
    "11": Outcome.RETRY_OTHER,  # account not for REST
    "12": Outcome.FAIL_CONTENT,  # too long
    "13": Outcome.RETRY_OTHER,
    "14": Outcome.RETRY_OTHER,  # signature
    "15": Outcome.RETRY_OTHER,  # sender
    "22": Outcome.RETRY_OTHER,
    "23": Outcome.RETRY_OTHER,  # callback address
    "29": Outcome.RETRY_OTHER,  # trial: number not on its list
    "32": Outcome.RETRY_OTHER,
    "33": Outcome.FAIL_NUMBER,  # number deactivated
    "39": Outcome.RETRY_OTHER,  # sender not registered for the US
    "40": Outcome.RETRY_OTHER,
}

STATES: Mapping[str, TextState | None] = {
    "delivered": TextState.DELIVERED,
    "accepted": TextState.SENT,
    "buffered": TextState.SENT,
    "expired": TextState.EXPIRED,
    "failed": TextState.FAILED,
    "rejected": TextState.FAILED,
    "unknown": None,
}


class Vonage(Provider):
    """It cannot be asked about a text by our id."""

    name = "vonage"

    class Settings(config.Section, frozen=True):
        """`signature_secret` proves receipts; without it (`signed = false`) only their addresses are secret."""

        key: str = ""
        secret: str = ""
        secret_file: str = ""
        signature_secret: str = ""
        signature_secret_file: str = ""
        signed: bool = True
        sender: str = ""
        url: str = "https://rest.nexmo.com/sms/json"

        def __post_init__(self) -> None:
            if not self.key or not (self.secret or self.secret_file):
                raise ValueError("give `key` and `secret_file`, as the dashboard shows them")
            if not self.sender:
                raise ValueError("give `sender`, a number of yours or a name of at most 11 letters")
            if self.signed and not (self.signature_secret or self.signature_secret_file):
                raise ValueError("give `signature_secret_file`, or `signed = false` where receipts are not signed")

    settings: "Vonage.Settings"

    def __init__(self, settings: "Vonage.Settings") -> None:
        super().__init__(settings)
        self.http = http.session()

    def send(self, text: Outgoing) -> Accepted:
        """One request for one number; a long text becomes several messages."""
        if not text.body.strip():
            raise SendFailed(Outcome.FAIL_CONTENT, "the text is empty")
        reply = http.ask(self.http, "Vonage", "POST", self.settings.url, data=self.form(text))
        return _accepted(reply)

    def form(self, text: Outgoing) -> dict[str, str]:
        """The fields of a new text; numbers go without their plus sign."""
        shortest, longest = TTL
        return {
            "api_key": self.settings.key,
            "api_secret": http.secret(self.settings.secret, self.settings.secret_file),
            "from": self.settings.sender,
            "to": text.phone.removeprefix("+"),
            "text": text.body,
            "type": "text" if segments.is_gsm(text.body) else "unicode",
            "ttl": str(min(longest, max(shortest, int(text.useful_for * 1000)))),
            "client-ref": str(text.text_id),
            "callback": text.callback,
            "status-report-req": "1",
        }

    def take(self, request: Incoming) -> Brought:
        """A receipt has `status`, what a person wrote has `text`. The account's webhooks must be set to POST-JSON."""
        if self.settings.signed:
            secret = http.secret(self.settings.signature_secret, self.settings.signature_secret_file)
            if not genuine(secret, self.settings.key, request.headers.get("Authorization", ""), request.body):
                raise Forged
        fields = _fields(request)
        if fields.get("status") and fields.get("messageId"):
            return Brought(reports=[_report(fields)])
        if fields.get("msisdn") and "text" in fields:
            return Brought(heard=[Heard(fields["msisdn"], fields["text"], fields.get("messageId", "")[:100])])
        raise ValueError("neither a receipt nor a message")

    def check(self) -> list[str]:
        """Whether the secrets can be read and somebody answers."""
        settings = self.settings
        try:
            http.secret(settings.secret, settings.secret_file)
            http.secret(settings.signature_secret, settings.signature_secret_file)
        except SendFailed as failed:
            return [f"vonage: {failed.reason}"]
        unsigned = ["vonage: receipts are not signed (`signed = false`); anyone who learns an address may make one"]
        return ([] if settings.signed else unsigned) + http.problems("vonage", settings.url)


def genuine(secret: str, key: str, authorization: str, body: bytes) -> bool:
    """Whether the token is of Vonage, for this body, and for our account where it names one.

    How old it is does not matter: a receipt that comes twice changes nothing.
    """
    scheme, _, token = authorization.partition(" ")
    parts = token.strip().split(".")
    if scheme.lower() != "bearer" or len(parts) != 3:
        return False
    signed = hmac.digest(secret.encode(), f"{parts[0]}.{parts[1]}".encode(), hashlib.sha256)
    try:
        header, claims, given = (_decoded(part) for part in parts)
        kind, said = http.json_of(header), http.json_of(claims)
    except ValueError:
        return False
    if not isinstance(kind, dict) or not isinstance(said, dict) or kind.get("alg") != "HS256":
        return False
    wanted = hashlib.sha256(body).hexdigest().encode()
    ours = hmac.compare_digest(signed, given) and said.get("api_key", key) == key
    return ours and hmac.compare_digest(wanted, str(said.get("payload_hash", "")).lower().encode())


def _decoded(part: str) -> bytes:
    """Base64url without its end. Raises ValueError."""
    return base64.b64decode(part.encode() + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _accepted(reply: http.Reply) -> Accepted:
    """Raises SendFailed."""
    messages = reply.fields().get("messages")
    if reply.status != 200 or not isinstance(messages, list) or not messages:
        raise reply.failed(None)
    if not all(isinstance(message, dict) for message in messages):
        raise reply.failed(None)
    refused = [message for message in messages if str(message.get("status")) != "0"]
    if not refused:
        numbers = [str(message.get("message-id", ""))[:100] for message in messages]
        return Accepted(numbers[0] or None, tuple(numbers) if len(numbers) > 1 else ())
    raise _refused(refused, len(messages))


def _refused(refused: Sequence[Mapping[str, Any]], parts: int) -> SendFailed:
    status = str(refused[0].get("status"))[:8]
    if len(refused) < parts:  # a broken text is on its way: whether a whole one should follow is the outbox's to say
        return SendFailed(
            Outcome.UNKNOWN, f"Vonage took only {parts - len(refused)} of the text's {parts} messages (status {status})"
        )
    outcome = OUTCOMES.get(status, Outcome.RETRY_OTHER)
    if outcome is Outcome.FAIL_CONTENT and _about_number(str(refused[0].get("error-text", ""))):
        outcome = Outcome.FAIL_NUMBER
    return SendFailed(outcome, f"Vonage answered with status {status}")


def _about_number(words: str) -> bool:
    """Status 2 and 3 say which field: "Missing to param", "Invalid value for param: to"."""
    return "to" in words.lower().replace(":", " ").split()


def _fields(request: Incoming) -> dict[str, str]:
    """From JSON, or query and form, as the account is set. Raises ValueError."""
    if not request.body.lstrip().startswith(b"{"):
        return {name: http.plain(value) for name, value in request.fields.items()}
    said = http.json_of(request.body)
    if not isinstance(said, dict):
        raise ValueError("broken JSON")
    return {name: http.plain(str(value)) for name, value in said.items() if isinstance(value, str | int)}


def _report(fields: Mapping[str, str]) -> Report:
    status, code = fields["status"].lower(), fields.get("err-code", "")
    news = News(STATES.get(status), f"{status} {code}".strip()[:400], fields["messageId"][:100])
    try:
        return Report(news, uuid.UUID(fields.get("client-ref", "")))
    except ValueError:
        return Report(news)


PROVIDER = Vonage
