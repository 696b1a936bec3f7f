"""Tencent Cloud SMS 2021-01-11: one SendSms a text, receipts and replies as JSON at the one inbound address.

Tencent docs: "SendSms" (382/55981), "PullSmsSendStatusByPhoneNumber", "短信下发状态通知" (382/43547), "Signature v3",
error codes of the SDK. Not idempotent, and a status is listed only once there is one, so what is not listed after a
lost answer may still be on its way. What Tencent brings is not signed: the secret in the address proves it.
"""

import datetime as dt
import hashlib
import hmac
import json
import math
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from server import config
from server.outbox import http, templates
from server.outbox.providers.base import (
    Accepted,
    Brought,
    Doubtful,
    Heard,
    Incoming,
    News,
    Outgoing,
    Provider,
    Report,
    SendFailed,
)
from server.outbox.rules import Answer, Outcome, TextState
from server.outbox.templates import Template

VERSION = "2021-01-11"
ALGORITHM = "TC3-HMAC-SHA256"
SERVICE = "sms"
CONTENT = "application/json; charset=utf-8"
PAGE, PAGES = 100, 20
CLOCKS_APART = 60  # seconds before the try from which statuses are asked for

# By the last part of a code; before the dot stands only where the error was found.
CODES: Mapping[str, Outcome] = {
    "DeliveryFrequencyLimit": Outcome.RETRY_SAME,
    "GlobalSmsSendingRateLimit": Outcome.RETRY_SAME,
    "RequestLimitExceeded": Outcome.RETRY_SAME,
    "PhoneNumberThirtySecondLimit": Outcome.RETRY_OTHER,
    "PhoneNumberOneHourLimit": Outcome.RETRY_OTHER,
    "PhoneNumberDailyLimit": Outcome.RETRY_OTHER,
    "PhoneNumberSameContentDailyLimit": Outcome.RETRY_OTHER,
    "InsufficientBalanceInSmsPackage": Outcome.RETRY_OTHER,
    "SignatureIncorrectOrUnapproved": Outcome.RETRY_OTHER,
    "TemplateUnapprovedOrNotExist": Outcome.RETRY_OTHER,
    "MarketingSendTimeConstraint": Outcome.RETRY_OTHER,  # our template was approved as advertising
    "PhoneNumberInBlacklist": Outcome.FAIL_OPTOUT,
    "IncorrectPhoneNumber": Outcome.FAIL_NUMBER,
    "ContainSensitiveWord": Outcome.FAIL_CONTENT,
    "TemplateParamSetNotMatchApprovedTemplate": Outcome.FAIL_CONTENT,
    "TemplateParameterFormatError": Outcome.FAIL_CONTENT,
    "TemplateParameterLengthLimit": Outcome.FAIL_CONTENT,
    "ProhibitedUseUrlInTemplateParameter": Outcome.FAIL_CONTENT,
    "MarketingTemplateWithoutUnsubscribe": Outcome.FAIL_CONTENT,
}


