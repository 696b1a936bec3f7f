"""The roll call and the desk, on both databases: who is listed, who may tick, and that nothing is lost or doubled."""

import csv
import io
import re
import threading
import uuid
from datetime import timedelta

import pytest
from sqlalchemy import select

from server import clock
from server.accounts.models import User
from server.accounts.rules import Grant
from server.accounts.service import create_user
from server.attendance.models import PupilDay
from server.audit.models import AuditEntry
from server.db import db, transaction
from server.people.models import Pupil
from server.rollcall import jobs, service
from server.rollcall.models import RollCall, RollEntry, RollTick
from server.rollcall.rules import RollKind
from server.schools.models import School
from tests import sample
from tests.server.site import Site, Visitor


@pytest.fixture
def office(site: Site) -> Visitor:
    """The office's visitor."""
    return site.visitor("wangmin")


def start(visitor: Visitor, kind: str = "drill") -> str:
    """Ring the alarm; the address of the roll."""
    response = visitor.post("/rollcall", kind=kind)
    assert response.status_code == 303, response.get_data(as_text=True)
    return str(response.headers["Location"])


def person(site: Site, login: str, *grants: Grant) -> Visitor:
    """Somebody with these roles."""
    with site.app.app_context(), transaction():
        create_user("mingde", login, login, sample.PASSWORD, list(grants))
    return site.visitor(login)


def rows(site: Site, table: type) -> list:
    """All rows of a table."""
    with site.app.app_context():
        found = list(db.session.scalars(select(table)))
        db.session.remove()
    return found


def a_user(login: str = "wangmin") -> User:
    """The user of a login."""
    return db.session.scalars(select(User).where(User.login == login)).one()


def entry_of(site: Site, class_n: int) -> RollEntry:
    """Somebody surely inside of one class."""
    return next(e for e in rows(site, RollEntry) if e.part == site.classes[class_n] and e.standing == "inside")


def tick(visitor: Visitor, entry: RollEntry, *, there: bool = True, **fields: str) -> int:
    """Touch a name as the phone's queue does; the status."""
    token, url = visitor.token(), f"/rollcall/entries/{entry.id}"
    fields |= {"there": "1" if there else "0", "csrf_token": token}
    return int(visitor.client.post(url, data=fields, headers={"X-Queue": "phone"}).status_code)


def test_the_roll_lists_all_who_are_or_may_be_inside_and_nobody_who_left(site: Site, office: Visitor) -> None:
    start(office)
    listed = {entry.pupil_id: entry.standing for entry in rows(site, RollEntry)}
    status = {day.pupil_id: day.status for day in rows(site, PupilDay) if day.date == sample.DAY}
    for pupil_id, said in status.items():
        if said in {"in_school", "late"}:
            assert listed[pupil_id] == "inside"
        elif said in {"unconfirmed", "not_yet", "unexplained"}:  # gate 2 was silent from 07:20 to 07:40
            assert listed[pupil_id] == "unconfirmed", said
        else:
            assert pupil_id not in listed, said  # gone at 07:50, or excused
    assert {"unconfirmed", "inside"} == set(listed.values())


def test_a_pupil_whom_the_gate_saw_and_a_teacher_did_not_is_on_the_list_apart(site: Site, office: Visitor) -> None:
    with site.app.app_context(), transaction() as session:
        day = session.scalars(select(PupilDay).where(PupilDay.inside, PupilDay.date == sample.DAY)).first()
        assert day is not None
        day.verdict = {"current": "am", "sessions": {"am": {"state": "absent"}}}
        pupil = session.get_one(Pupil, day.pupil_id)
        name, part = pupil.name, str(pupil.class_id)
    url = start(office)
    [entry] = [entry for entry in rows(site, RollEntry) if entry.standing == "disputed"]
    assert entry.name == name
    page = office.text(f"{url}/parts/{part}")
    assert page.index("可能在校，也要找" if "可能在校，也要找" in page else "Perhaps in school: look") < page.index(
        str(entry.id)
    )
    assert name in office.text("/inside")


