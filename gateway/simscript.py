"""What a simulation plays: readers, and what happens at them when. A script is a file of JSON lines.

First the readers, `{"reader": "east-in", "profile": "rdm6300"}`; then in any order
`{"at": <UTC ms>, "reader": "east-in", "card": "em4100:67003B51C6"}`, or in place of the card `"noise": "<hex>"`,
`"unplug": <seconds>`, or `"fault": "<word>"` with `"seconds": <number>` where its usual time will not do.
"""

from pathlib import Path
from random import Random
from typing import Annotated

import msgspec

from gateway import readers, wire
from gateway.readers.base import Reader
from gateway.simdevices import DEVICES, DIGITS, made, reads
from gateway.simfaults import USUAL_S, Kind, phantom


class ScriptError(ValueError):
    """What is to be played cannot be; the text names the line or the option and what is wrong with it."""


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A reader that the script uses."""

    reader: wire.Name
    profile: str


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What happens at a reader at a shown time: exactly one of card, noise, unplug and fault."""

    at: wire.Millis
    reader: wire.Name
    card: wire.CardText | None = None
    noise: str | None = None
    unplug: float | None = None
    fault: Kind | None = None
    seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None
    url: wire.Proof | None = None  # what the card, an NTAG 424 DNA, writes of itself

    def trouble(self) -> tuple[Kind, float] | None:
        """The fault that this begins and its seconds; None for a card and for noise that is given byte by byte."""
        if self.unplug is not None:
            return Kind.UNPLUG, self.unplug
        if self.fault is None:
            return None
        return self.fault, USUAL_S[self.fault] if self.seconds is None else self.seconds


class Script(msgspec.Struct, frozen=True):
    """Readers by name with their profile, and all events in the order of time."""

    readers: dict[str, str]
    events: list[Event]


def read(path: Path) -> Script:
    """Read a script. Raises ScriptError naming the line."""
    known: dict[str, str] = {}
    events: list[Event] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            if b'"profile"' in line:
                header = msgspec.json.decode(line, type=Header)
                readers.load(header.profile)
                known[header.reader] = header.profile
            elif line.strip():
                events.append(_event(line, known))
        except (msgspec.DecodeError, ValueError) as error:
            raise ScriptError(f"{path}:{number}: {error}") from None
    return Script(known, sorted(events, key=lambda event: event.at))


def _event(line: bytes, known: dict[str, str]) -> Event:
    event = msgspec.json.decode(line, type=Event)
    if event.reader not in known:
        raise ValueError(f"reader {event.reader!r} has no header line before this one")
    if sum(what is not None for what in (event.card, event.noise, event.unplug, event.fault)) != 1:
        raise ValueError("exactly one of card, noise, unplug and fault is wanted")
    if event.url is not None and event.card is None:
        raise ValueError("a url belongs to a card")
    bytes.fromhex(event.noise or "")
    if event.fault is Kind.PHANTOM:
        phantom(readers.load(known[event.reader]))
    return event


def speaking() -> list[str]:
    """Profiles whose module can be simulated with cards: it speaks by itself, or its answers are known here."""
    return [name for name in readers.names() if name in DEVICES or _speaks(readers.load(name))]


def _speaks(protocol: type[Reader]) -> bool:
    if protocol.technology not in DIGITS or not reads(protocol, made(Random(1), protocol.technology)):
        return False
    return protocol().interval is None
