"""The leave desk's pages: who sees what, what a form does, and the family's page behind its link."""

import datetime as dt
import io
import re
import uuid

import pytest
from sqlalchemy import select, update
from werkzeug.test import EnvironBuilder

from server import clock
from server.accounts.models import User
from server.accounts.rules import Grant
from server.accounts.service import create_user
from server.db import db, transaction
from server.leave import links
from server.leave.models import Leave, LeaveFile, LeaveKind, LeaveState
from server.leavedesk.models import AbsenceWarning
from server.leavedesk.rules import WarningKind
from server.outbox.models import OutboxText
from server.people.models import Guardian, Guardianship
from tests import sample
from tests.server.site import Site, Visitor

TOMORROW = "2026-11-26"
PNG = b"\x89PNG\r\n\x1a\n" + b"doctor " * 50


@pytest.fixture(autouse=True)
def english(site: Site) -> None:
    """All of the staff read English."""
    with site.app.app_context(), transaction() as session:
        session.execute(update(User).values(locale="en"))


@pytest.fixture
def teacher(site: Site) -> Visitor:
    """The class teacher of class 8 (2), in English."""
    return site.visitor("lijing")


def of_class(site: Site, n: int, place: int = 0) -> str:
    return [pupil for pupil, _name, class_id in site.pupils if class_id == site.classes[n]][place]


def mother_of(site: Site, pupil_id: str) -> Guardian:
    with site.app.app_context():
        query = select(Guardian).join(Guardianship, Guardianship.guardian_id == Guardian.id)
        found = db.session.scalars(
            query.where(Guardianship.pupil_id == uuid.UUID(pupil_id), Guardianship.rank == 1)
        ).one()
        db.session.remove()
    return found


def leaves(site: Site) -> list[Leave]:
    with site.app.app_context():
        found = list(db.session.scalars(select(Leave).order_by(Leave.asked_at)))
        db.session.remove()
    return found


def told(site: Site) -> list[str]:
    with site.app.app_context():
        query = select(OutboxText.body).where(OutboxText.kind == "leave").order_by(OutboxText.n)
        found = list(db.session.scalars(query))
        db.session.remove()
    return found


def form(pupil_id: str, **more: str) -> dict[str, str]:
    usual = {"pupil": pupil_id, "kind": "sick", "from": TOMORROW, "to": TOMORROW, "reason": "高烧39度", "once": "a"}
    return {**usual, **more}


def test_a_teacher_writes_leave_down_for_the_own_class_and_the_guardian_is_told(site: Site, teacher: Visitor) -> None:
    pupil = of_class(site, 1, 1)
    mother = mother_of(site, pupil)
    answer = teacher.post("/leave/new", **form(pupil, guardian=str(mother.id), called="called 07:40", approve="yes"))
    assert answer.status_code == 303
    again = teacher.post("/leave/new", **form(pupil, guardian=str(mother.id), approve="yes"))
    assert again.headers["Location"] == answer.headers["Location"]
    [leave] = leaves(site)
    assert (leave.state, leave.guardian_id) == (LeaveState.APPROVED, mother.id)
    assert [body.split("】")[1].split(" ", 1)[1] for body in told(site)] == ["11月26日 病假已批准。"]
    assert "高烧39度" in teacher.text(f"/leave/{leave.id}") and "called 07:40" in teacher.text(f"/leave/{leave.id}")


def test_without_a_guardian_it_is_not_approved_and_the_form_says_why(site: Site, teacher: Visitor) -> None:
    pupil = of_class(site, 1)
    answer = teacher.post("/leave/new", **form(pupil, approve="yes"))
    assert answer.status_code == 422 and "Only a guardian can excuse a pupil" in answer.get_data(as_text=True)
    assert "高烧39度" in answer.get_data(as_text=True)  # what was typed stays
    assert leaves(site) == []
    assert teacher.post("/leave/new", **form(pupil, approve="no")).status_code == 303
    assert leaves(site)[0].state == LeaveState.ASKED and told(site) == []


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("from", "tomorrow", "Write the first day"),
        ("from", "9999-12-31", "Write the first day"),
        ("from_time", "25:00", "Write times like"),
        ("from_time", "²:30", "Write times like"),
        ("to", "2026-11-20", "end is before"),
        ("kind", "holiday", "Choose what kind"),
        ("guardian", str(uuid.UUID(int=5)), "may not excuse"),
    ],
)
def test_a_form_with_a_fault_says_it_and_changes_nothing(
    site: Site, teacher: Visitor, field: str, value: str, words: str
) -> None:
    answer = teacher.post("/leave/new", **form(of_class(site, 1), **{field: value}))
    assert answer.status_code == 422 and words in answer.get_data(as_text=True)
    assert leaves(site) == []


