"""Robots in a group chat (WeCom, DingTalk, Feishu) that tell staff of a standing fault of the installation.

Everyone in such a group reads along, so that no robot ever speaks of a child: an Alarm is a kind of fault, the name of
a part and a number, and the sentence is ours. WeCom "Group robots configuration", DingTalk "Custom robot access"
(sign, 20 a minute, then ten minutes of silence), Feishu "Custom bot usage guide" (signature verification).
"""

import base64
import hashlib
import hmac
import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal
from urllib.parse import quote_plus, urlsplit

from server import config
from server.outbox import http
from server.outbox.providers.base import SendFailed

WINDOW, AT_MOST = 60.0, 20  # of WeCom and DingTalk; Feishu would take more, but nobody would read it
SILENCE = 600.0  # DingTalk's after one message too many
AGAIN = 60.0
TOO_MANY = {130101: SILENCE, 45009: AGAIN, 11232: AGAIN, 9499: AGAIN}  # DingTalk, WeCom, Feishu twice
PART = re.compile(r"[a-z][a-z0-9-]{0,39}")  # a gate, a provider, a job: lower-case ids, never a person's name
DIGITS = re.compile(r"\d{5}")  # nor the better part of a telephone or card number


class Fault(StrEnum):
    """What may be announced to a group."""

    GATE_SILENT = "gate_silent"
    GATE_BACK = "gate_back"
    PROVIDER_DOWN = "provider_down"
    PROVIDER_BACK = "provider_back"
    TEXTS_WAIT = "texts_wait"
    MONEY_SPENT = "money_spent"
    JOB_FAILS = "job_fails"
    DISK_FULL = "disk_full"
    TEST = "test"


SENTENCES: Mapping[Fault, tuple[str, str]] = {
    Fault.GATE_SILENT: (
        "Gate {part} has not been heard for {count} minutes. Look at its power and its line.",
        "校门 {part} 已有 {count} 分钟没有消息，请检查电源和网络。",
    ),
    Fault.GATE_BACK: ("Gate {part} is heard again.", "校门 {part} 已恢复。"),
    Fault.PROVIDER_DOWN: (
        "Texts do not go out by {part}: {count} tries failed. See the page Delivery.",
        "短信通道 {part} 发送失败 {count} 次，请查看“发送情况”页面。",
    ),
    Fault.PROVIDER_BACK: ("Texts go out by {part} again.", "短信通道 {part} 已恢复。"),
    Fault.TEXTS_WAIT: (
        "{count} texts wait for longer than they should. See the page Delivery.",
        "有 {count} 条短信等待过久，请查看“发送情况”页面。",
    ),
    Fault.MONEY_SPENT: (
        "The day's limit for texts is used up; {count} wait. See the page Delivery.",
        "今日短信额度已用完，还有 {count} 条等待，请查看“发送情况”页面。",
    ),
    Fault.JOB_FAILS: (
        "The job {part} has failed {count} times. Look into the server's log.",
        "后台任务 {part} 已失败 {count} 次，请查看服务器日志。",
    ),
    Fault.DISK_FULL: ("The server's disk is {count} % full.", "服务器磁盘已用 {count}%。"),
    Fault.TEST: ("This is a test.", "这是一条测试消息。"),
}


class Robot(config.Section, frozen=True):
    """One table of [[robots]]. `url` is the whole webhook address; who has it can speak in the group."""

    kind: Literal["wecom", "dingtalk", "feishu"]
    url: str = ""
    url_file: str = ""
    secret: str = ""  # of DingTalk's 加签 or Feishu's 签名校验; WeCom has none
    secret_file: str = ""
    language: Literal["zh", "en"] = "zh"
    name: str = "Gatebell"  # begins each message: a robot that asks for a keyword takes only what holds it

    def __post_init__(self) -> None:
        if bool(self.url) == bool(self.url_file):
            raise ValueError("a robot needs `url` or `url_file`, the address that the group's settings show")
        if self.url and urlsplit(self.url).scheme != "https" and not _local(self.url):
            raise ValueError("a robot's url begins with https://")


@dataclass(frozen=True)
class Alarm:
    """A standing fault; `part` names the gate, provider or job. Raises ValueError for what could be a person's."""

    fault: Fault
    part: str = ""
    count: int = 0

    def __post_init__(self) -> None:
        if self.part and (not PART.fullmatch(self.part) or DIGITS.search(self.part)):
            raise ValueError("a part is named by its id: small letters, digits and dashes")

    def sentence(self, robot: Robot) -> str:
        """What is said in the group."""
        words = SENTENCES[self.fault][robot.language == "zh"]
        return f"[{robot.name}] {words.format(part=self.part, count=self.count)}"


