"""Judging pupils' days from all their facts, and keeping the verdicts."""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import msgspec
from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from server import clock, settings
from server.attendance import boarding, gatebook, marks, news, rules, summary
from server.attendance.models import PupilDay
from server.calendar import service as calendar
from server.db import db, insert_new, table
from server.gates import service as gates
from server.leave import service as leave
from server.people.models import Pupil, SchoolClass
from server.schools.models import School
from server.taps import rules as passages
from server.taps import service as taps

Key = tuple[uuid.UUID, date]  # one pupil's day
Sight = tuple[datetime, str, str]  # a tap: moment, direction, clock

_day = table(PupilDay)
_LOCK = (
    select(_day.c.pupil_id, _day.c.date, _day.c.status, _day.c.summary, _day.c.verdict)
    .where(_day.c.date.in_(bindparam("days", expanding=True)))
    .where(_day.c.pupil_id.in_(bindparam("pupils", expanding=True)))
    .order_by(_day.c.pupil_id, _day.c.date)
    .with_for_update()
)
_KEEP = update(_day).where(_day.c.pupil_id == bindparam("of_pupil"), _day.c.date == bindparam("of_date"))
_TIMETABLES = (
    select(Pupil.id, SchoolClass.timetable)
    .join(SchoolClass, SchoolClass.id == Pupil.class_id)
    .where(Pupil.id.in_(bindparam("pupils", expanding=True)))
)


@dataclass(frozen=True)
class DayChange:
    """What a new verdict on one pupil's day adds to the one before."""

    school_id: str
    pupil_id: uuid.UUID
    date: date
    change: news.Change
    day: rules.Day


@dataclass(frozen=True)
class _Frame:
    """What all pupils of a school share on one date."""

    school: School
    date: date
    now: int  # seconds after that date's midnight
    policy: rules.Policy
    gaps: tuple[rules.Gap, ...]
    sessions: Mapping[str, tuple[rules.Session, ...]]  # by timetable


def apply(school: School, pupil_days: Collection[Key], now: datetime) -> list[DayChange]:
    """Judge these days anew from all that is known, keep the verdicts, and say what they add to the old ones.

    The days stay locked until the caller's transaction ends: nobody else judges them from other facts meanwhile.
    """
    if not pupil_days:
        return []
    session = db.session()
    boards = boarding.Boarders(session, school, {pupil_id for pupil_id, _ in pupil_days}, now)
    keys = sorted({*pupil_days, *boards.after(pupil_days)})  # one order for all workers: none waits in a ring
    pupils, dates = {pupil_id for pupil_id, _ in keys}, {day for _, day in keys}
    rows = _locked(session, school.id, keys, now)
    old = {key: _day_of(row) for key, row in rows.items()}
    seen = taps.of_days(session, school.id, pupils, dates)
    nights = boards.nights(keys)
    written = gatebook.of_days(session, school.id, pupils, dates)
    timetables = _timetables(session, pupils)
    frames = {day: _frame(school, day, now, set(timetables.values())) for day in dates}
    away, marked = leave.approved_on(session, school, pupils, dates), marks.standing(session, pupils, dates)
    judged = {
        key: _judged(
            frames[key[1]],
            timetables[key[0]],
            [*seen.get(key, ()), *written.get(key, ())],
            leave=away.get(key, ()),
            marked=marks.facts(marked.get(key, ())),
            night=nights.get(key, rules.DAY_PUPIL),
        )
        for key in keys
    }
    new = {key: news.remembering(old[key], day) for key, day in judged.items()}
    lines = {
        key: summary.written(day, frames[key[1]].sessions[timetables[key[0]]], away.get(key, ()))
        for key, day in new.items()
    }
    verdicts = [
        _row(school, key, day, now) | {"summary": lines[key]}
        for key, day in new.items()
        if day != old[key] or (rules.status(day), lines[key]) != (rows[key].status, rows[key].summary)
    ]
    if verdicts:
        session.execute(_KEEP, verdicts)
    changes = ((key, news.change(old[key], day)) for key, day in new.items())
    return [DayChange(school.id, *key, change, new[key]) for key, change in changes if change]


