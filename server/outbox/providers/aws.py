"""AWS End User Messaging (SMS and voice v2): one signed JSON request a text; events and replies by SNS over HTTP.

AWS API reference "SendTextMessage" (target PinpointSMSVoiceV2, JSON 1.0), user guide "Event types" and "Two-way SMS".
The events come from a configuration set with an SNS destination; of the topic's messages only its own are believed.
"""

import datetime as dt
import functools
import re
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from server import config
from server.outbox import http, sigv4, sns
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

LONGEST_BODY = 1600
TTL = (5, 259_200)  # seconds
CONTEXT = "gatebell"  # the key of our id in a text's context, which every event echoes

OUTCOMES: Mapping[str, Outcome] = {
    "ThrottlingException": Outcome.RETRY_SAME,
    "ServiceQuotaExceededException": Outcome.RETRY_OTHER,  # the month's money, too
    "AccessDeniedException": Outcome.RETRY_OTHER,
    "ResourceNotFoundException": Outcome.RETRY_OTHER,
    "ConflictException": Outcome.RETRY_OTHER,
    "ValidationException": Outcome.RETRY_OTHER,
    "UnrecognizedClientException": Outcome.RETRY_OTHER,
    "InvalidSignatureException": Outcome.RETRY_OTHER,
    "IncompleteSignatureException": Outcome.RETRY_OTHER,
    "ExpiredTokenException": Outcome.RETRY_OTHER,
    "MissingAuthenticationTokenException": Outcome.RETRY_OTHER,
    "OptInRequired": Outcome.RETRY_OTHER,
    "InternalServerException": Outcome.UNKNOWN,
    "InternalFailure": Outcome.UNKNOWN,
}

# A ValidationException names the field, a ConflictException gives a reason.
FIELDS: Mapping[str, Outcome] = {
    "DestinationPhoneNumber": Outcome.FAIL_NUMBER,
    "MessageBody": Outcome.FAIL_CONTENT,
}
REASONS: Mapping[str, Outcome] = {
    "DESTINATION_PHONE_NUMBER_OPTED_OUT": Outcome.FAIL_OPTOUT,
    "DESTINATION_PHONE_NUMBER_NOT_VERIFIED": Outcome.RETRY_OTHER,  # the account is in its sandbox
    "INVALID_IDENTITY_FOR_DESTINATION_COUNTRY": Outcome.RETRY_OTHER,
    "DESTINATION_COUNTRY_BLOCKED": Outcome.RETRY_OTHER,
}

STATES: Mapping[str, TextState | None] = {
    "TEXT_QUEUED": TextState.SENT,
    "TEXT_PENDING": TextState.SENT,
    "TEXT_SENT": TextState.SENT,
    "TEXT_SUCCESSFUL": TextState.SENT,  # the operator has it
    "TEXT_DELIVERED": TextState.DELIVERED,
    "TEXT_TTL_EXPIRED": TextState.EXPIRED,
    "TEXT_BLOCKED": TextState.FAILED,
    "TEXT_CARRIER_BLOCKED": TextState.FAILED,
    "TEXT_CARRIER_UNREACHABLE": TextState.FAILED,
    "TEXT_INVALID": TextState.FAILED,
    "TEXT_INVALID_MESSAGE": TextState.FAILED,
    "TEXT_PROTECT_BLOCKED": TextState.FAILED,
    "TEXT_SPAM": TextState.FAILED,
    "TEXT_UNREACHABLE": TextState.FAILED,
    "TEXT_UNKNOWN": None,
}


