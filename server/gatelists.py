"""What the gates decide by when nobody can be asked: made from all features, sent to each gate that lacks it.

A gate says in its State which lists it holds, and is sent only what differs. What a school's lists are made from is
looked at once a minute; a change of a card, a class, a bell or a pass reaches its gates within that minute.
"""

import hashlib
import logging
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from flask import Flask
from sqlalchemy import String, bindparam, select

from gateway import gatelist
from gateway.gatelist import CardList, ExitList, InsideList
from gateway.wire import ListKind, ListPart
from server import clock, crypt, settings
from server.attendance import boarding
from server.attendance.models import PupilDay
from server.attendance.rules import Policy as AttendancePolicy
from server.calendar import service as calendar
from server.cards.models import Card, CardState
from server.db import DATABASE_AWAY, db, insert_new, table, transaction
from server.errors import Refused
from server.gates import rules
from server.gates.models import Gateway, ListKey
from server.leave import service as leave
from server.people.models import Pupil, SchoolClass
from server.pipeline import ODD_FACT
from server.register import passes
from server.schools.models import School

log = logging.getLogger(__name__)

LOOK = 2.0  # real seconds between two looks at what the gates hold
REFRESH = 60.0  # real seconds between two looks at what a school's lists are made from
SAY_AGAIN = 300.0  # real seconds after which a gate is told who is inside although nothing has changed
UNHEARD = (30.0, 600.0)  # real seconds, first and longest, until a list is sent again that a gate does not confirm
DAYS = 8  # that a gate can go on without us

# Who may leave in school hours, asked of every feature that grants it: (school, from, until) -> passes.
PassSource = Callable[[str, datetime, datetime], Iterable[rules.ExitPass]]
PASS_SOURCES: tuple[PassSource, ...] = (leave.exit_passes, passes.exit_passes)

_of_school = bindparam("school", type_=String)
_CARDS = (
    select(Card.text, Card.state, Pupil.id, Pupil.active, SchoolClass.grade, SchoolClass.name, SchoolClass.timetable)
    .join(Pupil, Pupil.id == Card.pupil_id, isouter=True)
    .join(SchoolClass, SchoolClass.id == Pupil.class_id, isouter=True)
    .where(Card.school_id == _of_school)
)
_INSIDE = select(PupilDay.pupil_id).where(
    PupilDay.school_id == _of_school, PupilDay.date == bindparam("day"), PupilDay.inside.is_(True)
)
_GATES = select(Gateway.school_id, Gateway.id, Gateway.state).where(
    Gateway.online.is_(True), Gateway.blocked_at.is_(None)
)
_KEY = select(ListKey.key).where(ListKey.school_id == _of_school, ListKey.gateway_id == bindparam("gateway"))


@dataclass(frozen=True)
class Roster:
    """A school's cards and their holders as numbers that mean nothing elsewhere."""

    groups: tuple[gatelist.Group, ...]
    groups_of: tuple[int, ...]  # by holder
    cards: tuple[tuple[str, int], ...]
    holders: Mapping[uuid.UUID, int]


@dataclass(frozen=True)
class Content:
    """What all gates of a school are told, but for the keys by which they know the cards."""

    roster: Roster
    strict: bool
    starts: int
    ends: int
    free: dict[str, list[gatelist.Span]]
    passes: list[gatelist.Pass]
    inside: bytes


def content(school: School, now: datetime) -> Content:
    """All of it, from the tables as they are."""
    roster = roster_of(school.id)
    policy, today = settings.policy(school.id, rules.ExitPolicy), clock.local_day(now, school.timezone)
    starts, ends = (clock.at_local(today + timedelta(days=days), 0, school.timezone) for days in (0, DAYS))
    timetables = {group.timetable for group in roster.groups}
    return Content(
        roster=roster,
        strict=policy.strict_exits,
        starts=clock.to_millis(starts),
        ends=clock.to_millis(ends),
        free=_free(school, today, timetables, policy) if policy.strict_exits else {},
        passes=_passes(school.id, roster, starts, ends) if policy.strict_exits else [],
        inside=_inside(school, today, now, roster),
    )


def roster_of(school_id: str) -> Roster:
    """Active cards of active pupils, and lost or blocked ones. Pupils are numbered in an order of no meaning."""
    rows = db.session.execute(_CARDS, {"school": school_id}).all()
    held = [row for row in rows if row.state == CardState.ACTIVE and row.active]
    classes = sorted({(row.grade, row.name, row.timetable) for row in held})
    groups = {each: number for number, each in enumerate(classes)}
    pupils = {row.id: groups[row.grade, row.name, row.timetable] for row in held}
    secret = crypt.look_up(f"order of the gate lists of {school_id}").encode()
    shuffled = sorted(pupils, key=lambda pupil: hashlib.blake2b(pupil.bytes, key=secret).digest())
    holders = {pupil: number for number, pupil in enumerate(shuffled)}
    cards = [(row.text, holders[row.id]) for row in held]
    cards += [(row.text, gatelist.NOBODY) for row in rows if row.state in {CardState.LOST, CardState.BLOCKED}]
    return Roster(
        groups=tuple(gatelist.Group(_printable(name), timetable) for _, name, timetable in classes),
        groups_of=tuple(pupils[pupil] for pupil in holders),
        cards=tuple(sorted(cards)),
        holders=holders,
    )


