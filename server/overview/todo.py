"""What needs a person now: each row names the thing, says why, and what the family knows."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import and_, exists, func, or_, select

from server import clock, settings
from server.absence.models import AbsenceCase
from server.absence.rules import AbsencePolicy, CaseState
from server.accounts import service as accounts
from server.accounts.models import User
from server.attendance import boarding
from server.attendance.models import PupilDay
from server.attendance.rules import Status
from server.board import replies
from server.board import service as board
from server.cards.models import Card, CardState, SunReading
from server.db import db
from server.gates import credentials, selftests
from server.gates.models import SpoolGap
from server.gates.rules import ANSWER
from server.gates.words import Words, of_fault
from server.leave import access
from server.leavedesk import lists as leave
from server.leavedesk import warn
from server.oddities import lists as oddities
from server.outbox import service as outbox
from server.outbox.rules import Held
from server.overview.service import Counts, Gate
from server.people import service as people
from server.people.models import Pupil, SchoolClass
from server.register import lists as registers
from server.rollcall import desk
from server.rollcall import service as rollcall
from server.rollcall.models import StaffMember
from server.schools.models import School
from server.taps.models import RefusedPayload, Tap

MOST_CARDS = 3
TOO_MANY = (Held.PUPIL, Held.NUMBER, Held.WORDING)
NAMED = 3
FADES_AFTER = dt.timedelta(minutes=1)  # what was on its way when a gate was revoked
LOST_SHOWN = dt.timedelta(days=7)


@dataclass(frozen=True)
class Todo:
    """One thing; the template has the words for each `kind`."""

    kind: str
    count: int = 1
    at: dt.datetime | None = None
    until: dt.datetime | None = None
    gate: str = ""
    card_end: str = ""
    reason: str = ""
    pupils: tuple[tuple[Pupil, SchoolClass], ...] = ()
    words: Words | None = None
    rooms: tuple[SchoolClass, ...] = ()
    told: int = 0  # of the held ones, families that had been asked before


@dataclass(frozen=True)
class Known:
    """What the page has already asked for."""

    counts: Counts
    gates: list[Gate]
    failed_texts: int
    now: dt.datetime

    def gate(self, gateway: str) -> str:
        """What staff call a gate."""
        return next((gate.short for gate in self.gates if gate.id == gateway), gateway)


def todos(user: User, day: dt.date, known: Known) -> list[Todo]:
    """What needs a person, the most urgent first. Gates and cards are shown to those who see the whole school."""
    found = [*_roll(user), *_visitors(user), *_cases(user, day)]
    found += _unexplained(user, day, known.counts.of[Status.UNEXPLAINED])
    found += _registers(user, day)
    if accounts.scope_of(user).whole:
        found += _silent(known.gates)
        found += _faults(user.school_id, day, known)
        found += _cards(user.school_id, day, known)
        found += _gaps(user.school_id, known)
        found += _refused(user.school_id, day, known.gates)
        found += _credentials(known.gates)
        found += _held_texts(user.school_id, day)
    if count := oddities.waiting(user, known.now):
        found.append(Todo("odd", count))
    found += _not_back(user)
    found += _leave(user)
    if known.failed_texts:
        found.append(Todo("failed", known.failed_texts))
    return found


def _cases(user: User, day: dt.date) -> Iterator[Todo]:
    """Missing pupils as far as somebody has to do something, and what families wrote."""
    if settings.policy(user.school_id, AbsencePolicy).stopped:
        yield Todo("stopped")
    cases = board.counts(user, day)
    for kind, state in (("call", CaseState.PERSON), ("held", CaseState.HELD), ("answered", CaseState.ANSWERED)):
        if cases[state]:
            pupils = board.pupils_in(user, day, state, NAMED)
            yield Todo(kind, cases[state], pupils=pupils, told=board.told(user, day) if kind == "held" else 0)
    called = board.called(user, day)
    if called:
        yield Todo("called", len(called), rooms=called[:NAMED])
    unread = replies.count(user)
    if unread:
        yield Todo("replies", unread)


def _roll(user: User) -> Iterator[Todo]:
    """The roll call that runs; `count`: to how many of its parts this user was sent."""
    session = db.session()
    roll = rollcall.running(session, user.school_id)
    if roll is not None and (rollcall.may_start(user) or rollcall.visible_parts(session, user, roll)):
        yield Todo("roll", len(rollcall.sent_to(session, user)), roll.started_at, reason=roll.kind)


def _visitors(user: User) -> Iterator[Todo]:
    for visit in desk.waiting(user, clock.now()):
        yield Todo("visitor", at=visit.arrived_at, reason=visit.name, gate=visit.host_name)


def _unexplained(user: User, day: dt.date, count: int) -> Iterator[Todo]:
    """Who is missing and whom nobody was asked about: before the cut-off, or with questions switched off."""
    if not count:
        return
    query = people.visible_pupils(user).join(PupilDay, and_(PupilDay.pupil_id == Pupil.id, PupilDay.date == day))
    case = select(AbsenceCase.id).where(AbsenceCase.pupil_id == Pupil.id, AbsenceCase.date == day).exists()
    missing = query.where(PupilDay.status == Status.UNEXPLAINED, ~case)
    left = db.session.scalar(missing.with_only_columns(func.count(Pupil.id))) or 0
    if left:
        rows = db.session.execute(missing.order_by(SchoolClass.grade, SchoolClass.name, Pupil.seat).limit(NAMED))
        yield Todo("unexplained", left, pupils=tuple((row[0], row[1]) for row in rows))


def _not_back(user: User) -> Iterator[Todo]:
    """Boarders who should be in school by now."""
    school = db.session.get_one(School, user.school_id)
    missing = boarding.not_back(user, school, clock.now())
    if missing:
        due = boarding.deadline(school, clock.local_day(clock.now(), school.timezone))
        yield Todo("not_back", len(missing), at=due, pupils=tuple(missing[:NAMED]))


def _leave(user: User) -> Iterator[Todo]:
    """Requests that have waited too long, and pupils who are away so long or so often that somebody should ask."""
    if not access.reads_any(user):
        return
    late = leave.waiting(user, clock.now())
    if late:
        named = tuple((row.pupil, row.room) for row in late[:NAMED])
        yield Todo("leave", len(late), late[0].leave.asked_at, pupils=named)
    away = [(pupil, room) for warning, pupil, room in warn.unseen(user) if warning.urgent]
    if away:
        yield Todo("away", len(dict.fromkeys(pupil.id for pupil, _room in away)), pupils=tuple(away[:NAMED]))


def _registers(user: User, day: dt.date) -> Iterator[Todo]:
    """Where gate and class disagree, whom nobody has seen, and registers that should be finished by now."""
    school = db.session.get_one(School, user.school_id)
    for kind, lines in zip(("not_in_class", "unlooked"), registers.urgent(user, day), strict=True):
        if lines:
            yield Todo(kind, len(lines), pupils=tuple((line.pupil, line.room) for line in lines[:NAMED]))
    open_ = registers.overdue(user, school, clock.now())
    if open_:
        yield Todo("register", len(open_), rooms=tuple(each.room for each in open_[:NAMED]))


def _silent(gates: list[Gate]) -> Iterator[Todo]:
    for gate in gates:
        if gate.state == "silent":
            yield Todo("silent", at=gate.since, until=gate.until, gate=gate.name)


def _faults(school_id: str, day: dt.date, known: Known) -> Iterator[Todo]:
    """What failed in self-tests of the day and is not mended; a silent gate's not answering is told already."""
    silent = {gate.id for gate in known.gates if gate.state == "silent"}
    for fault in selftests.faults_on(school_id, day):
        if fault.mended_at is None and not (fault.part == ANSWER and fault.gateway_id in silent):
            said = of_fault(fault.part, fault.found)
            yield Todo("fault", at=fault.seen_at, gate=known.gate(fault.gateway_id), words=said)


