"""WeChat: one access token for all threads, renewed once if refused; errors, receipts as XML, the address verified."""

import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from flask import Flask

from server import config
from server.outbox import callbacks, http
from server.outbox.providers.base import Accepted, Forged
from server.outbox.providers.wechat import Wechat
from server.outbox.rules import Outcome
from server.outbox.templates import Template
from tests import clouds, standins
from tests.clouds import TEXT_ID, incoming, outgoing, refusal
from tests.standins import Asked, StandIn, json_answer

OPENID = "openid-of-a-parent"
TEMPLATES = {"arrived": Template(code="tpl-1", params={"thing1": "name", "time2": "time"})}
SETTINGS = {"app": "wx1", "secret": "s3cret", "token": "w0rd"}


def provider(url: str = "", **changes: Any) -> Wechat:
    return Wechat(Wechat.Settings(**{"url": url, "templates": TEMPLATES, **SETTINGS, **changes}))


class Platform:
    """Tokens and messages; a token that is not the newest is refused, a second message of one id is not sent."""

    def __init__(self) -> None:
        self.token = 0
        self.answer: dict[str, Any] = {"errcode": 0, "errmsg": "ok", "msgid": 200228332}
        self.lasts = 7200
        self.stubborn = False

    def __call__(self, asked: Asked) -> standins.Answer:
        if asked.path == "/cgi-bin/stable_token":
            wanted = asked.json
            if (wanted["appid"], wanted["secret"], wanted["grant_type"]) != ("wx1", "s3cret", "client_credential"):
                return json_answer({"errcode": 40125, "errmsg": "invalid appsecret"})
            if wanted["force_refresh"] or self.token == 0:
                self.token += 1
            return json_answer({"access_token": f"access-{self.token}", "expires_in": self.lasts})
        assert asked.path == "/cgi-bin/message/template/send"
        if self.stubborn or asked.query["access_token"] != f"access-{self.token}":
            return json_answer({"errcode": 40001, "errmsg": "invalid credential"})
        return json_answer(self.answer)


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def cloud(platform: Platform) -> Iterator[StandIn]:
    with standins.running(platform) as running:
        yield running


def paths(cloud: StandIn) -> list[str]:
    return [asked.path.rpartition("/")[2] for asked in cloud.asked]


def test_a_message_by_openid_with_our_id(cloud: StandIn) -> None:
    assert provider(cloud.url).send(outgoing(phone=OPENID)) == Accepted("200228332")
    assert cloud.asked[1].json == {
        "touser": OPENID, "template_id": "tpl-1", "client_msg_id": TEXT_ID.hex,
        "data": {"thing1": {"value": "林语晨"}, "time2": {"value": "07:41"}},
    }  # fmt: skip


