"""Which rule makes the number printed on a school's cards of the number that its readers read. Pure: no database."""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from gateway import forms
from server.cards import rules
from server.people import rules as people

EXAMPLE = "0006762840=em4100:0700673158"
ENOUGH = 3  # different cards
TRIED = (0x00, 0x05, 0x0A, 0x80, 0xFF)  # what each byte of a sample is set to, to see where two rules differ

# What a person can look for on the next card, with the condition that it is.
SIGNS: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    (
        "a card with a pair of hexadecimal digits that begins with 0 among the last four",
        lambda number: min(number[-4:]) < 0x10,
    ),
    (
        "a card whose 24-bit number has fewer than 8 digits (its last six hexadecimal digits are below 989680)",
        lambda number: forms.low24(number) < 10_000_000,
    ),
    ("a card whose bytes backwards are another number", lambda number: number[-4:] != number[-4:][::-1]),
)

# Texts of a whole number of which a 24-bit reader sends the end only: how to read them back.
WHOLE: dict[str, tuple[re.Pattern[str], Callable[[re.Match[str]], int]]] = {
    "hex": (re.compile(r"[0-9A-Fa-f]{8}(?:[0-9A-Fa-f]{2})?"), lambda text: int(text[0], 16)),
    "10D": (re.compile(r"[0-9]{10}"), lambda text: int(text[0])),
    "13D": (re.compile(r"[0-9]{13}"), lambda text: int(text[0])),
    "4.5": (re.compile(r"([0-9]{5}),([0-9]{5})"), lambda text: int(text[1]) << 16 | int(text[2])),
}


class NoMatch(ValueError):
    """No single rule explains the samples; `remaining` are those that do, `decides` a card on which they differ."""

    def __init__(self, sentence: str, remaining: Sequence[str] = (), decides: str = "") -> None:
        super().__init__(sentence)
        self.remaining = tuple(remaining)
        self.decides = decides


@dataclass(frozen=True)
class Sample:
    """What is printed on a card, and what the gate read from it."""

    printed: str
    card: str

    def __str__(self) -> str:
        return f"{self.printed}={self.card}"


@dataclass(frozen=True)
class Match:
    """The rule that explains all samples; `equivalent` are rules that could not differ from it on any such card."""

    rule: str
    equivalent: tuple[str, ...]
    technology: str
    samples: int

    def told(self) -> dict[str, object]:
        """As JSON has it."""
        return asdict(self)


def sample(text: str) -> Sample:
    """A printed number, `=` and a canonical card. Raises NoMatch."""
    printed, equals, card = text.rpartition("=")
    if not equals:
        raise NoMatch(f"{text!r} is no sample as in {EXAMPLE}")
    return _sample(printed, card, place=repr(text))


def samples_of(text: str) -> list[Sample]:
    """A CSV file's rows of printed and canonical number; a first row without a card is its header. Raises NoMatch."""
    first = text.splitlines()[0] if text.strip() else ""
    delimiter = max(",;\t", key=first.count)
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(row)]
    if rows and ":" not in rows[0][-1]:
        rows = rows[1:]
    # `103,12632,em4100:...` was not quoted: all but the last cell is what is printed.
    return [_sample(delimiter.join(row[:-1]), row[-1], place=f"sample {at}") for at, row in enumerate(rows, 1)]


def match(samples: Sequence[Sample]) -> Match:
    """The one rule that explains at least three cards of one kind. Raises NoMatch, which says what is missing."""
    technology = _kind(samples)
    explaining = [rule for rule in forms.forms(samples[0].card) if all(_explains(rule, each) for each in samples)]
    if not explaining:
        return _match_of_ends(samples, technology)
    pool = list(_pool(samples))
    told = [forms.forms(card) for card in pool]
    classes: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for rule in explaining:
        classes[tuple(texts[rule].casefold() for texts in told)].append(rule)
    if len(classes) > 1:
        raise _ambiguous([rules[0] for rules in classes.values()], explaining, pool)
    return Match(explaining[0], tuple(explaining[1:]), technology, len(samples))


