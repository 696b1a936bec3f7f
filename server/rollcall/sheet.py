"""What the pages of a roll call show: each part with its numbers and marshals, and the rows of one part."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from server import clock
from server.accounts.models import User
from server.db import db
from server.people import service as people
from server.people.models import SchoolClass
from server.rollcall import presence, rules, service
from server.rollcall.models import RollCall, RollEntry, RollPost, RollTick
from server.rollcall.presence import Sight
from server.rollcall.rules import Standing, Tally


@dataclass(frozen=True)
class Part:
    """A class, the visitors or the staff."""

    key: str
    school_class: SchoolClass | None
    tally: Tally
    open: bool  # its names may be seen by who asks
    busy: tuple[str, ...] = ()  # who ticked here lately
    sent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Marshal:
    """Somebody who ticks, where, and how many seconds since the last time."""

    name: str
    part: Part
    seconds: int


@dataclass(frozen=True)
class Overview:
    """The whole roll as one user may see it."""

    parts: list[Part]
    total: Tally
    marshals: list[Marshal]
    deserted: list[Part]  # somebody is missing and nobody ticks


@dataclass(frozen=True)
class Row:
    """One person on the list, with who said so before, and where the gate saw them since the alarm."""

    entry: RollEntry
    before: str
    since: Sight | None


def overview(user: User, roll: RollCall, now: datetime, ordered_at: datetime) -> Overview:
    """All parts; their order is by who was missing at `ordered_at`, so that it stands still while somebody ticks."""
    session = db.session()
    seen, every = service.visible_parts(session, user, roll), service.parts_of(session, roll)
    shown = every if service.may_start(user) else every & seen
    entries, ticks = service.entries(session, roll, shown), service.said_of(session, roll, shown)
    by_part: dict[str, list[RollEntry]] = defaultdict(list)
    for entry in entries:
        by_part[entry.part].append(entry)
    places, posts = {entry.id: entry.part for entry in entries}, _posts(roll)
    last = _last_ticks(ticks, places)
    classes = class_of(roll.school_id)
    parts = [
        Part(
            key=key,
            school_class=classes.get(key),
            tally=rules.tally((entry.standing, entry.there) for entry in by_part[key]),
            open=key in seen,
            busy=tuple(t.name for t, at in last.values() if at == key and _seconds(t, now) < rules.TICKING),
            sent=tuple(post.name for post in posts if post.part == key),
        )
        for key in _ordered(by_part, ticks, ordered_at, classes)
    ]
    return _summed(parts, last, now)


def _summed(parts: list[Part], last: dict[uuid.UUID, tuple[RollTick, str]], now: datetime) -> Overview:
    by_key = {part.key: part for part in parts}
    marshals = [Marshal(tick.name, by_key[at], _seconds(tick, now)) for tick, at in last.values()]
    return Overview(
        parts=parts,
        total=sum((part.tally for part in parts), Tally()),
        marshals=sorted(marshals, key=lambda each: each.name),
        deserted=[part for part in parts if not part.tally.is_complete and not part.busy],
    )


def _last_ticks(ticks: Sequence[RollTick], places: dict[uuid.UUID, str]) -> dict[uuid.UUID, tuple[RollTick, str]]:
    return {tick.user_id: (tick, places[tick.entry_id]) for tick in ticks}


def _seconds(tick: RollTick, now: datetime) -> int:
    return max(0, int(clock.elapsed(tick.at, now)))


def _posts(roll: RollCall) -> Sequence[RollPost]:
    return db.session.scalars(select(RollPost).where(RollPost.roll_id == roll.id).order_by(RollPost.sent_at)).all()


def _ordered(
    by_part: dict[str, list[RollEntry]], ticks: Sequence[RollTick], at: datetime, classes: dict[str, SchoolClass]
) -> list[str]:
    """Most missing at that moment first; then by class, visitors and staff last."""
    there: dict[uuid.UUID, bool] = {tick.entry_id: tick.there for tick in ticks if tick.received_at <= at}
    then = {
        key: rules.urgency(rules.tally((entry.standing, there.get(entry.id, False)) for entry in entries))
        for key, entries in by_part.items()
    }
    return sorted(by_part, key=lambda key: (then[key], place(key, classes)))


def place(key: str, classes: dict[str, SchoolClass]) -> tuple[int, tuple[int, int, str]]:
    """Sorts classes as everywhere, visitors and staff after them."""
    found = classes.get(key)
    return (0, people.class_order(found)) if found else (1, (0, 0, "" if key == rules.VISITORS else key))


def class_of(school_id: str) -> dict[str, SchoolClass]:
    """The classes of a school by the key of their part."""
    found = db.session.scalars(select(SchoolClass).where(SchoolClass.school_id == school_id))
    return {str(each.id): each for each in found}


def rows(roll: RollCall, part: str) -> tuple[list[Row], list[Row]]:
    """One part by seat: those surely inside, and those who may be. Ticked ones keep their place."""
    session = db.session()
    entries, ticks = service.entries(session, roll, {part}), service.said_of(session, roll, {part})
    pupils = [entry.pupil_id for entry in entries if entry.pupil_id]
    seen = presence.since(session, roll.school_id, pupils, roll.started_at)
    names: dict[uuid.UUID, list[str]] = defaultdict(list)
    for tick in ticks:
        names[tick.entry_id].append(tick.name)
    found = [Row(each, _before(each, names[each.id]), _sight(each, seen)) for each in entries]
    sure = [row for row in found if row.entry.standing == Standing.INSIDE]
    return sure, [row for row in found if row.entry.standing != Standing.INSIDE]


def _before(entry: RollEntry, names: Collection[str]) -> str:
    """Who else said something of this person, the last of them."""
    return next((name for name in reversed(list(names)) if name != entry.said_name), "")


def _sight(entry: RollEntry, seen: Mapping[uuid.UUID, Sight]) -> Sight | None:
    return seen.get(entry.pupil_id) if entry.pupil_id else None