def _cards(school_id: str, day: dt.date, known: Known) -> Iterator[Todo]:
    """Cards that nobody holds, and cards reported lost: the newest tap of each. The rest is among the odd uses."""
    held = exists().where(Card.school_id == school_id, Card.text == Tap.card)
    held = held.where(Card.state == CardState.ACTIVE, Card.pupil_id.is_not(None))
    badges = select(StaffMember.card).where(StaffMember.school_id == school_id, StaffMember.card.is_not(None))
    spoke = exists().where(SunReading.tap_id == Tap.id)
    newest = (
        select(Tap.card, func.max(Tap.at).label("at"), func.max(Tap.gateway_id).label("gate"), func.count().label("n"))
        .where(Tap.school_id == school_id, Tap.day == day, Tap.pupil_id.is_(None), ~held, ~spoke)
        .where(Tap.card.not_in(badges))
        .group_by(Tap.card)
        .order_by(func.max(Tap.at).desc())
        .limit(MOST_CARDS)
        .subquery()
    )
    query = (
        select(newest, Card.state, Pupil, SchoolClass)
        .outerjoin(Card, and_(Card.school_id == school_id, Card.text == newest.c.card))
        .outerjoin(Pupil, Pupil.id == Card.pupil_id)
        .outerjoin(SchoolClass, SchoolClass.id == Pupil.class_id)
    )
    for card, at, gateway, count, state, pupil, school_class in db.session.execute(query.order_by(newest.c.at.desc())):
        lost = state in {CardState.LOST, CardState.BLOCKED}
        pupils = ((pupil, school_class),) if lost and pupil else ()
        kind, gate = "lost" if lost else "unknown", known.gate(gateway)
        yield Todo(kind, count, at, gate=gate, card_end=card[-4:].upper(), pupils=pupils)


