"""A card's other spellings: every vector by its rule's name, and no rule where it would be a guess."""

import json

import pytest

from gateway import __main__ as command
from gateway import forms
from tests.vectors import vectors

CARDS = vectors("card-number-vectors.json")
TEXT_OF = [
    (f"{card['tech']}:{card['canonical'].upper()}", text["rule"], text["text"])
    for card in CARDS
    for text in card["representations"]
]
PLAIN = {"hex", "hex_nozero"}
OF_24_BITS = PLAIN | {"24d", "6H8D", "2.3.5", "w26_bits", "w26_bits_inverted", "inv24_10D"}
OF_32_BITS = OF_24_BITS | {"10D", "4.5", "hex4_rev", "10D_rev", "24d_le_low", "hex4_rev_nozero", "hex_rev_nozero_dec"}


@pytest.mark.parametrize(("card", "rule", "text"), TEXT_OF)
def test_every_spelling_that_was_seen_is_computed(card: str, rule: str, text: str) -> None:
    assert forms.forms(card)[rule] == text


def test_no_other_rule_names_are_made_up() -> None:
    named = {rule for _, rule, _ in TEXT_OF}
    assert set(forms.forms("em4100:0700673158")) == named == OF_32_BITS | {"13D"}


@pytest.mark.parametrize(
    ("card", "rules"),
    [
        ("w26:673158", OF_24_BITS),
        ("w34:00673158", OF_32_BITS),
        ("iso14443a:0A5E8CAC", OF_32_BITS),
        ("active:00673158", OF_32_BITS),
        ("em4100:0700673158", OF_32_BITS | {"13D"}),
        ("iso14443a:04A1B2C3D4E580", PLAIN),
        ("iso14443a:04A1B2C3D4E580112233", PLAIN),
        ("epc:E20000172211010718905449", PLAIN),
        ("epc:E2000017", PLAIN),
        ("active:6731", PLAIN),
    ],
)
def test_exactly_the_rules_of_its_length_apply(card: str, rules: set[str]) -> None:
    assert set(forms.forms(card)) == rules


def test_leading_zeros_are_kept_where_the_rule_keeps_them() -> None:
    told = forms.forms("em4100:0000000001")
    assert (told["10D"], told["6H8D"], told["2.3.5"], told["4.5"], told["13D"], told["24d"]) == (
        "0000000001", "00000001", "000,00001", "00000,00001", "0000000000001", "1",
    )  # fmt: skip


def test_wiegand_parity_is_even_over_the_first_half_and_odd_over_the_second() -> None:
    for number in range(0, 1 << 24, 99_991):
        bits = forms.forms(f"w26:{number:06X}")["w26_bits"]
        assert len(bits) == 26 and int(bits[1:25], 2) == number
        assert bits[:13].count("1") % 2 == 0 and bits[13:].count("1") % 2 == 1


def test_the_command_prints_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["forms", "em4100:0100CDA4EC"]) == 0
    assert json.loads(capsys.readouterr().out) == forms.forms("em4100:0100cda4ec")


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ("0013477100", "write it as in em4100:"),
        ("mifare:4CDDA15F", "there are: em4100, iso14443a"),
        ("em4100:4CDDA15F", "after em4100: stand 10 hexadecimal digits"),
        ("em4100:0100CDA4EG", "hexadecimal digits"),
        ("em4100:", "hexadecimal digits"),
        ("em4100:0100 CDA4E", "hexadecimal digits"),
        ("em4100:01０0CDA4EC", "hexadecimal digits"),
        ("em4100:0100CDA4EC\n", "hexadecimal digits"),
    ],
)
def test_what_is_no_canonical_card_is_refused_in_a_sentence(
    card: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["forms", card]) == 2
    told = capsys.readouterr()
    assert told.out == "" and says in told.err
