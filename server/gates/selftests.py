"""Self-tests of the gates: which are due, what was found, what is still wrong, and who has the key to the gate."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby

from sqlalchemy import Select, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session

from gateway import wire
from server import clock, crypt, settings
from server.calendar import service as calendar
from server.db import db, insert_new, new_id, table
from server.errors import NotFound
from server.gates import rules
from server.gates.models import Caretaker, GateFault, GateTest, Gateway, Silence
from server.schools.models import School

BELL = "bell"
KEPT = timedelta(days=60)

_test = table(GateTest)
_in_use = (Gateway.resting.is_(False), Gateway.heard_at.is_not(None))


@dataclass(frozen=True)
class Wanted:
    """A self-test that is to be asked for."""

    school_id: str
    gateway_id: str
    day: date
    cause: str


@dataclass(frozen=True)
class Question:
    """A self-test that ingest sends."""

    school_id: str
    gateway_id: str
    command: wire.SelfTest


# asking


def due(now: datetime) -> list[Wanted]:
    """The tests that are due: before the first bell of a school day, and again where a fault is open."""
    return [*_before_the_bell(now), *_again(now)]


def _before_the_bell(now: datetime) -> Iterable[Wanted]:
    for timezone in db.session.scalars(select(School.timezone).distinct()).all():
        day = clock.local_day(now, timezone)
        for school_id, gateways in groupby(_untested(timezone, day), lambda row: row[0]):
            if _is_time(school_id, day, clock.local_seconds(now, day, timezone)):
                yield from (Wanted(school_id, gateway_id, day, BELL) for _, gateway_id in gateways)


def _is_time(school_id: str, day: date, second: int) -> bool:
    policy = settings.policy(school_id, rules.SelfTestPolicy)
    return rules.is_time_to_test(second, calendar.first_bell(school_id, day), policy)


def _untested(timezone: str, day: date) -> list[tuple[str, str]]:
    """School and id of gates in use that have not been tested before the day's bell."""
    same = (GateTest.school_id == Gateway.school_id, GateTest.gateway_id == Gateway.id)
    tested = exists().where(*same, GateTest.day == day, GateTest.cause == BELL)
    query = select(Gateway.school_id, Gateway.id).join(School, School.id == Gateway.school_id)
    query = query.where(School.timezone == timezone, *_in_use, ~tested).order_by(Gateway.school_id, Gateway.id)
    return [(school_id, gateway_id) for school_id, gateway_id in db.session.execute(query)]


def _again(now: datetime) -> Iterable[Wanted]:
    """Gates in use with an open fault of today, when their last test is some minutes old."""
    last, times = func.max(GateTest.asked_at), func.count()
    same = (Gateway.school_id == GateTest.school_id, Gateway.id == GateTest.gateway_id)
    broken = exists().where(
        GateFault.school_id == GateTest.school_id,
        GateFault.gateway_id == GateTest.gateway_id,
        GateFault.day == GateTest.day,
        GateFault.mended_at.is_(None),
    )
    each = (GateTest.school_id, GateTest.gateway_id, GateTest.day, School.timezone, Gateway.online)
    query = select(*each, last, times).join(Gateway, and_(*same)).join(School, School.id == GateTest.school_id)
    query = query.where(broken, *_in_use, GateTest.day >= now.date() - timedelta(days=1))
    for school, gateway, day, timezone, online, asked_at, count in db.session.execute(query.group_by(*each)):
        wait = rules.AGAIN if online else rules.AWAY
        if day == clock.local_day(now, timezone) and clock.elapsed(asked_at, now) >= wait:
            yield Wanted(school, gateway, day, f"again {count}")


def ask(session: Session, wanted: Sequence[Wanted], now: datetime) -> None:
    """Have these tests asked for; one that was asked for already stays as it is."""
    rows = [{"id": new_id(), "asked_at": now, "checks": {}, **vars(each)} for each in wanted]
    if rows:
        session.execute(insert_new(_test), rows)


