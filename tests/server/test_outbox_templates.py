"""Approved templates: what stands in their variables, what is refused before it is sent, what the settings lack."""

import pytest

from server import config
from server.outbox import templates
from server.outbox.providers.aliyun import Aliyun
from server.outbox.providers.base import SendFailed
from server.outbox.rules import Outcome
from server.outbox.templates import Template
from tests.clouds import ZH, outgoing


def filled(params: object, **changes: object) -> dict[str, str]:
    return templates.filled("Them", Template(code="1", params=params), outgoing(**changes), lambda _: 10)  # type: ignore[arg-type]


def test_lists_keep_their_order_and_tables_their_names() -> None:
    assert list(filled(("time", "name")).values()) == ["07:41", "林语晨"]
    assert filled({"child": "name", "at": "time"}) == {"child": "林语晨", "at": "07:41"}
    assert filled(("gate|校门",), values={}) == {"gate": "校门"}
    assert filled(("text",), body="【明德】今天下雨") == {"text": "今天下雨"}


@pytest.mark.parametrize(("value", "why"), [
    ("", "empty"), (" \n ", "empty"), ("一二三四五六七八九十一", "11 characters"), ("x://y", "web address"),
    ("www.a", "web address"), ("evil.com", "web address"), ("【小明】", "sign"), ("a\x07b", "printed"),
])  # fmt: skip
def test_values_that_would_be_refused_are_named_before_sending(value: str, why: str) -> None:
    with pytest.raises(SendFailed, match=f"name .*{why}") as failed:
        filled(("name",), values={"name": value})
    assert failed.value.outcome is Outcome.FAIL_CONTENT
    assert not value.strip() or value not in failed.value.reason


def test_ordinary_names_pass() -> None:
    for name in ("欧阳娜娜", "A. Smith", "古丽·买买提", "Lin Yuchen"):
        assert filled(("name",), values={"name": name}) == {"name": name}


def test_a_wording_without_a_template_goes_to_the_next_provider() -> None:
    for wording in ("left", ""):
        with pytest.raises(SendFailed) as failed:
            templates.chosen("Them", {"arrived": Template(code="1")}, outgoing(wording=wording))
        assert failed.value.outcome is Outcome.RETRY_OTHER


def test_the_sign_is_never_there_twice_and_never_lost() -> None:
    assert (templates.sign(ZH), templates.unsigned(ZH)) == ("明德学校", "林语晨 07:41 已到校（1号门）。")
    assert (templates.sign("no sign"), templates.unsigned(" no sign ")) == ("", "no sign")
    assert templates.sign_for("Them", "", outgoing()) == "明德学校"
    assert templates.sign_for("Them", "【育才】", outgoing()) == "育才"
    with pytest.raises(SendFailed, match="sign"):
        templates.sign_for("Them", "", outgoing(body="no sign"))


def test_settings_are_read_as_an_operator_writes_them() -> None:
    table = {
        "templates": {"arrived": {"code": "SMS_1", "params": ["name"]}, "left": {"code": "2", "params": {"a": "name"}}}
    }
    read = config.convert(Aliyun.Settings, table).templates
    assert read["arrived"].named == {"name": "name"} and read["left"].named == {"a": "name"}
    with pytest.raises(config.ConfigError):
        config.convert(Aliyun.Settings, {"templates": {"arrived": {"cod": "SMS_1"}}})


def test_problems_and_lacks_are_sentences() -> None:
    made = {"arrived": Template(code="1", params={"a": "nobody"}), "lef": Template(code="", params=("name", "name"))}
    assert len(templates.problems("them", made)) == 3
    assert len(templates.problems("them", made, ordered=True)) == 4
    lacking = templates.lacks("them", made, ["arrived", "left"])
    assert "lacks left" in lacking[0] and "lef:" in lacking[1] and len(lacking) == 2
