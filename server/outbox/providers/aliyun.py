"""Aliyun Dysmsapi 2017-05-25: one SendSms a text, receipts and replies as JSON arrays at the one inbound address.

Aliyun docs: "SendSms", "QuerySendDetails", "SmsReport", "SmsUp", "API error codes", "V3版本请求体&签名机制". SendSms is
not idempotent: after a lost answer the text is looked for by our own id (OutId). What Aliyun brings is not signed:
the secret in the address is all that proves it.
"""

import datetime as dt
import hashlib
import hmac
import json
import uuid
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

from server import clock, config
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

VERSION = "2017-05-25"
ALGORITHM = "ACS3-HMAC-SHA256"
CHINA = ZoneInfo("Asia/Shanghai")  # SendDate is a day of Aliyun's, wherever the school is

# A text is listed some time after it was taken; before that its absence proves nothing.
SURE_AFTER = 30.0
NEAR_MIDNIGHT = dt.timedelta(minutes=10)
PAGE, PAGES = 50, 20

CODES: Mapping[str, Outcome] = {
    "SignatureNonceUsed": Outcome.UNKNOWN,  # the gateway has seen this request, perhaps the service has too
    "isp.SYSTEM_ERROR": Outcome.RETRY_SAME,
    "ServiceUnavailable": Outcome.RETRY_SAME,
    "isv.BUSINESS_LIMIT_CONTROL": Outcome.RETRY_OTHER,  # 50 a day of one template to one number
    "isv.DAY_LIMIT_CONTROL": Outcome.RETRY_OTHER,
    "isv.MONTH_LIMIT_CONTROL": Outcome.RETRY_OTHER,
    "isv.OUT_OF_SERVICE": Outcome.RETRY_OTHER,
    "isv.AMOUNT_NOT_ENOUGH": Outcome.RETRY_OTHER,
    "isp.RAM_PERMISSION_DENY": Outcome.RETRY_OTHER,
    "isv.SMS_SIGNATURE_ILLEGAL": Outcome.RETRY_OTHER,
    "isv.SIGN_STATE_ILLEGAL": Outcome.RETRY_OTHER,
    "isv.SMS_TEMPLATE_ILLEGAL": Outcome.RETRY_OTHER,
    "isv.DENY_IP_RANGE": Outcome.RETRY_OTHER,
    "isv.PRODUCT_UN_SUBSCRIPT": Outcome.RETRY_OTHER,
    "isv.MOBILE_NUMBER_ILLEGAL": Outcome.FAIL_NUMBER,
    "isv.MOBILE_COUNT_OVER_LIMIT": Outcome.FAIL_NUMBER,
    "isv.TEMPLATE_MISSING_PARAMETERS": Outcome.FAIL_CONTENT,
    "isv.INVALID_JSON_PARAM": Outcome.FAIL_CONTENT,
    "isv.PARAM_LENGTH_LIMIT": Outcome.FAIL_CONTENT,
    "isv.PARAM_NOT_SUPPORT_URL": Outcome.FAIL_CONTENT,
    "isv.BLACK_KEY_CONTROL_LIMIT": Outcome.FAIL_CONTENT,
    "isv.SMS_CONTENT_ILLEGAL": Outcome.FAIL_CONTENT,
}