def by_hand(session: Session, school: School, gateway_id: str, now: datetime) -> None:
    """Somebody wants this gate to be tested now. Raises NotFound."""
    gate(school.id, gateway_id)
    cause = f"hand {clock.to_millis(now)}"
    ask(session, [Wanted(school.id, gateway_id, clock.local_day(now, school.timezone), cause)], now)


def has_unsent() -> bool:
    """Whether a test waits to be sent."""
    return db.session.scalar(select(GateTest.id).where(*_UNSENT).limit(1)) is not None


def take_unsent(session: Session, now: datetime) -> list[Question]:
    """The tests to be sent, noted as sent: each goes to one ingest worker."""
    waiting = session.scalars(select(GateTest).where(*_UNSENT).order_by(GateTest.id).with_for_update(skip_locked=True))
    questions = []
    for each in waiting:
        each.sent_at = now
        command = wire.SelfTest(number=each.id.hex, sent=clock.to_millis(now))
        questions.append(Question(each.school_id, each.gateway_id, command))
    return questions


_UNSENT = (GateTest.sent_at.is_(None), GateTest.judged_at.is_(None))


# answers


def answered(school_id: str, gateway_id: str, tested: wire.Tested, now: datetime) -> None:
    """Keep what a gate found, also when it comes late; the same State comes again and again."""
    try:
        number = uuid.UUID(tested.number)
    except ValueError:
        return
    ours = (_test.c.id == number, _test.c.school_id == school_id, _test.c.gateway_id == gateway_id)
    values = {"answered_at": now, "checks": tested.checks, "judged_at": None}
    db.session.execute(update(_test).where(*ours, _test.c.answered_at.is_(None)).values(values))


def to_judge(now: datetime) -> list[uuid.UUID]:
    """Tests that were answered, or should have been by now."""
    query = select(GateTest.id, GateTest.answered_at, GateTest.asked_at).where(GateTest.judged_at.is_(None))
    rows = db.session.execute(query.order_by(GateTest.asked_at, GateTest.id))
    return [row.id for row in rows if row.answered_at or clock.elapsed(row.asked_at, now) >= rules.PATIENCE]


def judge(session: Session, tests: Sequence[uuid.UUID], now: datetime) -> None:
    """Open the faults that were found and close those that are gone."""
    for number in tests:
        test = session.get(GateTest, number, with_for_update=True, populate_existing=True)
        if test is None or test.judged_at is not None:
            continue
        test.judged_at = now
        if not gate(test.school_id, test.gateway_id).resting:
            _note(session, test, now)
    session.execute(_test.delete().where(_test.c.asked_at < now - KEPT))


def _note(session: Session, test: GateTest, now: datetime) -> None:
    silence = rules.NONE if test.sent_at else rules.UNASKED
    checks: Mapping[str, str] = {rules.ANSWER: rules.OK if test.answered_at else silence, **test.checks}
    known = {fault.part: fault for fault in session.scalars(_of_gate(test))}
    found = rules.faults_of(checks)
    for part, words in found.items():
        fault = known.get(part)
        if fault is None:
            session.add(_new_fault(test, part, words, now))
        else:
            fault.found, fault.mended_at = words, None
    for part in checks.keys() & known.keys() - found.keys():
        known[part].mended_at = known[part].mended_at or now


def _of_gate(test: GateTest) -> Select[GateFault]:
    here = (GateFault.school_id == test.school_id, GateFault.gateway_id == test.gateway_id, GateFault.day == test.day)
    return select(GateFault).where(*here)


def _new_fault(test: GateTest, part: str, found: str, now: datetime) -> GateFault:
    return GateFault(
        school_id=test.school_id, gateway_id=test.gateway_id, day=test.day, part=part, found=found, seen_at=now
    )


# what is known


def gate(school_id: str, gateway_id: str) -> Gateway:
    """One gate of a school. Raises NotFound."""
    found = db.session.get(Gateway, (school_id, gateway_id))
    if found is None:
        raise NotFound
    return found