def pupils_of(school_id: str) -> list[uuid.UUID]:
    """The active pupils of a school."""
    return list(
        db.session.scalars(select(Pupil.id).where(Pupil.school_id == school_id, Pupil.active).order_by(Pupil.id))
    )


def pupils_on(school_id: str, day: date) -> list[uuid.UUID]:
    """Whose day a change for the whole school may move: all active pupils, and who had a verdict on that date."""
    judged = select(PupilDay.pupil_id).where(PupilDay.school_id == school_id, PupilDay.date == day)
    return sorted({*pupils_of(school_id), *db.session.scalars(judged)})


def _locked(session: Session, school_id: str, keys: Sequence[Key], now: datetime) -> dict[Key, Any]:
    empty = {
        "school_id": school_id,
        "status": rules.Status.NOT_YET.value,
        "verdict": {},
        "judged_at": now,
        "summary": "",
    }
    rows = [empty | {"pupil_id": pupil_id, "date": day, "late_minutes": 0, "inside": False} for pupil_id, day in keys]
    session.execute(insert_new(_day), rows)
    days, pupils = sorted({day for _, day in keys}), sorted({pupil_id for pupil_id, _ in keys})
    found = session.execute(_LOCK, {"days": days, "pupils": pupils})
    by_key = {(row.pupil_id, row.date): row for row in found}
    return {key: by_key[key] for key in keys}


def _timetables(session: Session, pupils: Collection[uuid.UUID]) -> dict[uuid.UUID, str]:
    found = session.execute(_TIMETABLES, {"pupils": sorted(pupils)})
    return {pupil_id: timetable for pupil_id, timetable in found}


def _frame(school: School, day: date, now: datetime, timetables: Iterable[str]) -> _Frame:
    return _Frame(
        school=school,
        date=day,
        now=clock.local_seconds(now, day, school.timezone),
        policy=settings.policy(school.id, rules.Policy, on=day),
        gaps=tuple(rules.Gap(gap.starts, gap.ends) for gap in gates.gaps_on(school.id, day)),
        sessions=calendar.timetables_on(school.id, timetables, day),
    )


def _judged(
    frame: _Frame,
    timetable: str,
    seen: Iterable[Sight],
    *,
    leave: Sequence[rules.Leave],
    marked: Sequence[rules.Mark],
    night: rules.Night,
) -> rules.Day:
    waking = passages.begun(night.inside)
    known = passages.directed([*waking, *(boarding.passage(frame.school, frame.date, *sight) for sight in seen)])
    found = [rules.Tap(each.at, each.direction, each.trusted) for each in known[len(waking) :]]
    return rules.judge(
        sessions=frame.sessions[timetable],
        policy=frame.policy,
        now=rules.judging_second(frame.now, found),
        taps=found,
        leave=leave,
        marks=marked,
        gaps=frame.gaps,
        night=night,
    )


def _row(school: School, key: Key, day: rules.Day, now: datetime) -> dict[str, Any]:
    pupil_id, on = key
    moments = {
        "first_in": next((stay.entered for stay in day.stays if not stay.carried), None),
        "last_out": day.exits[-1] if day.exits else None,
    }
    return {
        "of_pupil": pupil_id,
        "of_date": on,
        "status": rules.status(day).value,
        "late_minutes": max((verdict.late for verdict in day.sessions.values()), default=0),
        "inside": day.inside,
        "verdict": msgspec.to_builtins(day),
        "judged_at": now,
    } | {name: None if at is None else clock.at_local(on, at, school.timezone) for name, at in moments.items()}


def _day_of(row: Any) -> rules.Day | None:
    """The verdict that stood in a row; None when its day was never judged."""
    return msgspec.convert(row.verdict, rules.Day) if row.verdict else None
