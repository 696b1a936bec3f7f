"""What each page shows to whom, on both databases."""

import re

import msgspec
import pytest
from sqlalchemy import select

from server import config, settings
from server.audit.models import AuditEntry
from server.db import db, transaction
from server.gates.models import Gateway, Silence, SpoolGap
from server.outbox.models import OutboxText
from server.people.models import Guardian, Guardianship
from server.register.rules import RegisterPolicy
from server.taps.models import RefusedPayload
from tests import sample
from tests.server.site import Site, Visitor

EN = {"Accept-Language": "en"}


@pytest.fixture
def office(site: Site) -> Visitor:
    """Somebody who sees the whole school, in English."""
    visitor = site.visitor("wangmin")
    visitor.post("/language", locale="en")
    return visitor


def plain(page: str) -> str:
    """What a person reads of a page."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def pupil(site: Site, n: int) -> tuple[str, str]:
    """Id and name of the n-th pupil."""
    pupil_id, name, _class_id = site.pupils[n]
    return pupil_id, name


def test_today_counts_every_pupil_once(office: Visitor) -> None:
    words = plain(office.text("/"))
    assert "In school 43 of 48" in words  # one late, one not yet, one unconfirmed, one unexplained, ...
    assert re.search(r"Late 1 counted as in Not yet 3 1 unexplained · 1 unconfirmed Excused 1", words)
    assert "Left 1" in words
    assert "Wed 25 Nov 07:52" in words and "Senior 07:20 , Junior 07:45" in words


def test_today_lists_what_needs_a_person(office: Visitor) -> None:
    words = plain(office.text("/"))
    assert "1 pupil is missing without a word" in words
    assert "Unknown card at 1号门 07:49 · ends in 51C6 · 1 tap" in words
    assert "A lost card was used at 3号门" in words
    assert "1 text did not reach a parent" in words
    assert "3 odd uses of cards" in words


def test_a_silent_gate_a_gap_and_a_strange_message_need_a_person(site: Site, office: Visitor) -> None:
    at = sample.moment(7, 50)
    with site.app.app_context(), transaction() as session:
        session.add(Silence(school_id="mingde", gateway_id="gate-3", starts=at))
        session.add(
            SpoolGap(
                school_id="mingde",
                gateway_id="gate-1",
                spool="s1",
                first_seq=5,
                last_seq=7,
                since=at,
                until=at,
                seen_at=at,
            )
        )
        session.add(
            RefusedPayload(
                digest="d", topic="gatebell/1/00/mingde/gate-1/tap", payload=b"?", size=1,
                reason="not JSON", count=2, first_at=at, last_at=at,
            )
        )  # fmt: skip
    words = plain(office.text("/"))
    assert "3号门 西门: no signal since 07:50" in words
    assert "3 taps of 1号门 are missing" in words
    assert "2 messages from gates were not understood 07:50 · not JSON" in words
    assert "3号门 西门 " in words and "Silent" in words


def test_when_nothing_needs_a_person_today_says_so(site: Site, office: Visitor) -> None:
    with site.app.app_context(), transaction() as session:
        session.execute(db.text("DELETE FROM odd_use"))
        session.execute(db.text("DELETE FROM tap"))
        session.execute(db.text("DELETE FROM outbox_text"))
        session.execute(db.text("DELETE FROM pupil_day"))
        settings.set_policy(session, "mingde", RegisterPolicy, remind_after=0)
    words = plain(office.text("/"))
    assert "Nothing needs a person" in words and "No taps yet today" in words
    assert "In school 0 of 48" in words and "Not yet 48 not an alarm yet" in words


def test_the_feed_shows_the_newest_taps_with_what_the_family_knows(office: Visitor) -> None:
    page = office.text("/")
    feed = page[page.index('id="feed-rows"') :]
    rows = [plain(row) for row in re.findall(r'<tr id="tap-.*?</tr>', feed, re.S)]
    assert len(rows) == 8
    times = re.findall(r"\d\d:\d\d :\d\d", " ".join(rows))
    assert times == sorted(times, reverse=True)
    assert any(re.search(r"Delivered Mother · [12]\.\d s", row) for row in rows)
    assert any("Card …51C6 nobody holds it" in row and "Unknown card" in row for row in rows)


def test_a_fragment_is_the_main_part_alone(office: Visitor) -> None:
    fragment = office.get("/", **{"HX-Request": "true"}).get_data(as_text=True)
    assert "<html" not in fragment and "<header" not in fragment
    assert fragment.count('<div class="page">') == 1 and "In school" in fragment


MOST_STATEMENTS = {
    "/": 42,  # one for boarders, two for leave, six for registers, three for roll call and visitors
    "/odd-uses": 13,
    "/classes": 10,
    "class": 13,
    "pupil": 24,
    "/find?state=in_school": 13,
    "/texts": 9,
    "/phone": 9,
}


@pytest.mark.parametrize(("page", "most"), MOST_STATEMENTS.items())
def test_a_page_of_many_pupils_takes_a_bounded_number_of_statements(
    settings: config.Config, morning: None, page: str, most: int
) -> None:
    site = Site(msgspec.structs.replace(settings, demo=True), pupils=300)
    url = {"class": f"/classes/{site.classes[0]}", "pupil": f"/pupils/{site.pupils[0][0]}"}.get(page, page)
    visitor = site.visitor("wangmin")
    visitor.text(url)  # notes who looked, once
    for headers in ({}, {"HX-Request": "true"}):
        with site.statements() as asked:
            assert visitor.get(url, **headers).status_code == 200
        assert len([each for each in asked if not each.startswith("BEGIN")]) <= most, "\n".join(asked)
    site.close()


def test_the_class_list_is_by_seat_with_state_time_and_text(site: Site, office: Visitor) -> None:
    page = office.text(f"/classes/{site.classes[0]}")
    names = re.findall(r'<tr id="pupil-.*?<b>(.*?)</b>', page, re.S)
    assert names == [name for _id, name, class_id in site.pupils if class_id == site.classes[0]]
    assert "8 (1)" in plain(page) and "Delivered Mother" in plain(page)


def test_the_class_list_of_another_day_shows_that_day(site: Site, office: Visitor) -> None:
    words = plain(office.text(f"/classes/{site.classes[0]}?day=2026-11-24"))
    assert "Tue 24 Nov" in words and "12 Left" in words
    assert office.get(f"/classes/{site.classes[0]}?day=yesterday").status_code == 422


def test_a_class_teacher_sees_the_own_class_and_nothing_else(site: Site) -> None:
    teacher = site.visitor("lijing")
    own, other = site.classes[1], site.classes[0]
    assert teacher.get(f"/classes/{own}").status_code == 200
    assert teacher.get(f"/classes/{other}").status_code == 404
    for pupil_id, _name, class_id in site.pupils:
        wanted = 200 if class_id == own else 404
        if class_id in {own, other}:
            assert teacher.get(f"/pupils/{pupil_id}").status_code == wanted
            break
    words = plain(teacher.text("/")) + plain(teacher.text("/texts")) + plain(teacher.text("/find?state=in_school"))
    others = [name for _id, name, class_id in site.pupils if class_id != own]
    mine = [name for _id, name, class_id in site.pupils if class_id == own]
    assert not [name for name in set(others) - set(mine) if name in words]
    assert "不认识的卡" not in words and teacher.get("/phone").status_code == 403


def test_a_grade_head_sees_the_grade(site: Site) -> None:
    head = site.visitor("zhaoqiang")
    assert [head.get(f"/classes/{each}").status_code for each in site.classes] == [200, 200, 404, 404]


def test_the_pupil_page_tells_the_day_from_the_tap_to_the_phone(site: Site, office: Visitor) -> None:
    pupil_id, name = pupil(site, 17)  # this family's first attempt failed
    words = plain(office.text(f"/pupils/{pupil_id}"))
    assert name in words and "In school" in words
    story = words[words.index("Card at") : words.index("November 2026")]
    order = ["Card at 3号门, in", "Text to Mother", "mobile did not take it", "demo phone took it", "s phone has it"]
    assert [story.index(each) for each in order] == sorted(story.index(each) for each in order)
    assert re.search(r"[12]\.\d s after the tap", story)


def test_the_pupil_page_shows_the_family_in_order_with_masked_numbers(site: Site, office: Visitor) -> None:
    pupil_id, _name = pupil(site, 3)
    page = office.text(f"/pupils/{pupil_id}")
    words = plain(page)
    assert re.search(r"1 Mother .{2,4} 131\*\*\*\*4474 Number verified · gets gate texts 2 Father", words)
    assert "Not verified: no text goes there" in words
    assert "+86" not in page


def test_a_whole_number_is_shown_on_request_and_that_is_noted(site: Site, office: Visitor) -> None:
    pupil_id, _name = pupil(site, 3)
    url = re.search(r'hx-post="(/pupils/[^"]+/number)"', office.text(f"/pupils/{pupil_id}"))
    assert url is not None
    shown = office.post(url.group(1))
    assert shown.status_code == 200 and "tel:+86131" in shown.get_data(as_text=True)
    with site.app.app_context():
        entry = db.session.scalar(select(AuditEntry).where(AuditEntry.action == "number.viewed"))
        assert entry is not None and entry.subject == f"pupil:{pupil_id}"
    assert site.visitor("menwei").post(url.group(1)).status_code == 403
    assert 'hx-post="' not in site.visitor("menwei").text(f"/pupils/{pupil_id}")


def test_a_barred_guardian_is_marked_and_has_no_call_button(site: Site, office: Visitor) -> None:
    pupil_id, _name = pupil(site, 3)
    with site.app.app_context(), transaction() as session:
        ships = session.scalars(select(Guardianship).where(Guardianship.rank == 2)).all()
        next(ship for ship in ships if str(ship.pupil_id) == pupil_id).barred = True
    page = office.text(f"/pupils/{pupil_id}")
    assert "Must not be told anything" in page and page.count('hx-post="') == 2


def test_every_look_at_a_pupil_or_a_class_is_noted_once_and_shown(site: Site, office: Visitor) -> None:
    pupil_id, _name = pupil(site, 3)
    for _ in range(3):
        assert "Looked at this page today: 王敏 07:5" in plain(office.text(f"/pupils/{pupil_id}"))
    site.visitor("menwei").text(f"/pupils/{pupil_id}")
    assert "王敏 07:5" in plain(office.text(f"/pupils/{pupil_id}")) and "门卫" in office.text(f"/pupils/{pupil_id}")
    office.text(f"/classes/{site.classes[0]}")
    office.text("/find?q=2026")
    with site.app.app_context():
        noted = [entry.action for entry in db.session.scalars(select(AuditEntry))]
    assert sorted(noted) == ["class.viewed", "pupil.viewed", "pupil.viewed", "pupils.searched"]


def test_the_month_shows_each_day_as_it_was(site: Site, office: Visitor) -> None:
    pupil_id, _name = pupil(site, 3)
    page = office.text(f"/pupils/{pupil_id}?day=2026-11-17")
    cells = re.findall(r'<td class="cell cell-(\w+)', page)
    assert len(cells) == 30 and cells.count("future") == 3 and cells.count("off") == 9
    assert cells.count("in") + cells.count("late") + cells.count("excused") == 18
    assert "Tue 17 Nov" in page


def test_texts_can_be_filtered_by_state_and_by_pupil(site: Site, office: Visitor) -> None:
    failed = office.text("/texts?state=failed")
    assert failed.count('<tr id="text-') == 1 and "停机" in failed
    _pupil_id, name = pupil(site, 2)
    of_one = office.text(f"/texts?q={name}")
    assert 1 <= of_one.count('<tr id="text-') < 10
    assert office.text("/texts?q=%25").count('<tr id="text-') == 0


def test_three_thousand_texts_come_in_pages_without_losing_any(site: Site, office: Visitor) -> None:
    with site.app.app_context(), transaction() as session:
        row = session.scalars(select(OutboxText).limit(1)).one()
        plain_row = {c.key: getattr(row, c.key) for c in OutboxText.__mapper__.column_attrs}
        rows = [{**plain_row, "id": sample.new_id(), "n": n} for n in range(2, 3002)]
        session.execute(OutboxText.__table__.insert(), rows)  # all of one moment: the id decides the order
    seen: set[str] = set()
    url: str | None = "/texts"
    pages = 0
    while url:
        page = office.text(url)
        ids = re.findall(r'<tr id="text-([^"]+)"', page)
        assert not seen & set(ids)
        seen |= set(ids)
        older = re.search(r'href="(/texts\?[^"]*before=[^"]*)"', page)
        url, pages = older.group(1).replace("&amp;", "&") if older else None, pages + 1
    with site.app.app_context():
        assert len(seen) == len(db.session.scalars(select(OutboxText.id)).all())
    assert pages == -(-len(seen) // 50)


def test_a_made_up_place_in_the_texts_is_refused(office: Visitor) -> None:
    for place in ("x~y", "1~nothing", "99999999999999999999~x"):
        assert office.get(f"/texts?before={place}").status_code == 422


def test_search_takes_names_numbers_and_no_wildcards(site: Site, office: Visitor) -> None:
    _pupil_id, name = pupil(site, 5)
    assert name in office.text(f"/find?q={name[1:]}")
    assert "20260" in office.text("/find?q=20260801") or "found" in office.text("/find?q=20260801")
    for wild in ("%25", "_", "\\"):
        assert "Nobody here" in office.text(f"/find?q={wild}")


@pytest.mark.parametrize(
    ("state", "count"), [("in_school", 43), ("late", 1), ("missing", 3), ("unexplained", 1), ("left", 1)]
)
def test_each_count_leads_to_its_pupils(office: Visitor, state: str, count: int) -> None:
    assert office.text(f"/find?state={state}").count('<tr id="pupil-') == count


def test_the_demo_phones_show_what_each_family_got(site: Site, office: Visitor) -> None:
    page = office.text("/phone")
    recipients = re.findall(r'<li id="phone-(\w+)"', page)
    assert 30 < len(recipients) <= 40  # the newest first
    with site.app.app_context():
        guardian = db.session.scalar(select(Guardian).where(Guardian.phone_hash == recipients[0]))
        assert guardian is not None and guardian.phone is not None
        number, whose = guardian.phone, guardian.name
    opened = office.text(f"/phone/{recipients[3]}")
    assert 'class="bubble"' in opened and "【明德学校】" in opened
    searched = office.text(f"/phone?q={number[3:]}")
    assert searched.count('<li id="phone-') == 1 and whose in searched


def test_without_the_demo_there_is_no_phone_page(settings: config.Config, morning: None) -> None:
    site = Site(msgspec.structs.replace(settings, demo=False), pupils=4)
    office = site.visitor("wangmin")
    assert office.get("/phone").status_code == 404 and "/phone" not in office.text("/")
    site.close()


def test_gates_say_how_they_are(site: Site, office: Visitor) -> None:
    with site.app.app_context(), transaction() as session:
        session.add(Gateway(school_id="mingde", id="gate-4", name="4号门", online=False, birth=0, state={}))
    words = plain(office.text("/"))
    assert re.search(r"1号门 东门 \d+ taps last heard 07:51 Working", words)
    assert re.search(r"2号门 南门 \d+ taps silent 07:20–07:40 Just back", words)
    assert "4号门 0 taps Not connected" in words


@pytest.mark.parametrize(("url", "code"), [("/nothing", 404), ("/classes/x", 404), ("/texts?day=2026-13-01", 422)])
def test_errors_say_what_to_do_in_a_page_of_ours(office: Visitor, url: str, code: int) -> None:
    response = office.get(url)
    page = response.get_data(as_text=True)
    assert response.status_code == code and 'class="top-nav"' in page
    assert len(plain(page[page.index("<main") :])) > 60


def test_a_mistake_of_ours_is_a_page_too(site: Site, office: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(site.app.view_functions, "overview.classes", lambda: 1 / 0)
    response = office.get("/classes")
    assert response.status_code == 500 and "The gates keep recording" in response.get_data(as_text=True)


def test_every_answer_carries_the_security_headers(site: Site, office: Visitor) -> None:
    stranger = site.stranger()
    for visitor, url in (
        (office, "/"),
        (office, "/nothing"),
        (stranger, "/"),
        (stranger, "/login"),
        (office, "/static/gatebell.css"),
    ):
        headers = visitor.get(url).headers
        assert "default-src 'self'" in headers["Content-Security-Policy"], url
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "same-origin"
    assert office.get("/").headers["Cache-Control"] == "no-store"


def test_versioned_files_are_kept_for_ever_and_others_are_not(office: Visitor) -> None:
    url = re.search(r'href="(/static/gatebell.css\?v=\w+)"', office.text("/"))
    assert url is not None
    assert "immutable" in office.get(url.group(1)).headers["Cache-Control"]
    assert "immutable" in office.get("/static/vendor/htmx.org-4.0.1/htmx.min.js").headers["Cache-Control"]
    assert "immutable" not in office.get("/static/gatebell.css").headers["Cache-Control"]


@pytest.mark.parametrize("url", ["/", "/classes", "/texts", "/find", "/phone"])
def test_no_page_needs_inline_script_or_style(office: Visitor, url: str) -> None:
    page = office.text(url)
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", page)
