"""The pages of registers, corrections, the gate and papers as forms: what is sent, refused, kept and shown."""

import re
from itertools import permutations

import pytest

from server.attendance import rules as days
from server.attendance.models import TeacherMark
from server.audit.models import AuditEntry
from server.db import db
from tests.server import gate
from tests.server.site import Site, Visitor

AM = days.Session("am", 28_200, 42_600)


@pytest.fixture
def teacher(site: Site) -> Visitor:
    """The class teacher of 8 (2), in English."""
    visitor = site.visitor("lijing")
    visitor.post("/language", locale="en")
    return visitor


def plain(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def of_class(site: Site, n: int) -> list[tuple[str, str]]:
    return [(pupil_id, name) for pupil_id, name, class_id in site.pupils if class_id == site.classes[n]]


def told(site: Site, model: type, *columns: str) -> list:
    with site.app.app_context():
        found = gate.rows(model, *columns)
        db.session.remove()
    return found


def test_a_button_says_one_thing_of_one_pupil_and_leads_back_to_the_page(site: Site, teacher: Visitor) -> None:
    url, (pupil_id, name) = f"/register/{site.classes[1]}", of_class(site, 1)[2]
    sent = teacher.post(f"{url}/say", say=f"absent:{pupil_id}", session="am")
    assert sent.status_code == 303 and sent.headers["Location"].startswith(url)
    words = plain(teacher.text(sent.headers["Location"]))
    assert f"{name} is marked not in class" in words
    assert told(site, TeacherMark, "mark", "minutes") == [("absent", 0)]
    assert (
        teacher.post(f"{url}/say", say=f"late:{pupil_id}", session="am", minutes="many").status_code,
        teacher.post(f"{url}/say", say="absent:x", session="am").status_code,
        teacher.post(f"{url}/say", say=f"gone:{pupil_id}", session="am").status_code,
        teacher.post(f"{url}/say", say=f"absent:{pupil_id}", session="night").status_code,
        teacher.post(f"{url}/say", say=f"absent:{pupil_id}", session="am", day="2026-11-24").status_code,
        teacher.post(f"{url}/say", say=f"absent:{of_class(site, 0)[0][0]}", session="am").status_code,
    ) == (422, 422, 422, 422, 422, 404)
    assert len(told(site, TeacherMark, "id")) == 1


def test_a_correction_without_a_reason_keeps_what_was_typed_and_changes_nothing(site: Site, teacher: Visitor) -> None:
    url = f"/register/pupils/{of_class(site, 1)[0][0]}"
    form = {"session": "am", "what": "late", "minutes": "17", "day": "2026-11-24"}
    refused = teacher.post(url, **form, reason="  ")
    page = refused.get_data(as_text=True)
    assert refused.status_code == 422 and "Write why" in page
    assert 'value="17"' in page and 'value="late" selected' in page and "autofocus" in page
    assert told(site, TeacherMark, "id") == []
    assert teacher.post(url, **form, reason="came with the bus").status_code == 303
    words = plain(teacher.text(f"{url}?day=2026-11-24"))
    assert "Morning · Late 17 min Wed 25 Nov 07:52 李静 · came with the bus" in words
    details = told(site, AuditEntry, "action", "detail")
    assert [detail["reason"] for action, detail in details if action == "register.marked"] == ["came with the bus"]
    assert teacher.post(url, **form | {"what": "back"}, reason="wrong pupil").status_code == 303
    assert "taken back Wed 25 Nov 07:52 by 李静" in plain(teacher.text(f"{url}?day=2026-11-24"))


def test_today_names_who_must_be_looked_for_and_which_registers_are_open(site: Site, teacher: Visitor) -> None:
    office = site.visitor("wangmin")
    office.post("/language", locale="en")
    assert "2 registers are overdue 10 (1), 10 (2)" in plain(office.text("/"))  # begun at 07:20; 8 began at 07:45
    assert "overdue" not in plain(teacher.text("/"))
    guard = site.visitor("menwei")
    pupil_id, name = of_class(site, 1)[3]
    page = guard.text(f"/gate/{pupil_id}")
    form = re.search(r'name="form" value="([^"]+)"', page)
    assert form is not None
    for _twice in range(2):
        assert guard.post(f"/gate/{pupil_id}", form=form[1], direction="in", reason="lost").status_code == 303
    teacher.post(f"/register/{site.classes[1]}/say", say=f"absent:{pupil_id}", session="am")
    words = plain(teacher.text("/"))
    assert f"1 pupil came through the gate and is not in class {name} · 8 (2)" in words
    assert f"{name} 8 (2) · Morning" in plain(teacher.text("/register/differences"))
    story = plain(teacher.text(f"/pupils/{pupil_id}"))
    assert "The guard wrote down: in Card lost" in story and "李静 said: Not in class" in story


def test_the_gates_page_refuses_odd_forms_and_other_people(site: Site, teacher: Visitor) -> None:
    pupil_id = of_class(site, 1)[0][0]
    guard = site.visitor("menwei")
    form = "0b0e7a52-7f0f-4c7e-9d35-64b6f1f6a001"
    assert teacher.get("/gate").status_code == 403 and teacher.get(f"/gate/{pupil_id}").status_code == 403
    assert guard.post(f"/gate/{pupil_id}", form=form, direction="up", reason="lost").status_code == 422
    assert guard.post(f"/gate/{pupil_id}", form=form, direction="in", reason="because").status_code == 422
    assert guard.post(f"/gate/{pupil_id}", form="1", direction="in", reason="lost").status_code == 422
    assert guard.get(f"/register/{site.classes[0]}").status_code == 403
    assert "overview.pupil" not in guard.text("/gate?q=2026") and "/pupils/" not in guard.text("/gate?q=2026")


def test_who_is_not_logged_in_learns_nothing_from_a_code(site: Site) -> None:
    answer = site.stranger().get("/p/" + "A" * 48)
    assert answer.status_code == 302 and answer.headers["Location"].startswith("/login")


def judged(*marks: str, seen: bool = False, now: int = 40_000) -> tuple[str, tuple[str, ...]]:
    taps = [days.Tap(28_000, "in")] if seen else []
    day = days.judge(
        sessions=[AM], policy=days.Policy(), now=now, taps=taps, marks=[days.Mark("am", mark, 5) for mark in marks]
    )
    return day.sessions["am"].state, day.flags


def test_not_to_have_looked_makes_nobody_absent_and_nobody_present() -> None:
    assert judged() == ("absent", ())
    assert judged("unlooked") == ("unconfirmed", ())
    assert judged("unlooked", now=29_000) == ("pending", ())
    assert judged("unlooked", seen=True) == ("present", ())
    for marks in permutations(["unlooked", "late"]):
        assert judged(*marks) == ("late", ("seen_by_teacher_not_gate",))
    for marks in permutations(["unlooked", "absent"]):
        assert judged(*marks)[0] == "absent"