def _printable(name: str) -> str:
    return "".join(letter for letter in name if letter.isprintable())[:64]


def _free(
    school: School, today: date, timetables: set[str], policy: rules.ExitPolicy
) -> dict[str, list[gatelist.Span]]:
    """When pupils of each timetable may leave, as UTC milliseconds; spans that meet at midnight become one."""
    early = settings.policy(school.id, AttendancePolicy).early
    free: dict[str, list[gatelist.Span]] = {timetable: [] for timetable in sorted(timetables)}
    for day in (today + timedelta(days=days) for days in range(DAYS)):
        for timetable, sessions in calendar.timetables_on(school.id, sorted(timetables), day).items():
            hours = [(session.starts, session.ends) for session in sessions]
            for span in rules.free_spans(hours, free_break=policy.free_break, early=early):
                starts, ends = (clock.to_millis(clock.at_local(day, second, school.timezone)) for second in span)
                _add_span(free[timetable], starts, ends)
    return free


def _add_span(spans: list[gatelist.Span], starts: int, ends: int) -> None:
    if spans and spans[-1][1] == starts:
        starts = spans.pop()[0]
    spans.append((starts, ends))


def _passes(school_id: str, roster: Roster, starts: datetime, ends: datetime) -> list[gatelist.Pass]:
    given = (each for source in PASS_SOURCES for each in source(school_id, starts, ends))
    known = [each for each in given if each.pupil_id in roster.holders]
    made = {
        gatelist.Pass(roster.holders[each.pupil_id], clock.to_millis(each.starts), clock.to_millis(each.ends))
        for each in known
    }
    return sorted(made, key=lambda each: (each.holder, each.starts, each.ends))


def _inside(school: School, today: date, now: datetime, roster: Roster) -> bytes:
    judged = db.session.scalars(_INSIDE, {"school": school.id, "day": today})
    pupils = {*judged, *boarding.inside_overnight(db.session(), school, now)}
    return gatelist.bits(roster.holders[pupil] for pupil in pupils if pupil in roster.holders)


def card_list(roster: Roster, key: bytes) -> bytes:
    """The packed list of one gate's cards."""
    return gatelist.packed(
        CardList(
            key=key,
            groups=list(roster.groups),
            groups_of=gatelist.numbers(roster.groups_of),
            cards=gatelist.records((gatelist.hashed(card, key), holder) for card, holder in roster.cards),
        )
    )


def exit_list(found: Content, cards: str) -> bytes:
    """The packed list of who may leave when, for a gate with this version of the cards."""
    return gatelist.packed(
        ExitList(
            cards=cards,
            strict=found.strict,
            starts=found.starts,
            ends=found.ends,
            free=found.free,
            passes=found.passes,
        )
    )


def list_key(school_id: str, gateway_id: str) -> bytes:
    """The key of a gate's lists, made when it is first asked for."""
    given = {"school": school_id, "gateway": gateway_id}
    key = db.session.scalar(_KEY, given)
    if key is None:
        with transaction() as session:
            new = {"school_id": school_id, "gateway_id": gateway_id, "key": secrets.token_hex(32)}
            session.execute(insert_new(table(ListKey)), [new])
            key = session.scalar(_KEY, given)
    return bytes.fromhex(str(key))


@dataclass
class _Told:
    """One gate, as far as this worker knows: which lists it should hold, and what was sent and not confirmed."""

    roster: int = 0  # hash of what `cards` was made from
    wanted: dict[ListKind, str] = field(default_factory=dict)
    inside: tuple[str, bytes] = ("", b"")  # version of the cards, and bits
    inside_at: datetime | None = None
    sent: dict[ListKind, tuple[str, float, int]] = field(default_factory=dict)  # version, next try, tries

    def may_send(self, kind: ListKind, version: str, now: float) -> bool:
        """Whether it is time to send this version: the first time at once, then with growing pauses."""
        last, due, tries = self.sent.get(kind, ("", 0.0, 0))
        if last == version and now < due:
            return False
        tries = tries + 1 if last == version else 0
        first, longest = UNHEARD
        self.sent[kind] = (version, now + min(longest, first * 2**tries), tries)
        return True


