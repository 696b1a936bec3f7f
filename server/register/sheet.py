"""One class in one session as a teacher looks at it: whom the gate saw, whom not and why, and what was said."""

import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server import clock
from server.attendance import marks
from server.attendance import rules as days
from server.attendance.models import PupilDay, TeacherMark
from server.calendar import rules as bells
from server.cards.models import Card, CardState
from server.gates.models import Gateway, Silence
from server.leave.models import Leave, LeaveState
from server.people.models import Pupil, SchoolClass
from server.register import rules
from server.register.rules import Found
from server.schools.models import School
from server.taps.models import Tap

USUAL_DAYS = 14  # back to which a pupil's usual gate is looked for
NO_CARD, LOST_CARD, USUAL, OUT, NONE = "no_card", "lost_card", "usual", "out", "none"


@dataclass(frozen=True)
class Why:
    """Why the gate may not have seen a pupil; `gate` and `at` where the kind has one."""

    kind: str
    gate: str = ""
    at: datetime | None = None


@dataclass(frozen=True)
class Row:
    """One pupil of the class in this session."""

    pupil: Pupil
    found: Found
    by_gate: bool  # the gate saw the pupil in this session
    mark: TeacherMark | None
    state: str | None  # days.State: the verdict on this session
    first_in: datetime | None
    last_out: datetime | None
    late: int
    why: Why = Why(NONE)
    leave: str = ""  # its kind, of who is excused or has asked
    leave_asked: bool = False


@dataclass(frozen=True)
class Quiet:
    """A gate that was silent this morning, and how many of those it did not see usually come through it."""

    gate: str
    starts: datetime
    ends: datetime | None
    usual: int


@dataclass(frozen=True)
class Sheet:
    """The whole class, by seat."""

    rows: tuple[Row, ...]
    quiet: tuple[Quiet, ...] = ()

    @property
    def unseen(self) -> list[Row]:
        """Whom the gate did not see, those whom the teacher has looked at too: rows do not move under the thumb."""
        return [row for row in self.rows if not row.by_gate and row.found is not Found.EXCUSED]

    @property
    def seen(self) -> list[Row]:
        """Whom the gate saw."""
        return [row for row in self.rows if row.by_gate]

    @property
    def excused(self) -> list[Row]:
        """Who is on approved leave."""
        return [row for row in self.rows if not row.by_gate and row.found is Found.EXCUSED]

    @property
    def totals(self) -> Counter[str]:
        """How many are in class, absent, excused, gone, and not looked at."""
        found = Counter(row.found for row in self.rows)
        return Counter(
            {
                "in": sum(found[each] for each in rules.IN_CLASS),
                "absent": found[Found.ABSENT],
                "excused": found[Found.EXCUSED],
                "left": found[Found.LEFT],
                "unlooked": found[Found.UNLOOKED],
            }
        )


def read(session: Session, school: School, room: SchoolClass, day: date, lesson: bells.Session) -> Sheet:
    """The sheet of a class, with a handful of look-ups whatever its size."""
    query = select(Pupil).where(Pupil.school_id == school.id, Pupil.class_id == room.id, Pupil.active)
    pupils = list(session.scalars(query.order_by(Pupil.seat, Pupil.number)))
    ids = [pupil.id for pupil in pupils]
    verdicts = _verdicts(session, ids, day)
    said = _said(session, ids, day, lesson.name)
    away = _leave(session, school, ids, day, lesson)
    rows = [_row(pupil, lesson, verdicts.get(pupil.id), said.get(pupil.id), away.get(pupil.id)) for pupil in pupils]
    unseen = [row.pupil.id for row in rows if not row.by_gate]
    usual, cards = _usual_gates(session, school.id, unseen, day), _cards(session, unseen)
    whole = [_with_why(row, usual, cards) for row in rows]
    return Sheet(tuple(whole), tuple(_quiet(session, school, day, lesson, usual)))


def verdict_of(row: PupilDay | None) -> days.Day:
    """The verdict that stands in a row; an empty one where there is none."""
    return msgspec.convert(row.verdict, days.Day) if row is not None and row.verdict else days.Day()


def _verdicts(session: Session, pupils: Sequence[uuid.UUID], day: date) -> dict[uuid.UUID, PupilDay]:
    query = select(PupilDay).where(PupilDay.pupil_id.in_(pupils), PupilDay.date == day)
    return {row.pupil_id: row for row in session.scalars(query)}


