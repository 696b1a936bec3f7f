"""The guard's book, slips and passes: facts like taps, each once, and codes that nobody can make up or use twice."""

import threading
import uuid
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, text

from server import clock, pipeline
from server.accounts.models import User
from server.accounts.rules import Grant
from server.accounts.service import create_user
from server.attendance.gatebook import Reason
from server.attendance.models import ManualPassage, PupilDay
from server.audit.models import AuditEntry
from server.db import db, new_id, transaction
from server.errors import NotAllowed, NotFound, Refused
from server.leave.models import Leave
from server.outbox.models import OutboxText
from server.people.models import Guardian, SchoolClass
from server.register import desk, passes
from server.register.models import GatePass
from server.register.rules import PassState
from server.schools.models import School
from tests import sample
from tests.server import gate


@pytest.fixture
def pupils(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[uuid.UUID]:
    """Three pupils, nobody has come; 07:40 at a school whose lessons begin at 07:50."""
    gate.set_clock(monkeypatch, gate.at("07:40"))
    school, pupils = gate.add_school(3)
    with transaction() as session:
        room = session.scalars(select(SchoolClass)).one()
        for login, role in (("guard", "guard"), ("office", "office"), ("counsellor", "counsellor")):
            create_user(school.id, login, login, sample.PASSWORD, [Grant(role)])
        create_user(school.id, "teacher", "李静", sample.PASSWORD, [Grant("class_teacher", class_id=room.id)])
    return pupils


def record(pupil: uuid.UUID, direction: str = "in", *, by: str = "guard", form: uuid.UUID | None = None) -> bool:
    with transaction() as session:
        return desk.record(
            session,
            user_in(session, by),
            pupil,
            form=form or new_id(),
            direction=direction,
            reason=Reason.FORGOTTEN,
            now=clock.now(),
        )


def user_in(session, login: str = "guard") -> User:
    return session.scalars(select(User).where(User.login == login)).one()


def user(login: str = "guard") -> User:
    db.session.rollback()
    return user_in(db.session(), login)


def school() -> School:
    return db.session.get_one(School, "mingde")


def bodies() -> list[str]:
    db.session.rollback()
    return list(db.session.scalars(select(OutboxText.body).order_by(OutboxText.created_at, OutboxText.body)))


def day_of(pupil: uuid.UUID) -> PupilDay:
    db.session.rollback()
    return db.session.get_one(PupilDay, (pupil, gate.DAY), populate_existing=True)


def tap(n: int, at: str, direction: str = "in") -> None:
    taps = [gate.tap(1, gate.at(at), card=gate.card_of(n), direction=direction, spool=f"{uuid.uuid4().int >> 64:016x}")]
    pipeline.handle([gate.delivery(taps, gate.at(at))], gate.at(at))


def test_an_entry_written_down_counts_and_is_told_like_a_tap(pupils) -> None:
    assert record(pupils[0])
    assert day_of(pupils[0]).status == "in_school" and day_of(pupils[0]).inside
    assert bodies() == ["【明德学校】学生0 07:40 已到校（门卫登记）。"]
    assert gate.rows(AuditEntry, "action", "subject") == [("passage.recorded", f"pupil:{pupils[0]}")]


def test_late_and_leaving_say_the_guard_too_also_in_english(pupils, monkeypatch) -> None:
    with transaction() as session:
        for guardian in session.scalars(select(Guardian)):
            guardian.locale = "en" if guardian.name == "家长1" else "zh_Hans_CN"
    gate.set_clock(monkeypatch, gate.at("08:02"))
    record(pupils[0])
    record(pupils[1])
    gate.set_clock(monkeypatch, gate.at("10:30"))
    record(pupils[0], "out")
    assert sorted(bodies()) == sorted(
        [
            "【明德学校】学生0 08:02 到校（迟到 12 分钟），门卫登记。",
            "【明德学校】学生1 08:02 arrived 12 min late (recorded by the guard).",
            "【明德学校】学生0 10:30 离校（早退 80 分钟），门卫登记。",
        ]
    )


def test_a_form_sent_twice_is_one_passage_and_one_text(app: Flask, pupils) -> None:
    form, start, answers = new_id(), threading.Barrier(4), []

    def click() -> None:
        with app.app_context():
            start.wait(10)
            answers.append(record(pupils[0], form=form))
            db.session.remove()

    threads = [threading.Thread(target=click) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answers) == [False, False, False, True]
    assert len(gate.rows(ManualPassage, "id")) == 1 and len(bodies()) == 1


def test_a_card_read_after_all_changes_nothing_and_is_not_told_again(pupils, monkeypatch) -> None:
    record(pupils[0])
    tap(0, "07:40:30")
    assert len(bodies()) == 1
    assert day_of(pupils[0]).verdict["flags"] == ["in_in"]


def test_an_exit_written_down_ends_the_stay_that_a_card_began(pupils, monkeypatch) -> None:
    tap(0, "07:41")
    gate.set_clock(monkeypatch, gate.at("09:00"))
    record(pupils[0], "out")
    assert not day_of(pupils[0]).inside
    assert bodies()[-1] == "【明德学校】学生0 09:00 离校（早退 170 分钟），门卫登记。"


def test_only_the_gate_and_the_office_write_into_the_book(pupils) -> None:
    for login in ("teacher", "counsellor"):
        with pytest.raises(NotAllowed):
            record(pupils[0], by=login)
        with pytest.raises(NotAllowed):
            desk.found(user(login), school(), "学生", clock.now())
    assert record(pupils[0], by="office")
    with pytest.raises(NotFound):
        record(uuid.uuid4())


def leave_of(pupil: uuid.UUID, begins: str = "10:00", ends: str = "11:00", state: str = "approved") -> uuid.UUID:
    with transaction() as session:
        leave = Leave(school_id="mingde", pupil_id=pupil, kind="sick", state=state, asked_at=clock.now())
        leave.starts_at, leave.ends_at = gate.at(begins), gate.at(ends)
        session.add(leave)
        session.flush()
        return leave.id


def test_a_guard_sees_whether_a_pupil_may_leave_and_never_why(pupils, monkeypatch) -> None:
    leave_of(pupils[0])
    found, more = desk.found(user(), school(), "学生", clock.now())
    assert not more and [each.may.kind for each in found] == ["pass", "lessons", "lessons"]
    assert (found[0].may.starts, found[0].may.ends) == (gate.at("10:00"), gate.at("11:00"))
    assert "sick" not in repr(found)
    gate.set_clock(monkeypatch, gate.at("17:01"))
    assert desk.found(user(), school(), "学生1", clock.now())[0][0].may.kind == "over"
    assert desk.found(user(), school(), "20260002", clock.now())[0][0].pupil.name == "学生2"


def given(leave: uuid.UUID, by: str = "teacher") -> str:
    with transaction() as session:
        return passes.code_of(passes.exit_pass(session, user_in(session, by), leave, clock.now()).id)


def state(code: str) -> PassState:
    return passes.paper(user(), code, clock.now()).state


def test_an_exit_pass_lets_out_once_and_writes_the_exit_down(pupils, monkeypatch) -> None:
    tap(0, "07:41")
    code = given(leave_of(pupils[0]))
    assert state(code) is PassState.EARLY
    gate.set_clock(monkeypatch, gate.at("10:01"))
    assert state(code) is PassState.VALID
    for expected in (True, False):
        with transaction() as session:
            assert passes.use(session, user_in(session), code, clock.now()) is expected
    assert state(code) is PassState.USED
    assert day_of(pupils[0]).status == "left"
    assert gate.rows(ManualPassage, "direction", "reason") == [("out", "pass")]


def test_of_two_guards_who_scan_at_the_same_moment_one_is_told_that_it_is_used(app: Flask, pupils, monkeypatch) -> None:
    code = given(leave_of(pupils[0]))
    gate.set_clock(monkeypatch, gate.at("10:01"))
    start, answers = threading.Barrier(3), []

    def scan() -> None:
        with app.app_context():
            start.wait(10)
            with transaction() as session:
                answers.append(passes.use(session, user_in(session), code, clock.now()))
            db.session.remove()

    threads = [threading.Thread(target=scan) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answers) == [False, False, True]
    assert len(gate.rows(ManualPassage, "id")) == 1


def test_a_pass_ends_with_its_leave_and_with_its_approval(pupils, monkeypatch) -> None:
    code, other = given(leave_of(pupils[0])), given(leave_of(pupils[1], "08:00", "17:00"))
    gate.set_clock(monkeypatch, gate.at("11:00"))
    assert state(code) is PassState.EXPIRED and state(other) is PassState.VALID
    with transaction() as session:
        session.execute(text("UPDATE leave SET state = 'withdrawn'"))
    assert state(other) is PassState.WITHDRAWN


def test_a_pass_asked_for_twice_is_the_same_and_needs_approved_leave(pupils) -> None:
    leave = leave_of(pupils[0])
    assert given(leave) == given(leave, "office")
    assert len(gate.rows(GatePass, "id")) == 1
    for refused in (leave_of(pupils[1], state="asked"), leave_of(pupils[2], "06:00", "07:00")):
        with pytest.raises(Refused):
            given(refused)
    with pytest.raises(NotAllowed):
        given(leave, "counsellor")


def test_a_code_that_was_not_made_here_is_no_pass(pupils) -> None:
    code = given(leave_of(pupils[0]))
    assert len(code) == 48
    wrong = [
        code[:-1] + ("0" if code[-1] != "0" else "1"),
        code[::-1],
        code.lower(),
        code + "0",
        "",
        new_id().hex.upper(),
    ]
    for each in wrong:
        with pytest.raises(NotFound):
            passes.paper(user(), each, clock.now())
    other = new_id()
    with pytest.raises(NotFound):  # well signed, and of no pass
        passes.paper(user(), passes.code_of(other), clock.now())


def test_a_late_slip_is_for_who_came_late_and_is_taken_by_the_teacher(pupils, monkeypatch) -> None:
    with pytest.raises(Refused), transaction() as session:
        passes.late_slip(session, user_in(session), pupils[0], clock.now())
    gate.set_clock(monkeypatch, gate.at("08:02"))
    record(pupils[0])
    with transaction() as session:
        slip = passes.late_slip(session, user_in(session), pupils[0], clock.now())
        code, minutes = passes.code_of(slip.id), slip.minutes
    assert minutes == 12 and state(code) is PassState.VALID
    with transaction() as session:
        assert passes.use(session, user_in(session, "teacher"), code, clock.now())
    assert state(code) is PassState.USED
    assert gate.rows(ManualPassage, "direction") == ["in"]


def test_a_late_slip_expires_after_two_hours(pupils, monkeypatch) -> None:
    gate.set_clock(monkeypatch, gate.at("08:02"))
    record(pupils[0])
    with transaction() as session:
        code = passes.code_of(passes.late_slip(session, user_in(session), pupils[0], clock.now()).id)
    gate.set_clock(monkeypatch, gate.at("08:03") + timedelta(hours=2))
    assert state(code) is PassState.EXPIRED


def test_the_square_holds_the_address_and_nothing_else() -> None:
    drawn = passes.square("http://127.0.0.1/p/ABC")
    assert drawn.startswith("<svg") and "style=" not in drawn and "<script" not in drawn
