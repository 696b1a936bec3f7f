"""Kannel's smsbox (or what speaks its sendsms): one HTTP request a text, receipts at a URL that carries our own id.

Kannel 1.4.5 user guide, chapter 6 "Using SMS gateway from HTTP" (sendsms) and appendix "delivery reports".
"""

import math
from collections.abc import Mapping

from server import config
from server.outbox import http, segments
from server.outbox.providers.base import (
    Accepted,
    Brought,
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

# dlr-mask and %d are bits, and an expired text came as 34: 1 delivered, 2 undelivered, 4 buffered, 8 at the SMSC,
# 16 rejected, 32 expired. The first bit that is set decides.
BITS = (
    (1, TextState.DELIVERED),
    (32, TextState.EXPIRED),
    (16, TextState.FAILED),
    (2, TextState.FAILED),
    (8, TextState.SENT),
    (4, TextState.SENT),
)


class Kannel(Provider):
    """It cannot be asked about a text: only a receipt settles what a lost answer left open."""

    name = "kannel"

    class Settings(config.Section, frozen=True):
        """`strip` is cut off the front of numbers (`+86` where the operator wants national ones)."""

        url: str = "http://127.0.0.1:13013/cgi-bin/sendsms"
        username: str = ""
        password: str = ""
        password_file: str = ""
        sender: str = ""
        smsc: str = ""
        strip: str = ""

    def __init__(self, settings: "Kannel.Settings") -> None:
        super().__init__(settings)
        self.http = http.session()

    def send(self, text: Outgoing) -> Accepted:
        """One request for one number: two numbers in one request get the same receipt id."""
        if not text.body.strip():
            raise SendFailed(Outcome.FAIL_CONTENT, "the text is empty")  # Kannel would send it so
        answer = http.ask(self.http, "Kannel's smsbox", "GET", self.settings.url, params=self.form(text))
        if answer.status != 202:  # "0: Accepted for delivery", "3: Queued for later delivery"
            raise _refused(answer.status, answer.text)
        return Accepted()

    def form(self, text: Outgoing) -> dict[str, str]:
        """The fields of sendsms."""
        fields = {
            "username": self.settings.username,
            "password": self.password(),
            "from": self.settings.sender,
            "to": text.phone.removeprefix(self.settings.strip),
            "text": text.body,
            "charset": "UTF-8",
            "coding": "0" if segments.is_gsm(text.body) else "2",
            "priority": "3" if text.urgent else "0",
            "validity": str(max(1, math.ceil(text.useful_for / 60))),
            "smsc": self.settings.smsc,
            "dlr-mask": "31",
            "dlr-url": f"{text.callback}?type=%d&answer=%A&reference=%F",
        }
        return {name: value for name, value in fields.items() if value}

    def password(self) -> str:
        """From the settings, or from its own file. Raises SendFailed when that cannot be read."""
        return http.secret(self.settings.password, self.settings.password_file)

    def take(self, request: Incoming) -> Brought:
        """A receipt has `type`; what a person wrote is `from=%p&text=%a&id=%I` of group sms-service."""
        fields = request.fields
        if "type" in fields:
            return Brought(reports=[Report(_news(fields))])
        return Brought(heard=[_heard(fields)])

    def check(self) -> list[str]:
        """Whether somebody listens there, and whether the password can be read."""
        problems = []
        try:
            self.password()
        except SendFailed as failed:
            problems.append(f"kannel: {failed.reason}")
        return problems + http.problems("kannel", self.settings.url, "is smsbox running?")


def _news(fields: Mapping[str, str]) -> News:
    """`type` is the bit mask, `answer` what the SMSC said. Raises ValueError without a number in `type`."""
    bits, answer = int(fields["type"]), http.plain(fields.get("answer", ""))
    state = next((state for bit, state in BITS if bits & bit), None)
    if state is TextState.FAILED and "validity expired" in answer:
        state = TextState.EXPIRED
    return News(state, f"{bits} {answer}".strip()[:400], http.plain(fields.get("reference", ""))[:100])


def _heard(fields: Mapping[str, str]) -> Heard:
    """Raises ValueError without a sender."""
    phone = http.plain(fields.get("from", "")).strip()
    if not phone or len(phone) > LONGEST_NUMBER:
        raise ValueError("no sender")
    return Heard(phone, http.plain(fields.get("text", "")), http.plain(fields.get("id", ""))[:100])


def _refused(status: int, answer: str) -> SendFailed:
    reason = f"Kannel answered {status}: {answer.strip()[:120]}"
    if status == 503:  # smsbox lives, bearerbox does not take it
        return SendFailed(Outcome.RETRY_SAME, reason)
    if status == 400:
        about_number = "receiver" in answer.lower() or "number" in answer.lower()
        return SendFailed(Outcome.FAIL_NUMBER if about_number else Outcome.FAIL_CONTENT, reason)
    if "not routable" in answer.lower():  # 403 too: "Do not try again."
        return SendFailed(Outcome.FAIL_NUMBER, reason)
    if status >= 500:
        return SendFailed(Outcome.UNKNOWN, reason)
    return SendFailed(Outcome.RETRY_OTHER, reason)  # 403: our account or address; 404: not a smsbox


PROVIDER = Kannel
