"""What speaks for looking first: a day's missing pupils against the history of their class, grade and school."""

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from server.absence import doubts, rules
from server.absence.models import AbsenceShare
from server.absence.rules import AbsencePolicy, Share, Why
from server.attendance.models import PupilDay
from server.attendance.rules import Status
from server.calendar import service as calendar
from server.db import insert_new, new_id, table
from server.people.models import Pupil, SchoolClass
from server.schools.models import School

HISTORY = 20  # school days
NOBODY_EXPECTED = {Status.EXCUSED, Status.OFF}

_share = table(AbsenceShare)


@dataclass(frozen=True)
class Room:
    """One class at its cut-off."""

    class_id: uuid.UUID
    grade: int
    session: str
    expected: int
    missing: int


@dataclass(frozen=True)
class Look:
    """What is known of a school when its missing pupils are looked at."""

    rooms: Mapping[uuid.UUID, Room]
    usual: Mapping[tuple[str, object, str], tuple[float, ...]]  # (kind, class or grade, session) -> shares
    unusual: bool
    doubts: frozenset[Why] = frozenset()
    marked: frozenset[uuid.UUID] = frozenset()  # classes of whom many were marked absent within a minute

    def why(self, class_id: uuid.UUID, policy: AbsencePolicy) -> tuple[Why, ...]:
        """What holds the questions about a pupil of this class."""
        room = self.rooms.get(class_id)
        shares = list(self._shares(room)) if room else []
        doubts = {*self.doubts, *([Why.MARKS] if class_id in self.marked else [])}
        return rules.brakes(policy, shares, unusual=self.unusual, doubts=doubts)

    def _shares(self, room: Room) -> Iterator[Share]:
        beside = [each for each in self.rooms.values() if each.session == room.session]
        grade = [each for each in beside if each.grade == room.grade]
        for kind, key, those in (
            (Why.CLASS, room.class_id, [room]),
            (Why.GRADE, room.grade, grade),
            (Why.SCHOOL, None, beside),
        ):
            expected, missing = sum(each.expected for each in those), sum(each.missing for each in those)
            yield Share(kind, expected, missing, self.usual.get((kind, key, room.session), ()))


def look(session: Session, school: School, day: date, sessions: Mapping[str, str], now: datetime) -> Look:
    """Count, remember the counts of each cut-off once, and compare; `sessions` is each timetable's newest past it."""
    rooms = _rooms(session, school, day, sessions)
    rows = [
        {"id": new_id(), "school_id": school.id, "class_id": room.class_id, "date": day}
        | {"session": room.session, "expected": room.expected, "missing": room.missing}
        for room in rooms.values()
    ]
    if rows:
        session.execute(insert_new(_share), rows)
    return Look(
        rooms=rooms,
        usual=_usual(session, school.id, day),
        unusual=calendar.is_unusual(school.id, day),
        doubts=doubts.found(session, school, day, now),
        marked=doubts.marked_at_once(session, school.id, day),
    )


def _rooms(session: Session, school: School, day: date, sessions: Mapping[str, str]) -> dict[uuid.UUID, Room]:
    """The classes whose cut-off has come: hardly anybody of them is still waited for."""
    counts: dict[uuid.UUID, Counter[str]] = defaultdict(Counter)
    known: dict[uuid.UUID, tuple[int, str]] = {}
    query = (
        select(SchoolClass.id, SchoolClass.grade, SchoolClass.timetable, PupilDay.status, func.count())
        .join(Pupil, Pupil.class_id == SchoolClass.id)
        .join(PupilDay, and_(PupilDay.pupil_id == Pupil.id, PupilDay.date == day))
        .where(SchoolClass.school_id == school.id, Pupil.active)
        .group_by(SchoolClass.id, SchoolClass.grade, SchoolClass.timetable, PupilDay.status)
    )
    for class_id, grade, timetable, status, count in session.execute(query):
        counts[class_id][status] += count
        known[class_id] = grade, timetable
    found = {}
    for class_id, (grade, timetable) in known.items():
        of = counts[class_id]
        expected = sum(count for status, count in of.items() if status not in NOBODY_EXPECTED)
        if timetable in sessions and of[Status.NOT_YET] * 2 < max(1, expected):
            missing = of[Status.UNEXPLAINED] + of[Status.UNCONFIRMED]
            found[class_id] = Room(class_id, grade, sessions[timetable], expected, missing)
    return found


def _usual(session: Session, school_id: str, day: date) -> dict[tuple[str, object, str], tuple[float, ...]]:
    since = day - timedelta(days=2 * HISTORY)
    query = (
        select(AbsenceShare, SchoolClass.grade)
        .join(SchoolClass, SchoolClass.id == AbsenceShare.class_id)
        .where(AbsenceShare.school_id == school_id, AbsenceShare.date >= since, AbsenceShare.date < day)
    )
    sums: dict[tuple[str, object, str], dict[date, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for row, grade in session.execute(query):
        for key in ((Why.CLASS, row.class_id), (Why.GRADE, grade), (Why.SCHOOL, None)):
            both = sums[(*key, row.session)][row.date]
            both[0] += row.missing
            both[1] += row.expected
    return {key: _shares(by_day) for key, by_day in sums.items()}


def _shares(by_day: Mapping[date, Sequence[int]]) -> tuple[float, ...]:
    newest = sorted(by_day)[-HISTORY:]
    return tuple(by_day[day][0] / by_day[day][1] for day in newest if by_day[day][1])