class NotSaid(Exception):
    """The group may not have read it; `after` is how many seconds to wait at least. The text is for staff."""

    def __init__(self, reason: str, after: float) -> None:
        super().__init__(reason)
        self.reason, self.after = reason, after


class Bucket:
    """So many messages a minute and robot, and silence when the service asks for it. For any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.said: deque[float] = deque(maxlen=AT_MOST)
        self.silent_until = 0.0
        self.lock = threading.Lock()

    def take(self) -> float:
        """0 where a message may go now, and it is counted; else seconds until one may."""
        with self.lock:
            now = self.clock()
            free = self.said[0] + WINDOW if len(self.said) == AT_MOST else now
            wait = max(free, self.silent_until) - now
            if wait <= 0:
                self.said.append(now)
            return max(0.0, wait)

    def silence(self, seconds: float) -> None:
        """The service takes nothing for so long."""
        with self.lock:
            self.silent_until = max(self.silent_until, self.clock() + seconds)


class Speaker:
    """Says alarms through one robot. One for as long as the process lives: it holds the count of the last minute."""

    def __init__(self, robot: Robot, bucket: Bucket | None = None) -> None:
        self.robot, self.bucket = robot, bucket or Bucket()

    def send(self, alarm: Alarm) -> None:
        """Say it in the group. Raises NotSaid; a repeat is harmless there, so that every doubt may be tried again."""
        robot = self.robot
        try:
            address, secret = http.secret(robot.url, robot.url_file), http.secret(robot.secret, robot.secret_file)
            if wait := self.bucket.take():
                raise NotSaid(f"robot {robot.kind} has said enough for now", wait)
            url, body = request(robot.kind, address, secret, alarm.sentence(robot), time.time())
            headers = {"Content-Type": "application/json; charset=utf-8"}
            with http.session() as session:
                reply = http.ask(session, f"robot {robot.kind}", "POST", url, data=body, headers=headers)
        except SendFailed as failed:
            raise NotSaid(failed.reason, AGAIN) from None
        code, words = _answer(reply)
        if code:
            raise self._refused(code, words)

    def _refused(self, code: int, words: str) -> NotSaid:
        after = TOO_MANY.get(code, SILENCE)  # key, sign, keyword: nothing that a minute mends
        if code in TOO_MANY:
            self.bucket.silence(after)
        return NotSaid(f"robot {self.robot.kind} answered {code}: {words[:120]}", after)


def opened(settings: config.Config) -> list[Speaker]:
    """The configured robots. Raises ConfigError."""
    try:
        return [Speaker(config.convert(Robot, table)) for table in settings.robots]
    except config.ConfigError as error:
        raise config.ConfigError(f"[[robots]]: {error}") from None


def request(kind: str, url: str, secret: str, sentence: str, now: float) -> tuple[str, bytes]:
    """Address and body of one message; `now` is in seconds since 1970."""
    content: dict[str, Any] = {"msgtype": "text", "text": {"content": sentence}}
    if kind == "feishu":
        content = {"msg_type": "text", "content": {"text": sentence}}
    if kind == "feishu" and secret:  # the text to sign is the key here, and what is signed is empty
        stamp = str(int(now))
        content |= {"timestamp": stamp, "sign": _signed(f"{stamp}\n{secret}", "")}
    if kind == "dingtalk" and secret:
        stamp = str(int(now * 1000))
        sign = _signed(secret, f"{stamp}\n{secret}")
        url += f"&timestamp={stamp}&sign={quote_plus(sign)}"
    return url, json.dumps(content, ensure_ascii=False).encode()


def _signed(key: str, text: str) -> str:
    return base64.b64encode(hmac.digest(key.encode(), text.encode(), hashlib.sha256)).decode()


def _answer(reply: http.Reply) -> tuple[int, str]:
    """The service's code, 0 where it was said; HTTP says 200 always. An answer without a code is -1."""
    said = reply.fields()
    code = said.get("errcode", said.get("code", said.get("StatusCode")))
    words = str(said.get("errmsg", said.get("msg", "")))
    return (code, http.plain(words)) if type(code) is int else (-1, "nothing that can be read")


def _local(url: str) -> bool:
    return urlsplit(url).hostname in {"127.0.0.1", "localhost"}