def test_the_inbox_shows_counts_and_its_parts(site: Site, teacher: Visitor) -> None:
    teacher.post("/leave/new", **form(of_class(site, 1)))
    page = teacher.text("/leave")
    assert re.search(r"To decide\s*<b>1</b>", page) and "Thu 26 Nov" in page
    assert "Thu 26 Nov" not in teacher.text("/leave?tab=coming")
    head = site.visitor("zhaoqiang")
    [leave] = leaves(site)
    mother = mother_of(site, of_class(site, 1))
    said = {"decision": "approve", "guardian": str(mother.id)}
    assert head.post(f"/leave/{leave.id}/decision", **said).status_code == 303
    assert "Thu 26 Nov" in teacher.text("/leave?tab=coming&kind=sick")
    assert "Thu 26 Nov" not in teacher.text("/leave?tab=coming&kind=trip")
    assert teacher.post(f"/leave/{leave.id}/decision", decision="decline").status_code == 422


def test_a_file_is_kept_and_given_back_to_be_saved_never_shown(site: Site, teacher: Visitor) -> None:
    teacher.post("/leave/new", **form(of_class(site, 1)))
    [leave] = leaves(site)

    def send(content: bytes, name: str) -> int:
        data = {"file": (io.BytesIO(content), name), "csrf_token": teacher.token()}
        builder = EnvironBuilder(path=f"/leave/{leave.id}/files", method="POST", data=data)
        request = builder.get_request()
        answer = teacher.client.open(request)
        request.input_stream.close()
        return answer.status_code

    assert send(PNG, "note.png") == 303
    assert send(b"<html><script>alert(1)</script>", "note.png") == 422
    assert send(PNG + bytes(4 * 1024 * 1024), "large.png") == 422
    with site.app.app_context():
        [file_id] = db.session.scalars(select(LeaveFile.id)).all()
        db.session.remove()
    answer = teacher.get(f"/leave/{leave.id}/files/{file_id}")
    assert answer.data == PNG and answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for login in ("menwei",):
        assert site.visitor(login).get(f"/leave/{leave.id}/files/{file_id}").status_code == 404


def test_a_guard_and_a_subject_teacher_see_no_leave_and_no_reason(site: Site, teacher: Visitor) -> None:
    pupil = of_class(site, 1)
    teacher.post("/leave/new", **form(pupil))
    [leave] = leaves(site)
    with site.app.app_context(), transaction():
        grant = Grant("subject_teacher", class_id=uuid.UUID(site.classes[1]))
        create_user("mingde", "subject", "subject", sample.PASSWORD, [grant])
    for login in ("menwei", "subject"):
        visitor = site.visitor(login)
        assert visitor.get("/leave").status_code == 403
        assert visitor.get(f"/leave/{leave.id}").status_code == 404
        assert str(leave.id) not in visitor.text(f"/pupils/{pupil}")
    assert str(leave.id) in teacher.text(f"/pupils/{pupil}")


def test_a_trip_excuses_those_who_are_ticked_and_names_whom_it_could_not(site: Site) -> None:
    office = site.visitor("wangmin")
    first, second, third = (of_class(site, 1, n) for n in range(3))
    office.post("/leave/new", **form(second))
    data = {"class": site.classes[1], "kind": "trip", "from": TOMORROW, "to": TOMORROW, "once": "t", "reason": "科技馆"}
    token = office.token()
    sent = {**data, "pupils": [first, second], "csrf_token": token}
    page = office.client.post("/leave/trip", data=sent, headers=office.headers)
    assert "all but these" in page.get_data(as_text=True)
    office.client.post("/leave/trip", data=sent, headers=office.headers)  # a double click
    trips = [leave for leave in leaves(site) if leave.kind == LeaveKind.TRIP]
    assert [(str(leave.pupil_id), leave.state) for leave in trips] == [(first, LeaveState.APPROVED)]
    assert third not in {str(leave.pupil_id) for leave in leaves(site)} and told(site) == []
    teacher = site.visitor("lijing")
    assert teacher.get("/leave/trip").status_code == 403
    sent["csrf_token"] = teacher.token()
    assert teacher.client.post("/leave/trip", data=sent).status_code == 403


