"""The absence board: what staff see of missing pupils, and every button: checked, audited, harmless when repeated."""

import re
import uuid

import pytest
from flask import g
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from server import clock, replies, settings
from server.absence.models import AbsenceCase, AbsenceStep, RegisterCall
from server.absence.rules import AbsencePolicy
from server.accounts.rules import Grant
from server.accounts.service import create_user
from server.attendance.models import TeacherMark
from server.audit.models import AuditEntry
from server.db import db, transaction
from server.gates.models import Gateway, Silence
from server.leave.models import Leave
from server.outbox import inbound
from server.outbox.models import InboundText
from server.outbox.providers.base import Heard
from server.people.models import Guardianship, Pupil, SchoolClass
from tests import sample
from tests.server import gate
from tests.server.site import Site, Visitor
from tests.server.test_absence import FATHER, MOTHER, cases, come, deliver, pass_time, pupils, reply, texts

__all__ = ["pupils"]
HELD, ASKED = "08:20:30", "08:20:40"


@pytest.fixture
def office(pupils: list[uuid.UUID], app) -> Visitor:
    """Somebody of the office, and people of other classes beside."""
    with transaction() as session:
        other = SchoolClass(school_id="mingde", name="八（3）班", grade=8)
        session.add(other)
        session.flush()
        [room] = session.scalars(select(SchoolClass.id).where(SchoolClass.name == "八（2）班"))
        for login, grant in (
            ("office", Grant("office")),
            ("teacher", Grant("class_teacher", class_id=room)),
            ("other", Grant("class_teacher", class_id=other.id)),
            ("guard", Grant("guard")),
            ("subject", Grant("subject_teacher", class_id=room)),
        ):
            create_user("mingde", login, login, sample.PASSWORD, [grant]).locale = "en"
    return visitor(app, "office")


class Person(Visitor):
    """Somebody who logs in anew for each page, for the clock jumps between them."""

    def __init__(self, app, login: str) -> None:
        super().__init__(app)
        self.app, self.login, self.since = app, login, gate.at("00:00")

    def get(self, url: str, **headers: str) -> TestResponse:
        self._log_in()
        return super().get(url, **headers)

    def post(self, url: str, **fields: str) -> TestResponse:
        self._log_in()
        return self.client.post(url, data={**fields, "csrf_token": self.known})

    def _log_in(self) -> None:
        forget()
        if abs((clock.now() - self.since).total_seconds()) < 1200:
            return
        someone = Visitor(self.app)
        assert someone.log_in(self.login).status_code == 303
        forget()
        self.client, self.known, self.since = someone.client, someone.token(), clock.now()
        forget()


def forget() -> None:
    """The tests' own context outlives a request, and with it what a request noted of its user."""
    db.session.rollback()
    for name in tuple(g):
        g.pop(name)


def visitor(app, login: str) -> Person:
    return Person(app, login)


def hold(monkeypatch) -> None:
    """Gate 1 was silent: the three missing ones are held."""
    with transaction() as session:
        session.merge(Gateway(school_id="mingde", id="gate-1", name="1号门 东门", heard_at=clock.now(), state={}))
        session.add(Silence(school_id="mingde", gateway_id="gate-1", starts=gate.at("07:20"), ends=gate.at("07:40")))
    pass_time(monkeypatch, HELD)


def case_of(pupil: uuid.UUID) -> AbsenceCase:
    db.session.rollback()
    return db.session.scalars(select(AbsenceCase).where(AbsenceCase.pupil_id == pupil)).one()


def actions() -> list[str]:
    wanted = ("absence.viewed", "class.viewed")
    return sorted(action for action in gate.rows(AuditEntry, "action") if action not in wanted)


def test_the_brake_says_what_happened_how_many_and_that_nobody_was_told(office, pupils, monkeypatch) -> None:
    hold(monkeypatch)
    page = office.text("/absence")
    assert "1号门 was silent 07:20–07:40." in page and "3 alerts held" in page
    assert "No parent has been told anything." in page and "leaves this list by itself" in page
    order = [page.index(words) for words in ("Ask 1 class to register", "Look one by one at 3", "Send anyway")]
    assert order == sorted(order)
    assert texts() == []