class Aws(Provider):
    """It cannot be asked about a text: an event settles what a lost answer left open."""

    name = "aws"

    class Settings(config.Section, frozen=True):
        """`sender` is a number, name, pool or ARN of ours; `topic` is the ARN that brings events and replies."""

        region: str = ""
        key_id: str = ""
        secret: str = ""
        secret_file: str = ""
        session_token_file: str = ""  # only with keys that are lent for a while; read again for each text
        sender: str = ""
        configuration_set: str = ""
        topic: str = ""
        max_price: str = ""  # US dollars for one of a text's messages
        url: str = ""  # another address than the region's usual one

        def __post_init__(self) -> None:
            if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", self.region):
                raise ValueError("region must be one of AWS, such as ap-southeast-1")
            if not self.key_id or not (self.secret or self.secret_file):
                raise ValueError("give `key_id` and `secret_file` of a key that may call sms-voice:SendTextMessage")
            if self.topic and not re.fullmatch(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w.-]+", self.topic):
                raise ValueError("topic must be the ARN of an SNS topic, arn:aws:sns:REGION:ACCOUNT:NAME")

    settings: "Aws.Settings"

    def __init__(self, settings: "Aws.Settings") -> None:
        super().__init__(settings)
        self.http = http.session()

    @property
    def address(self) -> str:
        """Of the service in our region."""
        return self.settings.url or f"https://sms-voice.{self.settings.region}.amazonaws.com/"

    def send(self, text: Outgoing) -> Accepted:
        """One request for one number."""
        if not text.body.strip():
            raise SendFailed(Outcome.FAIL_CONTENT, "the text is empty")
        if len(text.body) > LONGEST_BODY:
            raise SendFailed(Outcome.FAIL_CONTENT, f"AWS takes {LONGEST_BODY} characters at most")
        body = msgspec.json.encode(self.form(text))
        reply = http.ask(self.http, "AWS", "POST", self.address, data=body, headers=self._signed(body))
        return _accepted(reply)

    def form(self, text: Outgoing) -> dict[str, Any]:
        """The fields of SendTextMessage."""
        shortest, longest = TTL
        fields = {
            "DestinationPhoneNumber": text.phone,
            "OriginationIdentity": self.settings.sender,
            "MessageBody": text.body,
            "MessageType": "TRANSACTIONAL",
            "ConfigurationSetName": self.settings.configuration_set,
            "MaxPrice": self.settings.max_price,
            "TimeToLive": min(longest, max(shortest, int(text.useful_for))),
            "Context": {CONTEXT: str(text.text_id)},
        }
        return {name: value for name, value in fields.items() if value}

    def take(self, request: Incoming) -> Brought:
        """An event, a reply, or the question whether we want the topic's messages, which is answered with yes."""
        envelope = sns.read(request.body)
        if not self.settings.topic or envelope.topic_arn != self.settings.topic:
            raise Forged
        if not sns.amazons(envelope.signing_cert_url):
            raise Forged
        if not sns.genuine(envelope, certificate(envelope.signing_cert_url)):
            raise Forged
        if envelope.type == "SubscriptionConfirmation":
            _subscribe(envelope.subscribe_url or "")
        if envelope.type != "Notification":
            return Brought()
        return _brought(envelope)

    def check(self) -> list[str]:
        """Whether the secret can be read, the events will come, and somebody answers."""
        problems = []
        if not (self.settings.configuration_set and self.settings.topic):
            problems.append("aws: without `configuration_set` and `topic` nobody tells us what became of a text")
        try:
            self._credentials()
        except SendFailed as failed:
            return [*problems, f"aws: {failed.reason}"]
        return problems + http.problems("aws", self.address)

    def _signed(self, body: bytes) -> dict[str, str]:
        return sigv4.signed(
            "POST",
            self.address,
            {
                "Content-Type": "application/x-amz-json-1.0",
                "X-Amz-Target": "PinpointSMSVoiceV2.SendTextMessage",
            },
            body,
            credentials=self._credentials(),
            region=self.settings.region,
            service="sms-voice",
            now=dt.datetime.now(dt.UTC),  # the real time, also where the server's own is a demo's
        )

    def _credentials(self) -> sigv4.Credentials:
        settings = self.settings
        secret = http.secret(settings.secret, settings.secret_file)
        return sigv4.Credentials(settings.key_id, secret, http.secret("", settings.session_token_file))


def fetch(url: str) -> bytes:
    """What stands at one of SNS's own addresses. Raises OSError; tests put their own in its place."""
    with http.session() as session:
        try:
            reply = http.ask(session, "SNS", "GET", url)
        except SendFailed as failed:
            raise OSError(failed.reason) from None
    if reply.status != 200:
        raise OSError(f"SNS answered {reply.status}")
    return reply.body


@functools.lru_cache(maxsize=8)
def certificate(url: str) -> bytes:
    """SNS keeps one certificate for months; a new one has a new address."""
    return fetch(url)


def _subscribe(url: str) -> None:
    if not sns.amazons(url):
        raise Forged
    fetch(url)


def _accepted(reply: http.Reply) -> Accepted:
    """Raises SendFailed."""
    said = reply.fields()
    if reply.status == 200 and isinstance(said.get("MessageId"), str):
        return Accepted(said["MessageId"])
    kind = str(said.get("__type", "")).rpartition("#")[2].partition(":")[0]
    raise reply.failed(_outcome(kind, said), kind[:60])


def _outcome(kind: str, said: Mapping[str, Any]) -> Outcome | None:
    if kind not in {"ValidationException", "ConflictException"}:
        return OUTCOMES.get(kind)
    named = said.get("Fields")
    for field in named if isinstance(named, list) else ():
        if isinstance(field, dict) and field.get("Name") in FIELDS:
            return FIELDS[str(field["Name"])]
    return REASONS.get(str(said.get("Reason")), OUTCOMES[kind])


def _brought(envelope: sns.Envelope) -> Brought:
    """Raises ValueError for what is neither an event of a text nor a reply."""
    said = http.json_of(envelope.message)
    if not isinstance(said, dict):
        raise ValueError("no event")
    if str(said.get("eventType", "")).startswith("TEXT_") and isinstance(said.get("messageId"), str):
        return Brought(reports=[_report(said)])
    number, body = said.get("originationNumber"), said.get("messageBody")
    if isinstance(number, str) and number and isinstance(body, str):
        reference = str(said.get("inboundMessageId") or envelope.message_id)
        return Brought(heard=[Heard(http.plain(number), http.plain(body), http.plain(reference)[:100])])
    if str(said.get("eventType", "")):
        return Brought()  # of voice, of media, of a number's registration: not ours
    raise ValueError("neither an event nor a reply")


def _report(said: Mapping[str, Any]) -> Report:
    event = str(said["eventType"])
    words = f"{event} {said.get('messageStatus', '')} {said.get('messageStatusDescription', '')}"
    news = News(STATES.get(event), http.plain(words).strip()[:400], http.plain(said["messageId"])[:100])
    context = said.get("context")
    try:
        return Report(news, uuid.UUID(str(context[CONTEXT])) if isinstance(context, dict) else None)
    except (KeyError, ValueError):
        return Report(news)


PROVIDER = Aws
