"""Counting messages as operators bill them: 70 to 71 characters costs double, pairs are never cut."""

import pytest

from server.outbox.segments import Count, Rule, count, is_gsm


@pytest.mark.parametrize(("text", "units", "segments"), [
    ("a" * 160, 160, 1),
    ("a" * 161, 161, 2),
    ("a" * 306, 306, 2),
    ("a" * 307, 307, 3),
    ("€" * 80, 160, 1),
    ("€" * 81, 162, 2),
    ("a" * 152 + "€" + "a" * 152, 306, 3),  # the euro's escape pair would straddle the first cut
    ("a" * 151 + "€" + "a" * 153, 306, 2),
    ("", 0, 1),
])  # fmt: skip
def test_the_default_alphabet_counts_septets(text: str, units: int, segments: int) -> None:
    found = count(text, Rule.GSM)
    assert (found.units, found.single, found.segments) == (units, 160, segments)


@pytest.mark.parametrize(("text", "units", "segments"), [
    ("到" * 70, 70, 1),
    ("到" * 71, 71, 2),
    ("到" * 134, 134, 2),
    ("到" * 135, 135, 3),
    ("😀" * 35, 70, 1),
    ("到" * 66 + "😀" + "到" * 66, 134, 3),  # the surrogate pair would straddle the first cut
    ("到" * 65 + "😀" + "到" * 67, 134, 2),
    ("`", 1, 1),
])  # fmt: skip
def test_everything_else_counts_utf_16_units(text: str, units: int, segments: int) -> None:
    found = count(text, Rule.GSM)
    assert (found.units, found.single, found.segments) == (units, 70, segments)


@pytest.mark.parametrize(("text", "segments"), [("a" * 70, 1), ("a" * 71, 2), ("到" * 134, 2), ("到" * 135, 3)])
def test_chinese_operators_count_characters_whatever_they_are(text: str, segments: int) -> None:
    assert count(text) == Count(len(text), 70, segments)


def test_which_characters_the_default_alphabet_holds() -> None:
    assert is_gsm("Ärger @ 5€ {ok} ~ÑΩ\n")
    assert not is_gsm("ê")
    assert not is_gsm("`")
    assert not is_gsm("【明德】")
