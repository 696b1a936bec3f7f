"""What a roll call came to: who was missing when, for how long, by class."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from server import clock
from server.accounts.models import User
from server.db import db
from server.people.models import SchoolClass
from server.rollcall import rules, service, sheet
from server.rollcall.models import RollCall, RollEntry, RollTick
from server.rollcall.rules import Tally


@dataclass(frozen=True)
class Line:
    """One person: how many seconds passed until they were ticked, or pass still."""

    entry: RollEntry
    seconds: int


@dataclass(frozen=True)
class Section:
    """One part, the missing first, then those who were found last."""

    key: str
    school_class: SchoolClass | None
    tally: Tally
    missing: list[Line]
    found: list[Line]

    @property
    def took(self) -> int | None:
        """Seconds until the last one was ticked; None while somebody is missing."""
        return None if self.missing else max((line.seconds for line in self.found), default=0)


@dataclass(frozen=True)
class Report:
    """All parts that the reader may see, and every tick and undo."""

    sections: list[Section]
    total: Tally
    ticks: list[tuple[RollTick, RollEntry]]


@dataclass(frozen=True)
class Past:
    """One line of the log."""

    roll: RollCall
    seconds: int
    total: Tally


def of_roll(user: User, roll: RollCall, now: datetime) -> Report:
    """The report of a roll, also while it runs."""
    session = db.session()
    seen = service.visible_parts(session, user, roll)
    entries, classes = service.entries(session, roll, seen), sheet.class_of(roll.school_id)
    by_part: dict[str, list[RollEntry]] = defaultdict(list)
    for entry in entries:
        by_part[entry.part].append(entry)
    order = sorted(by_part, key=lambda key: sheet.place(key, classes))
    sections = [_section(roll, key, classes.get(key), by_part[key], now) for key in order]
    known = {entry.id: entry for entry in entries}
    ticks = [(tick, known[tick.entry_id]) for tick in service.said_of(session, roll, seen)]
    return Report(sections, sum((each.tally for each in sections), Tally()), ticks)


def _section(roll: RollCall, key: str, of: SchoolClass | None, entries: list[RollEntry], now: datetime) -> Section:
    lines = [Line(entry, _seconds(roll, entry, now)) for entry in entries]
    found = sorted((line for line in lines if line.entry.there), key=lambda line: -line.seconds)
    missing = [line for line in lines if not line.entry.there]
    return Section(key, of, rules.tally((entry.standing, entry.there) for entry in entries), missing, found)


def _seconds(roll: RollCall, entry: RollEntry, now: datetime) -> int:
    until = entry.said_at if entry.there and entry.said_at else roll.ended_at or now
    return max(0, int(clock.elapsed(roll.started_at, until)))


def log(user: User) -> list[Past]:
    """Roll calls that have ended, with how many of the parts that the user may see were found."""
    session, found = db.session(), []
    for roll in service.past(session, user.school_id):
        shown = service.parts_of(session, roll)
        if not service.may_start(user):
            shown &= service.visible_parts(session, user, roll)
        entries = service.entries(session, roll, shown)
        total = rules.tally((entry.standing, entry.there) for entry in entries)
        found.append(Past(roll, service.running_seconds(roll, roll.ended_at or roll.started_at), total))
    return found
