"""Robots of staff groups: signed as each service says, never too often, and never a word about a child."""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from server import check, config
from server.outbox import robots
from server.outbox.robots import Alarm, Bucket, Fault, NotSaid, Robot, Speaker
from tests import services
from tests.standins import NONSENSE, Answer, Asked, StandIn, json_answer, running

SILENT = Alarm(Fault.GATE_SILENT, "gate-1", 6)


@pytest.fixture
def group() -> Iterator[StandIn]:
    with running() as group:
        yield group


def speaker(kind: str, url: str, *, now: Callable[[], float] = time.monotonic, **more: str) -> Speaker:
    return Speaker(config.convert(Robot, {"kind": kind, "url": url, **more}), Bucket(now))


def base64_hmac(key: str, text: str) -> str:
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()


def dingtalk(asked: Asked) -> Answer:
    """As DingTalk: within an hour, signed by the robot's secret over time and secret."""
    stamp = asked.query.get("timestamp", "0")
    right = base64_hmac("SEC1", f"{stamp}\nSEC1") == asked.query.get("sign")
    if not right or abs(int(stamp) / 1000 - time.time()) > 3600 or asked.query["access_token"] != "t":
        return json_answer({"errcode": 310000, "errmsg": "sign not match"})
    return json_answer({"errcode": 0, "errmsg": "ok"})


def feishu(asked: Asked) -> Answer:
    """As Feishu: time and secret are the key, nothing is the text."""
    stamp = asked.json.get("timestamp", "0")
    if base64_hmac(f"{stamp}\nSEC1", "") != asked.json.get("sign"):
        return json_answer({"code": 19021, "msg": "sign match fail or timestamp is not within one hour"})
    return json_answer({"code": 0, "msg": "success", "data": {}})


def wecom(asked: Asked) -> Answer:
    return json_answer({"errcode": 0 if asked.query == {"key": "k"} else 93000, "errmsg": "x"})


SERVICES = [("dingtalk", dingtalk, "?access_token=t"), ("feishu", feishu, "/hook/1"), ("wecom", wecom, "?key=k")]


@pytest.mark.parametrize(("kind", "service", "path"), SERVICES)
def test_an_alarm_is_said_as_the_service_wants_it(group: StandIn, kind: str, service: Any, path: str) -> None:
    group.answers(service)
    speaker(kind, group.url + path, secret="SEC1").send(SILENT)
    said = group.asked[0].json
    words = said["content"]["text"] if kind == "feishu" else said["text"]["content"]
    assert words == "[Gatebell] 校门 gate-1 已有 6 分钟没有消息，请检查电源和网络。"
    assert said.get("msgtype", said.get("msg_type")) == "text"


@pytest.mark.parametrize(("kind", "service", "path"), SERVICES[:2])
def test_a_wrong_secret_is_told_to_the_operator(group: StandIn, kind: str, service: Any, path: str) -> None:
    group.answers(service)
    with pytest.raises(NotSaid, match=f"robot {kind} answered"):
        speaker(kind, group.url + path, secret="SEC2").send(SILENT)


def test_every_fault_has_its_sentence_in_both_languages() -> None:
    for language in ("zh", "en"):
        robot = config.convert(Robot, {"kind": "wecom", "url": "https://x", "language": language, "name": "校门"})
        said = [Alarm(fault, "gate-1", 3).sentence(robot) for fault in Fault]
        assert len(set(said)) == len(Fault) and all(words.startswith("[校门] ") for words in said)
        assert all(words.isascii() == (language == "en") for words in (word.removeprefix("[校门] ") for word in said))


@pytest.mark.parametrize("part", [
    "林语晨", "Lin Yuchen", "lin yuchen", "13800000001", "gate-13800000001", "+86138", "a\nb", "x" * 41, "{count}",
])  # fmt: skip
def test_nothing_of_a_child_can_be_said(part: str) -> None:
    with pytest.raises(ValueError, match="its id"):
        Alarm(Fault.GATE_SILENT, part)


def test_twenty_a_minute_and_then_none(group: StandIn) -> None:
    group.answers(wecom)
    now = [1000.0]
    robot = speaker("wecom", group.url + "?key=k", now=lambda: now[0])
    for _ in range(20):
        robot.send(SILENT)
        now[0] += 1
    with pytest.raises(NotSaid) as failed:
        robot.send(SILENT)
    assert (failed.value.after, len(group.asked)) == (40.0, 20)
    now[0] += 39.9
    with pytest.raises(NotSaid):
        robot.send(SILENT)
    now[0] += 0.1
    robot.send(SILENT)
    assert len(group.asked) == 21


@pytest.mark.parametrize(("kind", "said", "silent"), [
    ("dingtalk", {"errcode": 130101, "errmsg": "send too fast"}, 600),
    ("wecom", {"errcode": 45009, "errmsg": "api freq out of limit"}, 60),
    ("feishu", {"code": 11232, "msg": "frequency limited"}, 60),
])  # fmt: skip
def test_silence_is_kept_when_the_service_asks_for_it(
    group: StandIn, kind: str, said: dict[str, Any], silent: float
) -> None:
    group.answers(json_answer(said))
    now = [1000.0]
    robot = speaker(kind, group.url, now=lambda: now[0])
    for moment in (0.0, 1.0, silent - 0.1):
        now[0] = 1000.0 + moment
        with pytest.raises(NotSaid) as failed:
            robot.send(SILENT)
        assert failed.value.after == pytest.approx(silent - moment)
    assert len(group.asked) == 1
    now[0] = 1000.0 + silent
    group.answers(json_answer({"errcode": 0}))
    robot.send(SILENT)
    assert len(group.asked) == 2


@pytest.mark.parametrize("answer", [
    *(Answer(body) for body in NONSENSE), Answer(hang_up=True), Answer(reset=True), Answer(status=500),
    json_answer({"errcode": "0"}), json_answer({"errcode": True}), json_answer({"errcode": 93000}),
])  # fmt: skip
def test_what_was_not_surely_said_is_not_taken_for_said(group: StandIn, answer: Answer) -> None:
    group.answers(answer)
    with pytest.raises(NotSaid) as failed:
        speaker("wecom", group.url + "?key=k-secret").send(SILENT)
    assert "k-secret" not in failed.value.reason and failed.value.after > 0


def test_nobody_listens_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotSaid, match="no connection to robot wecom"):
        speaker("wecom", f"http://127.0.0.1:{services.free_port()}").send(SILENT)
    with pytest.raises(NotSaid, match="cannot be read"):
        Speaker(config.convert(Robot, {"kind": "wecom", "url_file": str(tmp_path / "none")})).send(SILENT)


def test_check_names_a_robot_that_cannot_speak(settings: config.Config) -> None:
    wrong = msgspec.structs.replace(settings, robots=({"kind": "wecom"},))
    assert [said for said in check._providers(wrong) if "[[robots]]" in said] == [
        "[[robots]]: a robot needs `url` or `url_file`, the address that the group's settings show"
    ]


def test_the_section_robots() -> None:
    table = {"kind": "wecom", "url": "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=k"}
    (one,) = robots.opened(config.convert(config.Config, {"robots": [table]}))
    assert one.robot.kind == "wecom"
    for wrong, says in (
        ({"kind": "slack"}, "slack"), ({"url": "http://example.org"}, "https://"), ({"url": ""}, "`url` or `url_file`"),
        ({"urll": "x"}, "did you mean `url`"),
    ):  # fmt: skip
        with pytest.raises(config.ConfigError, match=r"\[\[robots\]\]") as error:
            robots.opened(config.convert(config.Config, {"robots": [table | wrong]}))
        assert says in str(error.value)
