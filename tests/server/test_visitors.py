"""The desk: visitors in and out, the host who is told, staff by badge or word, and what is deleted in time."""

import uuid
from datetime import timedelta

from sqlalchemy import func, select

from server import clock, crypt
from server.db import db, transaction
from server.outbox.models import OutboxText
from server.rollcall import desk, presence
from server.rollcall.models import RollEntry, StaffMember, Visit
from server.schools.models import School
from tests import sample
from tests.server.site import Site, Visitor
from tests.server.test_rollcall import office, rows, start

__all__ = ["office"]


def test_a_visitor_is_on_the_roll_and_may_be_signed_out_once(site: Site, office: Visitor) -> None:
    guard, key = site.visitor("menwei"), str(uuid.uuid4())
    for _ in range(2):
        response = guard.post("/visitors", name="王先生", host="李老师", purpose="送材料", badge="7", key=key)
        assert response.status_code == 303
    [visit] = rows(site, Visit)
    taken = guard.post("/visitors", name="另一位", host="", purpose="", badge="7")
    assert taken.status_code == 422 and "王先生" in taken.get_data(as_text=True)
    assert guard.post("/visitors", name=" ", host="", purpose="", badge="").status_code == 422
    url = start(guard)
    assert "王先生" in guard.text(f"{url}/parts/visitors")
    assert site.visitor("lijing").get("/visitors").status_code == 403
    assert site.visitor("lijing").get(f"{url}/parts/visitors").status_code == 404
    assert guard.post(f"/visitors/{visit.id}/out").status_code == 303
    [first] = rows(site, Visit)
    guard.post(f"/visitors/{visit.id}/out")
    [second] = rows(site, Visit)
    assert first.left_at == second.left_at is not None
    assert "王先生" in guard.text(f"{url}/parts/visitors")  # signed out after the alarm, still on the roll


def test_the_host_is_told_by_text_when_there_is_a_number_and_else_on_today(site: Site, office: Visitor) -> None:
    def add(name: str, phone: str, login: str) -> None:
        response = office.post("/visitors/staff", staff_name=name, card="", phone=phone, login=login)
        assert response.status_code == 303, response.get_data(as_text=True)

    add("刘老师", "13800001111", "")
    add("李静", "", "lijing")
    office.post("/visitors", name="王先生", host="刘老师", purpose="送材料", badge="1")
    office.post("/visitors", name="陈女士", host="李静", purpose="", badge="2")
    [text] = [text for text in rows(site, OutboxText) if text.kind == desk.KIND]
    assert text.recipient == crypt.look_up("+8613800001111")
    assert text.body.startswith("【明德学校】王先生") and "送材料" in text.body and len(text.body) <= 70
    today = site.visitor("lijing").text("/")
    assert "陈女士" in today and "王先生" not in today
    assert "陈女士" not in site.visitor("zhaoqiang").text("/")


def test_staff_are_inside_by_badge_or_by_the_desks_word(site: Site, office: Visitor) -> None:
    card, now = "em4100:67003B51C6", clock.now()  # the unknown card of the sample was tapped at 07:49
    assert "51C6" in office.text("/")
    response = office.post("/visitors/staff", staff_name="周老师", card="em4100:67003b51c6", phone="", login="")
    assert response.status_code == 303, response.get_data(as_text=True)
    assert "51C6" not in office.text("/")  # it is nobody's unknown card any more
    again = office.post("/visitors/staff", staff_name="吴老师", card=card, phone="", login="")
    assert again.status_code == 422
    [member] = rows(site, StaffMember)

    def inside() -> bool:
        with site.app.app_context():
            school = db.session.get_one(School, "mingde")
            found = presence.staff(db.session(), school, clock.now())
            db.session.remove()
        return [each.name for each in found] == ["周老师"]

    assert inside()
    office.post(f"/visitors/staff/{member.id}/pass", way="out")
    assert not inside()
    with site.app.app_context(), transaction() as session:
        session.add(sample.tap(now + timedelta(minutes=5), card=card, direction="both", seq=8100))
    assert not inside()  # a reader for both ways: who was in goes out
    office.post(f"/visitors/staff/{member.id}/remove")
    assert rows(site, StaffMember)[0].card is None


def test_only_the_office_keeps_the_list_of_staff(site: Site, office: Visitor) -> None:
    office.post("/visitors/staff", staff_name="周老师", card="", phone="", login="")
    [member], guard = rows(site, StaffMember), site.visitor("menwei")
    assert guard.post("/visitors/staff", staff_name="x", card="", phone="", login="").status_code == 403
    assert guard.post(f"/visitors/staff/{member.id}/remove").status_code == 403
    assert guard.post(f"/visitors/staff/{member.id}/pass", way="in").status_code == 303


def test_visits_are_deleted_after_the_days_of_the_setting_also_from_old_rolls(site: Site, office: Visitor) -> None:
    office.post("/visitors", name="王先生", host="李老师", purpose="", badge="")
    url = start(office)
    office.post(f"{url}/end")
    with site.app.app_context():
        with transaction() as session:
            assert desk.purge(session, "mingde", clock.now() + timedelta(days=29)) == 0
        with transaction() as session:
            assert desk.purge(session, "mingde", clock.now() + timedelta(days=31)) == 1
        assert db.session.scalar(select(func.count()).select_from(Visit)) == 0
        [entry] = db.session.scalars(select(RollEntry).where(RollEntry.part == "visitors")).all()
        assert (entry.name, entry.place) == ("", "")
        db.session.remove()
    assert "王先生" not in office.text(f"{url}/report")
