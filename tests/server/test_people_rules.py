"""What people write in rosters -> numbers, grades, relations and cards as the product keeps them."""

import pytest

from server.cards import rules as cards
from server.people import rules
from server.people.service import masked


@pytest.mark.parametrize(
    ("written", "region", "kept"),
    [
        ("13812345678", "CN", "+8613812345678"),
        (" 138 1234-5678 ", "CN", "+8613812345678"),
        ("１３８１２３４５６７８", "CN", "+8613812345678"),  # full width
        ("+86 138 1234 5678", "GB", "+8613812345678"),
        ("008613812345678", "CN", "+8613812345678"),
        ("13812345678.0", "CN", "+8613812345678"),  # a number column
        ('="13812345678"', "CN", "+8613812345678"),
        ("'13812345678", "CN", "+8613812345678"),
        ("19212345678", "CN", "+8619212345678"),
        ("010-62345678", "CN", "+861062345678"),
        ("07911 123456", "GB", "+447911123456"),
        ("7911123456", "GB", "+447911123456"),  # a spreadsheet ate the zero
    ],
)
def test_telephone_numbers_are_kept_in_one_form(written: str, region: str, kept: str) -> None:
    assert rules.e164(written, region=region) == kept


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("1.38E+10", "spreadsheet has cut"),
        ("1.38123E+10", "spreadsheet has cut"),
        ("1381234567", "a digit is missing"),
        ("138123456789", "one is too many"),
        ("13812345678/13912345678", "one number in a cell"),
        ("13812345678妈妈", "one number in a cell"),
        ("-", "not a telephone number"),
    ],
)
def test_what_is_no_number_is_refused_with_the_reason(written: str, says: str) -> None:
    with pytest.raises(rules.BadPhone, match=says):
        rules.e164(written, region="CN")


def test_a_landline_takes_no_texts() -> None:
    assert rules.takes_texts("+8613812345678")
    assert not rules.takes_texts("+861062345678")


def test_numbers_are_shown_with_their_middle_hidden() -> None:
    assert masked("+8613812344471") == "138****4471"
    assert masked("+447911123456").endswith("****3456")


@pytest.mark.parametrize(
    ("words", "grade"),
    [
        ("八（2）班", 8), ("八(2)班", 8), ("十二（1）班", 12), ("十（3）班", 10), ("高一（3）班", 10), ("初三2班", 9),
        ("小学三年级2班", 3), ("802班", 8), ("1003班", 10), ("8（2）班", 8), ("Year 8", 8), ("G10", 10), ("8B", 8),
        ("高三", 12), ("七年级", 7), ("12", 12), ("2班", None), ("（2）班", None), ("二班", None), ("火箭班", None),
        ("Tulips", None), ("13", None), ("", None),
    ],
)  # fmt: skip
def test_the_grade_is_read_from_the_words_of_a_class(words: str, grade: int | None) -> None:
    assert rules.grade(words) == grade


@pytest.mark.parametrize(
    ("words", "relation"),
    [("母亲", "mother"), ("爸爸", "father"), ("外婆", "grandmother"), ("Grandpa", "grandfather"), ("舅舅", "other")],
)
def test_relations_are_read_from_the_usual_words(words: str, relation: str) -> None:
    assert rules.relation(words) == relation


def test_one_class_in_two_spellings_is_one_class() -> None:
    assert rules.same_name("八（2）班") == rules.same_name(" 八 (2)班 ")
    assert rules.same_name("八（2）班") != rules.same_name("八（12）班")


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("em4100:67003b51c6", "em4100:67003B51C6"),
        (" EM4100: 67 00 3B 51 C6", "em4100:67003B51C6"),
        ("iso14443a:04A1B2C3", "iso14443a:04A1B2C3"),
        ("iso14443a:04958CAA5C5E80", "iso14443a:04958CAA5C5E80"),
        ("epc:E200301666130121155074EF", "epc:E200301666130121155074EF"),
        ("w34:0001E256", "w34:0001E256"),
        ("w26:673158", "w26:673158"),
        ("active:62160179", "active:62160179"),
    ],
)
def test_a_card_is_kept_as_gateways_name_it(written: str, kept: str) -> None:
    assert cards.canonical(written) == kept


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("0006762840", "touch the card at the gate"),
        ("103,12632", "touch the card at the gate"),
        ("67003B51C6", "as in em4100:67003B51C6"),
        ("6.76E+06", "spreadsheet has cut"),
        ("mifare:04A1B2C3", "there are: em4100, iso14443a"),
        ("em4100:67003B51", "10 hexadecimal digits"),
        ("iso14443a:04A1", "8 or 14 or 20 hexadecimal digits"),
        ("em4100:67003B51CZ", "hexadecimal"),
        ("em4100:0000000000", "without a card"),
    ],
)
def test_what_is_no_card_is_refused_with_what_to_do(written: str, says: str) -> None:
    with pytest.raises(cards.BadCard, match=says):
        cards.canonical(written)
