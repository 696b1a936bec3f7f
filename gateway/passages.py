"""Which readers and antennas make one way through, as the configuration says it: its tables, its sense, its rules."""

import importlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec

from gateway import readers
from gateway.walkthrough import Rules, Side, Walkthrough
from gateway.wire import Direction, Name

if TYPE_CHECKING:
    from gateway.config import Config, ReaderSection

Sides = dict[tuple[str, int | None], Side]

FROM_AFAR = {"epc", "active"}  # technologies whose tags are read in passing

Antenna = Annotated[int, msgspec.Meta(ge=1, le=64)]


class Walk(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What makes one tap of many reads; `outside` and `inside` are the numbers of antennas."""

    count: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3
    rssi_dbm: Annotated[float, msgspec.Meta(ge=-150, le=0)] | None = None
    within_s: Annotated[float, msgspec.Meta(ge=1, le=600)] = 10.0
    silence_s: Annotated[float, msgspec.Meta(ge=2, le=3600)] = 30.0
    outside: tuple[Antenna, ...] = ()
    inside: tuple[Antenna, ...] = ()


class Passage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Two readers on the two sides of one gate."""

    outside: Name
    inside: Name
    walk: Walk = Walk()


def load(config: "Config") -> dict[str, Walkthrough]:
    """The way through of each reader that reads from afar, by the reader's id; two readers may share one."""
    found: dict[str, Walkthrough] = {}
    for reader in config.reader:
        if readers.load(reader.profile).technology in FROM_AFAR:
            found[reader.id] = Walkthrough(_rules(reader.walk, _antennas(reader)))
    for passage in config.passage:
        sides: Sides = {(passage.outside, None): Side.OUTSIDE, (passage.inside, None): Side.INSIDE}
        found[passage.outside] = found[passage.inside] = Walkthrough(_rules(passage.walk, sides))
    return found


def _antennas(reader: "ReaderSection") -> Sides:
    found: Sides = {(reader.id, antenna): Side.OUTSIDE for antenna in reader.walk.outside}
    found.update({(reader.id, antenna): Side.INSIDE for antenna in reader.walk.inside})
    return found


def _rules(walk: Walk, sides: Sides) -> Rules:
    within, silence = round(walk.within_s * 1000), round(walk.silence_s * 1000)
    return Rules(walk.count, walk.rssi_dbm, within, silence, sides)


def problems(config: "Config") -> Iterator[str]:
    """What is wrong with the walks and passages of a configuration whose tables have the right shape."""
    for number, reader in enumerate(config.reader, 1):
        if reader.profile in readers.names():
            for problem in _of_reader(reader):
                yield f"reader[{number}].{problem}"
    taken: dict[str, int] = {}
    for number, passage in enumerate(config.passage, 1):
        for problem in _of_passage(passage, config.reader):
            yield f"passage[{number}].{problem}"
        for id in {passage.outside, passage.inside}:
            if taken.setdefault(id, number) != number:
                yield f"passage[{number}]: reader {id!r} stands in passage[{taken[id]}] already; it can have one way"


def _of_reader(reader: "ReaderSection") -> Iterator[str]:
    walk, protocol = reader.walk, readers.load(reader.profile)
    if protocol.technology not in FROM_AFAR:
        if walk != Walk():
            yield f"walk: cards are held to a {reader.profile}; only readers from afar (epc, active) have a walk"
        return
    if "confirm" in reader.options:
        yield f"options.confirm: a {reader.profile} reads from afar; write walk = {{ count = ... }} instead"
    yield from _strength(walk, [reader], "walk")
    if not walk.outside and not walk.inside:
        return
    if not walk.outside or not walk.inside:
        yield "walk: name the antennas of both sides: outside = [1], inside = [2]"
    if both := set(walk.outside) & set(walk.inside):
        yield f"walk: antenna {min(both)} cannot stand outside and inside"
    if not protocol.tells_antenna:
        yield f"walk: a {reader.profile} does not tell its antenna; take two readers and a [[passage]]"
    if reader.direction is not Direction.BOTH:
        yield f'direction: the antennas tell the way; write "both" instead of "{reader.direction}"'


def _strength(walk: Walk, used: Sequence["ReaderSection"], place: str) -> Iterator[str]:
    for reader in used:
        if walk.rssi_dbm is not None and not readers.load(reader.profile).tells_rssi:
            yield f"{place}.rssi_dbm: a {reader.profile} does not tell how strongly it hears a tag; leave it out"


def _of_passage(passage: Passage, known: Sequence["ReaderSection"]) -> Iterator[str]:
    if passage.outside == passage.inside:
        yield "inside: two sides need two readers; for two antennas of one reader see walk"
    if passage.walk.outside or passage.walk.inside:
        yield "walk: antennas belong into a reader's own walk; here the readers are the sides"
    by_id = {reader.id: reader for reader in known}
    for side in Side:
        id = getattr(passage, side)
        if id not in by_id:
            close = importlib.import_module("difflib").get_close_matches(id, by_id, 1)
            yield f"{side}: there is no reader {id!r}" + (f"; did you mean {close[0]!r}?" if close else "")
        elif by_id[id].profile in readers.names():
            yield from _of_side(by_id[id], side, passage.walk)


def _of_side(reader: "ReaderSection", side: Side, walk: Walk) -> Iterator[str]:
    if readers.load(reader.profile).technology not in FROM_AFAR:
        yield f"{side}: {reader.id!r} is a {reader.profile}; only readers from afar (epc, active) make a passage"
    if reader.walk != Walk():
        yield f"{side}: {reader.id!r} has a walk of its own; write it into the passage"
    if reader.direction is not Direction.BOTH:
        yield f'{side}: the passage tells the way; {reader.id!r} has direction = "both", not "{reader.direction}"'
    yield from _strength(walk, [reader], "walk")
