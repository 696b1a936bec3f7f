"""Signs that it is we who are wrong: a reader that sees nobody, a clock astray, a register filled by a wrong button."""

import uuid
from collections import defaultdict
from datetime import date, datetime, timedelta

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from server import clock
from server.absence import rules
from server.absence.rules import LEAST, Why
from server.attendance.models import TeacherMark
from server.attendance.rules import MarkKind
from server.calendar.models import BellTime
from server.gates import service as gates
from server.gates.rules import ANSWER
from server.people.models import Pupil
from server.schools.models import School
from server.taps.models import Tap

LOOK_BACK = 10  # days against which a reader's taps are counted
STILL_USED = 3  # a reader that saw nobody on so many days is out of use, which staff know by then
NEW = timedelta(hours=3)
AT_ONCE = timedelta(minutes=1)
SIGNAL = "signal"  # the part of a gate's doubt that is its silence


def found(session: Session, school: School, day: date, now: datetime) -> frozenset[Why]:
    """What speaks against the gates of a school as a whole; one fact is one reason, and that of whoever knows it best.

    A reader that sees nobody because its self-test failed or its gate is silent is no second reason, nor is a silent
    gate that does not answer the self-test.
    """
    unsure = [doubt for doubt in gates.doubts(school.id, day) if doubt.loses_taps]
    silent = {doubt.gateway_id for doubt in unsure if doubt.part == SIGNAL}
    still = {doubt.gateway_id for doubt in unsure if doubt.part == SIGNAL and doubt.until is None}
    failed = {(doubt.gateway_id, doubt.part) for doubt in unsure if doubt.part != SIGNAL}
    known = {*failed, *((gateway, ANSWER) for gateway in still)}
    signs = (
        (Why.GATE_SILENT, bool(silent)),
        (Why.SELF_TEST, any(part != ANSWER or gateway not in silent for gateway, part in failed)),
        (Why.CLOCK, _clock_astray(session, school.id, day, now)),
        (
            Why.READER,
            any(
                not known & {(gateway, f"reader {reader}"), (gateway, ANSWER)}
                for gateway, reader in _quiet(session, school, day, now)
            ),
        ),
        (Why.BELLS, _new_bells(session, school.id, day)),
    )
    return frozenset(why for why, holds in signs if holds)


def _clock_astray(session: Session, school_id: str, day: date, now: datetime) -> bool:
    """Whether taps came in these hours that stand on another day: whoever made them is missing on this one."""
    query = select(Tap.id).where(Tap.school_id == school_id, Tap.received_at > now - NEW, Tap.day != day)
    return session.scalar(query.limit(1)) is not None


def _quiet(session: Session, school: School, day: date, now: datetime) -> set[tuple[str, str]]:
    """Gate and id of each reader of entries that has seen hardly anybody by this time, against the days before."""
    second = clock.local_seconds(now, day, school.timezone)
    before = [day - timedelta(days=n) for n in range(LOOK_BACK + 1)]
    until = or_(*(and_(Tap.day == each, Tap.at <= clock.at_local(each, second, school.timezone)) for each in before))
    query = select(Tap.gateway_id, Tap.reader_id, Tap.day, func.count()).where(Tap.school_id == school.id, until)
    counts: dict[tuple[str, str], dict[date, int]] = defaultdict(dict)
    grouped = query.where(Tap.direction != "out").group_by(Tap.gateway_id, Tap.reader_id, Tap.day)
    for gateway, reader, on, count in session.execute(grouped):
        counts[gateway, reader][on] = count
    known = sorted({on for by_day in counts.values() for on in by_day if on < day})  # days on which anybody tapped
    return {
        reader
        for reader, by_day in counts.items()
        if rules.is_quiet(by_day.get(day, 0), [by_day.get(on, 0) for on in known])
        and any(by_day.get(on, 0) >= rules.USUAL_TAPS for on in known[-STILL_USED:])
    }


def _new_bells(session: Session, school_id: str, day: date) -> bool:
    """Whether lessons begin at other times from today on: families may not know, and who set them may have erred."""
    mine = (BellTime.school_id == school_id, BellTime.since < day)
    older = select(BellTime.id).where(*mine).limit(1)
    newer = select(BellTime.id).where(BellTime.school_id == school_id, BellTime.since == day).limit(1)
    return session.scalar(newer) is not None and session.scalar(older) is not None


def marked_at_once(session: Session, school_id: str, day: date) -> frozenset[uuid.UUID]:
    """Classes of whom one person has marked many absent within a minute: perhaps one press of the wrong button."""
    query = (
        select(Pupil.class_id, TeacherMark.made_by, TeacherMark.session, TeacherMark.made_at)
        .join(Pupil, Pupil.id == TeacherMark.pupil_id)
        .where(TeacherMark.school_id == school_id, TeacherMark.date == day, TeacherMark.undone_at.is_(None))
        .where(TeacherMark.mark == MarkKind.ABSENT)
        .order_by(TeacherMark.made_at)
    )
    made: dict[tuple[object, ...], list[datetime]] = defaultdict(list)
    for class_id, by, name, at in session.execute(query):
        made[class_id, by, name].append(at)
    many = LEAST[Why.CLASS]
    return frozenset(
        key[0]  # type: ignore[misc]
        for key, times in made.items()
        if any(last - first <= AT_ONCE for first, last in zip(times, times[many - 1 :], strict=False))
    )
