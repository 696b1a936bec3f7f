"""A crowd for a simulation without a script: so many pupils, arriving by a curve, at readers of several kinds."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from random import Random

from gateway import readers
from gateway.forms import LENGTHS
from gateway.simdevices import made
from gateway.simfaults import USUAL_S, Kind, phantom
from gateway.simscript import Event, Script, ScriptError, speaking

BUS_S = 75.0  # a bus is empty after so many seconds
BUS_EVERY_S = 300.0


@dataclass(frozen=True)
class Plan:
    """What was asked for: `seconds` is how long the arrivals take in life, `speed` how much faster they are played."""

    profiles: Sequence[str] = ("rdm6300",)
    readers: int = 1
    pupils: int = 100
    cards: Path | None = None
    curve: str = "morning"
    seconds: float = 600.0
    speed: float = 1.0
    faults: int = 0
    seed: int = 1


def uniform(rng: Random, count: int, seconds: float) -> list[float]:
    """At any moment alike."""
    return [rng.uniform(0, seconds) for _ in range(count)]


def morning(rng: Random, count: int, seconds: float) -> list[float]:
    """A few early, most shortly before the bell, a tail of late ones."""
    return [rng.betavariate(5, 2.5) * seconds for _ in range(count)]


def buses(rng: Random, count: int, seconds: float) -> list[float]:
    """Waves: every five minutes a bus, whose pupils are through after a minute."""
    arrivals = [BUS_EVERY_S * number for number in range(max(1, int(seconds / BUS_EVERY_S)))]
    return [min(seconds, rng.choice(arrivals) + rng.triangular(0, BUS_S, BUS_S / 3)) for _ in range(count)]


def at_once(_rng: Random, count: int, _seconds: float) -> list[float]:
    """All together: what the gate can take."""
    return [0.0] * count


CURVES: dict[str, Callable[[Random, int, float], list[float]]] = {
    "uniform": uniform,
    "morning": morning,
    "buses": buses,
    "at-once": at_once,
}


def script(plan: Plan, begins: int) -> Script:
    """The plan as a script; `begins` is UTC milliseconds. Raises ScriptError."""
    rng = Random(plan.seed)
    lines = _readers(plan)
    cards = _cards_of(plan.cards) if plan.cards else []
    shown = _given(rng, lines, cards) if cards else _made(rng, lines, plan.pupils)
    moments = sorted(CURVES[plan.curve](rng, len(shown), plan.seconds))

    def at(moment: float) -> int:
        return begins + round(moment / plan.speed * 1000)

    events = [
        Event(at=at(moment), reader=reader, card=card) for moment, (reader, card) in zip(moments, shown, strict=True)
    ]
    for number in range(plan.faults):
        reader = rng.choice(list(lines))
        kind = rng.choice([kind for kind in Kind if kind is not Kind.PHANTOM or _has_phantoms(lines[reader])])
        moment = plan.seconds * (number + rng.random()) / plan.faults
        events.append(
            Event(at=at(moment), reader=reader, fault=kind, seconds=max(1.0, min(USUAL_S[kind], 15.0) / plan.speed))
        )
    return Script(lines, sorted(events, key=lambda event: event.at))


def _readers(plan: Plan) -> dict[str, str]:
    known = speaking()
    for profile in plan.profiles:
        if profile not in known:
            raise ScriptError(
                f"--profiles: {profile!r} cannot be simulated with a crowd; choose from {', '.join(known)}"
            )
    profiles = islice(cycle(plan.profiles), max(plan.readers, len(plan.profiles)))
    return {f"reader-{number}": profile for number, profile in enumerate(profiles, 1)}


def _made(rng: Random, lines: dict[str, str], count: int) -> list[tuple[str, str]]:
    """Cards that nobody has, each at a reader that can read it."""
    found: dict[str, str] = {}  # card -> reader
    while len(found) < count:
        reader = rng.choice(list(lines))
        found.setdefault(made(rng, readers.load(lines[reader]).technology), reader)
    return [(reader, card) for card, reader in found.items()]


def _given(rng: Random, lines: dict[str, str], cards: Sequence[str]) -> list[tuple[str, str]]:
    by_technology: dict[str, list[str]] = {}
    for reader, profile in lines.items():
        by_technology.setdefault(readers.load(profile).technology, []).append(reader)
    found = []
    for card in cards:
        technology = card.partition(":")[0]
        if technology not in by_technology:
            raise ScriptError(f"--cards: no reader here reads {technology} cards; name one of them in --profiles")
        found.append((rng.choice(by_technology[technology]), card))
    rng.shuffle(found)
    return found


def _cards_of(path: Path) -> list[str]:
    """Canonical cards, one a line, or the column `card` of a CSV."""
    lines = path.read_text("utf-8-sig").splitlines()
    if "card" in next(csv.reader(lines[:1]), []):
        lines = [row["card"] or "" for row in csv.DictReader(lines)]
    cards = [line.strip() for line in lines if line.strip()]
    for number, card in enumerate(cards, 1):
        technology, _, digits = card.partition(":")
        if len(digits) not in LENGTHS.get(technology, ()) or set(digits) - set("0123456789ABCDEF"):
            raise ScriptError(f"{path}: card {number}, {card!r}, is not canonical: write it as em4100:67003B51C6")
    if not cards:
        raise ScriptError(f"{path}: no card in it")
    return cards


def _has_phantoms(profile: str) -> bool:
    try:
        phantom(readers.load(profile))
    except ValueError:
        return False
    return True