def _gaps(school_id: str, known: Known) -> Iterator[Todo]:
    lately = SpoolGap.lost_at > clock.now() - LOST_SHOWN
    query = select(SpoolGap).where(SpoolGap.school_id == school_id, or_(SpoolGap.closed_at.is_(None), lately))
    for gap in db.session.scalars(query.order_by(SpoolGap.seen_at.desc()).limit(MOST_CARDS)):
        count = gap.last_seq - gap.first_seq + 1
        yield Todo("gone" if gap.lost_at else "gap", count, gap.since, gap.until, known.gate(gap.gateway_id))


def _held_texts(school_id: str, day: dt.date) -> Iterator[Todo]:
    """Texts that limits keep back: for want of money, or because somebody would get too many."""
    held = outbox.held(school_id, day)
    if hard := held.get(Held.MONEY_HARD):
        yield Todo("money_hard", hard)
    elif waiting := held.get(Held.MONEY):
        yield Todo("money", waiting)
    if many := sum(held.get(why, 0) for why in TOO_MANY):
        yield Todo("too_many", many)


def _credentials(gates: list[Gate]) -> Iterator[Todo]:
    """Gates whose certificate ends soon; after that day they would stand outside."""
    soon = clock.now() + credentials.SOON
    for gate in gates:
        ends = gate.certificate_ends if gate.revoked_at is None else None
        if ends is not None and ends < soon:
            yield Todo("ending", at=ends, gate=gate.short)


def _refused(school_id: str, day: dt.date, gates: list[Gate]) -> Iterator[Todo]:
    """Payloads of this school's gateways that could not be taken; their topic names school and gateway."""
    since = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC) - dt.timedelta(hours=14)
    query = select(RefusedPayload).where(RefusedPayload.last_at >= since, RefusedPayload.topic.like(f"%/{school_id}/%"))
    rows = list(db.session.scalars(query.order_by(RefusedPayload.last_at.desc())))
    blocked = {gate.id: gate for gate in gates if gate.revoked_at is not None}
    for gate in blocked.values():
        theirs = [row for row in rows if _sender(row) == gate.id and _is_after(row, gate.revoked_at)]
        if theirs:
            yield Todo("revoked", sum(row.count for row in theirs), theirs[0].last_at, gate=gate.name)
    others = [row for row in rows if _sender(row) not in blocked]
    if others:
        yield Todo("refused", sum(row.count for row in others), others[0].last_at, reason=others[0].reason)


def _is_after(row: RefusedPayload, revoked_at: dt.datetime | None) -> bool:
    return revoked_at is not None and row.last_at > revoked_at + FADES_AFTER


def _sender(row: RefusedPayload) -> str:
    """The gateway that a topic names, as far as it is one."""
    return next(iter(row.topic.split("/")[4:5]), "")