def _said(session: Session, pupils: Sequence[uuid.UUID], day: date, name: str) -> dict[uuid.UUID, TeacherMark]:
    standing = marks.standing(session, pupils, [day])
    return {mark.pupil_id: mark for those in standing.values() for mark in those if mark.session == name}


def _leave(
    session: Session, school: School, pupils: Sequence[uuid.UUID], day: date, lesson: bells.Session
) -> dict[uuid.UUID, Leave]:
    """The leave of each pupil that touches the session; approved before asked for."""
    starts, ends = (clock.at_local(day, at, school.timezone) for at in (lesson.starts, lesson.ends))
    states = (LeaveState.ASKED, LeaveState.APPROVED)
    query = select(Leave).where(Leave.pupil_id.in_(pupils), Leave.state.in_(states))
    rows = session.scalars(query.where(Leave.starts_at < ends, Leave.ends_at > starts)).all()
    return {leave.pupil_id: leave for leave in sorted(rows, key=lambda leave: leave.state == LeaveState.APPROVED)}


def _row(
    pupil: Pupil, lesson: bells.Session, judged: PupilDay | None, mark: TeacherMark | None, leave: Leave | None
) -> Row:
    day = verdict_of(judged)
    verdict = day.sessions.get(lesson.name)
    found = rules.found(day, lesson, mark.mark if mark else None)
    return Row(
        pupil=pupil,
        found=found,
        by_gate=rules.seen_by_gate(day, lesson),
        mark=mark,
        state=verdict.state if verdict else None,
        first_in=judged.first_in if judged else None,
        last_out=judged.last_out if judged else None,
        late=verdict.late if verdict else 0,
        leave=leave.kind if leave else "",
        leave_asked=leave is not None and leave.state == LeaveState.ASKED,
    )


def _with_why(row: Row, usual: dict[uuid.UUID, str], cards: dict[uuid.UUID, set[str]]) -> Row:
    if row.by_gate:
        return row
    held = cards.get(row.pupil.id, set())
    gate = usual.get(row.pupil.id, "")
    why = Why(USUAL, gate) if gate else Why(NONE)
    if not held:
        why = Why(NO_CARD)
    elif CardState.ACTIVE not in held:
        why = Why(LOST_CARD)
    elif row.last_out:
        why = Why(OUT, at=row.last_out)
    return replace(row, why=why)


def _usual_gates(session: Session, school_id: str, pupils: Collection[uuid.UUID], day: date) -> dict[uuid.UUID, str]:
    """Through which gate each pupil came most often lately, as staff call it."""
    query = (
        select(Tap.pupil_id, Tap.gateway_id, func.max(Gateway.name).label("name"), func.count().label("n"))
        .outerjoin(Gateway, (Gateway.school_id == Tap.school_id) & (Gateway.id == Tap.gateway_id))
        .where(Tap.school_id == school_id, Tap.day.between(day - timedelta(days=USUAL_DAYS), day))
        .where(Tap.pupil_id.in_(pupils), Tap.direction != "out")
        .group_by(Tap.pupil_id, Tap.gateway_id)
    )
    rows = session.execute(query.order_by(func.count())).all() if pupils else []
    return {row.pupil_id: short(row.name or row.gateway_id) for row in rows if row.pupil_id}


def _cards(session: Session, pupils: Collection[uuid.UUID]) -> dict[uuid.UUID, set[str]]:
    found: dict[uuid.UUID, set[str]] = {}
    for pupil_id, state in session.execute(select(Card.pupil_id, Card.state).where(Card.pupil_id.in_(pupils))):
        if pupil_id:
            found.setdefault(pupil_id, set()).add(state)
    return found


def _quiet(
    session: Session, school: School, day: date, lesson: bells.Session, usual: dict[uuid.UUID, str]
) -> list[Quiet]:
    """The silences that may be why: from an hour before the session to its end."""
    since = clock.at_local(day, max(0, lesson.starts - days.HOUR), school.timezone)
    until = clock.at_local(day, lesson.ends, school.timezone)
    query = (
        select(Silence, Gateway.name)
        .join(Gateway, (Gateway.school_id == Silence.school_id) & (Gateway.id == Silence.gateway_id))
        .where(Silence.school_id == school.id, Silence.covered.is_(False), Silence.starts < until)
        .where(Silence.ends.is_(None) | (Silence.ends > since))
        .order_by(Silence.starts)
    )
    by_gate = Counter(usual.values())
    rows = session.execute(query).all()
    return [Quiet(short(name), row.starts, row.ends, by_gate[short(name)]) for row, name in rows]


def short(name: str) -> str:
    """1号门 of 1号门 东门."""
    return next(iter(name.split()), name)