def gates_of(school_id: str) -> list[Gateway]:
    """All gates of a school by name."""
    query = select(Gateway).where(Gateway.school_id == school_id)
    return list(db.session.scalars(query.order_by(Gateway.name, Gateway.id)))


def newest_tests(school_id: str) -> dict[str, GateTest]:
    """Of each gate the newest test that was judged, or is under way."""
    newest = select(GateTest.gateway_id, func.max(GateTest.asked_at).label("at")).where(GateTest.school_id == school_id)
    last = newest.group_by(GateTest.gateway_id).subquery()
    same = and_(GateTest.gateway_id == last.c.gateway_id, GateTest.asked_at == last.c.at)
    query = select(GateTest).join(last, same).where(GateTest.school_id == school_id)
    return {test.gateway_id: test for test in db.session.scalars(query)}


def faults_on(school_id: str, day: date) -> list[GateFault]:
    """What failed on a day, mended or not, at gates that are in use."""
    same = and_(Gateway.school_id == GateFault.school_id, Gateway.id == GateFault.gateway_id)
    query = (
        select(GateFault).join(Gateway, same).where(GateFault.school_id == school_id, GateFault.day == day, *_in_use)
    )
    return list(db.session.scalars(query.order_by(GateFault.gateway_id, GateFault.seen_at, GateFault.part)))


def rest(session: Session, school_id: str, gateway_id: str, now: datetime) -> None:
    """Switched off on purpose: it is not tested, its silence means nothing from now on. Raises NotFound."""
    gate(school_id, gateway_id).resting = True
    open_ = (Silence.school_id == school_id, Silence.gateway_id == gateway_id, Silence.ends.is_(None))
    session.execute(update(Silence).where(*open_).values(ends=now))
    ours = (GateFault.school_id == school_id, GateFault.gateway_id == gateway_id, GateFault.mended_at.is_(None))
    session.execute(update(GateFault).where(*ours).values(mended_at=now, mended_told_at=now))


def use(school_id: str, gateway_id: str) -> None:
    """In use again: tested before the next bell. Raises NotFound."""
    gate(school_id, gateway_id).resting = False


# caretakers


def caretakers(school_id: str) -> list[Caretaker]:
    """Who is told when a gate of this school fails."""
    return list(db.session.scalars(select(Caretaker).where(Caretaker.school_id == school_id).order_by(Caretaker.name)))


def add_caretaker(session: Session, school: School, *, name: str, phone: str, locale: str) -> None:
    """Tell this number too (E.164); a number that is known gets the new name."""
    phone_hash = crypt.look_up(phone)
    query = select(Caretaker).where(Caretaker.school_id == school.id, Caretaker.phone_hash == phone_hash)
    known = session.scalar(query)
    if known is None:
        known = Caretaker(school_id=school.id, phone=phone, phone_hash=phone_hash)
        session.add(known)
    known.name, known.locale = name, locale


def remove_caretaker(session: Session, school_id: str, caretaker_id: uuid.UUID) -> None:
    """Tell this number no more. Raises NotFound."""
    found = session.get(Caretaker, caretaker_id)
    if found is None or found.school_id != school_id:
        raise NotFound
    session.delete(found)


def untold(now: datetime) -> dict[str, list[GateFault]]:
    """Per school with a caretaker: faults of these hours that nobody was told of, or not yet that they are mended."""
    new = and_(GateFault.told_at.is_(None), GateFault.mended_at.is_(None))
    mended = and_(GateFault.told_at.is_not(None), GateFault.mended_at.is_not(None), GateFault.mended_told_at.is_(None))
    told = exists().where(Caretaker.school_id == GateFault.school_id)
    query = select(GateFault).where(or_(new, mended), told, GateFault.seen_at > now - timedelta(hours=24))
    found: dict[str, list[GateFault]] = {}
    for fault in db.session.scalars(query.order_by(GateFault.school_id, GateFault.gateway_id, GateFault.part)):
        found.setdefault(fault.school_id, []).append(fault)
    return found
