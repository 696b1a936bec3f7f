"""A class register: one tap per exception, never invented presence, undone and corrected, two teachers at once."""

import threading
import uuid
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import event, select, text

from server import clock, pipeline, settings
from server.absence import jobs
from server.accounts.models import User
from server.accounts.rules import Grant
from server.accounts.service import create_user
from server.attendance.models import PupilDay, TeacherMark
from server.attendance.rules import MarkKind
from server.audit.models import AuditEntry
from server.calendar import service as calendar
from server.db import db, transaction
from server.errors import NotAllowed, NotFound
from server.leave.models import Leave
from server.outbox.models import OutboxText
from server.people.models import Pupil, SchoolClass
from server.register import lists, rules, service, sheet
from server.register.models import ClassRegister, RegisterEntry
from server.register.rules import Found, RegisterPolicy
from server.register.service import Place, Saying
from server.schools.models import School
from tests import sample
from tests.server import gate


@pytest.fixture
def pupils(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[uuid.UUID]:
    """Six pupils, of whom the last four came in; 07:55, lessons began at 07:50."""
    gate.set_clock(monkeypatch, gate.at("07:30"))
    school, pupils = gate.add_school(6)
    with transaction() as session:
        room = session.scalars(select(SchoolClass)).one()
        create_user(school.id, "teacher", "李静", sample.PASSWORD, [Grant("class_teacher", class_id=room.id)])
        create_user(school.id, "office", "王敏", sample.PASSWORD, [Grant("office")])
        create_user(school.id, "guard", "门卫", sample.PASSWORD, [Grant("guard")])
        create_user(school.id, "counsellor", "心理", sample.PASSWORD, [Grant("counsellor")])
    come(2, 3, 4, 5)
    pass_time(monkeypatch, "07:55")
    return pupils


def come(*numbers: int, at: str = "07:41", direction: str = "in") -> None:
    taps = [
        gate.tap(1, gate.at(at), card=gate.card_of(n), spool=f"{uuid.uuid4().int >> 64:016x}", direction=direction)
        for n in numbers
    ]
    pipeline.handle([gate.delivery(taps, gate.at(at))], gate.at(at))


def pass_time(monkeypatch: pytest.MonkeyPatch, clock_time: str) -> None:
    gate.set_clock(monkeypatch, gate.at(clock_time))
    pipeline.time_passes()
    pipeline.facts_change()
    jobs.ask_for_the_missing()


def user(login: str = "teacher") -> User:
    db.session.rollback()
    return db.session.scalars(select(User).where(User.login == login)).one()


def place(name: str = "am", day=gate.DAY) -> Place:
    room = db.session.scalars(select(SchoolClass)).one()
    return service.place_of(user(), room, day, name)


def say(pupil: uuid.UUID, mark: str, minutes: int = 0, *, by: str = "teacher", reason: str = "", **where) -> object:
    with transaction() as session:
        who = session.scalars(select(User).where(User.login == by)).one()
        room = session.scalars(select(SchoolClass)).one()
        there = service.place_of(who, room, where.get("day", gate.DAY), where.get("session", "am"))
        return service.say(session, who, there, Saying(pupil, MarkKind(mark), minutes, reason), clock.now())


def finish(by: str = "teacher") -> ClassRegister:
    with transaction() as session:
        who = session.scalars(select(User).where(User.login == by)).one()
        room = session.scalars(select(SchoolClass)).one()
        return service.finish(session, who, service.place_of(who, room, gate.DAY, "am"), clock.now())


def status(pupil: uuid.UUID) -> str:
    db.session.rollback()
    return db.session.get_one(PupilDay, (pupil, gate.DAY), populate_existing=True).status


def verdict(pupil: uuid.UUID, name: str = "am", day=gate.DAY) -> dict:
    db.session.rollback()
    return db.session.get_one(PupilDay, (pupil, day), populate_existing=True).verdict["sessions"][name]


def look() -> sheet.Sheet:
    db.session.rollback()
    school, there = db.session.get_one(School, "mingde"), place()
    return sheet.read(db.session(), school, there.room, gate.DAY, there.session)


def texts(kind: str) -> list[str]:
    db.session.rollback()
    return sorted(db.session.scalars(select(OutboxText.body).where(OutboxText.kind == kind)))


def test_pupils_the_gate_did_not_see_stand_first_and_say_why(pupils) -> None:
    looked = look()
    assert [row.pupil.id for row in looked.unseen] == pupils[:2]
    assert {row.why.kind for row in looked.unseen} == {"none"}
    assert dict(looked.totals) == {"in": 4, "absent": 0, "excused": 0, "left": 0, "unlooked": 2}


def test_why_the_gate_did_not_see_a_pupil_is_said(pupils, monkeypatch) -> None:
    with transaction() as session:
        session.execute(text("UPDATE card SET state = 'lost' WHERE text = :card"), {"card": gate.card_of(0)})
        session.execute(text("DELETE FROM card WHERE text = :card"), {"card": gate.card_of(1)})
    come(2, at="07:43", direction="out")
    pass_time(monkeypatch, "07:56")
    assert {row.pupil.id: row.why.kind for row in look().unseen} == {
        pupils[0]: "lost_card",
        pupils[1]: "no_card",
        pupils[2]: "out",
    }


def test_one_word_of_the_teacher_makes_present_absent_or_late(pupils) -> None:
    say(pupils[0], "present")
    say(pupils[1], "late", 7)
    say(pupils[2], "absent")
    assert verdict(pupils[0]) == {"state": "present", "late": 0, "early": 0}
    assert verdict(pupils[1]) == {"state": "late", "late": 7, "early": 0}
    assert verdict(pupils[2])["state"] == "absent"
    assert [row.found for row in look().rows] == ["seen", "late", "absent", "gate", "gate", "gate"]


def test_a_tap_on_the_same_button_twice_is_one_mark(pupils) -> None:
    assert say(pupils[2], "absent") is not None
    assert say(pupils[2], "absent") is None
    assert len(gate.rows(TeacherMark, "id")) == 1


def test_undo_brings_back_what_was_known_before(pupils) -> None:
    say(pupils[2], "absent")
    with transaction() as session:
        assert service.take_back(session, user_in(session), place_in(session), pupils[2], clock.now())
        assert not service.take_back(session, user_in(session), place_in(session), pupils[2], clock.now())
    assert verdict(pupils[2])["state"] == "present"
    assert gate.rows(AuditEntry, "action") == ["register.marked", "register.marked"]


def test_undo_goes_one_step_back_and_a_second_click_none(pupils) -> None:
    say(pupils[0], "absent")
    late = say(pupils[0], "late", 9)
    for expected in (True, False):
        with transaction() as session:
            assert service.undo(session, user_in(session), place_in(session), late.id, clock.now()) is expected
    assert verdict(pupils[0])["state"] == "absent"
    with pytest.raises(NotFound), transaction() as session:
        yesterday = gate.DAY - timedelta(days=1)
        there = service.place_of(user_in(session), place_in(session).room, yesterday, "am")
        service.undo(session, user_in(session), there, late.id, clock.now())


def user_in(session, login: str = "teacher") -> User:
    return session.scalars(select(User).where(User.login == login)).one()


def place_in(session) -> Place:
    return service.place_of(user_in(session), session.scalars(select(SchoolClass)).one(), gate.DAY, "am")


def test_finishing_makes_nobody_present_and_nobody_absent(pupils, monkeypatch) -> None:
    say(pupils[0], "present")
    finish()
    db.session.rollback()
    found = {pupil: found for pupil, found in gate.rows(RegisterEntry, "pupil_id", "found")}
    assert found == {pupils[0]: "seen", pupils[1]: "unlooked"} | dict.fromkeys(pupils[2:], "gate")
    assert verdict(pupils[1])["state"] == "pending"
    pass_time(monkeypatch, "08:25")
    assert verdict(pupils[1])["state"] == "unconfirmed"
    assert status(pupils[1]) == "unconfirmed"
    assert texts("absent") == []
    assert [line.pupil.id for line in differences().unlooked] == [pupils[1]]


def test_a_pupil_nobody_looked_at_counts_by_the_gate_as_soon_as_the_card_is_read(pupils, monkeypatch) -> None:
    finish()
    come(1, at="08:03")
    pass_time(monkeypatch, "08:25")
    assert verdict(pupils[1]) == {"state": "late", "late": 13, "early": 0}
    assert [line.pupil.id for line in differences().unlooked] == [pupils[0]]


def test_finishing_late_does_not_stop_a_family_from_being_asked(pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "08:21")
    assert len(texts("absent")) == 2
    finish()
    pass_time(monkeypatch, "08:22")
    assert verdict(pupils[0])["state"] == "absent"
    db.session.rollback()
    states = db.session.execute(text("SELECT state FROM absence_case")).scalars().all()
    assert states == ["asking", "asking"]


def test_a_mark_after_an_alert_tells_the_family_that_the_child_was_seen(pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "08:21")
    with transaction() as session:
        session.execute(text("UPDATE outbox_text SET state = 'delivered', attempts = 1 WHERE kind = 'absent'"))
    say(pupils[0], "present")
    pass_time(monkeypatch, "08:22")
    assert len(texts("found")) == 1 and "学生0" in texts("found")[0]


def test_finishing_twice_and_marking_afterwards_keep_one_register_up_to_date(pupils) -> None:
    first = finish().finished_at
    assert finish("office").finished_at == first
    say(pupils[1], "present")
    found = {pupil: found for pupil, found in gate.rows(RegisterEntry, "pupil_id", "found")}
    assert found[pupils[1]] == "seen" and len(found) == 6
    assert len(gate.rows(ClassRegister, "id")) == 1


def test_two_teachers_at_once_leave_one_register_and_one_mark(app: Flask, pupils) -> None:
    start, faults = threading.Barrier(4), []

    def tap() -> None:
        with app.app_context():
            try:
                start.wait(10)
                say(pupils[2], "absent", by="teacher" if threading.current_thread().name == "0" else "office")
                finish()
            except Exception as fault:
                faults.append(fault)
            finally:
                db.session.remove()

    threads = [threading.Thread(target=tap, name=str(n)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []
    assert len(gate.rows(ClassRegister, "id")) == 1
    assert gate.rows(TeacherMark, "mark").count("absent") == 1
    assert len(gate.rows(RegisterEntry, "pupil_id")) == 6


def test_seen_by_gate_but_not_in_class_needs_a_person_now(pupils) -> None:
    say(pupils[2], "absent")
    assert [line.pupil.id for line in differences().not_in_class] == [pupils[2]]
    say(pupils[2], "present")
    assert differences().not_in_class == []


def differences(login: str = "teacher") -> lists.Differences:
    who = user(login)
    return lists.differences(who, db.session.get_one(School, "mingde"), gate.DAY)


def test_forgotten_taps_are_listed_and_weekly_forgetters_counted_by_day(pupils) -> None:
    say(pupils[0], "present")
    with pytest.raises(service.NoSuchSession):
        say(pupils[0], "present", session="pm")  # nobody is present in advance
    for back in (1, 2):
        day = gate.DAY - timedelta(days=back)
        say(pupils[0], "present", day=day, reason="补登")
        if back == 1:
            say(pupils[1], "present", day=day, reason="补登")
    found = differences()
    assert {line.pupil.id for line in found.forgotten} == {pupils[0]}
    assert [(line.pupil.id, line.count) for line in found.forgetters] == [(pupils[0], 3)]


def test_a_register_is_overdue_twenty_minutes_after_the_bell_and_not_before(pupils, monkeypatch) -> None:
    assert overdue() == []
    gate.set_clock(monkeypatch, gate.at("08:10"))
    assert [each.session.name for each in overdue()] == ["am"]
    assert len(overdue("office")) == 1 and overdue("guard") == []
    finish()
    assert overdue() == []
    gate.set_clock(monkeypatch, gate.at("13:51"))
    assert [each.session.name for each in overdue()] == ["pm"]


def test_the_school_sets_when_a_register_is_overdue_or_never(pupils, monkeypatch) -> None:
    for minutes, expected in ((3, 1), (0, 0)):
        with transaction() as session:
            settings.set_policy(session, "mingde", RegisterPolicy, remind_after=minutes)
        assert len(overdue()) == expected


def overdue(login: str = "teacher") -> list[lists.Open]:
    who = user(login)
    return lists.overdue(who, db.session.get_one(School, "mingde"), clock.now())


def test_only_who_looks_after_a_class_may_speak_for_it(pupils) -> None:
    for login in ("guard", "counsellor"):
        with pytest.raises(NotAllowed):
            say(pupils[0], "present", by=login)
    with pytest.raises(NotFound), transaction() as session:
        stranger = uuid.uuid4()
        service.say(session, user_in(session), place_in(session), Saying(stranger, MarkKind.PRESENT), clock.now())
    assert gate.rows(TeacherMark, "id") == []


def test_a_day_that_is_over_is_corrected_by_a_teacher_for_two_weeks_and_by_the_office_always(pupils) -> None:
    old = next(
        day
        for day in (gate.DAY - timedelta(days=n) for n in range(20, 40))
        if calendar.sessions_on("mingde", "default", day)
    )
    with pytest.raises(NotAllowed):
        say(pupils[0], "present", day=old, reason="补登")
    assert say(pupils[0], "present", day=old, reason="补登", by="office") is not None
    assert verdict(pupils[0], day=old)["state"] == "present"
    with pytest.raises(NotAllowed):
        say(pupils[0], "present", day=gate.DAY + timedelta(days=1))


def test_a_correction_of_yesterday_changes_the_day_keeps_its_history_and_texts_nobody(pupils) -> None:
    day = gate.DAY - timedelta(days=1)
    say(pupils[0], "absent", day=day, reason="班主任记错")
    assert verdict(pupils[0], day=day)["state"] == "absent"
    say(pupils[0], "present", day=day, reason="在医务室")
    assert verdict(pupils[0], day=day)["state"] == "present"
    history = service.history(user(), pupils[0], day)
    assert [(mark.mark, by, mark.reason) for mark, by, _ in history] == [
        ("absent", "李静", "班主任记错"),
        ("present", "李静", "在医务室"),
    ]
    assert not texts("absent") and not texts("found")


def test_a_leave_the_teacher_knows_of_is_asked_for_and_excuses_nobody(pupils) -> None:
    say(pupils[2], "absent")
    for expected in (True, False):
        with transaction() as session:
            asked = service.ask_leave(session, user_in(session), place_in(session), pupils[2], clock.now())
            assert asked is expected
    assert gate.rows(Leave, "state") == ["asked"]
    assert verdict(pupils[2])["state"] == "present"


def test_an_excused_pupil_stands_apart_and_is_not_to_be_looked_at(pupils, monkeypatch) -> None:
    with transaction() as session:
        leave = Leave(school_id="mingde", pupil_id=pupils[0], kind="sick", state="approved", asked_at=clock.now())
        leave.starts_at, leave.ends_at = gate.at("00:00"), gate.at("24:00")
        session.add(leave)
        calendar.touched(session, "mingde", [gate.DAY], pupil_id=pupils[0])
    pass_time(monkeypatch, "07:57")
    looked = look()
    assert [row.pupil.id for row in looked.excused] == [pupils[0]]
    assert looked.totals["unlooked"] == 1


def test_the_sheet_costs_the_same_look_ups_for_six_pupils_and_for_more(pupils) -> None:
    with transaction() as session:
        room = session.scalars(select(SchoolClass)).one()
        for n in range(40):
            pupil = Pupil(
                school_id="mingde", class_id=room.id, number=f"9{n:03}", name=f"多{n}", created_at=clock.now()
            )
            session.add(pupil)
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        asked.append(statement)

    there, school = place(), db.session.get_one(School, "mingde")
    event.listen(db.engine, "before_cursor_execute", note)
    assert len(sheet.read(db.session(), school, there.room, gate.DAY, there.session).rows) == 46
    event.remove(db.engine, "before_cursor_execute", note)
    assert len(asked) <= 8


def test_the_register_to_take_is_the_newest_that_has_begun_or_soon_will() -> None:
    am, pm = calendar.rules.Session("am", 28_200, 42_600), calendar.rules.Session("pm", 48_600, 61_200)
    picked = [rules.pick((pm, am), at).name for at in (0, 27_000, 30_000, 46_799, 46_800, 80_000)]
    assert picked == ["am", "am", "am", "am", "pm", "pm"]
    assert rules.pick((am, pm), 0, asked="pm") == pm and rules.pick((), 0) is None
    assert Found.LEFT not in rules.IN_CLASS
