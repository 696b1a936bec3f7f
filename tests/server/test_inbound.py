"""What families write back is kept once, finds its school, and is taken once; nobody else can put words into it."""

import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.serving import make_server

from server import cli, clock, config, replies
from server.db import db, transaction
from server.errors import NotFound
from server.outbox import callbacks, inbound, rules
from server.outbox.models import InboundText
from server.outbox.providers.base import Heard
from server.schools import service as schools
from tests import kannel, services
from tests.server import gate
from tests.server.ingest_worker import wait_until
from tests.server.outbox_texts import new_text, queued

pytestmark = pytest.mark.usefixtures("school")
MOTHER = "+8613800138000"


def kept(*columns: str) -> list[object]:
    return gate.rows(InboundText, *columns)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def address(app: Flask) -> str:
    return callbacks.inbound_url(app.extensions["gatebell"], "kannel").removeprefix("http://127.0.0.1:8000")


def say(body: str, phone: str = MOTHER, reference: str = "") -> bool:
    with transaction() as session:
        return inbound.take(session, "kannel", Heard(phone, body, reference), clock.now())


def test_a_reply_is_kept_once_however_often_it_is_brought(app: Flask, client: FlaskClient) -> None:
    for _ in range(3):
        answer = client.get(address(app), query_string={"from": MOTHER, "text": "发烧，请假", "id": "a-1"})
        assert (answer.status_code, answer.data) == (200, b"")
    assert client.post(address(app), data={"from": MOTHER, "text": "发烧，请假", "id": "a-2"}).status_code == 200
    assert kept("body", "reference") == [("发烧，请假", "a-1"), ("发烧，请假", "a-2")]


def test_without_an_id_the_same_words_within_seconds_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    gate.set_clock(monkeypatch, gate.at("08:00"))
    assert say("1") and not say("1") and say("2")
    gate.set_clock(monkeypatch, gate.at("08:01"))
    assert say("1")


def test_only_the_secret_address_takes_replies(app: Flask, client: FlaskClient) -> None:
    for path in (address(app)[:-1] + "x", "/callback/kannel/mo/", "/callback/nobody/mo/x", "/callback/phone/mo/x"):
        assert client.get(path, query_string={"from": MOTHER, "text": "1"}).status_code == 404
    for odd in ({}, {"from": "", "text": "1"}, {"from": "1" * 40}):
        assert client.get(address(app), query_string=odd).status_code == 400
    assert client.get(address(app), query_string={"from": "10086", "text": "x" * 9000}).status_code == 200
    assert kept("phone") == ["10086"] and len(kept("body")[0]) == 2000


def test_a_number_is_known_in_whatever_spelling_the_operator_uses() -> None:
    for spelt in ("13800138000", "8613800138000", "+86 138 0013 8000", "008613800138000"):
        say(spelt, phone=spelt)
    assert len(set(kept("sender"))) == 1


def test_a_reply_belongs_to_the_school_whose_text_it_answers() -> None:
    with transaction() as session:
        schools.add(session, "other", name="第二中学", sign="二中")
    (text_id,) = queued(new_text(phone=MOTHER))
    with transaction() as session:
        session.execute(text("UPDATE outbox_text SET state = 'delivered'"))
    say("1")
    say("1", phone="+8613900139000")
    assert sorted(map(str, kept("school_id", "answers"))) == sorted([str(("mingde", text_id)), str((None, None))])


def test_words_and_numbers_stand_in_the_database_only_encrypted() -> None:
    say("孩子发烧了")
    row = db.session.execute(text("SELECT * FROM inbound_text")).one()
    assert "发烧" not in str(row) and "13800138000" not in str(row)


@pytest.mark.parametrize("word", ["TD", "td", " Ｔ ", "退订", "退订。", "STOP", "ｓｔｏｐ", "R\n", "Unsubscribe!"])
def test_a_whole_reply_that_says_stop_is_one(word: str) -> None:
    assert rules.is_stop(word)


@pytest.mark.parametrize("words", ["", "不要退订", "STOP it", "to", "1", "R1", "今天TD"])
def test_a_word_within_a_reply_is_not(words: str) -> None:
    assert not rules.is_stop(words)


def test_what_nothing_can_use_goes_to_a_person_who_reads_it_once() -> None:
    say("老师好")
    replies.hand_out()
    replies.hand_out()
    [reply] = inbound.unread("mingde")
    assert kept("handled_as") == ["person"]
    with pytest.raises(NotFound), transaction() as session:
        inbound.read(session, "elsewhere", reply.id, by=uuid.uuid4(), now=clock.now())
    with transaction() as session:
        inbound.read(session, "mingde", reply.id, by=uuid.uuid4(), now=clock.now() + timedelta(minutes=1))
    assert inbound.unread("mingde") == []


@pytest.fixture
def reachable(settings: config.Config) -> config.Config:
    port = services.free_port()
    return msgspec.structs.replace(settings, web=config.Web(port=port, url=f"http://127.0.0.1:{port}"))


@pytest.fixture
def web(app: Flask, reachable: config.Config) -> Iterator[None]:
    app.extensions["gatebell"] = reachable
    server = make_server("127.0.0.1", reachable.web.port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.mark.kannel
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_real_kannel_brings_chinese_from_a_phone(
    app: Flask, reachable: config.Config, web: None, tmp_path: Path
) -> None:
    words = "发烧，在家休息"
    says = f"13800138000 10690000 ucs2 {quote(words.encode('utf-16-be'))}"
    with kannel.Kannel(tmp_path / "kannel", replies=callbacks.inbound_url(reachable, "kannel"), says=says):
        wait_until(lambda: kept("id"))
    [(phone, body)] = kept("phone", "body")
    assert (phone, body) == (MOTHER, words)


def test_the_operator_can_ask_for_the_address(settings: config.Config, app: Flask, monkeypatch) -> None:
    monkeypatch.setenv("GATEBELL_DATABASE__URL", settings.database.url)
    monkeypatch.setenv("GATEBELL_SECRETS__KEY_FILE", settings.secrets.key_file)
    printed = CliRunner().invoke(cli.build(), ["text", "replies-url", "kannel"])
    assert printed.output.strip() == callbacks.inbound_url(app.extensions["gatebell"], "kannel"), printed.output
