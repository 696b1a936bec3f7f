"""The absence board: what is held and why, whom somebody must call, who is being asked, what was just resolved."""

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from server import clock, settings
from server.absence import contacts, desk
from server.absence.models import AbsenceCase, AbsenceStep, RegisterCall
from server.absence.rules import OPEN, AbsencePolicy, CaseState, Why
from server.accounts.models import User
from server.board import ladder
from server.board.ladder import Ladder
from server.calendar import service as calendar
from server.db import db
from server.errors import NotFound
from server.gates.models import Gateway, Silence
from server.leave.models import Leave, LeaveState
from server.outbox.models import OutboxText
from server.outbox.rules import SHOWN
from server.people import service as people
from server.people.models import Pupil, SchoolClass
from server.register import calls
from server.schools.models import School

MOST_HELD, MOST_DONE = 60, 20
NEED = {CaseState.PERSON: 1, CaseState.ASKING: 2, CaseState.ANSWERED: 3}
DONE = (CaseState.FOUND, CaseState.CLOSED)


@dataclass(frozen=True)
class Row:
    """One case as the board shows it."""

    case: AbsenceCase
    pupil: Pupil
    room: SchoolClass
    ladder: Ladder
    may: bool
    missed: dt.datetime | None  # when the session began
    answered: str = ""  # who answered, as a relation
    waiting: int = 0  # minutes since the newest question
    leave_asked: bool = False

    @property
    def unreachable(self) -> bool:
        """Nobody can be texted: only a call helps."""
        return self.case.state == CaseState.PERSON and not self.ladder.reachable


@dataclass(frozen=True)
class Done:
    """A case that is settled, and what the family has of the correction: (relation, state, since when)."""

    case: AbsenceCase
    pupil: Pupil
    room: SchoolClass
    asked: int
    corrections: tuple[tuple[str, str, dt.datetime], ...]
    body: str = ""


@dataclass(frozen=True)
class Gap:
    """A gate's silence of the day."""

    gate: str
    starts: dt.datetime
    ends: dt.datetime | None


@dataclass(frozen=True)
class Brake:
    """Why alerts are held, how many, and what has been done about it."""

    held: int
    may_release: int
    told: int  # of the held ones, families that were asked before the doubt came up
    why: tuple[Why, ...]
    gaps: tuple[Gap, ...]
    rooms: tuple[SchoolClass, ...]  # with held pupils
    called: frozenset[uuid.UUID]
    looked: frozenset[uuid.UUID]  # of these, whose register was taken since
    cleared: int
    stopped: bool

    @property
    def on(self) -> bool:
        """Whether there is anything to say."""
        return self.stopped or bool(self.held)


@dataclass(frozen=True)
class Board:
    """The whole page."""

    brake: Brake
    rows: tuple[Row, ...]
    held: tuple[Row, ...]
    done: tuple[Done, ...]
    counts: Counter[str]
    rooms: tuple[SchoolClass, ...]  # with cases today


def today(user: User) -> dt.date:
    """The school's date now."""
    return clock.local_day(clock.now(), db.session.get_one(School, user.school_id).timezone)


def board(user: User, day: dt.date, *, grade: int | None = None, class_id: uuid.UUID | None = None) -> Board:
    """Everything that the user may see of a day, of one grade or class if it is asked for."""
    everybody = _cases(user, day)
    rooms = {room.id: room for _, _, room in everybody}
    chosen = [row for row in everybody if _fits(row[2], grade, class_id)]
    open_ = [row for row in chosen if row[0].state in OPEN and row[0].state != CaseState.HELD]
    held = [row for row in chosen if row[0].state == CaseState.HELD]
    done = sorted((row for row in chosen if row[0].state in DONE), key=lambda row: row[0].changed_at, reverse=True)
    return Board(
        brake=_brake(user, day, held, chosen),
        rows=tuple(sorted(rows_of(user, open_), key=_need)),
        held=tuple(rows_of(user, sorted(held, key=_by_class)[:MOST_HELD])),
        done=_done(done[:MOST_DONE]),
        counts=Counter(case.state for case, _, _ in chosen),
        rooms=tuple(sorted(rooms.values(), key=people.class_order)),
    )


def one(user: User, case_id: uuid.UUID) -> Row:
    """One case with its ladder. Raises NotFound, also for a pupil whom the user may not see."""
    case = db.session.get(AbsenceCase, case_id)
    if case is None or case.school_id != user.school_id:
        raise NotFound
    pupil, room = people.visible_pupil(user, case.pupil_id)
    return rows_of(user, [(case, pupil, room)])[0]


