"""Lists of pupils with their day: classes, one class by seat, and search."""

import datetime as dt
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Select, and_, func, or_

from server.accounts.models import User
from server.attendance.models import PupilDay
from server.attendance.rules import Status
from server.db import db
from server.overview import texts
from server.overview.service import Counts, expected_on, status_of
from server.people import service as people
from server.people.models import Pupil, SchoolClass

MOST = 100
GROUPS = {
    "in_school": (Status.IN_SCHOOL, Status.LATE),
    "late": (Status.LATE,),
    "missing": (Status.NOT_YET, Status.UNEXPLAINED, Status.UNCONFIRMED),
    "unexplained": (Status.UNEXPLAINED,),
    "excused": (Status.EXCUSED,),
    "left": (Status.LEFT,),
}


@dataclass(frozen=True)
class ClassRow:
    """One class with its counts."""

    school_class: SchoolClass
    counts: Counts


@dataclass(frozen=True)
class PupilRow:
    """One pupil with the day."""

    pupil: Pupil
    school_class: SchoolClass
    day: PupilDay | None
    status: str
    text: texts.Summary | None = None


def classes(user: User, day: dt.date) -> list[ClassRow]:
    """Visible classes with the counts of a day."""
    query = people.visible_pupils(user).with_only_columns(Pupil.class_id, PupilDay.status, func.count())
    query = query.outerjoin(PupilDay, and_(PupilDay.pupil_id == Pupil.id, PupilDay.date == day))
    visible = people.visible_classes(user)
    expected = expected_on(user.school_id, {each.timetable for each in visible}, day)
    without = {each.id: Status.NOT_YET if expected[each.timetable] else Status.OFF for each in visible}
    found: dict[uuid.UUID, Counter[str]] = defaultdict(Counter)
    for class_id, status, count in db.session.execute(query.group_by(Pupil.class_id, PupilDay.status)):
        found[class_id][status or without[class_id]] += count
    return [ClassRow(each, Counts(found[each.id])) for each in visible]


def register(user: User, school_class: SchoolClass, day: dt.date) -> list[PupilRow]:
    """One class by seat, each pupil with the day and what the family knows."""
    query = people.visible_pupils(user).where(Pupil.class_id == school_class.id)
    rows = _rows(user, query.order_by(Pupil.seat, Pupil.number), day)
    known = texts.of_pupils([row.pupil.id for row in rows], day)
    return [PupilRow(r.pupil, r.school_class, r.day, r.status, known.get(r.pupil.id)) for r in rows]


def counted(rows: Iterable[PupilRow]) -> Counts:
    """How many of the rows are where."""
    return Counts(Counter(row.status for row in rows))


def found(user: User, day: dt.date, *, words: str, state: str) -> tuple[list[PupilRow], bool]:
    """Pupils whose name or number has the words, or who are in a state; and whether there are more than fit."""
    if not words and state not in GROUPS:
        return [], False
    query = people.matching(user, words) if words else people.visible_pupils(user)
    order = (SchoolClass.grade, func.length(SchoolClass.name), SchoolClass.name, Pupil.seat, Pupil.number)
    if state in GROUPS:
        unjudged = PupilDay.status.is_(None) if Status.NOT_YET in GROUPS[state] else PupilDay.status == ""
        query = query.where(or_(PupilDay.status.in_(GROUPS[state]), unjudged))
    rows = _rows(user, query.order_by(*order).limit(MOST + 1), day)
    wanted = GROUPS.get(state)
    rows = [row for row in rows if wanted is None or row.status in wanted]
    return rows[:MOST], len(rows) > MOST


def _rows(user: User, query: Select[Pupil, SchoolClass], day: dt.date) -> list[PupilRow]:
    joined = query.outerjoin(PupilDay, and_(PupilDay.pupil_id == Pupil.id, PupilDay.date == day)).add_columns(PupilDay)
    rows = db.session.execute(joined).all()
    expected = expected_on(user.school_id, {school_class.timetable for _, school_class, _ in rows}, day)
    return [
        PupilRow(pupil, school_class, verdict, status_of(verdict, expected=expected[school_class.timetable]))
        for pupil, school_class, verdict in rows
    ]