def _sample(printed: str, card: str, *, place: str) -> Sample:
    number = re.sub(r"\s*,\s*", ",", people.plain(printed))
    if not number:
        raise NoMatch(f"{place}: the printed number is missing")
    if people.DAMAGED.fullmatch(number):
        raise NoMatch(f"{place}: a spreadsheet has cut {number}; format the column as text and type it again")
    try:
        return Sample(number, rules.canonical(card))
    except rules.BadCard as error:
        raise NoMatch(f"{place}: {error}") from None


def _kind(samples: Sequence[Sample]) -> str:
    """The technology of all samples; there must be enough, each card once, all of one kind."""
    cards = {each.card for each in samples}
    if len(cards) < ENOUGH:
        raise NoMatch(f"{len(cards)} different card(s) are not enough; read at least {ENOUGH} at the gate")
    twice = next((each for each in samples if [s.card for s in samples].count(each.card) > 1), None)
    if twice:
        raise NoMatch(f"{twice.card} stands in two samples; leave one of them out")
    kinds = sorted({(card.partition(":")[0], len(card)) for card in cards})
    if len(kinds) > 1:
        named = ", ".join(f"{name} of {size - len(name) - 1} digits" for name, size in kinds)
        raise NoMatch(f"these are cards of several kinds ({named}); match one kind at a time")
    return kinds[0][0]


def _explains(rule: str, each: Sample) -> bool:
    return forms.forms(each.card)[rule].casefold() == each.printed.casefold()


def _match_of_ends(samples: Sequence[Sample], technology: str) -> Match:
    """The rule of whole numbers whose ends a 24-bit reader sent. Raises NoMatch."""
    explaining = [rule for rule in WHOLE if all(_ends_as_read(rule, each) for each in samples)]
    if technology != "w26" or not explaining:
        raise NoMatch(_unexplained(samples))
    if len(explaining) > 1:
        sentence = f"{', '.join(explaining)} all explain these samples; a card with a bigger number decides"
        raise NoMatch(sentence, explaining)
    return Match(explaining[0], (), technology, len(samples))


def _ends_as_read(rule: str, each: Sample) -> bool:
    """Whether the last 24 bits of what is printed are what the reader sent."""
    shape, number = WHOLE[rule]
    text = shape.fullmatch(each.printed)
    return text is not None and number(text) & forms.ALL_24 == forms.low24(forms.parts(each.card)[1])


def _unexplained(samples: Sequence[Sample]) -> str:
    known = list(forms.forms(samples[0].card))
    padded = [Sample(each.printed.zfill(10), each.card) for each in samples]
    if any(all(_explains(rule, each) for each in padded) for rule in known):
        return (
            "no rule explains these numbers, but one would if they had 10 digits: has a spreadsheet eaten the zeros"
            " before them? Type them as they are printed"
        )
    wrong = {rule: [each for each in samples if not _explains(rule, each)] for rule in known}
    best = min(wrong, key=lambda rule: len(wrong[rule]))
    if len(wrong[best]) < len(samples):
        left = ", ".join(map(str, wrong[best][:3]))
        return f"no rule explains all samples; {best} does but for {left}: read and type that card again"
    hint = "; where two numbers are printed, give one of them" if any(" " in each.printed for each in samples) else ""
    return f"no rule makes any of these printed numbers of what was read{hint}; enrol these cards by touching them"


def _pool(samples: Iterable[Sample]) -> Iterable[str]:
    """Cards that differ from a sample in one byte."""
    for each in samples:
        technology, number = forms.parts(each.card)
        for place in range(len(number)):
            for value in TRIED:
                changed = number[:place] + bytes([value]) + number[place + 1 :]
                yield f"{technology}:{changed.hex().upper()}"


def _ambiguous(apart: Sequence[str], remaining: Sequence[str], pool: Sequence[str]) -> NoMatch:
    def split(card: str) -> int:
        told = forms.forms(card)
        return len({told[rule].casefold() for rule in apart})

    words, decides = "another card", max(pool, key=split)
    for sign, holds in SIGNS:
        shown = [card for card in pool if holds(forms.parts(card)[1])]
        if shown and all(split(card) == len(apart) for card in shown):
            words, decides = sign, shown[0]
            break
    told = forms.forms(decides)
    example = ", ".join(f"{told[rule]} by {rule}" for rule in apart)
    sentence = f"{', '.join(remaining)} all explain these samples; {words} decides: {decides} would be {example}"
    return NoMatch(sentence, remaining, decides)