def counts(user: User, day: dt.date) -> Counter[str]:
    """How many cases of a day are in each state, of the pupils whom the user may see."""
    query = people.visible_pupils(user).with_only_columns(AbsenceCase.state, func.count())
    query = query.join(AbsenceCase, AbsenceCase.pupil_id == Pupil.id).where(AbsenceCase.date == day)
    return Counter({str(state): count for state, count in db.session.execute(query.group_by(AbsenceCase.state))})


def pupils_in(user: User, day: dt.date, state: CaseState, limit: int) -> tuple[tuple[Pupil, SchoolClass], ...]:
    """The first pupils whose case is in a state."""
    query = people.visible_pupils(user).join(AbsenceCase, AbsenceCase.pupil_id == Pupil.id)
    wanted = query.where(AbsenceCase.date == day, AbsenceCase.state == state)
    rows = db.session.execute(wanted.order_by(AbsenceCase.opened_at, Pupil.number).limit(limit))
    return tuple((row[0], row[1]) for row in rows)


def told(user: User, day: dt.date) -> int:
    """Of the held pupils, how many families were asked before the doubt came up."""
    query = people.visible_pupils(user).join(AbsenceCase, AbsenceCase.pupil_id == Pupil.id)
    asked = query.join(AbsenceStep, AbsenceStep.case_id == AbsenceCase.id)
    held = asked.where(AbsenceCase.date == day, AbsenceCase.state == CaseState.HELD)
    return db.session.scalar(held.with_only_columns(func.count(AbsenceCase.id.distinct()))) or 0


def called(user: User, day: dt.date) -> tuple[SchoolClass, ...]:
    """The classes of the user that were asked to look who is there and have not yet, as long as pupils are held."""
    query = people.visible_pupils(user).join(AbsenceCase, AbsenceCase.pupil_id == Pupil.id)
    query = query.join(RegisterCall, (RegisterCall.class_id == SchoolClass.id) & (RegisterCall.date == day))
    query = query.where(RegisterCall.session == AbsenceCase.session, ~calls.is_answered())
    held = query.where(AbsenceCase.date == day, AbsenceCase.state == CaseState.HELD)
    rooms = db.session.scalars(held.with_only_columns(SchoolClass)).unique()
    return tuple(sorted(rooms, key=people.class_order))


Found = tuple[AbsenceCase, Pupil, SchoolClass]


def _cases(user: User, day: dt.date) -> list[Found]:
    query = people.visible_pupils(user).join(AbsenceCase, AbsenceCase.pupil_id == Pupil.id)
    rows = db.session.execute(query.where(AbsenceCase.date == day).add_columns(AbsenceCase))
    return [(case, pupil, room) for pupil, room, case in rows]


def _fits(room: SchoolClass, grade: int | None, class_id: uuid.UUID | None) -> bool:
    return grade in (None, room.grade) and class_id in (None, room.id)


def _by_class(row: Found) -> tuple[object, ...]:
    return (*people.class_order(row[2]), row[1].seat, row[1].number)


def _need(row: Row) -> tuple[object, ...]:
    """Whom nothing but a call reaches first, then in the order in which they went missing."""
    return (not row.unreachable, NEED[row.case.state], row.case.opened_at, row.pupil.number)


def rows_of(user: User, found: Sequence[Found]) -> list[Row]:
    """These cases with their ladders, in the same order."""
    cases = [case for case, _, _ in found]
    if not cases:
        return []
    policy = settings.policy(user.school_id, AbsencePolicy)
    texts, steps = contacts.states(db.session(), cases), ladder.steps_of(cases)
    families = ladder.people_of([case.pupil_id for case in cases])
    asked_leave = select(Leave.id).where(
        Leave.id.in_([case.leave_id for case in cases if case.leave_id]), Leave.state == LeaveState.ASKED
    )
    leaves = set(db.session.scalars(asked_leave))
    begins = _begins(user, found)
    rows = []
    for case, pupil, room in found:
        family, asked = families.get(case.pupil_id, []), steps.get(case.id, [])
        relations = {person.guardian_id: person.relation for person in family}
        rows.append(
            Row(
                case=case,
                pupil=pupil,
                room=room,
                ladder=ladder.draw(case, family, asked, texts, policy),
                may=desk.may_decide(user, room),
                missed=begins.get((case.date, room.timetable, case.session)),
                answered=relations.get(case.answered_by, "other") if case.answered_by else "",
                waiting=int(clock.elapsed(asked[-1].asked_at, clock.now())) // 60 if asked else 0,
                leave_asked=case.leave_id in leaves,
            )
        )
    return rows


