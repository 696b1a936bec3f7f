"""When a gate is silent, and which tap numbers are missing. No clock, no database."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

SILENT = 90.0  # real seconds without a word
SETTLE = 30.0  # real seconds that numbers may be missing before it is a gap: disorder on the way mends itself

ASK_AGAIN = 3600.0  # real seconds between two requests for the same missing numbers


DAY = 86_400


@dataclass(frozen=True)
class ExitPolicy:
    """What a gate does at an exit in school hours: note it, or (strict) show red without a pass.

    `free_break`: minutes between two sessions from which on pupils may go out in between; 1440 is never.
    """

    strict_exits: bool = False
    free_break: int = field(default=45, metadata={"least": 0, "most": 1440})


@dataclass(frozen=True)
class ExitPass:
    """One pupil may leave from `starts` until `ends`."""

    pupil_id: uuid.UUID
    starts: datetime
    ends: datetime


def free_spans(sessions: Sequence[tuple[int, int]], *, free_break: int, early: int) -> list[tuple[int, int]]:
    """When pupils may leave on a day, as seconds from midnight: outside school hours and in long breaks.

    `sessions`: start and end of each; who leaves within `early` minutes of an end has not left early. Minutes both.
    """
    spans: list[tuple[int, int]] = []
    last = 0
    for starts, ends in sorted(sessions):
        if not spans:
            spans.append((0, starts))
        elif starts - last >= free_break * 60:
            spans.append((last - early * 60, starts))
        last = max(last, ends)
    spans.append((last - early * 60 if spans else 0, DAY))
    return [span for span in spans if span[0] < span[1]]


@dataclass(frozen=True, order=True)
class Gap:
    """A time in which taps may be missing, seconds after the school's midnight."""

    starts: int
    ends: int


@dataclass(frozen=True)
class Heard:
    """What is known of a gateway now: real seconds since it was heard, and since its oldest unsent tap."""

    ago: float
    online: bool
    waiting: float = 0.0  # 0 when nothing waits
    readers_up: bool = True


def is_silent(heard: Heard) -> bool:
    """Whether taps may be missing: not heard, gone, no reader left, or it cannot hand over what it has."""
    return not heard.online or not heard.readers_up or heard.ago >= SILENT or heard.waiting >= SILENT


def before_runs(numbers: Iterable[int]) -> list[int]:
    """The numbers just before each run of consecutive ones: [4, 5, 9] -> [3, 8]. Numbers begin with 1."""
    known = set(numbers)
    return sorted(n - 1 for n in known if n > 1 and n - 1 not in known)


def missing(first: int, last: int, stored: Iterable[int]) -> list[tuple[int, int]]:
    """What remains of first..last: 10..20 with 12 and 13 stored -> [(10, 11), (14, 20)]."""
    found = []
    start = first
    for n in sorted(stored):
        if n > start:
            found.append((start, n - 1))
        start = max(start, n + 1)
    return [*found, (start, last)] if start <= last else found


# Self-tests. A fault is one part of a gate, in the words of wire.Tested.checks; the server adds the part `answer`.

OK = "ok"
ANSWER = "answer"
NONE, UNASKED = "none", "unasked"  # the gate did not answer; our own line to the broker did not take the question
PATIENCE = 60.0  # real seconds that a gate may take to answer
AGAIN = 120.0  # real seconds until a gate with a fault is tested again ...
AWAY = 1200.0  # ... and one that is not there
LATEST = 3600  # seconds after the first bell at which a test is still worth its while
HARMLESS = frozenset({"power", "clock"})  # parts whose fault loses no tap


@dataclass(frozen=True)
class SelfTestPolicy:
    """Whether the gates test themselves on school days, and how many minutes before the first bell."""

    self_test: bool = True
    minutes_before_bell: int = field(default=20, metadata={"least": 5, "most": 120})


def is_time_to_test(now: int, first_bell: int | None, policy: SelfTestPolicy) -> bool:
    """Whether the day's self-test is due at `now` (both seconds after the school's midnight); None: a day off."""
    if first_bell is None or not policy.self_test:
        return False
    return first_bell - 60 * policy.minutes_before_bell <= now < first_bell + LATEST


def faults_of(checks: Mapping[str, str]) -> dict[str, str]:
    """The parts that failed, with their words."""
    return {part: found for part, found in checks.items() if found != OK}


def word_of(part: str, found: str) -> tuple[str, str]:
    """What a fault is called and what it is about: a reader that is `down held ModemManager` is `held`, by that."""
    words = found.split(" ", 2)
    if part.startswith("reader ") and words[0] in {"down", "mute"} and len(words) > 1:
        words = words[1:]
    return words[0], " ".join(words[1:])
