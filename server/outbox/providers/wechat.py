"""WeChat service account: a template message to a follower, its receipt as the event TEMPLATESENDJOBFINISH.

WeChat docs: "模板消息" (message/template/send), "获取稳定版接口调用凭据" (stable_token), "接入指南" (echostr and
signature), return codes. Nobody has a phone number there: `Outgoing.phone` must hold the **openid** by which this
service account knows the parent, as it is when a parent has bound their account. A text to a number (it begins with
+) is handed on to the next provider.
"""

import hashlib
import hmac
import threading
import time
from collections.abc import Collection, Mapping
from typing import Any
from xml.etree import ElementTree

from server import config
from server.outbox import http, templates
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
from server.outbox.templates import Template

EARLY = 300.0  # seconds before its end that an access token is fetched anew
BAD_TOKEN = frozenset({40001, 40014, 42001})
LARGEST_EVENT = 65_536

CODES: Mapping[int, Outcome] = {
    -1: Outcome.RETRY_SAME,  # busy; client_msg_id keeps a second try from becoming a second message
    40003: Outcome.FAIL_NUMBER,  # no such openid
    43004: Outcome.FAIL_NUMBER,  # does not follow us any more
    40037: Outcome.RETRY_OTHER,  # template
    40164: Outcome.RETRY_OTHER,  # our address is not on the list of the account
    45009: Outcome.RETRY_OTHER,  # quota of the day
    48001: Outcome.RETRY_OTHER,  # account may not do this
    47003: Outcome.FAIL_CONTENT,  # a value does not fit its field
}

# Characters in a field, by the word before its digits.
LONGEST = {
    "thing": 20, "const": 20, "phrase": 5, "name": 10, "letter": 32, "symbol": 5, "number": 32, "character_string": 32,
    "phone_number": 17, "car_number": 8,
}  # fmt: skip


class Wechat(Provider):
    """Templates only. A message is accepted first; whether the parent blocks us, only the receipt says."""

    name = "wechat"

    class Settings(config.Section, frozen=True):
        """`token` is the word that both sides hash: the Token of "服务器配置", in plain mode."""

        app: str = ""  # AppID
        secret: str = ""
        secret_file: str = ""
        token: str = ""
        token_file: str = ""
        page: str = ""  # opened by a touch on the message
        templates: dict[str, Template] = {}
        url: str = "https://api.weixin.qq.com"

    settings: "Wechat.Settings"

    def __init__(self, settings: "Wechat.Settings") -> None:
        super().__init__(settings)
        self.http = http.session()
        self._turn = threading.Lock()  # one thread fetches the access token, the others wait for it
        self._access = ""
        self._until = 0.0

    def send(self, text: Outgoing) -> Accepted:
        """A refused access token was surely not sent: it is renewed once. `text.phone` is an openid."""
        message = self._message(text)
        access = self._token()
        reply = self._post(access, message)
        if _code(reply) in BAD_TOKEN:
            reply = self._post(self._token(refused=access), message)
        said, code = reply.fields(), _code(reply)
        if reply.status == 200 and code == 0:
            return Accepted(http.word(said, "msgid")[:100] or None)
        outcome = CODES.get(code) if code is not None else None
        if outcome is None and code:
            outcome = Outcome.RETRY_OTHER  # refused for a reason that we do not know
        raise reply.failed(outcome, f"errcode {code}" if code is not None else "")

    def _message(self, text: Outgoing) -> dict[str, Any]:
        if not text.phone or text.phone.startswith("+"):
            raise SendFailed(Outcome.RETRY_OTHER, "this parent has not bound WeChat: there is no openid to send to")
        template = templates.chosen("WeChat", self.settings.templates, text)
        values = templates.filled("WeChat", template, text, _longest)
        message = {
            "touser": text.phone,
            "template_id": template.code,
            "url": self.settings.page,
            "data": {field: {"value": words} for field, words in values.items()},
            "client_msg_id": text.text_id.hex,
        }
        return {name: value for name, value in message.items() if value}

    def _post(self, access: str, message: Mapping[str, Any]) -> http.Reply:
        url = f"{self.settings.url.rstrip('/')}/cgi-bin/message/template/send"
        return http.ask(self.http, "WeChat", "POST", url, params={"access_token": access}, json=message)

    def _token(self, refused: str | None = None) -> str:
        """The access token that all threads use. Raises SendFailed, never UNKNOWN: no message has left yet."""
        with self._turn:
            if refused is None and self._access and time.monotonic() < self._until:
                return self._access
            if refused is not None and self._access != refused:
                return self._access  # another thread has renewed it meanwhile
            fetched = self._fetched(force=False)
            if fetched == refused:  # WeChat still believes in it, though it refuses it
                fetched = self._fetched(force=True)
            return fetched

    def _fetched(self, *, force: bool) -> str:
        """stable_token, so that several of our programs share one: each plain token ends the one before it."""
        url = f"{self.settings.url.rstrip('/')}/cgi-bin/stable_token"
        secret = http.secret(self.settings.secret, self.settings.secret_file)
        wanted = {"grant_type": "client_credential", "appid": self.settings.app, "secret": secret}
        try:
            reply = http.ask(self.http, "WeChat", "POST", url, json={**wanted, "force_refresh": force})
        except SendFailed as failed:
            raise SendFailed(Outcome.RETRY_OTHER, f"no access token: {failed.reason}") from None
        said = reply.fields()
        access, lasts = said.get("access_token"), said.get("expires_in")
        if reply.status != 200 or not isinstance(access, str) or not access or not isinstance(lasts, int):
            raise reply.failed(Outcome.RETRY_OTHER, f"no access token, errcode {_code(reply)}")
        self._access, self._until = access, time.monotonic() + max(0.0, lasts - EARLY)
        return access

    def take(self, request: Incoming) -> Brought:
        """The GET by which WeChat verifies the address; events and words of followers as XML."""
        if not genuine(self._word(), request.query):
            raise Forged
        if request.method == "GET":
            return Brought(answer=_echo(request.query))
        return _brought(_event(request.body))

    def acknowledgement(self) -> tuple[str, str]:
        """Without it WeChat tells the follower that the account is out of order."""
        return "success", "text/plain"

    def check(self) -> list[str]:
        """Whether the secrets can be read and WeChat gives an access token."""
        found = templates.problems("wechat", self.settings.templates)
        try:
            if not self._word():
                found.append('wechat: give token_file with the Token of "服务器配置": it proves what WeChat brings')
            self._token()
        except SendFailed as failed:
            found.append(f"wechat: {failed.reason}; are app and secret right, and is our address on its IP list?")
        return found

    def lacks(self, wordings: Collection[str]) -> list[str]:
        """Wordings without a template."""
        return templates.lacks("wechat", self.settings.templates, wordings)

    def _word(self) -> str:
        return http.secret(self.settings.token, self.settings.token_file)