def test_the_classes_are_asked_to_register_once_and_their_teacher_sees_it(office, pupils, app, monkeypatch) -> None:
    hold(monkeypatch)
    for _ in range(2):
        assert office.post("/absence/call").status_code == 303
    assert len(gate.rows(RegisterCall, "id")) == 1 and actions() == ["register.called"]
    assert "Asked to register: 1 of 1 classes" in office.text("/absence")
    assert "Register 8 (2)" in visitor(app, "teacher").text("/")
    assert "Register 8 (2)" not in visitor(app, "other").text("/")


def test_a_register_taken_after_the_call_closes_it(office, pupils, app, monkeypatch) -> None:
    teacher = visitor(app, "teacher")
    room = db.session.get_one(Pupil, pupils[0]).class_id
    hold(monkeypatch)
    url = f"/register/{room}"
    assert teacher.post(f"{url}/finish", session="am").status_code == 303  # before the call: it is to be looked again
    pass_time(monkeypatch, "08:22")
    assert "You are asked to look" not in teacher.get(url).get_data(as_text=True)
    office.post("/absence/call")
    assert "You are asked to look" in teacher.get(url).get_data(as_text=True)
    assert "0 have looked" in office.text("/absence") and "Register 8 (2)" in teacher.text("/")
    pass_time(monkeypatch, "08:24")
    assert teacher.post(f"{url}/finish", session="am").status_code == 303
    assert "You are asked to look" not in teacher.get(url).get_data(as_text=True)
    assert "1 has looked" in office.text("/absence") and "Register 8 (2)" not in teacher.text("/")


def test_releasing_all_asks_again_with_the_count_and_refuses_another_count(office, pupils, monkeypatch) -> None:
    hold(monkeypatch)
    assert "Ask the families of 3 pupils?" in office.text("/absence/send")
    answer = office.post("/absence/send", seen="4")
    assert answer.status_code == 422 and "Meanwhile it is 3" in answer.get_data(as_text=True)
    assert set(cases("state")) == {"held"}
    assert office.post("/absence/send", seen="3").status_code == 303
    assert set(cases("state")) == {"asking"} and texts() == []
    pass_time(monkeypatch, "08:21:30")
    assert len(texts()) == 3  # though the gate's silence is still in the books: a person has looked


def test_a_release_can_be_taken_back_before_anything_left(office, pupils, monkeypatch) -> None:
    hold(monkeypatch)
    office.post("/absence/send", seen="3")
    pass_time(monkeypatch, ASKED)
    assert "3 families are about to be asked" in office.text("/absence")
    office.post("/absence/undo")
    assert set(cases("state")) == {"held"}
    pass_time(monkeypatch, "08:30")
    assert texts() == [] and actions().count("absence.held") == 3


def test_what_has_left_cannot_be_taken_back(office, pupils, monkeypatch) -> None:
    hold(monkeypatch)
    office.post("/absence/send", seen="3")
    pass_time(monkeypatch, "08:21:30")
    office.post("/absence/undo")
    assert set(cases("state")) == {"asking"} and len(texts()) == 3


def test_the_next_contact_is_asked_now_and_once(office, pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "08:20:30")
    url = f"/absence/{case_of(pupils[0]).id}/ask"
    for _ in range(2):
        assert office.post(url, asked="1").status_code == 303
        pass_time(monkeypatch, "08:21")
    assert [phone for phone, _ in texts()].count(FATHER) == 1
    office.post(url, asked="1")  # a page that was open since
    pass_time(monkeypatch, "08:22")
    assert len(gate.rows(AbsenceStep, "id")) == 4 and case_of(pupils[0]).state == "asking"


def test_ill_is_confirmed_with_one_click_and_excuses_the_pupil(office, pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "08:20:30")
    pass_time(monkeypatch, "08:29")
    deliver()
    reply(FATHER, "1")
    page = office.text("/absence")
    assert "Father: Ill" in page and "Confirm: ill" in page
    for _ in range(2):
        assert office.post(f"/absence/{case_of(pupils[0]).id}/confirm").status_code == 303
    assert gate.rows(Leave, "state") == ["approved"]
    assert case_of(pupils[0]).state == "closed"
    assert [phone for phone, _ in texts("found")] == [MOTHER]  # the father wrote it himself
    assert "请假已登记" in texts("found")[0][1] and actions().count("absence.confirmed") == 1


