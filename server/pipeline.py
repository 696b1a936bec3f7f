"""The story of a batch of taps, top to bottom: kept, understood, judged, told; and of the hours when nobody taps."""

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import groupby
from typing import TypeVar

import msgspec
from flask import current_app
from sqlalchemy import and_, bindparam, select
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from gateway import wire
from server import clock
from server.attendance import service as attendance
from server.attendance.news import Change
from server.attendance.turns import Turns
from server.calendar import service as calendar
from server.cards import proving
from server.cards import service as cards
from server.cards.service import Held
from server.db import DATABASE_AWAY, db, transaction
from server.gates import service as gates
from server.gates.models import Gateway
from server.jobs import every
from server.notify import service as notify
from server.oddities import service as oddities
from server.oddities.memory import Memory
from server.schools.models import School
from server.taps import service as taps
from server.taps.rules import UNBOUNDED, UNSYNCED

# What a single odd fact can cause, in the database or in a rule.
ODD_FACT = (StatementError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
PATIENCE = 5.0  # seconds of one run over days that have changed
CHUNK = 100  # pupils that are judged in one transaction when time alone has changed their day

_revoked = and_(Gateway.school_id == School.id, Gateway.blocked_at.is_not(None))
_SCHOOLS = (
    select(School, Gateway.id, Gateway.blocked_at)
    .outerjoin(Gateway, _revoked)
    .where(School.id.in_(bindparam("ids", expanding=True)))
)
Item = TypeVar("Item")
Message = TypeVar("Message", "Delivery", "Report")
Cards = Mapping[str, Held]  # card text -> what the school knows of it
Answers = dict[tuple[str, str], list[str]]  # (school, gateway) -> ids of taps that it may forget
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivery:
    """One message of taps as it came."""

    topic: str
    school_id: str
    gateway_id: str
    message: wire.Taps
    received_at: datetime

    def raw(self) -> bytes:
        """As it came, but for the spelling."""
        return wire.encode(self.message)

    def same(self) -> str:
        """Equal for the same taps sent again."""
        return ",".join(tap.id for tap in self.message.taps)

    def said_at(self) -> datetime:
        """When it came."""
        return self.received_at


@dataclass(frozen=True)
class Report:
    """One State of a gateway as it came."""

    topic: str
    school_id: str
    gateway_id: str
    state: wire.State
    heard_at: datetime

    def raw(self) -> bytes:
        """As it came, but for the spelling."""
        return wire.encode(self.state)

    def same(self) -> str:
        """One State is like the next."""
        return "state"

    def said_at(self) -> datetime:
        """When it was said: a broker keeps the last one of a gate that is long gone."""
        return self.heard_at


def handle(deliveries: Sequence[Delivery], now: datetime) -> Answers:
    """Take a batch of taps in one transaction; what is returned is committed and may be answered Stored.

    If one odd fact spoils the batch, it is taken in ever smaller parts until that fact stands alone.
    Raises what DATABASE_AWAY lists, and then nothing must be answered.
    """
    answers: Answers = {}
    try:
        _take(deliveries, now, answers)
    except DATABASE_AWAY:
        raise
    except ODD_FACT:
        singles = [replace(each, message=_only(each.message, tap)) for each in deliveries for tap in each.message.taps]
        _by_halves(singles, lambda part: _take(part, now, answers), lambda one, why: _set_aside(one, why, answers))
    return answers


def _take(deliveries: Sequence[Delivery], now: datetime, answers: Answers) -> None:
    taken: Answers = {}
    with transaction() as session:
        for school_id, school, those in _by_school(session, deliveries):
            if school is None:
                _refuse_strangers(those)
                continue
            kept = _store(session, school, those)
            asked = gates.asked_numbers(session, {(tap.spool, tap.seq) for tap in kept.new})
            gates.noticed_gaps(school_id, taps.holes(session, kept.new), now)
            changes = attendance.apply(school, {(tap.pupil_id, tap.day) for tap in kept.new if tap.pupil_id}, now)
            again = [tap for tap in kept.new if (tap.spool, tap.seq) in asked]
            notify.announce(school, _untold(school, changes, again), now)
            oddities.notice(session, school, kept, _memory(), now)
            _answer(taken, those)
    for gate, ids in taken.items():
        answers.setdefault(gate, []).extend(ids)


def _untold(
    school: School, changes: Sequence[attendance.DayChange], again: Sequence[taps.NewTap]
) -> list[attendance.DayChange]:
    """Without what comes from taps that a database which was set back had asked for: their families were told then."""
    known: dict[tuple[uuid.UUID | None, date], set[int | None]] = {}
    for tap in again:
        second = clock.local_seconds(tap.at, tap.day, school.timezone) if tap.clock != UNSYNCED else None
        known.setdefault((tap.pupil_id, tap.day), set()).add(second)
    return [_without(each, known.get((each.pupil_id, each.date), set())) for each in changes]


def _without(change: attendance.DayChange, seconds: set[int | None]) -> attendance.DayChange:
    events = tuple(event for event in change.change.events if event.at not in seconds)
    return replace(change, change=Change(events))


def _by_school(session: Session, deliveries: Sequence[Delivery]) -> Iterable[tuple[str, School | None, list[Delivery]]]:
    """In one order for all workers, so that two never wait for each other; without what revoked gates say."""
    known = _known(session, {each.school_id for each in deliveries})
    heeded = known.in_service(deliveries)
    for school_id, those in groupby(sorted(heeded, key=lambda each: each.school_id), lambda each: each.school_id):
        yield school_id, known.schools.get(school_id), list(those)


@dataclass(frozen=True)
class Known:
    """The schools that a batch names, and which of their gates are revoked."""

    schools: dict[str, School]
    blocked: dict[tuple[str, str], datetime]  # school, gateway: since when

    def in_service(self, messages: Iterable[Message]) -> list[Message]:
        """Without what revoked gates say: kept raw, never answered, so one that was blocked in error loses no tap."""
        heeded = []
        for each in messages:
            since = self.blocked.get((each.school_id, each.gateway_id))
            if since is None:
                heeded.append(each)
            elif each.said_at() > since:
                log.warning("refused what revoked gate %s/%s says", each.school_id, each.gateway_id)
                reason = f"gate {each.gateway_id} was revoked and still sends"
                taps.refuse(each.topic, each.raw(), reason, key=each.same())
        return heeded


def _known(session: Session, ids: Iterable[str]) -> Known:
    rows = session.execute(_SCHOOLS, {"ids": sorted(ids)}).all()
    return Known(
        {row[0].id: row[0] for row in rows}, {(row[0].id, row[1]): row[2] for row in rows if row[1] and row[2]}
    )


def _store(session: Session, school: School, deliveries: Sequence[Delivery]) -> oddities.Kept:
    """Keep every tap, each with its holder: a card that must prove itself and does not is nobody's."""
    held = cards.held(school.id, {tap.card for each in deliveries for tap in each.message.taps})
    facts = _facts(session, school, deliveries, held)
    proofs = _proofs(session, school, facts, _messages(deliveries), held)
    if proofs:
        facts = [replace(tap, pupil_id=proofs[tap.id].holder) if tap.id in proofs else tap for tap in facts]
    new = taps.store(session, facts)
    mine = {tap.id: proofs[tap.id] for tap in new if tap.id in proofs}
    proving.keep(session, school.id, mine.values())
    return oddities.Kept(new, held, mine)


def _proofs(
    session: Session, school: School, facts: Sequence[taps.NewTap], messages: Mapping[uuid.UUID, str], held: Cards
) -> Mapping[uuid.UUID, proving.Proof]:
    """What the taps prove that came with a message, or without one though their card must."""
    if not messages and not any(card.must for card in held.values()):
        return {}
    shown = (proving.Shown(tap.id, tap.card, messages.get(tap.id, ""), tap.at, tap.timed) for tap in facts)
    return proving.judged(session, school.id, shown, held)


def _messages(deliveries: Sequence[Delivery]) -> dict[uuid.UUID, str]:
    return {
        uuid.UUID(tap.id): tap.sun
        for each in deliveries
        for tap in each.message.taps
        if isinstance(tap.sun, str) and tap.gateway == each.gateway_id
    }


def _facts(session: Session, school: School, deliveries: Sequence[Delivery], held: Cards) -> list[taps.NewTap]:
    """Rows for the tap table by the cards' numbers; a tap that another gateway is said to have seen is refused."""
    holders = {text: card.by_number for text, card in held.items()}
    facts = []
    for each in deliveries:
        between = taps.between(session, each.message.taps)
        origin = taps.Origin(
            school_id=school.id,
            timezone=school.timezone,
            gateway_id=each.gateway_id,
            boot=each.message.boot,
            ticks=each.message.ticks,
            received_at=each.received_at,
        )
        for tap in each.message.taps:
            if tap.gateway == each.gateway_id:
                facts.append(taps.fact(tap, origin, holders, between.get(tap.id, UNBOUNDED)))
            else:
                _refuse(each, tap, f"tap says gateway {tap.gateway!r}, its topic {each.gateway_id!r}")
    return facts


def _memory() -> Memory:
    found: Memory = current_app.extensions.setdefault("gatebell-odd-uses", Memory())
    return found


def _refuse_strangers(deliveries: Sequence[Delivery]) -> None:
    """Taps for a school that is not here stay at their gateway: they are not answered, so they come again."""
    for each in deliveries:
        reason = (
            f"there is no school {each.school_id!r} here: open it with `gatebell school add {each.school_id}`,"
            f" or correct `school` in the configuration of gateway {each.gateway_id!r}; until then it keeps its taps"
        )
        taps.refuse(each.topic, wire.encode(each.message), reason, key="no such school")


def _refuse(delivery: Delivery, tap: wire.Tap, reason: str) -> None:
    """Keep one tap raw that cannot be taken as it is; it is answered, or it would block its gate for ever."""
    log.error("refused tap %s from %s: %s", tap.id, delivery.topic, reason)
    taps.refuse(delivery.topic, wire.encode(_only(delivery.message, tap)), reason, key=tap.id)


def _answer(answers: Answers, deliveries: Sequence[Delivery]) -> None:
    for each in deliveries:
        ids = answers.setdefault((each.school_id, each.gateway_id), [])
        ids.extend(tap.id for tap in each.message.taps)


def _only(message: wire.Taps, tap: wire.Tap) -> wire.Taps:
    return msgspec.structs.replace(message, taps=[tap])


def _by_halves(
    items: Sequence[Item], act: Callable[[Sequence[Item]], None], alone: Callable[[Item, Exception], None]
) -> None:
    try:
        act(items)
    except DATABASE_AWAY:
        raise
    except ODD_FACT as error:
        if len(items) == 1:
            alone(items[0], error)
            return
        middle = len(items) // 2
        _by_halves(items[:middle], act, alone)
        _by_halves(items[middle:], act, alone)


def _set_aside(delivery: Delivery, why: Exception, answers: Answers) -> None:
    """The one tap that spoiled its batch: stored without a verdict if that can be done, else kept raw."""
    log.error("tap %s from %s cannot be judged", delivery.message.taps[0].id, delivery.topic, exc_info=why)
    kept: list[Delivery] = []
    try:
        with transaction() as session:
            for _, school, those in _by_school(session, [delivery]):
                if school is not None:
                    _store(session, school, those)
                kept += those
    except DATABASE_AWAY:
        raise
    except ODD_FACT:
        with transaction():
            _refuse(delivery, delivery.message.taps[0], f"cannot be stored: {why}")
        kept = [delivery]
    _answer(answers, kept)


def heard(reports: Sequence[Report]) -> None:
    """Note what gateways say of themselves. Raises what DATABASE_AWAY lists."""
    newest = {(each.school_id, each.gateway_id, each.state.online): each for each in reports}
    _by_halves(list(newest.values()), _note, _refuse_report)


def _note(reports: Sequence[Report]) -> None:
    with transaction() as session:
        known = _known(session, {each.school_id for each in reports})
        for each in sorted(
            known.in_service(reports), key=lambda each: (each.school_id, each.gateway_id, each.state.birth)
        ):
            if each.school_id not in known.schools:
                reason = f"there is no school {each.school_id!r} here: open it with `gatebell school add`"
                taps.refuse(each.topic, wire.encode(each.state), reason, key="no such school")
            elif gates.heard(each.school_id, each.gateway_id, each.state, each.heard_at):
                lost = taps.lost_tail(session, each.gateway_id, each.state, each.heard_at)
                locked = taps.locked_away(session, each.gateway_id, each.state, each.heard_at)
                gates.noticed_gaps(each.school_id, [*lost, *locked], each.heard_at)
                taps.gone(session, each.school_id, each.gateway_id, each.state.gone, each.heard_at)


def _refuse_report(report: Report, why: Exception) -> None:
    log.error("state of %s cannot be kept", report.topic, exc_info=why)
    with transaction():
        taps.refuse(report.topic, wire.encode(report.state), f"cannot be kept: {why}", key="state")


@every(seconds=2)
def time_passes() -> None:
    """Judge again, without a tap, whose day a bell, a cut-off or a mended gap may have changed."""
    for school, day in _turns().due(clock.now()):
        pupils, school_id = attendance.pupils_of(school.id), school.id
        for start in range(0, len(pupils), CHUNK):
            _judge_again(school_id, day, pupils[start : start + CHUNK])


def _turns() -> Turns:
    turns: Turns = current_app.extensions.setdefault("gatebell-turns", Turns())
    return turns


@every(seconds=2)
def facts_change() -> None:
    """Judge again the days that a leave, a mark or a change of the calendar has touched, the newest first.

    New bells may touch a year of days: those that do not fit in a few seconds wait for the next run, the alerts do not.
    """
    found = [(each.school_id, each.date, each.pupil_id, each) for each in calendar.stale(db.session())]
    enough = time.monotonic() + PATIENCE
    for (school_id, day), rows in groupby(found, lambda row: row[:2]):
        if time.monotonic() > enough:
            return
        those = list(rows)
        pupils = {pupil_id for _, _, pupil_id, _ in those if pupil_id}
        everybody = attendance.pupils_on(school_id, day) if any(row[2] is None for row in those) else sorted(pupils)
        for start in range(0, len(everybody), CHUNK):
            _judge_again(school_id, day, everybody[start : start + CHUNK])
        with transaction() as session:
            calendar.settled(session, [row[3] for row in those])
        _turns().look_again(school_id)


def _judge_again(school_id: str, day: date, pupils: Sequence[uuid.UUID]) -> None:
    def act(part: Sequence[uuid.UUID]) -> None:
        with transaction() as session:
            school, now = session.get_one(School, school_id), clock.now()
            notify.announce(school, attendance.apply(school, {(pupil_id, day) for pupil_id in part}, now), now)

    def alone(pupil_id: uuid.UUID, why: Exception) -> None:
        log.error("the %s of pupil %s cannot be judged", day, pupil_id, exc_info=why)

    _by_halves(pupils, act, alone)
