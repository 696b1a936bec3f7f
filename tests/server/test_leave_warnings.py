"""Away too long or too often: counted over school days alone, told of once, taken back when it was not so."""

import uuid
from datetime import date, timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from server import clock
from server.attendance.models import PupilDay
from server.db import db, transaction
from server.leave.models import Leave, LeaveKind, LeaveState
from server.leavedesk import jobs, rules
from server.leavedesk.models import AbsenceWarning
from server.leavedesk.rules import Past, Warn, WarningKind, WarningPolicy
from tests.server import gate

FRIDAY = date(2026, 11, 27)


def past(pattern: str, last: date = FRIDAY) -> list[Past]:
    """School days up to `last`, Monday to Friday: . there, x away, s away ill."""
    days, day = [], last
    while len(days) < len(pattern):
        if day.weekday() < 5:
            days.append(day)
        day -= timedelta(days=1)
    return [Past(day, sign != ".", sign == "s") for day, sign in zip(reversed(days), pattern, strict=True)]


def kinds(pattern: str, last: date = FRIDAY) -> list[tuple[str, int]]:
    return [(each.kind, each.count) for each in rules.warnings(past(pattern, last), WarningPolicy())]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (".....", []),
        ("..x..", []),
        ("....x", [("in_a_row", 1)]),
        ("...xx", [("in_a_row", 1)]),
        ("..xxx", [("in_a_row", 3)]),
        (".xxxx", [("in_a_row", 3)]),
        ("x.xxxxx", [("in_a_row", 5)]),
        (".xxxxxxxxxx", [("in_a_row", 10)]),
        ("xxxxxxxxxxxx", [("in_a_row", 10)]),
        ("", []),
    ],
)
def test_days_in_a_row_are_told_of_at_one_three_five_and_ten(pattern: str, found: list[tuple[str, int]]) -> None:
    assert kinds(pattern) == found


def test_a_weekend_does_not_break_a_row_and_counts_for_nothing() -> None:
    [warn] = rules.warnings(past("...xxx", date(2026, 11, 24)), WarningPolicy())
    assert warn == Warn(WarningKind.IN_A_ROW, 3, date(2026, 11, 20), urgent=True)


def test_three_of_the_last_five_mondays_are_a_pattern_and_one_long_illness_is_none() -> None:
    monday = date(2026, 11, 23)
    assert ("weekday", 3) in kinds("x....x....x", monday)
    assert ("weekday", 3) in kinds("x....x.........x", monday)
    assert ("weekday", 2) not in kinds("x....x", monday)
    assert not [each for each in kinds("x.................." + "......x....x", monday) if each[0] == "weekday"]
    assert [each[0] for each in kinds("." + "x" * 15, monday)] == ["in_a_row"]


def test_being_ill_often_is_told_of_and_one_illness_is_not() -> None:
    assert ("sick", 5) in kinds("ss...s..s......s")
    assert not [each for each in kinds("." * 5 + "s" * 6) if each[0] == "sick"]
    assert not [each for each in kinds("xx...x..x......x") if each[0] == "sick"]


def test_the_school_chooses_the_numbers() -> None:
    policy = WarningPolicy(first=2, second=2, third=2, fourth=4, today_from=4)
    assert rules.warnings(past("...x."), policy) == []
    assert [(w.count, w.urgent) for w in rules.warnings(past("..xx"), policy)] == [(2, False)]
    assert [(w.count, w.urgent) for w in rules.warnings(past("xxxx"), policy)] == [(4, True)]


@pytest.fixture
def pupils(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[uuid.UUID]:
    gate.set_clock(monkeypatch, gate.at("18:00"))
    return gate.add_school(3)[1]


def write(pupil_id: uuid.UUID, *back: int, status: str = "unexplained") -> None:
    """Verdicts of days so many days before Wednesday."""
    with transaction() as session:
        for days in back:
            row = PupilDay(pupil_id=pupil_id, date=gate.DAY - timedelta(days=days), school_id="mingde", status=status)
            row.verdict, row.judged_at = {}, clock.now()
            session.merge(row)


def noted() -> list[tuple[uuid.UUID, str, int]]:
    jobs.warn_of_absence()
    db.session.rollback()
    rows = db.session.scalars(select(AbsenceWarning).order_by(AbsenceWarning.count, AbsenceWarning.pupil_id))
    return [(row.pupil_id, row.kind, row.count) for row in rows]


def test_the_job_counts_over_the_weekend_and_tells_once(pupils: list[uuid.UUID]) -> None:
    write(pupils[0], 0, 1, 2, 5)
    write(pupils[0], 3, 4, status="off")
    write(pupils[1], 1, 2, 5)
    write(pupils[1], 0, status="in_school")
    write(pupils[2], 0, status="unconfirmed")
    assert noted() == [(pupils[0], "in_a_row", 3)]
    assert noted() == [(pupils[0], "in_a_row", 3)]


def test_an_uncertain_day_neither_counts_nor_breaks(pupils: list[uuid.UUID]) -> None:
    write(pupils[0], 0, 1, 5)
    write(pupils[0], 2, status="unconfirmed")
    write(pupils[0], 6, status="left")
    assert noted() == [(pupils[0], "in_a_row", 3)]


def test_who_comes_after_all_is_not_asked_about(pupils: list[uuid.UUID]) -> None:
    write(pupils[0], 0, 1, 2)
    assert noted() == [(pupils[0], "in_a_row", 3)]
    write(pupils[0], 0, status="late")
    assert noted() == []


def test_what_somebody_has_seen_stays_and_is_not_told_again(pupils: list[uuid.UUID]) -> None:
    write(pupils[0], 0, 1, 2)
    noted()
    with transaction() as session:
        session.scalars(select(AbsenceWarning)).one().seen_at = clock.now()
    assert noted() == [(pupils[0], "in_a_row", 3)]


def test_a_trip_and_official_leave_are_no_absence(pupils: list[uuid.UUID]) -> None:
    for pupil_id, kind in zip(pupils, (LeaveKind.TRIP, LeaveKind.OFFICIAL, LeaveKind.SICK), strict=True):
        write(pupil_id, 0, 1, 2, status="excused")
        with transaction() as session:
            row = Leave(school_id="mingde", pupil_id=pupil_id, kind=kind, state=LeaveState.APPROVED)
            row.starts_at, row.ends_at, row.asked_at = gate.at("-48:00"), gate.at("24:00"), clock.now()
            session.add(row)
    assert noted() == [(pupils[2], "in_a_row", 3)]