def test_a_person_closes_with_a_reason_and_words(office, pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "08:20:30")
    url = f"/absence/{case_of(pupils[1]).id}/close"
    for fields in ({}, {"reason": "ill"}, {"reason": "late", "words": "so"}, {"reason": "ill", "words": "x" * 201}):
        assert office.post(url, **fields).status_code == 422
    assert gate.rows(Leave, "id") == []
    assert office.post(url, reason="ill", words="妈妈来电：发烧").status_code == 303
    assert gate.rows(Leave, "state", "kind") == [("approved", "sick")]
    case = case_of(pupils[1])
    assert (case.state, case.reason, case.note) == ("closed", "ill", "妈妈来电：发烧")
    office.post(url, reason="leave", words="twice")
    assert case_of(pupils[1]).reason == "ill"
    assert "妈妈来电" not in str(db.session.connection().exec_driver_sql("SELECT note FROM absence_case").all())


def test_seen_here_is_a_mark_and_a_correction(office, pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "08:20:30")
    deliver()
    for _ in range(2):
        office.post(f"/absence/{case_of(pupils[1]).id}/seen")
    assert gate.rows(TeacherMark, "mark") == ["present"]
    assert case_of(pupils[1]).state == "found"
    assert texts("found") == [("+8613800000001", "【明德学校】学生1 老师已在课堂见到，前一条请忽略。")]
    assert "前一条请忽略" in office.text("/absence")


def test_a_held_one_who_is_here_leaves_without_a_word(office, pupils, monkeypatch) -> None:
    hold(monkeypatch)
    office.post(f"/absence/{case_of(pupils[0]).id}/seen")
    come(1, at="08:25")
    pass_time(monkeypatch, "08:25:10")
    assert [case_of(pupil).state for pupil in pupils[:3]] == ["found", "found", "held"]
    assert texts("found") == [] and "So far: 2." in office.text("/absence")


def test_the_switch_is_shown_everywhere_and_belongs_to_head_and_office(office, pupils, app, monkeypatch) -> None:
    pass_time(monkeypatch, "08:20:30")
    teacher = visitor(app, "teacher")
    assert teacher.post("/absence/stop").status_code == 403
    for _ in range(2):
        assert office.post("/absence/stop").status_code == 303
    assert settings.policy("mingde", AbsencePolicy).stopped and actions().count("absence.stopped") == 1
    for page in (teacher.text("/absence"), teacher.text("/")):
        assert "switched off" in page
    pass_time(monkeypatch, "08:29")
    assert office.post(f"/absence/{case_of(pupils[0]).id}/release").status_code == 422
    office.post("/absence/go-on")
    assert not settings.policy("mingde", AbsencePolicy).stopped


@pytest.mark.parametrize(("login", "code"), [("teacher", 303), ("guard", 403), ("subject", 403), ("other", 404)])
def test_only_who_decides_for_the_class_may_press_a_button(office, pupils, app, monkeypatch, login, code) -> None:
    hold(monkeypatch)
    someone = visitor(app, login)
    for action in ("release", "ask", "confirm", "seen"):
        assert someone.post(f"/absence/{case_of(pupils[0]).id}/{action}").status_code == code
    assert ("学生0" in someone.text("/absence")) == (login != "other")
    assert someone.post("/absence/send", seen="3").status_code in {303 if code == 303 else 422, 422}
    assert (case_of(pupils[2]).state == "held") or login == "teacher"


def test_a_familys_words_are_for_those_who_decide(office, pupils, app, monkeypatch) -> None:
    pass_time(monkeypatch, "08:20:30")
    deliver()
    reply(MOTHER, "昨晚发烧")
    assert "昨晚发烧" in visitor(app, "teacher").text("/absence")
    assert "昨晚发烧" not in visitor(app, "guard").text("/absence")