def test_a_second_alarm_leads_to_the_roll_that_runs(site: Site, office: Visitor) -> None:
    first, second = start(office), start(office, "real")
    assert first == second
    assert [roll.kind for roll in rows(site, RollCall)] == ["drill"]
    office.post(f"{first}/end")
    office.post(f"{first}/end")
    assert start(office, "real") != first
    with site.app.app_context():
        said = db.session.scalars(select(AuditEntry.action).where(AuditEntry.action.like("rollcall.started"))).all()
        assert len(said) == 2
        db.session.remove()


def test_alarms_rung_at_the_same_moment_are_one_roll(site: Site) -> None:
    barrier, found = threading.Barrier(3), list[tuple[uuid.UUID, bool]]()

    def ring() -> None:
        with site.app.app_context():
            barrier.wait()
            with transaction() as session:
                school, user = session.get_one(School, "mingde"), a_user()
                roll, is_new = service.start(session, school, user, RollKind.REAL, clock.now())
                found.append((roll.id, is_new))
            db.session.remove()

    threads = [threading.Thread(target=ring) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 3 and len({roll for roll, _ in found}) == 1
    assert sum(is_new for _, is_new in found) == 1
    persons = [entry.person for entry in rows(site, RollEntry)]
    assert persons and len(persons) == len(set(persons))


@pytest.mark.parametrize(
    ("role", "may"),
    [("office", True), ("head", True), ("operator", True), ("guard", True), ("counsellor", False)]
    + [("grade_head", False), ("subject_teacher", False)],
)
def test_only_some_may_ring_the_alarm_end_it_and_send_people(site: Site, role: str, may: bool) -> None:
    visitor = person(site, "somebody", Grant(role))
    assert (visitor.post("/rollcall", kind="drill").status_code == 303) == may
    url = start(site.visitor("wangmin"))
    whom = str(next(user.id for user in rows(site, User) if user.login == "lijing"))
    sent = visitor.post(f"{url}/posts", part=site.classes[0], whom=whom).status_code
    ended = visitor.post(f"{url}/end").status_code
    assert (sent, ended) == ((303, 303) if may else (403, 403))


def test_an_alarm_must_say_what_it_is(office: Visitor) -> None:
    assert office.post("/rollcall", kind="").status_code == 422


def test_a_teacher_ticks_the_own_class_alone_until_sent_to_another(site: Site, office: Visitor) -> None:
    url = start(office)
    teacher, own, other = site.visitor("lijing"), entry_of(site, 1), entry_of(site, 0)
    assert tick(teacher, own) == 204
    assert tick(teacher, other) == 404
    assert teacher.get(f"{url}/parts/{other.part}").status_code == 404
    assert other.name not in teacher.text(f"{url}/report")
    assert other.part not in teacher.text(url)
    whom = str(next(user.id for user in rows(site, User) if user.login == "lijing"))
    for _ in range(2):
        assert office.post(f"{url}/posts", part=other.part, whom=whom).status_code == 303
    assert tick(teacher, other) == 204
    assert teacher.get(f"{url}/parts/{other.part}").status_code == 200
    office.post(f"{url}/end")
    assert teacher.get(f"{url}/parts/{other.part}").status_code == 404  # the right ends with the alarm


def test_the_operator_sees_numbers_and_no_names(site: Site) -> None:
    visitor = person(site, "root", Grant("operator"))
    url = start(visitor)
    names = {entry.name for entry in rows(site, RollEntry)}
    for page in (url, f"{url}/report", f"{url}/report.csv", "/inside", "/inside/list"):
        assert not [name for name in names if name in visitor.text(page)], page
    assert visitor.get(f"{url}/parts/{site.classes[0]}").status_code == 404


def test_who_has_no_class_and_no_office_does_not_see_the_roll(site: Site, office: Visitor) -> None:
    url = start(office)
    nobody = person(site, "nobody")
    assert nobody.get(url).status_code == 403
    assert nobody.get(f"{url}/report.csv").status_code == 403


def test_a_tick_sent_again_is_one_tick_and_a_double_click_too(site: Site, office: Visitor) -> None:
    start(office)
    entry, key = entry_of(site, 0), str(uuid.uuid4())
    assert [tick(office, entry, key=key) for _ in range(3)] == [204] * 3
    assert tick(office, entry) == 204
    assert len(rows(site, RollTick)) == 1


def test_the_later_touch_wins_whichever_arrives_first_and_both_names_are_kept(site: Site, office: Visitor) -> None:
    url = start(office)
    entry, teacher = entry_of(site, 1), site.visitor("lijing")
    with site.app.app_context(), transaction() as session:  # the alarm was a minute ago
        roll = session.scalars(select(RollCall)).one()
        roll.started_at -= timedelta(minutes=1)
    tick(office, entry, there=False, key=str(uuid.uuid4()))  # takes back what nobody said: nothing
    tick(office, entry, ago="5000")
    tick(teacher, entry, there=False, ago="20000")  # was offline: the touch is older than the office's
    [now] = [each for each in rows(site, RollEntry) if each.id == entry.id]
    assert (now.there, now.said_name) == (True, "王敏")
    tick(teacher, entry, there=False, ago="0")
    [now] = [each for each in rows(site, RollEntry) if each.id == entry.id]
    assert (now.there, now.said_name) == (False, "李静")
    assert [each.name for each in sorted(rows(site, RollTick), key=lambda t: t.at)] == ["李静", "王敏", "李静"]
    tick(office, entry)
    page = office.text(f"{url}/parts/{entry.part}")
    row = page[page.index(f'id="e-{entry.id}"') :].split("</li>")[0]
    assert "王敏" in row and "李静" in row


def test_ticks_at_the_same_moment_are_all_kept(site: Site, office: Visitor) -> None:
    start(office)
    targets = [entry for entry in rows(site, RollEntry) if entry.standing == "inside"][:12]
    barrier = threading.Barrier(3)

    def marshal(mine: list[RollEntry]) -> None:
        with site.app.app_context():
            barrier.wait()
            for entry in mine:
                with transaction() as session:
                    service.say(session, a_user(), service.Said(uuid.uuid4(), entry.id, True, clock.now()), clock.now())
            db.session.remove()

    threads = [threading.Thread(target=marshal, args=(targets[n::3],)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {entry.id for entry in rows(site, RollEntry) if entry.there} == {entry.id for entry in targets}
    assert len(rows(site, RollTick)) == 12


def test_nobody_leaves_the_roll_and_who_comes_later_joins_it(site: Site, office: Visitor) -> None:
    url = start(office)
    before = {entry.person for entry in rows(site, RollEntry)}
    gone = entry_of(site, 0)
    with site.app.app_context():
        with transaction() as session:
            left = session.get_one(PupilDay, (gone.pupil_id, sample.DAY))
            left.status, left.inside, left.last_out = "left", False, clock.now()
            session.add(sample.tap(clock.now(), pupil_id=gone.pupil_id, direction="out", seq=8001))
            late = session.scalars(
                select(PupilDay).where(PupilDay.status == "excused", PupilDay.date == sample.DAY)
            ).first()
            assert late is not None
            late.status, late.inside, late.first_in = "late", True, clock.now()
            newcomer = late.pupil_id
            session.add(sample.tap(clock.now(), pupil_id=newcomer, seq=8002))
        jobs.follow_open_rolls()
        jobs.follow_open_rolls()
        db.session.remove()
    after = {entry.person for entry in rows(site, RollEntry)}
    assert after == before | {f"pupil:{newcomer}"}
    page = office.text(f"{url}/parts/{gone.part}")
    row = page[page.index(f'id="e-{gone.id}"') :].split("</li>")[0]
    assert "刷卡出" in row or "card out" in row
    assert "is-there" not in row  # a card at the gate does not say that the child is safe


def test_the_order_stands_still_while_the_page_is_open(site: Site, office: Visitor) -> None:
    url = start(office)
    page = office.text(url)
    again = re.search(r'hx-get="([^"]+order=\d+)"', page)
    assert again is not None
    order = re.findall(r'id="part-([^"]+)"', page)
    for entry in [entry for entry in rows(site, RollEntry) if entry.part == order[0]]:
        assert tick(office, entry) == 204
    assert re.findall(r'id="part-([^"]+)"', office.text(again[1])) == order
    assert (
        re.findall(r'id="part-([^"]+)"', office.text(url))[-1] == order[0]
    )  # complete ones stand last when sorted anew


def test_the_report_says_who_was_missing_for_how_long_and_its_csv_holds_no_formula(site: Site, office: Visitor) -> None:
    office.post("/visitors", name='=HYPERLINK("x")', host="", purpose="", badge="")
    url = start(office)
    entry = entry_of(site, 0)
    tick(office, entry)
    office.post(f"{url}/end")
    page = office.text(f"{url}/report")
    missing = [each for each in rows(site, RollEntry) if not each.there]
    assert all(each.name in page or "HYPERLINK" in each.name for each in missing)
    lines = list(csv.reader(io.StringIO(office.text(f"{url}/report.csv").removeprefix("\ufeff"))))
    assert len(lines) == 1 + len(missing) + 1
    assert any(line[1] == entry.name and line[6] == "王敏" for line in lines)
    assert [line[1] for line in lines if "HYPERLINK" in line[1]] == ['\'=HYPERLINK("x")']
    assert url.rpartition("/")[2] in office.text("/rollcall")  # the log leads to it


def test_a_tick_made_before_the_end_counts_when_it_arrives_after_it(site: Site, office: Visitor) -> None:
    url, late, later = start(office), entry_of(site, 0), entry_of(site, 1)
    with site.app.app_context(), transaction() as session:
        roll = session.scalars(select(RollCall)).one()
        roll.started_at -= timedelta(minutes=5)
    office.post(f"{url}/end")
    assert tick(office, late, ago="60000") == 204
    assert tick(office, later) == 422
    assert {entry.id for entry in rows(site, RollEntry) if entry.there} == {late.id}


def test_today_leads_everybody_who_may_tick_to_the_roll(site: Site, office: Visitor) -> None:
    assert "疏散点名（" not in office.text("/") and "Roll call:" not in office.text("/")
    start(office, "real")
    for login in ("wangmin", "lijing", "zhaoqiang", "menwei"):
        page = site.visitor(login).text("/")
        assert "疏散点名（真实）" in page or "Roll call: real" in page


def test_the_pages_take_few_questions_whatever_the_size(site: Site, office: Visitor) -> None:
    url = start(office)
    for page, most in ((url, 22), (f"{url}/parts/{site.classes[0]}", 24), ("/inside", 24)):
        office.text(page)
        with site.statements() as asked:
            office.text(page)
        assert len(asked) <= most, (page, len(asked))


def test_a_class_and_a_staff_room_with_nobody_inside_count_nought(site: Site, office: Visitor) -> None:
    with site.app.app_context(), transaction() as session:
        for day in session.scalars(select(PupilDay).where(PupilDay.date == sample.DAY)):
            day.status, day.inside = "excused", False
    page = " ".join(office.text("/inside").split())
    assert page.count("<td><b>0</b></td>") == 4
    assert page.count("<dd>0</dd>") == 4  # pupils in school and perhaps, visitors, staff
    assert office.get("/inside/list").status_code == 200
    url = start(office)
    assert office.get(url).status_code == office.get(f"{url}/report").status_code == 200