def _begins(user: User, found: Sequence[Found]) -> Mapping[tuple[dt.date, str, str], dt.datetime]:
    zone = db.session.get_one(School, user.school_id).timezone
    names: dict[dt.date, set[str]] = {}
    for case, _, room in found:
        names.setdefault(case.date, set()).add(room.timetable)
    return {
        (day, timetable, lesson.name): clock.at_local(day, lesson.starts, zone)
        for day, those in names.items()
        for timetable, lessons in calendar.timetables_on(user.school_id, those, day).items()
        for lesson in lessons
    }


def _brake(user: User, day: dt.date, held: Sequence[Found], everybody: Sequence[Found]) -> Brake:
    ids = [case.id for case, _, _ in held]
    told = select(func.count(AbsenceStep.case_id.distinct())).where(AbsenceStep.case_id.in_(ids))
    mine = (RegisterCall.school_id == user.school_id, RegisterCall.date == day)
    called = {
        (each.class_id, each.session): each.done
        for each in db.session.execute(
            select(RegisterCall.class_id, RegisterCall.session, calls.is_answered().label("done")).where(*mine)
        )
    }
    newest = {room.id: called.get((room.id, case.session)) for case, _, room in held}
    why = {Why(each) for case, _, _ in held for each in case.why}
    rooms = {room.id: room for _, _, room in held}
    return Brake(
        held=len(held),
        may_release=sum(desk.may_decide(user, room) for _, _, room in held),
        told=db.session.scalar(told) or 0 if ids else 0,
        why=tuple(each for each in Why if each in why),
        gaps=_gaps(user.school_id, day) if Why.GATE_SILENT in why else (),
        rooms=tuple(sorted(rooms.values(), key=people.class_order)),
        called=frozenset(class_id for class_id, done in newest.items() if done is not None),
        looked=frozenset(class_id for class_id, done in newest.items() if done),
        cleared=sum(
            bool(case.why) and case.state == CaseState.FOUND and not case.released_at for case, *_ in everybody
        ),
        stopped=settings.policy(user.school_id, AbsencePolicy).stopped,
    )


def _gaps(school_id: str, day: dt.date) -> tuple[Gap, ...]:
    zone = db.session.get_one(School, school_id).timezone
    begins, ends = (clock.at_local(each, 0, zone) for each in (day, day + dt.timedelta(days=1)))
    query = (
        select(Gateway.name, Gateway.id, Silence.starts, Silence.ends)
        .join(Silence, (Silence.school_id == Gateway.school_id) & (Silence.gateway_id == Gateway.id))
        .where(Gateway.school_id == school_id, Silence.starts < ends, Silence.covered.is_(False))
        .where((Silence.ends.is_(None)) | (Silence.ends > begins))
        .order_by(Silence.starts)
    )
    rows = db.session.execute(query)
    return tuple(Gap(next(iter(name.split()), gate), starts, until) for name, gate, starts, until in rows)


def _done(found: Sequence[Found]) -> tuple[Done, ...]:
    if not found:
        return ()
    cases = [case for case, _, _ in found]
    asked, families = ladder.steps_of(cases), ladder.people_of([case.pupil_id for case in cases])
    texts: dict[tuple[object, ...], list[OutboxText]] = {}
    query = select(OutboxText).where(
        OutboxText.kind == contacts.CORRECTION,
        OutboxText.pupil_id.in_([case.pupil_id for case in cases]),
        OutboxText.day.in_({case.date for case in cases}),
    )
    for text in db.session.scalars(query):
        texts.setdefault((text.pupil_id, text.day, text.n), []).append(text)
    rows = []
    for case, pupil, room in found:
        mine = texts.get((case.pupil_id, case.date, case.n), [])
        relations = {person.guardian_id: person.relation for person in families.get(case.pupil_id, [])}
        states = tuple((relations.get(each.guardian_id, "other"), SHOWN[each.state], each.changed_at) for each in mine)
        rows.append(Done(case, pupil, room, len(asked.get(case.id, [])), states, mine[0].body if mine else ""))
    return tuple(rows)
