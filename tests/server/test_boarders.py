"""Boarders: nobody is told of a night, a late tap of return mends the week, and who is not back by the deadline."""

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update

from gateway.gatelist import InsideList
from server import clock, gatelists, pipeline
from server.accounts.rules import Grant
from server.accounts.service import create_user
from server.attendance import boarding
from server.attendance.gatebook import Reason
from server.attendance.models import PupilDay
from server.calendar.models import StaleDay
from server.db import db, new_id, transaction
from server.leave.models import Leave, LeaveKind, LeaveState
from server.outbox.models import OutboxText
from server.people.models import Pupil
from server.register import desk
from server.rollcall import presence, service
from server.rollcall.models import RollEntry
from server.rollcall.rules import RollKind, Standing
from server.schools.models import School
from tests import sample
from tests.server import gate
from tests.server.site import Site

SUNDAY = datetime(2026, 11, 22, 10, 5, tzinfo=UTC)  # 18:05 in Shanghai
DUE = datetime(2026, 11, 22, 10, 20, tzinfo=UTC)


@pytest.fixture
def school(app: Flask) -> School:
    """Three boarders."""
    found, _pupils = gate.add_school()
    with transaction() as session:
        session.execute(update(Pupil).values(boarder=True))
    return found


def touch(at: datetime, received: datetime | None = None, *, n: int = 0, direction: str = "in") -> None:
    """One tap of the n-th boarder."""
    spool = f"{n}{int(at.timestamp()):015x}"
    tap = gate.tap(1, at, card=gate.card_of(n), direction=direction, spool=spool)
    when = received or at
    assert pipeline.handle([gate.delivery([tap], when)], when)


def days(n: int = 0) -> dict[int, tuple[bool, str]]:
    """Day of November -> inside, status."""
    query = select(PupilDay).join(Pupil, Pupil.id == PupilDay.pupil_id).where(Pupil.number == f"2026{n:04}")
    return {row.date.day: (row.inside, row.status) for row in db.session.scalars(query)}


def kinds() -> list[str]:
    """What families were told."""
    return sorted(db.session.scalars(select(OutboxText.kind)))


def test_no_family_is_told_of_a_night_at_school(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    gate.set_clock(monkeypatch, SUNDAY)
    touch(SUNDAY)
    told = kinds()
    gate.set_clock(monkeypatch, SUNDAY + timedelta(days=2))
    pipeline.time_passes()
    assert days()[24] == (True, "in_school")
    assert kinds() == told == ["in"]
    touch(SUNDAY + timedelta(days=2), direction="out")
    assert kinds() == ["in", "out"]


def test_a_tap_of_return_that_comes_late_mends_the_days_since(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    now = SUNDAY + timedelta(days=2)
    gate.set_clock(monkeypatch, now)
    pipeline.time_passes()
    assert days()[24][0] is False
    touch(SUNDAY, received=now)
    assert {day: inside for day, (inside, _status) in days().items()} == {22: True, 23: True, 24: True}
    assert kinds() == []  # two days old: no news


def test_who_has_not_come_by_the_deadline_is_not_back_unless_on_leave(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.set_clock(monkeypatch, SUNDAY)
    with transaction() as session:
        user = create_user("mingde", "office", "office", sample.PASSWORD, [Grant("office")])
        away = session.scalars(select(Pupil).where(Pupil.number == "20260002")).one()
        leave = Leave(school_id="mingde", pupil_id=away.id, kind=LeaveKind.SICK, state=LeaveState.APPROVED)
        leave.starts_at, leave.ends_at, leave.asked_at = SUNDAY, SUNDAY + timedelta(days=1), SUNDAY
        session.add(leave)
    touch(SUNDAY, n=0)
    assert boarding.not_back(user, school, DUE - timedelta(seconds=1)) == []
    assert [pupil.number for pupil, _room in boarding.not_back(user, school, DUE)] == ["20260001"]
    touch(DUE + timedelta(minutes=5), n=1)
    assert boarding.not_back(user, school, DUE + timedelta(minutes=6)) == []
    assert boarding.deadline(school, DUE.date() + timedelta(days=1)) is None


def test_the_office_names_boarders_by_number_and_their_week_is_judged_again(site: Site) -> None:
    office = site.visitor("wangmin")
    with site.app.app_context():
        number = db.session.scalars(select(Pupil.number).order_by(Pupil.number)).first()
    assert office.post("/boarders", numbers=f"{number}，nobody").status_code == 422
    assert office.post("/boarders", numbers=str(number)).status_code == 303
    assert str(number) in office.text("/boarders")
    with site.app.app_context():
        assert [each.number for each in db.session.scalars(select(Pupil).where(Pupil.boarder))] == [number]
        assert {each.date.day for each in db.session.scalars(select(StaleDay))} == {22, 23, 24, 25}
    assert site.visitor("lijing").post("/boarders", numbers=str(number), do="remove").status_code == 403
    office.post("/boarders", numbers=str(number), do="remove")
    with site.app.app_context():
        assert db.session.scalars(select(Pupil).where(Pupil.boarder)).all() == []


def inside(school: School, now: datetime) -> tuple[list[str], set[int]]:
    """Who is inside by the roll call, and how many by the list of each gate."""
    listed = presence.everybody(db.session(), school, now)
    found = gatelists.content(school, now)
    holders = InsideList(cards="", at=0, holders=found.inside).numbers()
    return sorted(each.name for each in listed if each.standing is Standing.INSIDE), holders


@pytest.mark.parametrize("hours", [4, 8, 30, 55])  # Sunday 22:05, Monday 02:05, Tuesday 00:05, Wednesday 01:05
def test_an_alarm_at_night_counts_the_boarders_who_sleep_at_school(
    school: School, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    gate.set_clock(monkeypatch, SUNDAY)
    for n in (0, 1):
        touch(SUNDAY, n=n)
    touch(SUNDAY + timedelta(minutes=30), n=1, direction="out")
    night = SUNDAY + timedelta(hours=hours)
    gate.set_clock(monkeypatch, night)
    names, holders = inside(school, night)
    assert names == ["学生0"] and len(holders) == 1
    with transaction() as session:
        user = create_user("mingde", "office", "office", sample.PASSWORD, [Grant("office")])
        roll, _new = service.start(session, session.get_one(School, "mingde"), user, RollKind.REAL, night)
        assert [each.name for each in session.scalars(select(RollEntry).where(RollEntry.roll_id == roll.id))] == names


def test_the_week_ends_and_an_exit_that_the_guard_wrote_down_counts_the_night_after(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.set_clock(monkeypatch, SUNDAY)
    touch(SUNDAY)
    touch(SUNDAY, n=1)
    with transaction() as session:
        pupil = session.scalars(select(Pupil).where(Pupil.number == "20260001")).one()
        user = create_user("mingde", "guard", "guard", sample.PASSWORD, [Grant("guard")])
        desk.record(session, user, pupil.id, form=new_id(), direction="out", reason=Reason.COLLECTED, now=clock.now())
    for hours, names in ((30, ["学生0"]), (7 * 24 - 20, ["学生0"]), (7 * 24 - 10, [])):
        now = SUNDAY + timedelta(hours=hours)
        gate.set_clock(monkeypatch, now)
        assert inside(school, now)[0] == names


def test_today_lists_who_is_not_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_base", None, raising=False)
    gate.set_clock(monkeypatch, DUE + timedelta(minutes=1))
    with site.app.app_context(), transaction() as session:
        session.scalars(select(Pupil).order_by(Pupil.number)).first().boarder = True
    page = site.visitor("wangmin").text("/")
    assert 'href="/boarders"' in page
