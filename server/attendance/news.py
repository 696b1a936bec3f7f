"""What a new verdict adds to the one before, for those who are told: no event twice, none left out. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from server.attendance import rules


class Kind(StrEnum):
    """What happened at the gate that a family may be told."""

    IN = "in"
    OUT = "out"
    UNSURE = "unsure"  # an entry whose time is not known


@dataclass(frozen=True)
class Event:
    """The n-th entry or exit told of a day, n from 1; `late` and `early` are minutes against the session it fell in."""

    kind: Kind
    n: int
    at: int | None
    late: int = 0
    early: int = 0


@dataclass(frozen=True)
class Change:
    """What a new verdict adds to the old one."""

    events: tuple[Event, ...]


def change(old: rules.Day | None, new: rules.Day) -> Change | None:
    """The events of `new` that nobody was told while `old` held, in the order of their times; None when there are none.

    A fact that arrives late may move the begin of a stay, or an exit, that was told already, and it may split one stay
    in two. So each told time is found again in `new` (in the stay that holds it), and the stays without one are news.
    `n` counts in the order of telling, `at` is the event's own time: no event is told twice, none is left out.
    """
    told = old.told if old else rules.Told()
    stays = {stay.entered: stay for stay in new.stays}
    early = {stay.left: stay.early for stay in new.stays}
    entries, exits = _entries(told, new), _news(told.exits, new.exits)
    events = [Event(Kind.IN, n, at, late=stays[at].late) for n, at in enumerate(entries, len(told.entries) + 1)]
    events += [Event(Kind.OUT, n, at, early=early.get(at, 0)) for n, at in enumerate(exits, len(told.exits) + 1)]
    events.sort(key=lambda event: (event.at or 0, event.kind))
    events += [Event(Kind.UNSURE, n, None) for n in range(told.unsure + 1, new.unsure + 1)]
    return Change(tuple(events)) if events else None


def remembering(old: rules.Day | None, new: rules.Day) -> rules.Day:
    """`new` as it is kept: with the memory of what was told while `old` held, and is told now."""
    told = old.told if old else rules.Told()
    entries = told.entries + tuple(_entries(told, new))
    exits = told.exits + tuple(_news(told.exits, new.exits))
    return replace(new, told=rules.Told(entries, exits, max(told.unsure, new.unsure)))


def _entries(told: rules.Told, new: rules.Day) -> list[int]:
    """New entries; that a boarder woke up inside is none."""
    woken = {stay.entered for stay in new.stays if stay.carried}
    return [at for at in _news(told.entries, [stay.entered for stay in new.stays]) if at not in woken]


def _news(told: Sequence[int], times: Sequence[int]) -> list[int]:
    """Times that hold none of the told ones; a told one is held by the last time not after it."""
    held = {max((at for at in times if at <= before), default=None) for before in told}
    return [at for at in times if at not in held]