def test_threads_share_one_token(cloud: StandIn) -> None:
    sender = provider(cloud.url)
    threads = [threading.Thread(target=sender.send, args=(outgoing(phone=OPENID),)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (paths(cloud).count("stable_token"), paths(cloud).count("send")) == (1, 12)


def test_a_refused_token_is_renewed_once_for_all_threads(cloud: StandIn, platform: Platform) -> None:
    sender = provider(cloud.url)
    sender.send(outgoing(phone=OPENID))
    platform.token += 1  # another program has forced a new one
    threads = [threading.Thread(target=sender.send, args=(outgoing(phone=OPENID),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paths(cloud).count("stable_token") == 2
    assert sender.send(outgoing(phone=OPENID)) == Accepted("200228332")


def test_a_token_that_is_refused_again_is_given_up(cloud: StandIn, platform: Platform) -> None:
    platform.stubborn = True
    assert refusal(provider(cloud.url), phone=OPENID).outcome is Outcome.RETRY_OTHER
    assert paths(cloud) == ["stable_token", "send", "stable_token", "stable_token", "send"]


def test_a_token_is_fetched_anew_before_it_ends(cloud: StandIn, platform: Platform) -> None:
    platform.lasts = 300
    sender = provider(cloud.url)
    for _ in range(2):
        sender.send(outgoing(phone=OPENID))
    assert paths(cloud) == ["stable_token", "send"] * 2


@pytest.mark.parametrize("bad", [
    json_answer({"errcode": 40164}), json_answer({}, 500), json_answer({"access_token": "a"}), json_answer([]),
    json_answer({}, hang_up=True), json_answer({"access_token": 7, "expires_in": 7200}), standins.Answer(b"<html>"),
])  # fmt: skip
def test_without_a_token_it_was_surely_not_sent(bad: standins.Answer) -> None:
    with standins.running(bad) as cloud:
        assert refusal(provider(cloud.url), phone=OPENID).outcome is Outcome.RETRY_OTHER


@pytest.mark.parametrize(("code", "outcome"), [
    (-1, Outcome.RETRY_SAME), (40003, Outcome.FAIL_NUMBER), (43004, Outcome.FAIL_NUMBER),
    (40037, Outcome.RETRY_OTHER), (45009, Outcome.RETRY_OTHER), (48001, Outcome.RETRY_OTHER),
    (40164, Outcome.RETRY_OTHER), (47003, Outcome.FAIL_CONTENT), (99999, Outcome.RETRY_OTHER), ("x", Outcome.UNKNOWN),
    (42001, Outcome.RETRY_OTHER), (None, Outcome.UNKNOWN),
])  # fmt: skip
def test_every_code(cloud: StandIn, platform: Platform, code: Any, outcome: Outcome) -> None:
    platform.answer = {"errcode": code, "errmsg": "openid-of-a-parent"}
    assert refusal(provider(cloud.url), phone=OPENID).outcome is outcome


@pytest.mark.parametrize("body", standins.NONSENSE)
def test_nonsense_leaves_doubt(platform: Platform, body: bytes) -> None:
    def answer(asked: Asked) -> standins.Answer:
        return platform(asked) if asked.path.endswith("token") else standins.Answer(body)

    with standins.running(answer) as cloud:
        assert refusal(provider(cloud.url), phone=OPENID).outcome is Outcome.UNKNOWN


def test_a_lost_answer_leaves_doubt(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", (1.0, 0.2))
    for bad in (json_answer({}, late=1.0), json_answer({"errcode": 0}, cut=4), json_answer({}, reset=True)):
        with standins.running(lambda asked, bad=bad: platform(asked) if "token" in asked.path[-6:] else bad) as cloud:
            assert refusal(provider(cloud.url), phone=OPENID).outcome is Outcome.UNKNOWN


def test_a_number_and_a_long_value_are_refused_before_sending(cloud: StandIn) -> None:
    assert refusal(provider(cloud.url)).outcome is Outcome.RETRY_OTHER
    long = refusal(provider(cloud.url), phone=OPENID, values={"name": "某" * 21, "time": "07:41"})
    assert (long.outcome, "name has 21 characters" in long.reason) == (Outcome.FAIL_CONTENT, True)
    assert cloud.asked == []


def event(status: str = "success", msgid: str = "200163836") -> bytes:
    return f"""<xml><ToUserName><![CDATA[gh_7f083739789a]]></ToUserName>
<FromUserName><![CDATA[oia2TjuEGTNoeX76QEjQNrcURxG8]]></FromUserName><CreateTime>1395658920</CreateTime>
<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[TEMPLATESENDJOBFINISH]]></Event>
<MsgID>{msgid}</MsgID><Status><![CDATA[{status}]]></Status></xml>""".encode()


@pytest.mark.parametrize(("status", "state"), [
    ("success", "delivered"), ("failed:user block", "failed"), ("failed: system failed", "failed"), ("other", None),
])  # fmt: skip
def test_receipts(status: str, state: str | None) -> None:
    (report,) = provider().take(incoming(event(status), **clouds.wechat_query("w0rd"))).reports
    assert (report.news.state, report.news.reference, report.news.raw) == (state, "200163836", status)


def test_what_a_follower_writes_and_that_one_comes() -> None:
    words = b"<xml><FromUserName>o1</FromUserName><MsgType>text</MsgType><Content>TD</Content><MsgId>64</MsgId></xml>"
    (heard,) = provider().take(incoming(words, **clouds.wechat_query("w0rd"))).heard
    assert (heard.phone, heard.body, heard.reference) == ("o1", "TD", "64")
    comes = b"<xml><FromUserName>o1</FromUserName><MsgType>event</MsgType><Event>subscribe</Event></xml>"
    brought = provider().take(incoming(comes, **clouds.wechat_query("w0rd")))
    assert (brought.reports, brought.heard, brought.answer) == ((), (), None)


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><xml><MsgType>&b;</MsgType></xml>'


@pytest.mark.parametrize("body", [
    *standins.NONSENSE, BOMB, BOMB.decode().encode("utf-16"), b"<xml>", b"<xml><Encrypt>abc</Encrypt></xml>",
    b'<?xml version="1.0" encoding="nonsense"?><xml/>', b"<xml>" + b"<a/>" * 30_000 + b"</xml>",
])  # fmt: skip
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        provider().take(incoming(body, **clouds.wechat_query("w0rd")))


@pytest.mark.parametrize("query", [
    {}, clouds.wechat_query("another"), {**clouds.wechat_query("w0rd"), "nonce": "other"}, {"signature": "ä"},
    {"timestamp": "\ud800", "signature": "x"},
])  # fmt: skip
def test_what_is_not_signed_is_forged(query: dict[str, str]) -> None:
    with pytest.raises(Forged):
        provider().take(incoming(event(), **query))


def test_nothing_is_genuine_without_our_word() -> None:
    with pytest.raises(Forged):
        provider(token="").take(incoming(event(), **clouds.wechat_query("")))


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    return msgspec.structs.replace(settings, providers={"wechat": SETTINGS})


@pytest.mark.usefixtures("school")
def test_the_address_is_verified_and_events_are_taken_through_the_routes(app: Flask) -> None:
    path = callbacks.inbound_url(app.extensions["gatebell"], "wechat").removeprefix("http://127.0.0.1:8000")
    client = app.test_client()
    verified = client.get(path, query_string=clouds.wechat_query("w0rd", echostr="5838479218127813673"))
    assert (verified.status_code, verified.text, verified.mimetype) == (200, "5838479218127813673", "text/plain")
    assert client.get(path, query_string=clouds.wechat_query("wrong", echostr="58")).status_code == 403
    assert client.get(path, query_string=clouds.wechat_query("w0rd")).status_code == 400
    for _ in range(2):
        taken = client.post(path, data=event(), query_string=clouds.wechat_query("w0rd"), content_type="text/xml")
        assert (taken.status_code, taken.text) == (200, "success")
    assert client.post(path, data=event()).status_code == 403


def test_check_says_what_is_wrong(cloud: StandIn) -> None:
    assert provider(cloud.url).check() == []
    problems = provider(cloud.url, secret="wrong", token="").check()
    assert "token_file" in problems[0] and "40125" in problems[1]
    assert "left" in provider(cloud.url).lacks(["arrived", "left"])[0]