def genuine(token: str, query: Mapping[str, str]) -> bool:
    """Whether `signature` is SHA-1 over the sorted token, timestamp and nonce. It says nothing about the body."""
    parts = sorted([token, query.get("timestamp", ""), query.get("nonce", "")])
    wanted = hashlib.sha1("".join(parts).encode("utf-8", "replace")).hexdigest()
    given = query.get("signature", "").encode("utf-8", "replace")
    return bool(token) and hmac.compare_digest(wanted.encode(), given)


def _echo(query: Mapping[str, str]) -> str:
    """Raises ValueError."""
    words = query.get("echostr", "")
    if not words or len(words) > 200 or not words.isascii() or not words.isprintable():
        raise ValueError("nothing to echo")
    return words


def _event(body: bytes) -> dict[str, str]:
    """Tag -> words. Raises ValueError for what is no flat XML, and for any document type in it."""
    text = body.decode() if len(body) <= LARGEST_EVENT else ""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("no event of WeChat's")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError("no XML") from error
    return {child.tag: http.plain(child.text or "").strip() for child in root}


def _brought(event: Mapping[str, str]) -> Brought:
    """Nothing for events that are none of ours: followers come and go. Raises ValueError for what is no event."""
    kind = event.get("MsgType")
    if event.get("Event") == "TEMPLATESENDJOBFINISH" and event.get("MsgID"):
        return Brought(reports=[Report(_news(event))])
    if kind == "text" and event.get("FromUserName"):
        return Brought(
            heard=[Heard(event["FromUserName"][:32], event.get("Content", ""), event.get("MsgId", "")[:100])]
        )
    if kind is None:
        raise ValueError("no event; is the account in plain mode (明文模式)?")
    return Brought()


def _news(event: Mapping[str, str]) -> News:
    status = event.get("Status", "")
    state = TextState.DELIVERED if status == "success" else None
    if status.startswith("failed"):
        state = TextState.FAILED
    return News(state, status[:400], event["MsgID"][:100])


def _code(reply: http.Reply) -> int | None:
    """`errcode`; an answer with a msgid and none is a success."""
    said = reply.fields()
    code = said.get("errcode", 0 if "msgid" in said else None)
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def _longest(field: str) -> int:
    return LONGEST.get(field.rstrip("0123456789"), 32)


PROVIDER = Wechat
