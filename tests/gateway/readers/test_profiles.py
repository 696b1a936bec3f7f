"""firmware-config/readers: one TOML per reader, of one schema, and nothing in it that the reader does not do."""

import inspect
import json
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from gateway import readers
from gateway.readers.base import Card, Reader
from tests.gateway.readers.frames import heard

FOLDER = Path(__file__).parents[3] / "firmware-config" / "readers"
GATES = [name for name in readers.names() if name != "chafon-host"]  # a host is no reader at a gate

Text = Annotated[str, msgspec.Meta(min_length=1)]
Hex = Annotated[str, msgspec.Meta(pattern=r"^([0-9A-F]{2})*$")]
Positive = Annotated[int, msgspec.Meta(ge=1)]


class Strict(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    pass


class Serial(Strict):
    baud: Positive
    bits: str


class Frame(Strict):
    """What the reader sends; `longest` in bytes, `gap_ms` the silence that ends a frame."""

    layout: Text
    check: Text
    longest: Positive
    gap_ms: Positive


class Talk(Strict):
    """Everything that the gateway writes to the reader, in hex; `interval_ms` between two polls."""

    start: Hex
    poll: list[Hex]
    interval_ms: Positive | None = None


class Example(Strict):
    hex: Hex
    card: Text


class Option(Strict):
    """A key of [reader.options] in gateway.toml, beside baud and confirm which every reader has."""

    name: Text
    default: str | int | float | bool
    meaning: Text


class Profile(Strict):
    """One reader that schools buy."""

    reader: Text
    title: Text
    technology: Text
    confirm: Positive
    debounce: Text
    source: Text
    notes: list[Text]
    serial: Serial
    frame: Frame
    talk: Talk
    example: Example
    options: list[Option] = []


def profile(name: str) -> Profile:
    return msgspec.convert(tomllib.loads((FOLDER / f"{name}.toml").read_text()), Profile)


def written(protocol: type[Reader]) -> tuple[bytes, list[bytes]]:
    """What is written at the start, and every different thing that is written after it, set-up included."""
    reader, polls = protocol(), []
    start = reader.start()
    for _ in range(8 if reader.interval else 0):
        polls.append(reader.poll() or reader.poll())  # readers that speak by themselves are told so when they do not
        reader._answered = True
    return start, list(dict.fromkeys(filter(None, polls)))


@pytest.mark.parametrize("name", GATES)
def test_every_reader_has_a_profile_that_is_true(name):
    told, protocol = profile(name), readers.load(name)
    assert (told.reader, told.technology, told.confirm) == (name, protocol.technology, protocol.confirm)
    assert (told.serial.baud, told.serial.bits) == (protocol.baud, "8N1")
    assert (told.frame.longest, told.frame.gap_ms) == (protocol.longest, round(protocol.gap * 1000))
    interval = protocol().interval
    assert told.talk.interval_ms == (None if interval is None else round(interval * 1000))


@pytest.mark.parametrize("name", GATES)
def test_a_profile_tells_every_byte_that_is_written(name):
    told = profile(name).talk
    start, polls = written(readers.load(name))
    assert (told.start, told.poll) == (start.hex().upper(), [poll.hex().upper() for poll in polls])


@pytest.mark.parametrize("name", GATES)
def test_a_profile_s_example_is_read(name):
    example = profile(name).example
    assert heard(readers.load(name)(), bytes.fromhex(example.hex)) == [Card(example.card)]


@pytest.mark.parametrize("name", GATES)
def test_a_profile_tells_every_option(name):
    own = inspect.signature(readers.load(name)).parameters
    assert {option.name: option.default for option in profile(name).options} == {
        key: parameter.default for key, parameter in own.items()
    }


def test_there_is_no_profile_without_a_reader():
    assert {file.stem for file in FOLDER.glob("*.toml")} == set(GATES)


def test_the_schema_is_the_one_tested_here():
    schema = msgspec.json.schema(Profile)
    assert json.loads((FOLDER / "schema.json").read_text()) == schema


def test_an_unknown_key_is_refused():
    raw = tomllib.loads((FOLDER / "rdm6300.toml").read_text())
    raw["serial"]["boud"] = 9600
    with pytest.raises(msgspec.ValidationError, match="boud"):
        msgspec.convert(raw, Profile)


def test_no_command_of_the_7941w_writes_to_cards():
    commands = [bytes.fromhex(line) for line in profile("7941w").talk.poll]
    assert {command[3] for command in commands} == {0x10, 0x15}
