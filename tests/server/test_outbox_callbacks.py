"""Receipts from outside: only at addresses that we made, stored first, harmless when repeated or late."""

import uuid
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from server import config
from server.db import db, transaction
from server.outbox import callbacks, providers, queue, receipts
from server.outbox.models import OutboxText, Receipt
from server.outbox.providers.base import News
from server.outbox.rules import TextState
from tests.server.outbox_texts import new_text, queued, stored

pytestmark = pytest.mark.usefixtures("school")


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def address(app: Flask, text_id: uuid.UUID) -> str:
    url = callbacks.url(app.extensions["gatebell"], "kannel", text_id)
    return url.removeprefix("http://127.0.0.1:8000")


def kept() -> list[tuple[uuid.UUID | None, str, str]]:
    db.session.rollback()
    found = db.session.execute(select(Receipt.text_id, Receipt.state, Receipt.raw).order_by(Receipt.received_at))
    return [tuple(row) for row in found]


def test_a_receipt_moves_its_text_on(app: Flask, client: FlaskClient) -> None:
    (text_id,) = queued(new_text())
    assert client.get(f"{address(app, text_id)}?type=8&answer=ACK&reference=77").status_code == 200
    assert (stored(text_id).state, stored(text_id).reference) == ("sent", "77")
    assert client.post(address(app, text_id), data={"type": "1", "answer": ""}).status_code == 200
    text = stored(text_id)
    assert (text.state, text.settled_at is not None) == ("delivered", True)
    assert kept() == [(text_id, "sent", "8 ACK"), (text_id, "delivered", "1")]


def test_a_late_receipt_does_not_undo_a_final_one(app: Flask, client: FlaskClient) -> None:
    (text_id,) = queued(new_text())
    for bits in ("1", "8", "16"):
        client.get(f"{address(app, text_id)}?type={bits}")
    assert stored(text_id).state == "delivered"
    assert len(kept()) == 3


def test_a_repeated_receipt_is_answered_and_kept_once(app: Flask, client: FlaskClient) -> None:
    (text_id,) = queued(new_text())
    for _ in range(5):
        assert client.get(f"{address(app, text_id)}?type=2&answer=UNDELIV").status_code == 200
    assert len(kept()) == 1
    assert (stored(text_id).state, stored(text_id).error) == ("failed", "2 UNDELIV")


@pytest.mark.parametrize(("bits", "answer", "state"), [
    ("1", "", "delivered"),
    ("34", "", "expired"),
    ("32", "", "expired"),
    ("16", "NACK/0x0000000b/Invalid Destination Address", "failed"),
    ("16", "NACK/validity expired", "expired"),
    ("2", "", "failed"),
    ("4", "", "sent"),
    ("8", "ACK/", "sent"),
    ("12", "", "sent"),
    ("64", "", "queued"),
])  # fmt: skip
def test_kannels_receipts_are_bits(app: Flask, client: FlaskClient, bits: str, answer: str, state: str) -> None:
    (text_id,) = queued(new_text())
    client.get(address(app, text_id), query_string={"type": bits, "answer": answer})
    assert stored(text_id).state == state


@pytest.mark.parametrize("spoilt", [
    lambda path: path[:-1] + ("0" if path[-1] != "0" else "1"),
    lambda path: path[:-32] + "0" * 32,
    lambda path: path[:-1],
    lambda path: path.replace("/kannel/", "/phone/"),
    lambda path: path.replace("/kannel/", "/nobody/"),
    lambda path: path[:-32] + "ä" * 8,
])  # fmt: skip
def test_an_address_that_we_did_not_make_is_not_there(app: Flask, client: FlaskClient, spoilt) -> None:  # type: ignore[no-untyped-def]
    (text_id,) = queued(new_text())
    assert client.get(f"{spoilt(address(app, text_id))}?type=1").status_code == 404
    assert (stored(text_id).state, kept()) == ("queued", [])


def test_one_texts_address_is_of_no_use_for_another(app: Flask, client: FlaskClient) -> None:
    mine, other = uuid.uuid4(), uuid.uuid4()
    path = address(app, mine).replace(str(mine), str(other))
    assert client.get(f"{path}?type=1").status_code == 404


@pytest.mark.parametrize("query", ["", "type=", "type=x", "answer=1"])
def test_what_is_no_receipt_is_refused(app: Flask, client: FlaskClient, query: str) -> None:
    (text_id,) = queued(new_text())
    assert client.get(f"{address(app, text_id)}?{query}").status_code == 400
    assert kept() == []


def test_a_receipt_for_an_unknown_text_is_kept(app: Flask, client: FlaskClient) -> None:
    text_id = uuid.uuid4()
    assert client.get(f"{address(app, text_id)}?type=1").status_code == 200
    assert kept() == [(text_id, "delivered", "1")]


def test_a_secret_of_its_own_changes_every_address(app: Flask, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "secret").write_text("another secret\n")
    own = config.Config(outbox=config.Outbox(callback_secret_file=str(tmp_path / "secret")))
    text_id = uuid.uuid4()
    ours = callbacks.url(app.extensions["gatebell"], "kannel", text_id)
    assert callbacks.url(own, "kannel", text_id) != ours
    assert callbacks.genuine(own, "kannel", text_id, callbacks.url(own, "kannel", text_id)[-32:])


def test_a_receipt_settles_a_doubt(app: Flask) -> None:
    (text_id,) = queued(new_text())
    with transaction() as session:
        session.get_one(OutboxText, text_id).state = TextState.UNKNOWN
        session.get_one(OutboxText, text_id).error = queue.LEFT_BEHIND
    with transaction() as session:
        assert receipts.receive(session, "kannel", News(TextState.SENT, "8"), text_id)
    text = stored(text_id)
    assert (text.state, text.error, text.sent_at is not None) == ("sent", None, True)


def test_providers_are_found_by_their_file_names() -> None:
    files = {path.stem for path in Path(providers.__file__).parent.glob("*.py")}
    assert set(providers.names()) == files - {"__init__", "base"} and {"kannel", "phone"} <= files
    assert [providers.load(name).name for name in providers.names()] == providers.names()
    with pytest.raises(config.ConfigError, match=r"unknown provider 'kanel'; known: .*kannel, .*phone"):
        providers.load("kanel")


def test_the_demos_phones_are_no_provider_for_a_real_school() -> None:
    with pytest.raises(config.ConfigError, match="`phone` is the demo's; name a real one"):
        providers.opened(config.Config(outbox=config.Outbox(providers=("phone",))))


def test_a_providers_settings_are_its_own_and_a_typo_is_named() -> None:
    good = config.Config(
        outbox=config.Outbox(providers=("kannel", "phone")),
        providers={"kannel": {"sender": "10690000"}},
        demo=True,
    )
    assert [provider.name for provider in providers.opened(good)] == ["kannel", "phone"]
    bad = config.Config(outbox=config.Outbox(providers=("kannel",)), providers={"kannel": {"pasword": "x"}})
    with pytest.raises(config.ConfigError, match=r"\[providers.kannel\].*pasword.*did you mean `password`"):
        providers.opened(bad)
