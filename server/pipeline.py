"""The story of a batch of taps, top to bottom: kept, understood, judged, told; and of the hours when nobody taps."""

import logging
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import groupby
from typing import TypeVar

import msgspec
from flask import current_app
from sqlalchemy import bindparam, select
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from gateway import wire
from server import clock
from server.attendance import service as attendance
from server.attendance.rules import Change
from server.attendance.turns import Turns
from server.cards import service as cards
from server.db import DATABASE_AWAY, transaction
from server.gates import service as gates
from server.jobs import every
from server.notify import service as notify
from server.schools.models import School
from server.taps import service as taps
from server.taps.rules import UNBOUNDED, UNSYNCED

# What a single odd fact can cause, in the database or in a rule.
ODD_FACT = (StatementError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
CHUNK = 100  # pupils that are judged in one transaction when time alone has changed their day

_SCHOOLS = select(School).where(School.id.in_(bindparam("ids", expanding=True)))
Item = TypeVar("Item")
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


@dataclass(frozen=True)
class Report:
    """One State of a gateway as it came."""

    topic: str
    school_id: str
    gateway_id: str
    state: wire.State
    heard_at: datetime


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
            new = taps.store(session, _facts(session, school, those))
            asked = gates.asked_numbers(session, {(tap.spool, tap.seq) for tap in new})
            gates.noticed_gaps(school_id, taps.holes(session, new), now)
            changes = attendance.apply(school, {(tap.pupil_id, tap.day) for tap in new if tap.pupil_id}, now)
            again = [tap for tap in new if (tap.spool, tap.seq) in asked]
            notify.announce(school, _untold(school, changes, again), now)
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
    """In one order for all workers, so that two never wait for each other."""
    schools = _schools(session, {each.school_id for each in deliveries})
    for school_id, those in groupby(sorted(deliveries, key=lambda each: each.school_id), lambda each: each.school_id):
        yield school_id, schools.get(school_id), list(those)


def _schools(session: Session, ids: Iterable[str]) -> dict[str, School]:
    return {school.id: school for school in session.scalars(_SCHOOLS, {"ids": sorted(ids)})}


def _facts(session: Session, school: School, deliveries: Sequence[Delivery]) -> list[taps.NewTap]:
    """Rows for the tap table, each with its holder; a tap that another gateway is said to have seen is refused."""
    holders = cards.holders_of(school.id, {tap.card for each in deliveries for tap in each.message.taps})
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
    try:
        with transaction() as session:
            for _, school, those in _by_school(session, [delivery]):
                taps.store(session, _facts(session, school, those) if school else [])
    except DATABASE_AWAY:
        raise
    except ODD_FACT:
        with transaction():
            _refuse(delivery, delivery.message.taps[0], f"cannot be stored: {why}")
    _answer(answers, [delivery])


def heard(reports: Sequence[Report]) -> None:
    """Note what gateways say of themselves. Raises what DATABASE_AWAY lists."""
    newest = {(each.school_id, each.gateway_id, each.state.online): each for each in reports}
    _by_halves(list(newest.values()), _note, _refuse_report)


def _note(reports: Sequence[Report]) -> None:
    with transaction() as session:
        schools = _schools(session, {each.school_id for each in reports})
        for each in sorted(reports, key=lambda each: (each.school_id, each.gateway_id, each.state.birth)):
            if each.school_id not in schools:
                reason = f"there is no school {each.school_id!r} here: open it with `gatebell school add`"
                taps.refuse(each.topic, wire.encode(each.state), reason, key="no such school")
            elif gates.heard(each.school_id, each.gateway_id, each.state, each.heard_at):
                lost = taps.lost_tail(session, each.gateway_id, each.state, each.heard_at)
                gates.noticed_gaps(each.school_id, lost, each.heard_at)
                taps.gone(session, each.school_id, each.gateway_id, each.state.gone, each.heard_at)


def _refuse_report(report: Report, why: Exception) -> None:
    log.error("state of %s cannot be kept", report.topic, exc_info=why)
    with transaction():
        taps.refuse(report.topic, wire.encode(report.state), f"cannot be kept: {why}", key="state")


@every(seconds=2)
def time_passes() -> None:
    """Judge again, without a tap, whose day a bell, a cut-off or a mended gap may have changed."""
    turns: Turns = current_app.extensions.setdefault("gatebell-turns", Turns())
    for school, day in turns.due(clock.now()):
        pupils, school_id = attendance.pupils_of(school.id), school.id
        for start in range(0, len(pupils), CHUNK):
            _judge_again(school_id, day, pupils[start : start + CHUNK])


def _judge_again(school_id: str, day: date, pupils: Sequence[uuid.UUID]) -> None:
    def act(part: Sequence[uuid.UUID]) -> None:
        with transaction() as session:
            school, now = session.get_one(School, school_id), clock.now()
            notify.announce(school, attendance.apply(school, {(pupil_id, day) for pupil_id in part}, now), now)

    def alone(pupil_id: uuid.UUID, why: Exception) -> None:
        log.error("the %s of pupil %s cannot be judged", day, pupil_id, exc_info=why)

    _by_halves(pupils, act, alone)