class Tencent(Provider):
    """It takes templates only, with their values in order, and adds the sign itself."""

    name = "tencent"

    class Settings(config.Section, frozen=True):
        """`app` is SmsSdkAppId; `sign` the approved SignName without 【】, empty: the one at the front of each text."""

        secret_id: str = ""
        secret: str = ""
        secret_file: str = ""
        app: str = ""
        sign: str = ""
        templates: dict[str, Template] = {}
        longest: config.Some = 35  # characters in one variable; see the template's page for what was approved
        region: str = "ap-guangzhou"
        url: str = "https://sms.tencentcloudapi.com"

    settings: "Tencent.Settings"

    def __init__(self, settings: "Tencent.Settings") -> None:
        super().__init__(settings)
        self.http = http.session()

    def send(self, text: Outgoing) -> Accepted:
        """One request for one number, whose own status decides: the request as a whole always succeeds."""
        template = templates.chosen("Tencent", self.settings.templates, text)
        values = templates.filled("Tencent", template, text, lambda variable: self.settings.longest)
        reply, said = self._call("SendSms", {
            "PhoneNumberSet": [text.phone],
            "SmsSdkAppId": self.settings.app,
            "SignName": templates.sign_for("Tencent", self.settings.sign, text),
            "TemplateId": template.code,
            "TemplateParamSet": list(values.values()),
            "SessionContext": str(text.text_id),
        })  # fmt: skip
        statuses = said.get("SendStatusSet")
        if not isinstance(statuses, list) or len(statuses) != 1 or not isinstance(statuses[0], dict):
            raise reply.failed(Outcome.UNKNOWN if reply.status == 200 else None, "no status of the number")
        code = http.word(statuses[0], "Code")
        if code != "Ok":
            raise _refused(reply, code)
        return Accepted(http.word(statuses[0], "SerialNo")[:100] or None)

    def ask(self, text: Doubtful) -> Answer:
        """TAKEN by our id, which is echoed only where Tencent's support has switched it on; never NOT_TAKEN."""
        try:
            found = any(http.word(row, "SessionContext") == str(text.text_id) for row in self._statuses(text))
        except SendFailed:
            return Answer.CANNOT_SAY
        return Answer.TAKEN if found else Answer.CANNOT_SAY

    def _statuses(self, text: Doubtful) -> Iterator[Mapping[str, Any]]:
        for page in range(PAGES):
            _, said = self._call("PullSmsSendStatusByPhoneNumber", {
                "BeginTime": math.floor(text.tried_at.timestamp()) - CLOCKS_APART,
                "Offset": page * PAGE,
                "Limit": PAGE,
                "PhoneNumber": text.phone,
                "SmsSdkAppId": self.settings.app,
            })  # fmt: skip
            listed = said.get("PullSmsSendStatusSet")
            rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
            yield from rows
            if len(rows) < PAGE:
                return

    def take(self, request: Incoming) -> Brought:
        """Receipts come as an array and have `report_status`, a reply alone and has `text`."""
        said = http.json_of(request.body)
        entries = [entry for entry in (said if isinstance(said, list) else [said]) if isinstance(entry, dict)]
        reports = [_report(entry) for entry in entries if http.word(entry, "report_status") and http.word(entry, "sid")]
        heard = [_heard(entry) for entry in entries if "text" in entry and http.word(entry, "mobile")]
        if not reports and not heard:
            raise ValueError("neither receipts nor a reply")
        return Brought(reports, heard)

    def acknowledgement(self) -> tuple[str, str]:
        """As the docs have it."""
        return '{"result":0,"errmsg":"OK"}', "application/json"

    def check(self) -> list[str]:
        """The key, the templates, and whether Tencent can be reached."""
        settings = self.settings
        found = templates.problems("tencent", settings.templates, ordered=True)
        found += [
            f"tencent: {name} is empty; enter {what}"
            for name, value, what in (
                ("secret_id", settings.secret_id, "the SecretId of a sub-user that may only send texts"),
                ("app", settings.app, "the SmsSdkAppId of the application"),
            )
            if not value
        ]
        try:
            if not self._secret():
                found.append("tencent: give secret_file with the SecretKey")
        except SendFailed as failed:
            found.append(f"tencent: {failed.reason}")
        return found + http.problems("tencent", settings.url)

    def lacks(self, wordings: Collection[str]) -> list[str]:
        """Wordings without a template."""
        return templates.lacks("tencent", self.settings.templates, wordings)

    def _secret(self) -> str:
        return http.secret(self.settings.secret, self.settings.secret_file)

    def _call(self, action: str, fields: Mapping[str, Any]) -> tuple[http.Reply, dict[str, Any]]:
        """The answer and what stands in its `Response`. Raises SendFailed when that is an error."""
        body = json.dumps(fields, ensure_ascii=False).encode()
        now = int(time.time())  # the real time, also where the server's own is a demo's
        signed = {
            "content-type": CONTENT,
            "host": urlsplit(self.settings.url).netloc,
            "x-tc-action": action.lower(),
        }
        scope = f"{dt.datetime.fromtimestamp(now, dt.UTC):%Y-%m-%d}/{SERVICE}/tc3_request"
        proof = signature(self._secret(), SERVICE, signed, body, now)
        headers = {
            "Content-Type": CONTENT,
            "Host": signed["host"],
            "X-TC-Action": action,
            "X-TC-Version": VERSION,
            "X-TC-Region": self.settings.region,
            "X-TC-Timestamp": str(now),
            "Authorization": f"{ALGORITHM} Credential={self.settings.secret_id}/{scope}, "
            f"SignedHeaders={';'.join(sorted(signed))}, Signature={proof}",
        }
        reply = http.ask(self.http, "Tencent", "POST", f"{self.settings.url.rstrip('/')}/", data=body, headers=headers)
        response = reply.fields().get("Response")
        said = response if isinstance(response, dict) else {}
        if isinstance(said.get("Error"), dict):
            raise _refused(reply, http.word(said["Error"], "Code"))
        if reply.status != 200 or not said:
            raise reply.failed()
        return reply, said


def signature(secret: str, service: str, headers: Mapping[str, str], body: bytes, moment: int) -> str:
    """TC3-HMAC-SHA256 in hex, of a POST to `/`; `headers` are the signed ones, names in lower case."""
    names = sorted(headers)
    lines = "".join(f"{name}:{headers[name]}\n" for name in names)
    request = "\n".join(["POST", "/", "", lines, ";".join(names), hashlib.sha256(body).hexdigest()])
    day = f"{dt.datetime.fromtimestamp(moment, dt.UTC):%Y-%m-%d}"
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"TC3{secret}".encode()
    for part in (day, service, "tc3_request"):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    text = f"{ALGORITHM}\n{moment}\n{day}/{service}/tc3_request\n{digest}"
    return hmac.digest(key, text.encode(), hashlib.sha256).hex()


def _refused(reply: http.Reply, code: str) -> SendFailed:
    outcome = CODES.get(code.rpartition(".")[2])
    if outcome is None and code.startswith("InternalError"):  # Timeout, SendAndRecvFail ...: it may have been taken
        outcome = Outcome.UNKNOWN
    if outcome is None and code:  # AuthFailure, UnauthorizedOperation, daily limits of the application, unknown ones
        outcome = Outcome.RETRY_OTHER
    return reply.failed(outcome or Outcome.UNKNOWN, code[:80])


def _report(entry: Mapping[str, Any]) -> Report:
    words = http.word(entry, "errmsg")
    state = {"SUCCESS": TextState.DELIVERED, "FAIL": TextState.FAILED}.get(http.word(entry, "report_status").upper())
    if state is TextState.FAILED and "EXPIRED" in words.upper():
        state = TextState.EXPIRED
    return Report(
        News(state, f"{words} {http.word(entry, 'description')}".strip()[:400], http.word(entry, "sid")[:100])
    )


def _heard(entry: Mapping[str, Any]) -> Heard:
    nation, mobile = http.word(entry, "nationcode"), http.word(entry, "mobile")
    return Heard((f"+{nation}{mobile}" if nation.isdigit() else mobile)[:32], http.word(entry, "text"))


PROVIDER = Tencent
