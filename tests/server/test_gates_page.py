"""The gates' page: what it says of each gate, who may see it, and who may do what."""

import datetime as dt

import msgspec
import pytest
from sqlalchemy import select, update

from gateway import wire
from server import clock
from server.accounts.rules import Grant
from server.accounts.service import create_user
from server.audit.models import AuditEntry
from server.db import db, transaction
from server.gates import jobs, selftests
from server.gates.models import Caretaker, GateFault, GateTest, Gateway
from tests import sample
from tests.server.site import Site, Visitor
from tests.server.test_pages import plain


@pytest.fixture
def office(site: Site) -> Visitor:
    """The office's visitor."""
    return site.visitor("wangmin")


def set_state(*readers: wire.ReaderState) -> None:
    """What the first gate says of itself."""
    now = clock.to_millis(clock.now())
    state = wire.State(online=True, birth=now, at=now, clock=wire.ClockState.SYNCED, readers=list(readers))
    with transaction() as session:
        found = session.scalars(select(Gateway).order_by(Gateway.id)).first()
        assert found is not None
        found.state, found.online, found.heard_at = msgspec.to_builtins(state), True, clock.now()


def reader(**changes: object) -> wire.ReaderState:
    """A reader that is well, but for the changes."""
    fields: dict = {"reader": "east-in", "health": wire.ReaderHealth.UP, "profile": "rdm6300"}
    return wire.ReaderState(**{**fields, **changes})


def first_gate(site: Site) -> str:
    """The id of the first gate."""
    with site.app.app_context():
        found = db.session.scalar(select(Gateway.id).order_by(Gateway.id))
    assert found is not None
    return found


def person(site: Site, login: str, *roles: str) -> Visitor:
    """Somebody with these roles over the whole school."""
    with site.app.app_context(), transaction():
        create_user("mingde", login, login, sample.PASSWORD, [Grant(role) for role in roles])
    return site.visitor(login)


def test_why_a_reader_is_down_stands_on_today_and_on_the_gates_page(site: Site, office: Visitor) -> None:
    down = wire.ReaderHealth.DOWN
    with site.app.app_context():
        set_state(reader(), reader(reader="east-out", health=down, why="held ModemManager"))
    for url in ("/", "/gates"):
        page = plain(office.text(url))
        assert "读卡器 east-out 被程序 ModemManager 占用" in page and "请让管理员从树莓派上卸载该程序" in page, url
        assert "读卡器 east-in" not in page


def test_a_fault_of_the_self_test_needs_a_person_until_it_is_mended(site: Site, office: Visitor) -> None:
    name = first_gate(site)
    with site.app.app_context(), transaction() as session:
        fault = GateFault(school_id="mingde", gateway_id=name, day=sample.DAY, part="spool", found="unwritten")
        fault.seen_at = clock.now() - dt.timedelta(minutes=10)
        session.add(fault)
    assert "网关写不了存储卡" in office.text("/") and "请更换 SD 卡" in office.text("/gates")
    with site.app.app_context(), transaction() as session:
        session.execute(update(GateFault).values(mended_at=clock.now()))
    assert "网关写不了存储卡" not in office.text("/")
    assert "已恢复：网关写不了存储卡" in office.text("/gates")


def test_a_self_test_is_asked_for_from_the_page_and_its_end_is_shown(site: Site, office: Visitor) -> None:
    name = first_gate(site)
    assert "尚未自检" in office.text("/gates")
    assert office.post(f"/gates/{name}/test").status_code == 303
    assert "正在自检，一分钟内出结果" in office.text("/gates")
    with site.app.app_context():
        with transaction() as session:
            (question,) = selftests.take_unsent(session, clock.now())
        with transaction():
            found = wire.Tested(number=question.command.number, at=0, checks={"spool": "ok"})
            selftests.answered("mingde", name, found, clock.now())
        jobs.judge_tests()
    assert "自检：一切正常" in office.text("/gates")


def test_a_gate_is_put_to_rest_and_into_use_again(site: Site, office: Visitor) -> None:
    name = first_gate(site)
    assert office.post(f"/gates/{name}/rest", resting="yes").status_code == 303
    assert "有意停用" in office.text("/gates") and "已停用" in office.text("/")
    assert office.post(f"/gates/{name}/rest", resting="no").status_code == 303
    assert "有意停用" not in office.text("/gates")
    with site.app.app_context():
        assert {"gate.rested", "gate.used"} <= set(db.session.scalars(select(AuditEntry.action)))


def test_caretakers_are_added_with_a_checked_number_that_is_shown_masked(site: Site, office: Visitor) -> None:
    assert "还没有人" in office.text("/gates")
    assert office.post("/gates/caretakers", name="王师傅", phone="139 0000 1234").status_code == 303
    page = office.text("/gates")
    assert "王师傅" in page and "139****1234" in page and "13900001234" not in page
    for name, phone in (("", "13900001234"), ("李师傅", "1390000"), ("李师傅", "x")):
        assert office.post("/gates/caretakers", name=name, phone=phone).status_code in {400, 409, 422}
    with site.app.app_context():
        (caretaker,) = db.session.scalars(select(Caretaker)).all()
        assert caretaker.phone == "+8613900001234"
    assert office.post(f"/gates/caretakers/{caretaker.id}/remove").status_code == 303
    assert "王师傅" not in office.text("/gates")


def test_a_guard_sees_and_changes_nothing(site: Site) -> None:
    guard, name = person(site, "guard1", "guard"), first_gate(site)
    assert "立即自检" not in guard.text("/gates") and "停用" not in guard.text("/gates")
    assert guard.post(f"/gates/{name}/test").status_code == 403
    assert guard.post(f"/gates/{name}/rest", resting="yes").status_code == 403
    assert guard.post("/gates/caretakers", name="x", phone="13900001234").status_code == 403
    with site.app.app_context():
        assert db.session.scalar(select(GateTest.id)) is None and db.session.scalar(select(Caretaker.id)) is None


def test_a_class_teacher_has_no_gates_page_and_no_link_to_it(site: Site) -> None:
    teacher = person(site, "teacher9", "class_teacher")
    assert teacher.get("/gates").status_code == 403 and 'href="/gates"' not in teacher.text("/")


@pytest.mark.parametrize("path", ["/gates/nothing/test", "/gates/nothing/rest"])
def test_a_gate_that_is_not_there_is_not_found(site: Site, office: Visitor, path: str) -> None:
    assert office.post(path, resting="yes").status_code == 404
