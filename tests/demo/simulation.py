"""A simulation that turns in a thread of its own, and what a gateway's reader makes of its ports."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import serial

from gateway import readers, simledger, simlines, simscript, timebase
from gateway.readers.base import Card, Value
from gateway.simfaults import Kind

START = 1_795_000_000_000
CARDS = [f"em4100:0700673{number:03X}" for number in range(40)]


class Playing:
    """Plays a script; `speed` is that of the shown time, in which a script's seconds are."""

    def __init__(self, folder: Path, script: str, *, speed: float = 100) -> None:
        (folder / "script.jsonl").write_text(script)
        begins = time.time_ns() // 1_000_000
        base = timebase.Timebase(START, begins, speed, START + 86_400_000)
        self.file = folder / "ledger.jsonl"
        self._ledger = self.file.open("wb")
        played = simscript.read(folder / "script.jsonl")
        self.simulation = simlines.Simulation(played, folder, base, ledger=simledger.Ledger(self._ledger))
        self.lines = self.simulation.lines
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._play)

    def _play(self) -> None:
        while not self.stopped.wait(0.001):
            self.simulation.turn()

    def ledger_entries(self) -> list[dict[str, Any]]:
        """The lines of the ledger so far."""
        whole = self.file.read_bytes().rpartition(b"\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def wait(self, what: Callable[[], bool], *, seconds: float = 10) -> None:
        """Until it is so."""
        until = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < until, self.ledger_entries()
            time.sleep(0.005)

    def show(self, text: str) -> None:
        """A card more, now."""
        line = self.lines["east-in"]
        line.waiting.append(simscript.Event(at=self.simulation.base.now_ms(), reader="east-in", card=text))

    def __enter__(self) -> Self:
        self.plugged = self.simulation.plugged()
        self.plugged.__enter__()
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopped.set()
        self.thread.join(10)
        self.plugged.__exit__(None, None, None)
        self._ledger.close()


def script(profile: str, *events: str) -> str:
    """A script with one reader."""
    return "\n".join([f'{{"reader": "east-in", "profile": "{profile}"}}', *events]) + "\n"


def card(text: str, after: int = 0) -> str:
    """A card, milliseconds after the start."""
    return f'{{"at": {START + after}, "reader": "east-in", "card": "{text}"}}'


def fault(kind: Kind, after: int = 0, *, seconds: float = 6000) -> str:
    """A fault that lasts the whole test, if nothing else is said."""
    return f'{{"at": {START + after}, "reader": "east-in", "fault": "{kind}", "seconds": {seconds}}}'


def hear(
    port: Path, profile: str, wanted: int, seconds: float = 10, *, until: Callable[[], bool] = lambda: True
) -> list[Value]:
    """What a reader of this profile makes of a port until it has `wanted` cards, and something is so."""
    values: list[Value] = []

    def enough() -> bool:
        return sum(isinstance(value, Card) for value in values) >= wanted and until()

    _listen(port, profile, values, enough, seconds)
    return values


def listen(port: Path, profile: str, *, until: Callable[[], bool] | None, seconds: float = 10) -> list[Value]:
    """... until something is so; without `until`, for that time."""
    values: list[Value] = []
    end = time.monotonic() + seconds
    _listen(port, profile, values, until or (lambda: time.monotonic() >= end), seconds + 1)
    return values


def _listen(port: Path, profile: str, values: list[Value], enough: Callable[[], bool], seconds: float) -> None:
    reader = readers.load(profile)()
    until = time.monotonic() + seconds
    with serial.Serial(str(port), timeout=0.02) as line:
        line.write(reader.start())
        while not enough():
            assert time.monotonic() < until, f"only {values}"
            line.write(reader.poll() if reader.interval is not None else b"")
            chunk = line.read(4096)
            values += reader.feed(chunk) if chunk else ()


def distinct(values: list[Value]) -> list[str]:
    """Cards without immediate repeats."""
    texts = [value.text for value in values if isinstance(value, Card)]
    return [text for number, text in enumerate(texts) if number == 0 or texts[number - 1] != text]