class Aliyun(Provider):
    """It takes templates only, and adds the sign itself."""

    name = "aliyun"

    class Settings(config.Section, frozen=True):
        """`sign` is the approved SignName without 【】; empty: the one at the front of each text."""

        key_id: str = ""
        secret: str = ""
        secret_file: str = ""
        sign: str = ""
        templates: dict[str, Template] = {}
        longest: config.Some = 35  # characters in one variable; Aliyun allows less for some kinds of variables
        url: str = "https://dysmsapi.aliyuncs.com"

    settings: "Aliyun.Settings"

    def __init__(self, settings: "Aliyun.Settings") -> None:
        super().__init__(settings)
        self.http = http.session()

    def send(self, text: Outgoing) -> Accepted:
        """One request for one number: many in one may be slow, Aliyun says."""
        template = templates.chosen("Aliyun", self.settings.templates, text)
        values = templates.filled("Aliyun", template, text, lambda variable: self.settings.longest)
        reply = self._call("SendSms", {
            "PhoneNumbers": _number(text.phone),
            "SignName": templates.sign_for("Aliyun", self.settings.sign, text),
            "TemplateCode": template.code,
            "TemplateParam": json.dumps(values, ensure_ascii=False),
            "OutId": str(text.text_id),
        })  # fmt: skip
        said = reply.fields()
        if reply.status == 200 and said.get("Code") == "OK":
            return Accepted(http.word(said, "BizId")[:100] or None)
        raise _refused(reply, http.word(said, "Code"))

    def ask(self, text: Doubtful) -> Answer:
        """By all that was sent to the number on that day."""
        days = {(text.tried_at + apart).astimezone(CHINA).date() for apart in (-NEAR_MIDNIGHT, NEAR_MIDNIGHT)}
        try:
            found = any(
                http.word(row, "OutId") == str(text.text_id) for day in sorted(days) for row in self._sent(text, day)
            )
        except (SendFailed, ValueError):
            return Answer.CANNOT_SAY
        if found:
            return Answer.TAKEN
        old_enough = clock.elapsed(text.tried_at, clock.now()) >= SURE_AFTER
        return Answer.NOT_TAKEN if old_enough else Answer.CANNOT_SAY

    def _sent(self, text: Doubtful, day: dt.date) -> Iterator[Mapping[str, Any]]:
        """Raises ValueError when the list is not whole, SendFailed when there is none."""
        seen = 0
        for page in range(1, PAGES + 1):
            reply = self._call("QuerySendDetails", {
                "PhoneNumber": _number(text.phone),
                "SendDate": f"{day:%Y%m%d}",
                "PageSize": str(PAGE),
                "CurrentPage": str(page),
            })  # fmt: skip
            rows, total = _details(reply)
            yield from rows
            seen += len(rows)
            if seen >= total:
                return
            if not rows:
                break
        raise ValueError("the list ends early")

    def take(self, request: Incoming) -> Brought:
        """SmsReport has `success`, SmsUp has `content`; entries that are neither are left out."""
        said = http.json_of(request.body)
        entries = [entry for entry in said if isinstance(entry, dict)] if isinstance(said, list) else []
        reports = [_report(entry) for entry in entries if isinstance(entry.get("success"), bool)]
        heard = [_heard(entry) for entry in entries if "content" in entry and http.word(entry, "phone_number")]
        if not reports and not heard:
            raise ValueError("neither SmsReport nor SmsUp")
        return Brought(reports, heard)

    def acknowledgement(self) -> tuple[str, str]:
        """Anything else is brought again after 1, 5 and 10 minutes, then never."""
        return '{"code":0,"msg":"ok"}', "application/json"

    def check(self) -> list[str]:
        """The key, the templates, and whether Aliyun can be reached."""
        found = templates.problems("aliyun", self.settings.templates)
        if not self.settings.key_id:
            found.append("aliyun: key_id is empty; enter the AccessKey ID of a RAM user that may only send texts")
        try:
            if not self._secret():
                found.append("aliyun: give secret_file with the AccessKey Secret")
        except SendFailed as failed:
            found.append(f"aliyun: {failed.reason}")
        return found + http.problems("aliyun", self.settings.url)

    def lacks(self, wordings: Collection[str]) -> list[str]:
        """Wordings without a template."""
        return templates.lacks("aliyun", self.settings.templates, wordings)

    def _secret(self) -> str:
        return http.secret(self.settings.secret, self.settings.secret_file)

    def _call(self, action: str, query: Mapping[str, str]) -> http.Reply:
        now = dt.datetime.now(dt.UTC)  # the real time, also where the server's own is a demo's
        url = self.settings.url.rstrip("/")
        headers = {
            "host": urlsplit(url).netloc,
            "x-acs-action": action,
            "x-acs-version": VERSION,
            "x-acs-date": f"{now:%Y-%m-%dT%H:%M:%SZ}",
            "x-acs-signature-nonce": uuid.uuid4().hex,
            "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
            "Accept": "application/json",
        }
        credential, signed_by = f"Credential={self.settings.key_id}", ";".join(_signed(headers))
        proof = signature(self._secret(), "POST", query, headers)
        headers["Authorization"] = f"{ALGORITHM} {credential},SignedHeaders={signed_by},Signature={proof}"
        return http.ask(self.http, "Aliyun", "POST", f"{url}/?{_query(query)}", headers=headers)


def signature(secret: str, method: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """ACS3-HMAC-SHA256 in hex, of a request to `/` whose body's hash stands in x-acs-content-sha256."""
    text = f"{ALGORITHM}\n{hashlib.sha256(canonical(method, query, headers).encode()).hexdigest()}"
    return hmac.digest(secret.encode(), text.encode(), hashlib.sha256).hex()


def canonical(method: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """CanonicalRequest."""
    names = _signed(headers)
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
    return "\n".join([method, "/", _query(query), lines, ";".join(names), headers["x-acs-content-sha256"]])


def _signed(headers: Mapping[str, str]) -> list[str]:
    return sorted(name for name in headers if name in {"host", "content-type"} or name.startswith("x-acs-"))


def _query(fields: Mapping[str, str]) -> str:
    return "&".join(f"{quote(name, safe='-_.~')}={quote(fields[name], safe='-_.~')}" for name in sorted(fields))


def _number(phone: str) -> str:
    """Chinese numbers without 86, all others with their country's, none with a plus."""
    return phone.removeprefix("+86") if phone.startswith("+86") else phone.removeprefix("+")


def _refused(reply: http.Reply, code: str) -> SendFailed:
    outcome = CODES.get(code)
    if outcome is None and code.startswith("Throttling"):
        outcome = Outcome.RETRY_SAME
    if outcome is None and code and code != "OK" and reply.status < 500:  # a refusal that we do not know
        outcome = Outcome.RETRY_OTHER
    return reply.failed(outcome, code[:60])


def _details(reply: http.Reply) -> tuple[list[dict[str, Any]], int]:
    """A page and the number of all rows. Raises ValueError for anything else."""
    said = reply.fields()
    listed = said.get("SmsSendDetailDTOs")
    rows = listed.get("SmsSendDetailDTO", []) if isinstance(listed, dict) else []
    total = str(said.get("TotalCount", ""))
    right = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    if reply.status != 200 or said.get("Code") != "OK" or not right or not (total.isascii() and total.isdigit()):
        raise ValueError("no list")
    return rows, int(total[:9])


def _report(entry: Mapping[str, Any]) -> Report:
    code = http.word(entry, "err_code")
    state = TextState.DELIVERED if entry["success"] else TextState.FAILED
    if state is TextState.FAILED and "EXPIRED" in code.upper():
        state = TextState.EXPIRED
    try:
        about = uuid.UUID(http.word(entry, "out_id"))
    except ValueError:  # not sent by us, or by an older program: its BizId may still find it
        about = None
    return Report(
        News(state, f"{code} {http.word(entry, 'err_msg')}".strip()[:400], http.word(entry, "biz_id")[:100]), about
    )


def _heard(entry: Mapping[str, Any]) -> Heard:
    return Heard(
        http.word(entry, "phone_number")[:32], http.word(entry, "content"), http.word(entry, "sequence_id")[:100]
    )


PROVIDER = Aliyun