def test_the_board_sorts_by_need(office, pupils, monkeypatch) -> None:
    with transaction() as session:
        session.execute(update(Guardianship).where(Guardianship.pupil_id == pupils[2]).values(barred=True))
    pass_time(monkeypatch, "08:20:30")
    deliver()
    reply("+8613800000001", "3")
    names = re.findall(r"<b>(学生\d)</b>", office.text("/absence"))
    assert names == ["学生2", "学生0", "学生1"]


def test_today_says_what_families_know(office, pupils, monkeypatch) -> None:
    pass_time(monkeypatch, "08:20:30")
    page = office.text("/")
    assert "No parent has been told" not in page  # they are being asked
    with transaction() as session:
        session.add(Silence(school_id="mingde", gateway_id="gate-1", starts=gate.at("07:20"), ends=gate.at("07:40")))
    pass_time(monkeypatch, "08:22")
    page = office.text("/")
    assert "3 alerts are held" in page and "3 families had been asked before." in page


def write(phone: str, body: str) -> None:
    with transaction() as session:
        inbound.take(session, "kannel", Heard(phone, body), clock.now())
    replies.hand_out()


def test_replies_are_shown_to_those_of_the_class_with_the_text_before(office, pupils, app, monkeypatch) -> None:
    come(0, at="07:42")
    deliver()
    write(MOTHER, "谢谢老师")
    write("+8613711112222", "你是谁")
    page = office.text("/replies")
    assert "谢谢老师" in page and "你是谁" in page and "07:42" in page and "学生0" in page
    assert MOTHER not in page
    page = visitor(app, "teacher").text("/replies")
    assert "谢谢老师" in page and "你是谁" not in page
    assert "谢谢老师" not in visitor(app, "other").text("/replies")
    for login in ("guard", "subject"):
        assert visitor(app, login).get("/replies").status_code == 403
    assert "2 replies of families are unread" in office.text("/")


def test_a_reply_is_read_once_and_by_those_of_the_class(office, pupils, app) -> None:
    come(0, at="07:42")
    deliver()
    write(MOTHER, "谢谢老师")
    [reply_id] = gate.rows(InboundText, "id")
    assert visitor(app, "other").post(f"/replies/{reply_id}/read").status_code == 404
    for _ in range(2):
        assert visitor(app, "teacher").post(f"/replies/{reply_id}/read").status_code == 303
    assert gate.rows(InboundText, "handled_as") == ["read"] and actions().count("reply.read") == 1
    assert "谢谢老师" not in office.text("/replies")


def test_stop_ends_gate_texts_to_that_number_when_a_person_says_so(office, pupils, app, monkeypatch) -> None:
    come(0, at="07:42")
    deliver()
    write(MOTHER, "TD")
    page = office.text("/replies")
    assert "Wants no more texts." in page and "End texts to this number" in page
    assert all(gate.rows(Guardianship, "gate_texts"))
    [reply_id] = gate.rows(InboundText, "id")
    for _ in range(2):
        assert office.post(f"/replies/{reply_id}/end").status_code == 303
    off = select(Guardianship.pupil_id, Guardianship.rank).where(Guardianship.gate_texts.is_(False))
    assert db.session.execute(off).all() == [(pupils[0], 1)]
    assert actions().count("texts.ended") == 1 and gate.rows(InboundText, "handled_as") == ["stop"]
    gate.set_clock(monkeypatch, gate.at("11:56"))
    come(0, 5, at="11:55", direction="out")
    assert [phone for phone, _ in texts("out")] == ["+8613800000005", FATHER]


def test_a_parents_phone_in_the_demo_writes_back(site: Site) -> None:
    someone = site.visitor("wangmin")
    recipient = re.findall(r'href="/phone/([^"?]+)"', someone.text("/phone"))[0]
    assert someone.post(f"/phone/{recipient}", body="孩子发烧了").status_code == 303
    assert "孩子发烧了" in someone.text(f"/phone/{recipient}")
    with site.app.app_context():
        assert gate.rows(InboundText, "sender", "provider", "body") == [(recipient, "phone", "孩子发烧了")]
    for body in ("", " ", "x" * 201):
        assert someone.post(f"/phone/{recipient}", body=body).status_code == 422
    assert someone.post("/phone/nobody", body="1").status_code == 404
    assert site.visitor("lijing").post(f"/phone/{recipient}", body="1").status_code == 403
