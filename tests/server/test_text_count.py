"""`gatebell text count`: one JSON object a text, by the air interface's rule or by the Chinese operators'."""

import json

import pytest
from click.testing import CliRunner, Result

from server.outbox.cli import text


def count(*arguments: str, lines: str | None = None) -> Result:
    return CliRunner().invoke(text, ["count", *arguments], input=lines)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--rule", "gsm", "a" * 161], {"encoding": "gsm7", "units": 161, "segments": 2}),
        (["--rule", "gsm", "€" * 80], {"encoding": "gsm7", "units": 160, "segments": 1}),
        (["--rule", "gsm", "到" * 70], {"encoding": "ucs2", "units": 70, "segments": 1}),
        (["--rule", "gsm", "--sign", "明德", "hello"], {"encoding": "ucs2", "units": 9, "segments": 1}),
        (["--rule", "cn", "a" * 71], {"encoding": "ucs2", "units": 71, "segments": 2}),
        (["--rule", "cn", "--sign", "明德学校", "到" * 64], {"encoding": "ucs2", "units": 70, "segments": 1}),
        (["--rule", "cn", "--sign", "明德学校", "到" * 65], {"encoding": "ucs2", "units": 71, "segments": 2}),
    ],
)
def test_a_text_is_counted_with_its_sign(arguments: list[str], wanted: dict[str, object]) -> None:
    assert json.loads(count(*arguments).output) == wanted


def test_lines_of_json_are_counted_one_by_one() -> None:
    result = count("--rule", "cn", "-", lines=json.dumps("到\n校") + "\n\n" + json.dumps("") + "\n")
    assert [json.loads(line)["units"] for line in result.output.splitlines()] == [3, 0]


@pytest.mark.parametrize(("line", "says"), [("{oops", "line 1 is not JSON"), ("17", "line 1 is not a JSON string")])
def test_a_line_that_is_no_text_is_named(line: str, says: str) -> None:
    result = count("--rule", "cn", "-", lines=line)
    assert result.exit_code == 1 and says in result.output
