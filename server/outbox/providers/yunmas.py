"""China Mobile's 云MAS over HTTP: one request a text, in our words (norsubmit) or by template (tmpsubmit).

After several public clients, which agree on the request: base64 of a JSON whose `mac` is an MD5 that holds the
password, so nothing but HTTPS keeps it secret. No document with the format of what it brings is public; `take` reads
the fields that public clients read. It cannot be asked about a text.
"""

import base64
import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from server import config
from server.outbox import http, templates
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
from server.outbox.templates import Template

LONGEST_BODY = 500  # characters with the sign, as for all texts in China

CODES: Mapping[str, Outcome] = {
    "IllegalMac": Outcome.RETRY_OTHER,
    "IllegalSignId": Outcome.RETRY_OTHER,
    "NoSignId": Outcome.RETRY_OTHER,
    "InvalidUsrOrPwd": Outcome.RETRY_OTHER,
    "OverDailyMax": Outcome.RETRY_OTHER,
    "SystemBusy": Outcome.RETRY_SAME,
    "FlowOverLimit": Outcome.RETRY_SAME,
    "QueueOverLimit": Outcome.RETRY_SAME,
    "InvalidMessage": Outcome.FAIL_CONTENT,
    "TooManyMobiles": Outcome.FAIL_NUMBER,
    "InvalidMobile": Outcome.FAIL_NUMBER,
}


class Yunmas(Provider):
    """It adds the sign itself, by the code that the console gave it."""

    name = "yunmas"

    class Settings(config.Section, frozen=True):
        """`sign` is the 签名编码 of the console, not the words; without `templates` texts go out in our words."""

        url: str = ""  # https://HOST:PORT of the province's gateway
        company: str = ""  # ecName
        user: str = ""  # apId
        password: str = ""  # secretKey
        password_file: str = ""
        sign: str = ""
        extension: str = ""  # addSerial
        templates: dict[str, Template] = {}
        longest: config.Some = 35  # characters in one variable

    settings: "Yunmas.Settings"

    def __init__(self, settings: "Yunmas.Settings") -> None:
        super().__init__(settings)
        self.http = http.session()

    def send(self, text: Outgoing) -> Accepted:
        """One number a request: msgGroup is one for all numbers in it."""
        path, fields = self._by_template(text) if self.settings.templates else self._by_words(text)
        url = f"{self.settings.url.rstrip('/')}/sms/{path}"
        body = base64.b64encode(json.dumps(fields, ensure_ascii=False).encode())
        reply = http.ask(self.http, "云MAS", "POST", url, data=body, headers={"Content-Type": "text/plain"})
        said = reply.fields()
        code = http.word(said, "rspcod")
        if reply.status == 200 and said.get("success") is True and code.lower() in {"success", ""}:
            return Accepted(http.word(said, "msgGroup")[:100] or None)
        outcome = CODES.get(code)
        if outcome is None and code and said.get("success") is False:
            outcome = Outcome.RETRY_OTHER  # refused for a reason that we do not know
        raise reply.failed(outcome, code[:60])

    def _by_words(self, text: Outgoing) -> tuple[str, dict[str, str]]:
        content = templates.unsigned(text.body)
        if not content:
            raise SendFailed(Outcome.FAIL_CONTENT, "the text is empty")
        if len(text.body) > LONGEST_BODY:
            raise SendFailed(Outcome.FAIL_CONTENT, f"the text has more than {LONGEST_BODY} characters; shorten it")
        return "norsubmit", self._proven({"mobiles": _number(text.phone), "content": content})

    def _by_template(self, text: Outgoing) -> tuple[str, dict[str, str]]:
        template = templates.chosen("云MAS", self.settings.templates, text)
        values = templates.filled("云MAS", template, text, lambda variable: self.settings.longest)
        params = json.dumps(list(values.values()), ensure_ascii=False)
        return "tmpsubmit", self._proven({
            "templateId": template.code, "mobiles": _number(text.phone), "params": params
        })  # fmt: skip

    def _proven(self, middle: Mapping[str, str]) -> dict[str, str]:
        """All fields in the order in which they are hashed, and their mac."""
        fields = {
            "ecName": self.settings.company,
            "apId": self.settings.user,
            "secretKey": self._password(),
            **middle,
            "sign": self.settings.sign,
            "addSerial": self.settings.extension,
        }
        return {**fields, "mac": hashlib.md5("".join(fields.values()).encode()).hexdigest()}

    def _password(self) -> str:
        return http.secret(self.settings.password, self.settings.password_file)

    def take(self, request: Incoming) -> Brought:
        """A receipt has `msgGroup`, a reply `smsContent`; alone or in an array."""
        said = http.json_of(request.body)
        entries = [entry for entry in (said if isinstance(said, list) else [said]) if isinstance(entry, dict)]
        reports = [_report(entry) for entry in entries if http.word(entry, "msgGroup")]
        heard = [_heard(entry) for entry in entries if "smsContent" in entry and http.word(entry, "mobile")]
        if not reports and not heard:
            raise ValueError("neither a receipt nor a reply")
        return Brought(reports, heard)

    def check(self) -> list[str]:
        """Whether it is HTTPS, whether all is entered, and whether the gateway can be reached."""
        settings = self.settings
        found = templates.problems("yunmas", settings.templates, ordered=True)
        if not settings.url:
            return [*found, "yunmas: url is empty; ask China Mobile for the HTTPS address of your gateway"]
        place = urlsplit(settings.url)
        if place.scheme != "https" and place.hostname != "127.0.0.1":
            found.append("yunmas: url must begin with https://, for the password goes out with each text")
        for name, value in (("company", settings.company), ("user", settings.user), ("sign", settings.sign)):
            if not value:
                found.append(f"yunmas: {name} is empty; it stands in the console of 云MAS")
        try:
            if not self._password():
                found.append("yunmas: give password_file with the password of the interface's user")
        except SendFailed as failed:
            found.append(f"yunmas: {failed.reason}")
        return found + http.problems("yunmas", settings.url)

    def lacks(self, wordings: Collection[str]) -> list[str]:
        """Wordings without a template, where templates are used at all."""
        return templates.lacks("yunmas", self.settings.templates, wordings) if self.settings.templates else []


def _number(phone: str) -> str:
    if not phone.startswith("+86"):
        raise SendFailed(Outcome.RETRY_OTHER, "云MAS sends to numbers of China only")
    return phone.removeprefix("+86")


def _report(entry: Mapping[str, Any]) -> Report:
    code, status = http.word(entry, "errorCode"), http.word(entry, "reportStatus")
    state = TextState.DELIVERED if "DELIVRD" in (code, status) or status == "CM:0000" else TextState.FAILED
    if "EXPIRED" in (code, status):
        state = TextState.EXPIRED
    return Report(News(state, f"{status} {code}".strip()[:400], http.word(entry, "msgGroup")[:100]))


def _heard(entry: Mapping[str, Any]) -> Heard:
    return Heard(http.word(entry, "mobile")[:32], http.word(entry, "smsContent"))


PROVIDER = Yunmas
