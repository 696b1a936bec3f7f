"""What a trainer types while a simulation runs: `unplug reader-1`, `stuck reader-2 60`, `card reader-1 em4100:...`."""

import difflib
import os
import select
import time
from collections.abc import Iterator
from random import Random

from gateway.simdevices import made, reads
from gateway.simfaults import MEANING, USUAL_S, Kind, phantom
from gateway.simlines import Line, Simulation
from gateway.simscript import Event

COMMANDS = {
    "card READER CARD": "hold a card to it, like em4100:67003B51C6",
    "heal READER": "end all that is wrong with it",
    "readers": "what each reader does now",
    "help": "this list",
    "quit": "unplug all and end",
}


class NotUnderstood(ValueError):
    """A typed line is no command; the sentence says which there are."""


class Quit(Exception):
    """The trainer wants to end."""


def obey(simulation: Simulation, line: str) -> str:
    """Do what a line says; gives the answer to print. Raises NotUnderstood and Quit."""
    words = line.split()
    if not words:
        return ""
    command, *rest = words
    if command == "quit":
        raise Quit
    if command == "help":
        return "\n".join(_help())
    if command == "readers":
        return "\n".join(_told(name, line) for name, line in simulation.lines.items())
    if command == "heal":
        return _heal(simulation, rest)
    if command == "card":
        return _card(simulation, rest)
    if command in set(Kind):
        return _fault(simulation, Kind(command), rest)
    raise NotUnderstood(_unknown("command", command, [*map(str, Kind), "card", "heal", "readers", "help", "quit"]))


def _help() -> Iterator[str]:
    yield "FAULT READER [SECONDS], where READER may be `all` and FAULT is"
    yield from (f"  {kind:8} {USUAL_S[kind]:3g} s  {MEANING[kind]}" for kind in Kind)
    yield from (f"{command:18} {meaning}" for command, meaning in COMMANDS.items())


def _told(name: str, line: Line) -> str:
    return f"{name} ({line.profile}): {line.state}; {line.shown} cards shown, {len(line.waiting)} wait"


def _heal(simulation: Simulation, rest: list[str]) -> str:
    lines = _lines(simulation, rest[:1])
    for line in lines:
        line.heal(time.monotonic())
    return f"{_names(lines)}: nothing is wrong any more"


def _card(simulation: Simulation, rest: list[str]) -> str:
    lines = _lines(simulation, rest[:1])
    card = "".join(rest[1:2])
    for line in lines:
        if not reads(line.protocol, card):
            like = made(Random(1), line.protocol.technology)
            raise NotUnderstood(f"{line.link.name} ({line.profile}) cannot read {card!r}: give one like {like}")
        line.waiting.append(Event(at=simulation.base.now_ms(), reader=line.link.name, card=card))
    return f"{_names(lines)}: {card}"


def _fault(simulation: Simulation, kind: Kind, rest: list[str]) -> str:
    lines = _lines(simulation, rest[:1])
    seconds = _seconds(rest[1:2]) or USUAL_S[kind]
    for line in lines:
        if kind is Kind.PHANTOM:
            _check_phantom(line)
        line.suffer(kind, seconds, time.monotonic())
    return f"{_names(lines)}: {kind} for {seconds:g} s: {MEANING[kind]}"


def _check_phantom(line: Line) -> None:
    try:
        phantom(line.protocol)
    except ValueError as error:
        raise NotUnderstood(f"{line.link.name}: {error}") from None


def _seconds(words: list[str]) -> float | None:
    if not words:
        return None
    try:
        seconds = float(words[0])
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86_400:
        raise NotUnderstood(f"{words[0]!r} is no number of seconds: say for instance 10")
    return seconds


def _lines(simulation: Simulation, words: list[str]) -> list[Line]:
    if words == ["all"]:
        return list(simulation.lines.values())
    name = "".join(words)
    if name not in simulation.lines:
        raise NotUnderstood(_unknown("reader", name, [*simulation.lines, "all"]))
    return [simulation.lines[name]]


def _names(lines: list[Line]) -> str:
    return ", ".join(line.link.name for line in lines)


def _unknown(what: str, word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, 1)
    hint = f"; did you mean {close[0]!r}?" if close else f": there are {', '.join(known)}"
    return f"no {what} {word!r}{hint}" if word else f"which {what}? There are {', '.join(known)}"


class Keyboard:
    """Lines of standard input, without ever waiting for one."""

    def __init__(self, file: int = 0) -> None:
        self.file = file
        self._open = True
        self._typed = b""

    def lines(self) -> Iterator[str]:
        """What has been typed to its end since the last time; nothing any more after the end of the input."""
        while self._open and self._is_ours() and select.select([self.file], [], [], 0)[0]:
            try:
                typed = os.read(self.file, 4096)
            except OSError:  # a terminal that was closed
                typed = b""
            self._open = bool(typed)
            *whole, self._typed = (self._typed + typed).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in whole)

    def _is_ours(self) -> bool:
        """In the background of a terminal, as in the demo, what is typed is meant for somebody else."""
        try:
            return not os.isatty(self.file) or os.tcgetpgrp(self.file) == os.getpgrp()
        except OSError:  # the terminal of another session
            return False
