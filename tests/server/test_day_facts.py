"""Leave, teachers' marks, settings and the calendar move a day's verdict, today's and past ones."""

import uuid
from datetime import date, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from server import clock, pipeline, settings
from server.attendance import marks, rules
from server.attendance import service as attendance
from server.attendance.models import PupilDay
from server.calendar import service as calendar
from server.calendar.models import StaleDay
from server.db import db, transaction
from server.errors import NotFound
from server.leave import service as leave
from server.leave.models import Leave, LeaveKind, LeaveState
from server.schools.models import School
from tests.server import gate

TEACHER = uuid.uuid4()


@pytest.fixture
def pupils(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[uuid.UUID]:
    """Three pupils of whom nobody was seen, at 10:00; they have been judged."""
    gate.set_clock(monkeypatch, gate.at("10:00"))
    pupils = gate.add_school()[1]
    pipeline.time_passes()
    return pupils


def verdict(pupil: uuid.UUID, session: str = "am", day: date = gate.DAY) -> str:
    db.session.rollback()
    query = select(PupilDay.verdict).where(PupilDay.pupil_id == pupil, PupilDay.date == day)
    found: str = db.session.scalars(query).one()["sessions"][session]["state"]
    return found


def ask(pupil: uuid.UUID, starts: datetime, ends: datetime) -> uuid.UUID:
    with transaction() as session:
        row = Leave(school_id="mingde", pupil_id=pupil, starts_at=starts, ends_at=ends, kind=LeaveKind.SICK)
        row.asked_at, row.reason = clock.now(), "发烧"
        session.add(row)
        session.flush()
        return row.id


def decide(leave_id: uuid.UUID, state: LeaveState) -> None:
    with transaction() as session:
        row = session.get_one(Leave, leave_id)
        row.state = state
        leave.decided(session, session.get_one(School, "mingde"), row)
    pipeline.facts_change()


def test_only_approved_leave_excuses_and_a_withdrawn_one_no_more(pupils: list[uuid.UUID]) -> None:
    asked = ask(pupils[0], gate.at("07:00"), gate.at("12:00"))
    pipeline.facts_change()
    assert verdict(pupils[0]) == "absent"
    decide(asked, LeaveState.APPROVED)
    assert [verdict(pupil) for pupil in pupils] == ["excused", "absent", "absent"]
    decide(asked, LeaveState.WITHDRAWN)
    assert verdict(pupils[0]) == "absent"
    assert gate.rows(StaleDay, "id") == []


def test_leave_over_several_days_is_cut_at_each_midnight(pupils: list[uuid.UUID]) -> None:
    asked = ask(pupils[0], gate.at("14:00") - timedelta(days=1), gate.at("09:30"))
    decide(asked, LeaveState.APPROVED)
    school, days = db.session.get_one(School, "mingde"), [gate.DAY - timedelta(days=1), gate.DAY]
    found = leave.approved_on(db.session(), school, pupils, days)
    assert {day: (each.starts, each.ends) for (_, day), [each] in found.items()} == {
        days[0]: (14 * 3600, 86_400),
        days[1]: (0, 9 * 3600 + 1800),
    }
    # 09:30 + 30 minutes is now: the pupil is expected again, and missing
    assert verdict(pupils[0]) == "absent"


def test_the_end_of_a_leave_moves_the_cut_off_of_its_pupil(pupils: list[uuid.UUID], monkeypatch) -> None:
    decide(ask(pupils[0], gate.at("07:00"), gate.at("09:45")), LeaveState.APPROVED)
    assert verdict(pupils[0]) == "pending"
    gate.set_clock(monkeypatch, gate.at("10:15:01"))
    pipeline.time_passes()
    assert verdict(pupils[0]) == "absent"


def mark(pupil: uuid.UUID, kind: rules.MarkKind, minutes: int = 0) -> uuid.UUID:
    with transaction() as session:
        seen = marks.Seen(pupil, gate.DAY, "am", kind, minutes)
        [made] = marks.add(session, "mingde", TEACHER, [seen], clock.now())
        attendance.apply(session.get_one(School, "mingde"), [(pupil, gate.DAY)], clock.now())
        return made.id


def undo(mark_id: uuid.UUID) -> None:
    with transaction() as session:
        keys = marks.undo(session, "mingde", TEACHER, [mark_id], clock.now())
        attendance.apply(session.get_one(School, "mingde"), keys, clock.now())


def test_the_newest_mark_counts_and_undoing_it_brings_back_the_one_before(pupils: list[uuid.UUID]) -> None:
    mark(pupils[0], rules.MarkKind.PRESENT)
    assert verdict(pupils[0]) == "present"
    second = mark(pupils[0], rules.MarkKind.LATE, 12)
    assert verdict(pupils[0]) == "late"
    undo(second)
    assert verdict(pupils[0]) == "present"
    with pytest.raises(NotFound):
        undo(second)
    assert verdict(pupils[1]) == "absent"


def test_a_mark_of_another_school_cannot_be_undone_here(pupils: list[uuid.UUID]) -> None:
    made = mark(pupils[0], rules.MarkKind.PRESENT)
    with pytest.raises(NotFound), transaction() as session:
        marks.undo(session, "elsewhere", TEACHER, [made], clock.now())
    assert verdict(pupils[0]) == "present"


def test_a_day_made_a_day_off_afterwards_has_nobody_absent(pupils: list[uuid.UUID]) -> None:
    with transaction() as session:
        calendar.set_off(session, "mingde", days=[gate.DAY], label="台风")
    pipeline.facts_change()
    db.session.rollback()
    assert gate.rows(PupilDay, "status") == ["off", "off", "off"]


def test_bells_that_count_from_last_week_judge_last_week_again(pupils: list[uuid.UUID]) -> None:
    days = [gate.DAY - timedelta(days=n) for n in (7, 1)]
    with transaction() as session:
        attendance.apply(session.get_one(School, "mingde"), [(pupils[0], day) for day in days], clock.now())
    assert verdict(pupils[0], "pm", days[0]) == "absent"
    with transaction() as session:
        bell = calendar.rules.Bell(calendar.rules.Session("eve", 68_400, 72_000), days[1])
        calendar.set_bell(session, "mingde", timetable="default", bell=bell)
    pipeline.facts_change()
    query = select(PupilDay.verdict).where(PupilDay.pupil_id == pupils[0])
    by_day = {day: db.session.scalars(query.where(PupilDay.date == day)).one()["sessions"] for day in days}
    assert "eve" in by_day[days[1]] and "eve" not in by_day[days[0]]


def test_a_setting_counts_from_its_date_and_its_history_is_kept(pupils: list[uuid.UUID]) -> None:
    yesterday, tomorrow = gate.DAY - timedelta(days=1), gate.DAY + timedelta(days=1)
    with transaction() as session:
        settings.set_policy(session, "mingde", rules.Policy, grace=10, by=TEACHER)
        settings.set_policy(session, "mingde", rules.Policy, since=tomorrow, grace=0, early=1)
        settings.set_policy(session, "mingde", rules.Policy, absent_after=60)
    on = {day: settings.policy("mingde", rules.Policy, on=day) for day in (yesterday, gate.DAY, tomorrow)}
    assert on[yesterday] == rules.Policy()
    assert on[gate.DAY] == settings.policy("mingde", rules.Policy) == rules.Policy(grace=10, absent_after=60)
    assert on[tomorrow] == rules.Policy(grace=0, early=1, absent_after=60)
    kept = settings.history("mingde", rules.Policy)
    assert [row.chosen for row in kept] == [{"grace": 10}, {"absent_after": 60}, {"grace": 0, "early": 1}]
    assert kept[0].set_by == TEACHER
