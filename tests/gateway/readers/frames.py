"""The frames that the readers are measured on, and what each must mean.

tests/frames/reader-frames.json is a copy of ../shared/data/reader-frames.json; where that stands beside the clone, its
frames are tested too.
"""

import importlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway import readers
from gateway.readers.base import Card, Fault, Reader, Value
from tests.conftest import SHARED

OWN = Path(__file__).parents[2] / "frames" / "reader-frames.json"

# No check in the frame: what share of all single bit flips may make another card. Measured, not wished.
UNCHECKED = {"ascii-line": 0.35, "ascii-hex6": 0.42, "stx-hex8": 0.34}

UNENDED = {"ascii-line", "ascii-hex6", "em18"}  # a frame that lost its end, or a digit, spoils one sent without a pause


@dataclass(frozen=True)
class Entry:
    """One frame: the bytes, the hex or number of every card in it, the kind of every fault."""

    id: str
    reader: str
    line: bytes
    cards: tuple[str | int, ...]
    faults: tuple[str, ...]

    def fresh(self) -> Reader:
        return readers.load(self.reader)()


def cards_of(values: Iterable[Value]) -> list[str]:
    """Canonical texts, also those of a frame that is refused for naming two cards."""
    found: list[str] = []
    for value in values:
        found += [value.text] if isinstance(value, Card) else value.cards
    return found


def faults_of(values: Iterable[Value]) -> list[str]:
    return [value.kind for value in values if isinstance(value, Fault) and not value.cards]


def heard(reader: Reader, *pieces: bytes) -> list[Value]:
    """Everything the reader makes of the pieces and of the silence after them."""
    values = [value for piece in pieces for value in reader.feed(piece)]
    return values + list(reader.flush())


def same_card(text: str, wanted: str | int) -> bool:
    digits = text.partition(":")[2]
    return digits == wanted if isinstance(wanted, str) else int(digits, 16) == wanted


def _card(expect: dict[str, Any]) -> str | int:
    if named := expect.get("uid") or expect.get("epc"):
        return str(named).upper()
    return int(expect["number10"] if "number10" in expect else expect["number"])


def _refusal(expect: dict[str, Any]) -> str:
    """The fault that a sound frame is, or nothing."""
    if expect.get("phantom"):
        return "phantom"
    if expect.get("tag_crc_ok") is False:
        return "checksum"
    return str(expect.get("error", ""))


def _entry(raw: dict[str, Any]) -> Entry:
    expect = raw["expect"]
    cards: tuple[str | int, ...] = ()
    faults = tuple(expect.get("errors", ()))
    if refusal := _refusal(expect):
        faults = (refusal,)
    elif raw.get("stream"):
        cards = tuple(card.upper() for card in expect["cards"])
    elif expect["kind"] == "cards":
        cards = tuple(map(_card, expect["cards"]))
    elif expect["kind"] == "card":
        cards = (_card(expect),)
    return Entry(raw["id"], raw["reader"], bytes.fromhex(raw["hex"]), cards, faults)


def _load() -> list[Entry]:
    files = [OWN, SHARED / "reader-frames.json"]
    raws = [raw for file in files if file.exists() for raw in json.loads(file.read_text())]
    return list({(raw["reader"], raw["hex"]): _entry(raw) for raw in raws}.values())


def _examples(name: str) -> Iterable[Entry]:
    """The cards at the foot of a reader's file: some readers have no good frame in the data file."""
    module = importlib.import_module(f"gateway.readers.{name.replace('-', '_')}")
    for number, (line, values) in enumerate(module.EXAMPLES):
        cards = tuple(value.text.partition(":")[2] for value in values if isinstance(value, Card))
        if cards and len(cards) == len(values):
            yield Entry(f"{name}-example-{number}", name, bytes.fromhex(line), cards, ())


ENTRIES = [entry for entry in _load() if entry.reader in readers.names()]
ENTRIES += [example for name in readers.names() for example in _examples(name)]
GOOD = [entry for entry in ENTRIES if entry.cards and not entry.faults]
FIRST_GOOD = list({entry.reader: entry for entry in reversed(GOOD)}.values())