class Lister:
    """Works in a thread of an ingest worker, whose line to the broker it uses."""

    def __init__(
        self, app: Flask, *, send: Callable[[str, str, ListPart], None], serves: Callable[[str, str], bool]
    ) -> None:
        self.app = app
        self.send = send
        self.serves = serves
        self._gates: dict[tuple[str, str], _Told] = {}
        self._due: dict[str, float] = {}  # by school, monotonic

    def run(self, stop: threading.Event) -> None:
        """Look after the gates until stopped."""
        with self.app.app_context():
            while not stop.wait(LOOK):
                try:
                    self.look(time.monotonic())
                except DATABASE_AWAY as error:
                    log.error("the gates' lists wait for the database: %s", type(error).__name__)
                db.session.remove()

    def look(self, now: float) -> None:
        """One look: every school whose turn it is, and every one with a gate that does not hold what it should."""
        for school_id, gates in self._schools().items():
            told = [self._gates.setdefault((school_id, gateway), _Told()) for gateway in gates]
            lacking = any(_lacks(each, held, now) for each, held in zip(told, gates.values(), strict=True))
            if lacking or now >= self._due.get(school_id, 0.0):
                self._due[school_id] = now + REFRESH
                self._refresh_guarded(school_id, gates, now)
                db.session.rollback()

    def _schools(self) -> dict[str, dict[str, dict[str, str]]]:
        """By school and gate, what each gate that is there and knows lists says that it holds."""
        found: dict[str, dict[str, dict[str, str]]] = {}
        for school_id, gateway_id, state in db.session.execute(_GATES):
            held = _held(state)
            if held is not None and self.serves(school_id, gateway_id):
                found.setdefault(school_id, {})[gateway_id] = held
        db.session.rollback()
        return found

    def _refresh_guarded(self, school_id: str, gates: Mapping[str, dict[str, str]], now: float) -> None:
        """One school's odd fact must stop neither the other schools' lists nor the taps that this worker takes."""
        try:
            self._refresh(db.session.get_one(School, school_id), gates, now)
        except DATABASE_AWAY:
            raise
        except (*ODD_FACT, Refused):
            log.exception("the lists of school %s cannot be made; its gates go on with those they have", school_id)

    def _refresh(self, school: School, gates: Mapping[str, dict[str, str]], now: float) -> None:
        shown = clock.now()
        found = content(school, shown)
        for gateway_id, held in gates.items():
            told = self._gates[school.id, gateway_id]
            key = list_key(school.id, gateway_id)
            for kind, raw in _made(found, key, told, held, shown):
                if told.may_send(kind, gatelist.version(raw), now):
                    log.info("gate %s/%s is sent its list of %s: %d bytes", school.id, gateway_id, kind, len(raw))
                    for part in gatelist.cut(kind, raw):
                        self.send(school.id, gateway_id, part)


def _held(state: Any) -> dict[str, str] | None:
    lists = state.get("lists") if isinstance(state, dict) else None
    return lists if isinstance(lists, dict) else None


def _lacks(told: _Told, held: Mapping[str, str], now: float) -> bool:
    """Whether a gate lacks something that it was not sent a moment ago."""
    if not told.wanted:
        return True
    lacking = [kind for kind, version in told.wanted.items() if held.get(kind) != version]
    return any(told.sent.get(kind, ("", 0.0, 0))[1] <= now for kind in lacking)


def _made(
    found: Content, key: bytes, told: _Told, held: Mapping[str, str], now: datetime
) -> Iterator[tuple[ListKind, bytes]]:
    """The packed lists that the gate does not hold, in the order in which they make sense to it."""
    roster = hash((found.roster.groups, found.roster.groups_of, found.roster.cards))
    cards = told.wanted.get(ListKind.CARDS, "")
    if roster != told.roster or held.get(ListKind.CARDS) != cards:
        raw = card_list(found.roster, key)
        told.roster, cards = roster, gatelist.version(raw)
        if held.get(ListKind.CARDS) != cards:
            yield ListKind.CARDS, raw
    exits = exit_list(found, cards)
    inside = _inside_list(found, cards, told, now)
    told.wanted = {ListKind.CARDS: cards} | {
        kind: gatelist.version(raw) for kind, raw in ((ListKind.EXITS, exits), (ListKind.INSIDE, inside))
    }
    for kind, raw in ((ListKind.EXITS, exits), (ListKind.INSIDE, inside)):
        if held.get(kind) != told.wanted[kind]:
            yield kind, raw


def _inside_list(found: Content, cards: str, told: _Told, now: datetime) -> bytes:
    """Who is inside; the same word as before while nothing has changed and it is not old."""
    said = (cards, found.inside)
    if told.inside_at is None or told.inside != said or clock.elapsed(told.inside_at, now) >= SAY_AGAIN:
        told.inside, told.inside_at = said, now
    return gatelist.packed(InsideList(cards=cards, at=clock.to_millis(told.inside_at), holders=found.inside))
