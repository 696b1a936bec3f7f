"""Printed numbers: one rule explains all samples or none is taken; what a 24-bit reader confuses is found."""

import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway import forms
from server import cli
from server.cards import printed, rules

Run = Callable[..., Result]
CARDS = ["em4100:0700673158", "em4100:0100CDA4EC", "em4100:4512C5D109"]
UIDS = ["iso14443a:0A5E8CAC", "iso14443a:E43A09D2", "iso14443a:4CDDA15F"]
KINDS = {"em4100": 5, "iso14443a": 4, "w26": 3, "w34": 4, "active": 4}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`gatebell cards match` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Result:
        result = CliRunner().invoke(cli.build(), ["cards", "match", *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return call


def by(rule: str, cards: list[str]) -> list[str]:
    """Samples as a printer that follows this rule makes them."""
    return [f"{forms.forms(card)[rule]}={card}" for card in cards]


def refused(result: Result) -> dict[str, object]:
    assert result.exit_code == 1
    answer: dict[str, object] = json.loads(result.stdout)
    return answer


@pytest.mark.parametrize("cards", [CARDS, UIDS], ids=["em4100", "iso14443a"])
def test_each_rule_is_learnt_from_three_cards_that_show_it(run: Run, cards: list[str]) -> None:
    for rule in forms.forms(cards[0]):
        answer = json.loads(run(*by(rule, cards)).stdout)
        assert answer == {"rule": rule, "equivalent": [], "technology": cards[0].partition(":")[0], "samples": 3}


@pytest.mark.parametrize("technology", KINDS)
def test_a_rule_is_never_taken_for_another_that_differs_on_some_card(technology: str) -> None:
    dice = random.Random(7)
    for _ in range(15):
        cards = [f"{technology}:{dice.randbytes(KINDS[technology]).hex().upper()}" for _ in range(3)]
        for rule in forms.forms(cards[0]):
            samples = [printed.sample(text) for text in by(rule, cards)]
            try:
                found = printed.match(samples)
            except printed.NoMatch as refusal:
                assert rule in refusal.remaining and len(refusal.remaining) > 1
                told = forms.forms(refusal.decides)
                assert len({told[each].casefold() for each in refusal.remaining}) > 1
            else:
                assert (found.rule, found.equivalent) == (rule, ())


@pytest.mark.parametrize("rule", ["10D", "13D", "4.5", "hex"])
def test_a_24_bit_reader_is_matched_with_the_end_of_a_whole_printed_number(run: Run, rule: str) -> None:
    samples = [f"{text.partition('=')[0]}=w26:{text[-6:]}" for text in by(rule, CARDS)]
    answer = {"rule": rule, "equivalent": [], "technology": "w26", "samples": 3}
    assert json.loads(run(*samples).stdout) == answer
    assert "rule" not in refused(run(*samples[:2], samples[2][:-1] + "F"))


def test_digits_that_could_be_of_either_base_are_refused(run: Run) -> None:
    answer = refused(run(*[f"000000000{digit}=w26:00000{digit}" for digit in (1, 2, 3)]))
    assert answer["remaining"] == ["hex", "10D"] and "a card with a bigger number decides" in str(answer["error"])
    assert (
        json.loads(run(*[f"000000001{digit}=w26:00000{letter}" for digit, letter in ("0A", "1B", "2C")]).stdout)["rule"]
        == "10D"
    )


def test_an_ambiguous_match_is_refused_and_the_card_that_it_names_decides(run: Run) -> None:
    cards = ["iso14443a:4CDDA15F", "iso14443a:E43AC9D2", "iso14443a:51E69621"]
    answer = refused(run(*by("hex", cards)))
    assert answer["remaining"] == ["hex", "hex_nozero"]
    assert "hex, hex_nozero all explain these samples" in str(answer["error"])
    assert "begins with 0 among the last four decides" in str(answer["error"])
    decides = str(answer["decides"])
    assert json.loads(run(*by("hex", [*cards, decides])).stdout)["rule"] == "hex"
    assert json.loads(run(*by("hex_nozero", [*cards, decides])).stdout)["rule"] == "hex_nozero"


def test_big_24_bit_numbers_do_not_tell_whether_zeros_are_printed(run: Run) -> None:
    cards = ["em4100:0100CDA4EC", "em4100:2900DEB30A", "em4100:4500C5D1E9"]
    answer = refused(run(*by("24d", cards)))
    assert answer["remaining"] == ["24d", "6H8D"] and "fewer than 8 digits" in str(answer["error"])
    assert json.loads(run(*by("24d", [*cards, "em4100:0700673158"])).stdout)["rule"] == "24d"


@pytest.mark.parametrize(
    "content",
    [
        "0006762840,em4100:0700673158\n0013477100,em4100:0100CDA4EC\n0314953993,em4100:4512c5d109\n",
        "卡号,读数\n0006762840,em4100:0700673158\n0013477100,em4100:0100CDA4EC\n\n0314953993,em4100:4512C5D109\n",
        "\ufeffprinted;read\r\n0006762840;em4100:0700673158\r\n0013477100;em4100:0100CDA4EC\r\n'0314953993;em4100:4512C5D109",
    ],
)  # fmt: skip
def test_samples_come_from_a_file_too(run: Run, content: str) -> None:
    Path("samples.csv").write_text(content)
    assert json.loads(run("samples.csv").stdout)["rule"] == "10D"


def test_two_numbers_with_a_comma_need_no_quotes(run: Run) -> None:
    Path("samples.csv").write_text("".join(f"{text.replace('=', ',')}\n" for text in by("2.3.5", CARDS)))
    assert json.loads(run("samples.csv").stdout)["rule"] == "2.3.5"


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (by("10D", CARDS[:2]), "2 different card(s) are not enough; read at least 3"),
        ([*by("10D", CARDS[:2])] * 2, "2 different card(s) are not enough"),
        ([*by("10D", CARDS), "0000000001=em4100:0700673158"], "em4100:0700673158 stands in two samples"),
        ([*by("10D", CARDS[:2]), *by("10D", UIDS[:1])], "em4100 of 10 digits, iso14443a of 8 digits"),
        ([*by("10D", CARDS[:2]), "0000000001=em4100:4512C5D109"], "10D does but for 0000000001=em4100:4512C5D109"),
        ([text.lstrip("0") for text in by("10D", CARDS)], "has a spreadsheet eaten the zeros"),
        ([f"{number:010}={card}" for number, card in enumerate(CARDS, 1)], "enrol these cards by touching them"),
        ([f"0006762840 103,12632={card}" for card in CARDS], "where two numbers are printed, give one of them"),
        (["0006762840"], "'0006762840' is no sample as in 0006762840=em4100:0700673158, and no CSV file"),
        (["7" * 5000], "and no CSV file"),
        (["."], "and no CSV file"),
        (["0006762840=0700673158"], "write it as the gate shows it"),
        (["=em4100:0700673158"], "the printed number is missing"),
        (["1.9E+9=em4100:0700673158"], "a spreadsheet has cut 1.9E+9"),
    ],
)
def test_what_cannot_be_learnt_from_is_said_in_a_sentence(run: Run, samples: list[str], says: str) -> None:
    assert says in str(refused(run(*samples))["error"])


def test_a_file_that_is_no_text_is_named(run: Run) -> None:
    Path("samples.csv").write_bytes("卡号".encode("gb18030"))
    assert "save the sheet as CSV UTF-8" in str(refused(run("samples.csv"))["error"])
    Path("samples.csv").write_text("7" * 200_000)
    assert "and no CSV file: field larger" in str(refused(run("samples.csv"))["error"])
    Path("samples.csv").write_text("")
    assert "0 different card(s)" in str(refused(run("samples.csv"))["error"])


def test_the_order_of_samples_changes_nothing() -> None:
    for order in itertools.permutations(by("10D_rev", UIDS)):
        assert printed.match([printed.sample(text) for text in order]).rule == "10D_rev"


def test_cards_with_equal_last_three_bytes_collide_whatever_their_kind() -> None:
    cards = ["em4100:0700673158", "em4100:0800673158", "w26:673158", "em4100:0700673159", "iso14443a:01673159"]
    assert rules.colliding(cards) == [
        ("em4100:0700673158", "em4100:0800673158", "w26:673158"),
        ("em4100:0700673159", "iso14443a:01673159"),
    ]
    assert rules.colliding([cards[0], cards[0], "em4100:6700000058", "active:0158", "active:000158"]) == []