def test_a_request_that_waits_too_long_stands_on_today_of_who_may_decide(
    site: Site, teacher: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher.post("/leave/new", **form(of_class(site, 1)))
    assert "request for leave is waiting" not in teacher.text("/")
    with site.app.app_context(), transaction() as session:
        session.scalars(select(Leave)).one().asked_at = clock.now() - dt.timedelta(hours=2)
    assert "1 request for leave is waiting" in teacher.text("/")
    assert "request for leave" not in site.visitor("menwei").text("/")


def test_a_warning_is_listed_until_somebody_takes_care_of_it(site: Site, teacher: Visitor) -> None:
    with site.app.app_context(), transaction() as session:
        row = AbsenceWarning(school_id="mingde", pupil_id=uuid.UUID(of_class(site, 1)), kind=WarningKind.IN_A_ROW)
        row.count, row.since, row.date, row.urgent = 3, sample.DAY, sample.DAY, True
        row.made_at = clock.now()
        session.add(row)
        session.flush()
        warning_id = row.id
    assert "is away long or often" in teacher.text("/")
    assert "away 3 school days in a row" in teacher.text("/leave/warnings")
    assert site.visitor("menwei").post(f"/leave/warnings/{warning_id}/seen").status_code in {403, 404}
    for _twice in range(2):
        assert teacher.post(f"/leave/warnings/{warning_id}/seen").status_code == 303
    assert "Nobody to ask about" in teacher.text("/leave/warnings")


def sent_link(site: Site, teacher: Visitor, pupil: str) -> str:
    mother = mother_of(site, pupil)
    assert teacher.post("/leave/link", pupil=pupil, guardian=str(mother.id)).status_code == 303
    [body] = told(site)
    found = re.search(r"http://127.0.0.1:8000(/l/\S+)", body)
    assert found is not None
    return found.group(1)


def family_post(visitor: Visitor, url: str, **fields: str) -> object:
    token = re.search(r'csrf_token" value="([^"]+)"', visitor.text("/".join(url.split("/")[:3])))
    assert token is not None
    return visitor.client.post(url, data={**fields, "csrf_token": token.group(1)})


def test_a_link_shows_nothing_until_its_button_is_pressed_then_the_guardian_asks(site: Site, teacher: Visitor) -> None:
    pupil = of_class(site, 1, 1)
    link, phone = sent_link(site, teacher, pupil), site.stranger()
    name = next(name for each, name, _class in site.pupils if each == pupil)
    landing = phone.text(link)
    assert name not in landing and "继续" in landing  # what a preview of the link sees
    opened = family_post(phone, link)
    page = opened.get_data(as_text=True)  # type: ignore[attr-defined]
    assert opened.status_code == 200 and name in page and len(page.encode()) < 5_600  # type: ignore[attr-defined]
    wanted = {"kind": "sick", "from": TOMORROW, "to": TOMORROW, "reason": "发烧", "once": "f"}
    for _twice in range(2):
        assert family_post(phone, f"{link}/leave", **wanted).status_code == 200  # type: ignore[attr-defined]
    [leave] = leaves(site)
    assert (leave.source, leave.state, leave.asked_by) == ("link", LeaveState.ASKED, None)
    assert leave.guardian_id == mother_of(site, pupil).id and "已收到" in told(site)[-1]
    assert family_post(phone, f"{link}/withdrawal", leave=str(leave.id)).status_code == 200  # type: ignore[attr-defined]
    assert leaves(site)[0].state == LeaveState.WITHDRAWN


def test_a_family_asks_for_no_trip_and_for_nothing_in_the_past(site: Site, teacher: Visitor) -> None:
    link, phone = sent_link(site, teacher, of_class(site, 1, 1)), site.stranger()
    for fields in ({"kind": "trip", "from": TOMORROW}, {"kind": "sick", "from": "2026-11-20"}):
        answer = family_post(phone, f"{link}/leave", **fields)
        assert answer.status_code == 422 and "problem" in answer.get_data(as_text=True)  # type: ignore[attr-defined]
    assert leaves(site) == []


def test_a_link_takes_back_no_leave_of_another_child_or_guardian(site: Site, teacher: Visitor) -> None:
    link, phone, other = sent_link(site, teacher, of_class(site, 1, 1)), site.stranger(), of_class(site, 1, 2)
    teacher.post("/leave/new", **form(other, guardian=str(mother_of(site, other).id)))
    [leave] = leaves(site)
    assert family_post(phone, f"{link}/withdrawal", leave=str(leave.id)).status_code == 404  # type: ignore[attr-defined]
    assert leaves(site)[0].state == LeaveState.ASKED


def test_the_link_of_a_guardian_who_is_barred_meanwhile_is_dead_everywhere(site: Site, teacher: Visitor) -> None:
    pupil = of_class(site, 1, 1)
    link, phone = sent_link(site, teacher, pupil), site.stranger()
    token = re.search(r'csrf_token" value="([^"]+)"', phone.text(link))
    assert token is not None
    with site.app.app_context(), transaction() as session:
        query = select(Guardianship).where(Guardianship.pupil_id == uuid.UUID(pupil), Guardianship.rank == 1)
        session.scalars(query).one().barred = True
    name = next(name for each, name, _class in site.pupils if each == pupil)
    fields = {"csrf_token": token.group(1), "kind": "sick", "from": TOMORROW}
    answers = [
        phone.get(link),
        *(phone.client.post(link + path, data=fields) for path in ("", "/leave", "/withdrawal")),
    ]
    for answer in answers:
        assert answer.status_code == 404 and name not in answer.get_data(as_text=True)
    assert teacher.post("/leave/link", pupil=pupil, guardian=str(mother_of(site, pupil).id)).status_code == 422
    assert leaves(site) == [] and len(told(site)) == 1


def test_another_pupils_id_in_the_token_fails(site: Site) -> None:
    mine, other = of_class(site, 1, 1), of_class(site, 1, 2)
    mother = mother_of(site, mine)
    with site.app.app_context():
        token = links.token(mother, uuid.UUID(other), clock.now() + dt.timedelta(days=1))
    assert site.stranger().get(f"/l/{token}").status_code == 404
