"""Missing pupils: asked about once, contact by contact, corrected at once, and held wherever there is doubt."""

import threading
import uuid
from datetime import timedelta

import pytest
from flask import Flask, current_app
from sqlalchemy import select, text

from server import clock, crypt, pipeline, replies, settings
from server.absence import jobs, rules
from server.absence.models import AbsenceCase, AbsenceShare, AbsenceStep
from server.absence.rules import AbsencePolicy
from server.attendance import marks
from server.attendance import rules as days
from server.attendance import service as attendance
from server.calendar import service as calendar
from server.db import db, transaction
from server.gates.models import Gateway, Silence
from server.leave.models import Leave
from server.outbox import inbound
from server.outbox.models import OutboxText
from server.outbox.providers.base import Heard
from server.people.models import Guardian, Guardianship, Pupil, Relation
from server.schools.models import School
from tests.server import gate

MOTHER, FATHER = "+8613800000000", "+8613900000000"


@pytest.fixture
def pupils(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[uuid.UUID]:
    """Thirty pupils, of whom the first has a father too; 27 came in."""
    gate.set_clock(monkeypatch, gate.at("07:30"))
    pupils = gate.add_school(30)[1]
    with transaction() as session:
        father = Guardian(school_id="mingde", name="父亲", phone=FATHER, verified_at=clock.now(), locale="en")
        father.phone_hash = crypt.look_up(FATHER)
        session.add(father)
        session.flush()
        ship = Guardianship(school_id="mingde", pupil_id=pupils[0], guardian_id=father.id, rank=2)
        ship.relation = Relation.FATHER
        session.add(ship)
    come(*range(3, 30))
    return pupils


def come(*numbers: int, at: str = "07:41", direction: str = "in") -> None:
    taps = [
        gate.tap(1, gate.at(at), card=gate.card_of(n), spool=f"{uuid.uuid4().int >> 64:016x}", direction=direction)
        for n in numbers
    ]
    for start in range(0, len(taps), 50):
        pipeline.handle([gate.delivery(taps[start : start + 50], gate.at(at))], gate.at(at))


def pass_time(monkeypatch: pytest.MonkeyPatch, clock_time: str) -> None:
    gate.set_clock(monkeypatch, gate.at(clock_time))
    with current_app.app_context():
        pipeline.time_passes()
        pipeline.facts_change()
        jobs.ask_for_the_missing()


def cases(*columns: str) -> list:
    return gate.rows(AbsenceCase, *columns)


def texts(kind: str = "absent") -> list[tuple[str, str]]:
    db.session.rollback()
    rows = db.session.scalars(select(OutboxText).where(OutboxText.kind == kind)).all()
    return sorted((row.phone, row.body) for row in rows)


def deliver() -> None:
    with transaction() as session:
        session.execute(text("UPDATE outbox_text SET state = 'delivered', attempts = 1"))


def reply(phone: str, body: str) -> None:
    with transaction() as session:
        inbound.take(session, "kannel", Heard(phone, body), clock.now())
    replies.hand_out()


def test_nobody_is_asked_about_before_the_cut_off(pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "08:19")
    assert cases("id") == [] and texts() == []


def test_at_the_cut_off_the_first_contact_of_each_missing_pupil_is_asked_once(pupils, monkeypatch) -> None:
    for moment in ("08:20:30", "08:21", "08:25"):
        pass_time(monkeypatch, moment)
    assert cases("pupil_id", "state") == sorted([(pupil, "asking") for pupil in pupils[:3]], key=repr)
    assert [phone for phone, _ in texts()] == [f"+86138{n:08}" for n in range(3)]
    assert texts()[0][1] == "【明德学校】学生0 到 08:20 校门没见到。请回复 1病假 2迟到 3在路上，或直接写原因。"
    assert all(len(body) <= 70 for _, body in texts())


def test_the_ladder_asks_the_next_contact_and_ends_with_a_person(pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "08:20:30")
    pass_time(monkeypatch, "08:27")
    assert len(texts()) == 3
    pass_time(monkeypatch, "08:29")
    assert texts()[-1] == (
        FATHER,
        "【明德学校】学生0: not seen at the gate by 08:29. Reply 1 ill, 2 late, 3 on the way, or write why.",
    )
    states = {pupil: state for pupil, state in cases("pupil_id", "state")}
    assert [states[pupil] for pupil in pupils[:3]] == ["asking", "person", "person"]
    pass_time(monkeypatch, "08:40")
    assert set(cases("state")) == {"person"} and len(texts()) == 4


def test_a_pupil_whom_nobody_can_be_texted_about_goes_to_a_person_at_once(pupils, monkeypatch) -> None:
    with transaction() as session:
        session.execute(text("UPDATE guardian SET verified_at = NULL"))
    pass_time(monkeypatch, "08:20:30")
    assert set(cases("state")) == {"person"} and texts() == []


def test_a_barred_guardian_is_never_asked(pupils, monkeypatch) -> None:
    with transaction() as session:
        session.query(Guardianship).filter_by(pupil_id=pupils[0], rank=1).update({"barred": True})
    for moment in ("08:20:30", "08:29"):
        pass_time(monkeypatch, moment)
    assert MOTHER not in [phone for phone, _ in texts()]
    assert FATHER in [phone for phone, _ in texts()]


def test_a_tap_after_the_question_corrects_it_to_everybody_who_was_asked(pupils, monkeypatch) -> None:
    for moment in ("08:20:30", "08:29"):
        pass_time(monkeypatch, moment)
        deliver()
    come(0, at="08:52")
    pass_time(monkeypatch, "08:52:05")
    assert sorted(texts("found")) == [
        (MOTHER, "【明德学校】学生0 08:52 已到校，前一条请忽略。"),
        (FATHER, "【明德学校】学生0 is in school since 08:52. Please ignore our last message."),
    ]
    pass_time(monkeypatch, "09:30")
    assert len(texts("found")) == 2
    assert ("found" in cases("state")) and len(texts()) == 4


def test_a_question_that_still_waits_in_the_queue_is_taken_out_and_not_corrected(pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "08:20:30")
    come(0, 1, at="08:21")
    pass_time(monkeypatch, "08:21:05")
    assert texts("found") == []
    states = gate.rows(OutboxText, "kind", "state")
    assert [state for kind, state in states if kind == "absent"].count("expired") == 2


def mark(pupil: uuid.UUID, kind: days.MarkKind) -> None:
    with transaction() as session:
        marks.add(session, "mingde", uuid.uuid4(), [marks.Seen(pupil, gate.DAY, "am", kind)], clock.now())
        attendance.apply(session.get_one(School, "mingde"), [(pupil, gate.DAY)], clock.now())


def test_a_teachers_mark_corrects_too_and_says_who_saw_the_child(pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "08:20:30")
    deliver()
    mark(pupils[1], days.MarkKind.PRESENT)
    pass_time(monkeypatch, "08:22")
    assert texts("found") == [("+8613800000001", "【明德学校】学生1 老师已在课堂见到，前一条请忽略。")]


@pytest.mark.parametrize(("body", "reason"), [
    ("1", "ill"), (" １ ", "ill"), ("1。", "ill"), ("2", "late"), ("3", "on_way"), ("11", "words"), ("发烧了", "words"),
])  # fmt: skip
def test_an_answer_stops_the_ladder_and_keeps_what_was_written(pupils, monkeypatch, body: str, reason: str) -> None:
    pass_time(monkeypatch, "08:20:30")
    deliver()
    reply(MOTHER, body)
    assert [row for row in cases("state", "reason", "words") if row[1]] == [("answered", reason, body)]
    pass_time(monkeypatch, "08:29")
    assert FATHER not in [phone for phone, _ in texts()]
    assert gate.rows(Leave, "kind", "state") == ([("sick", "asked")] if reason == "ill" else [])


def test_on_the_way_and_still_not_here_is_a_persons_task(pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "08:20:30")
    deliver()
    reply(MOTHER, "3")
    pass_time(monkeypatch, "08:39")
    assert "answered" in cases("state")
    pass_time(monkeypatch, "08:41")
    states = {pupil: state for pupil, state in cases("pupil_id", "state")}
    assert states[pupils[0]] == "person"


def test_a_stranger_or_a_later_day_answers_nothing(pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "08:20:30")
    deliver()
    reply("+8613700000000", "1")
    reply(f"+86138{20:08}", "1")  # a mother who was asked nothing
    assert set(cases("state")) == {"asking"}
    assert len(inbound.unread("mingde")) == 2


def hold(monkeypatch, *present: int) -> list[tuple[str, list[str]]]:
    pass_time(monkeypatch, "08:20:30")
    return [(state, why) for state, why in cases("state", "why")]


def test_a_class_with_too_many_missing_waits_for_a_person(app, monkeypatch) -> None:
    gate.set_clock(monkeypatch, gate.at("07:30"))
    gate.add_school(30)
    come(*range(5, 30))
    found = hold(monkeypatch)
    assert found == [("held", ["class"])] * 5 and texts() == []
    # whoever comes leaves the list without a word to anybody
    come(0, at="08:30")
    pass_time(monkeypatch, "08:31")
    assert sorted(cases("state")) == ["found", "held", "held", "held", "held"]
    assert texts("found") == []


def test_a_class_that_is_often_so_empty_is_asked_about(app, monkeypatch) -> None:
    gate.set_clock(monkeypatch, gate.at("07:30"))
    pupils = gate.add_school(30)[1]
    with transaction() as session:
        room = session.get_one(Pupil, pupils[0]).class_id
        for n in range(1, 11):
            row = AbsenceShare(school_id="mingde", class_id=room, date=gate.DAY - timedelta(days=n), session="am")
            row.expected, row.missing = 30, 4
            session.add(row)
    come(*range(5, 30))
    assert {state for state, _ in hold(monkeypatch)} == {"asking"}


def test_a_gate_that_was_silent_holds_all_of_them(pupils, monkeypatch) -> None:
    with transaction() as session:
        silence = Silence(school_id="mingde", gateway_id="gate-1", starts=gate.at("05:00"), ends=gate.at("05:30"))
        session.add_all([silence, Gateway(school_id="mingde", id="gate-1", name="1号门")])
    assert hold(monkeypatch) == [("held", ["gate_silent"])] * 3


def test_a_make_up_day_and_the_first_day_after_a_break_wait_for_a_person(pupils, monkeypatch) -> None:
    with transaction() as session:
        calendar.set_make_up(session, "mingde", day=gate.DAY, as_weekday=2)
    assert hold(monkeypatch) == [("held", ["unusual_day"])] * 3


def test_the_switch_stops_everything_and_a_running_ladder_too(pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "08:20:30")
    with transaction() as session:
        settings.set_policy(session, "mingde", AbsencePolicy, stopped=True)
    pass_time(monkeypatch, "08:29")
    assert len(texts()) == 3
    assert {state: why for state, why in cases("state", "why")} == {"held": ["stopped"]}


def test_a_gap_that_is_noticed_after_the_question_stops_the_ladder(pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "08:20:30")
    deliver()
    with transaction() as session:
        session.add(Silence(school_id="mingde", gateway_id="gate-1", starts=gate.at("07:20"), ends=gate.at("07:40")))
    pass_time(monkeypatch, "08:22")
    assert set(cases("state")) == {"held"} and texts("found") == []
    pass_time(monkeypatch, "08:40")
    assert len(texts()) == 3


def test_each_session_is_its_own_question(pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "08:20:30")
    pass_time(monkeypatch, "14:01")
    assert sorted(cases("session", "n")) == [("am", 1)] * 3 + [("pm", 2)] * 3


def test_the_counts_of_a_cut_off_are_kept_once(pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "08:20:30")
    come(0, at="08:30")
    pass_time(monkeypatch, "08:31")
    assert gate.rows(AbsenceShare, "session", "expected", "missing") == [("am", 30, 3)]


def test_two_workers_ask_each_family_once(pupils, monkeypatch, app: Flask) -> None:
    gate.set_clock(monkeypatch, gate.at("08:20:30"))
    pipeline.time_passes()
    errors: list[BaseException] = []

    def work() -> None:
        with app.app_context():
            try:
                jobs.ask_for_the_missing()
            except Exception as error:  # noqa: BLE001
                errors.append(error)
            finally:
                db.session.remove()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    app.extensions.pop("gatebell-absence", None)
    jobs.ask_for_the_missing()
    assert len(texts()) == len(gate.rows(AbsenceStep, "id")) == 3
    assert not errors


def test_a_day_that_is_over_is_asked_about_no_more(pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "08:20:30")
    pass_time(monkeypatch, "32:30")
    assert set(cases("date", "state")) >= {(gate.DAY, "closed")}


SHARES = [
    (rules.Share(rules.Why.CLASS, 45, 3), False),
    (rules.Share(rules.Why.CLASS, 45, 6), False),
    (rules.Share(rules.Why.CLASS, 45, 7), True),
    (rules.Share(rules.Why.CLASS, 45, 45), True),
    (rules.Share(rules.Why.CLASS, 10, 3), False),
    (rules.Share(rules.Why.CLASS, 45, 9, (0.1, 0.1, 0.1)), False),
    (rules.Share(rules.Why.GRADE, 270, 26), False),
    (rules.Share(rules.Why.GRADE, 270, 27), True),
    (rules.Share(rules.Why.SCHOOL, 800, 63), False),
    (rules.Share(rules.Why.SCHOOL, 800, 64), True),
    (rules.Share(rules.Why.SCHOOL, 0, 0), False),
]


@pytest.mark.parametrize(("share", "abnormal"), SHARES)
def test_what_share_is_abnormal(share: rules.Share, abnormal: bool) -> None:
    assert rules.is_abnormal(share, AbsencePolicy()) is abnormal


def test_a_request_for_leave_answers_the_question_too_and_its_yes_makes_the_leave(pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "08:20:30")
    reply(MOTHER, "发烧，今天请假")
    assert texts("leave") and "对吗" in texts("leave")[0][1]
    states = dict(cases("pupil_id", "state"))
    assert states[pupils[0]] == "answered"
    pass_time(monkeypatch, "08:29")
    assert FATHER not in [phone for phone, _ in texts()]
    reply(MOTHER, "是")
    assert gate.rows(Leave, "pupil_id", "state") == [(pupils[0], "asked")]
