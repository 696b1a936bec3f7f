"""The calendar's pages: a year is set up in minutes, days change with their past judged again, undo, files, feed."""

import datetime as dt
import io
import re
import uuid

import pytest
from sqlalchemy import select

from server import clock
from server.audit.models import AuditEntry
from server.calendar import seeds, service
from server.calendar.models import CalendarChange, CalendarDay, DayKind, DayProposal, StaleDay, Term
from server.db import db, transaction
from server.people.models import SchoolClass
from server.schools.models import School
from tests import sample
from tests.server.site import Site, Visitor

FRIDAY = sample.DAY + dt.timedelta(days=2)
HOURS = {"timetable": "x", "name": "am", "starts": "08:00", "ends": "09:00", "since": "2026-09-01"}
YESTERDAY = sample.DAY - dt.timedelta(days=1)


@pytest.fixture
def office(site: Site) -> Visitor:
    """The office's visitor, who reads English."""
    visitor = site.visitor("wangmin")
    visitor.post("/language", locale="en")
    return visitor


def sessions(site: Site, day: dt.date, timetable: str = "junior") -> list[str]:
    """The parts of a day, as `am 07:45-11:50`."""
    with site.app.app_context():
        found = service.sessions_on("mingde", timetable, day)
        db.session.remove()
    return [f"{s.name} {s.starts // 3600:02}:{s.starts % 3600 // 60:02}-{s.ends // 3600:02}:{s.ends % 3600 // 60:02}"
            for s in found]  # fmt: skip


def stale(site: Site) -> list[dt.date]:
    """The days that are to be judged again."""
    with site.app.app_context():
        return sorted(db.session.scalars(select(StaleDay.date)))


def done(answer) -> str:  # type: ignore[no-untyped-def]
    """The id of the change that an answer leads to."""
    assert answer.status_code == 303, answer.get_data(as_text=True)
    found = re.search(r"done=([0-9a-f-]{36})", answer.headers["Location"])
    assert found is not None, answer.headers["Location"]
    return found[1]


def test_a_day_off_in_the_past_is_judged_again_said_audited_and_undone(site: Site, office: Visitor) -> None:
    answer = office.post("/calendar/day", day=YESTERDAY.isoformat(), kind="off", label="运动会")
    page = office.text(answer.headers["Location"])
    assert "1 past day is judged again (2026-11-24)" in page and "运动会" in page
    assert sessions(site, YESTERDAY) == [] and stale(site) == [YESTERDAY]
    with site.app.app_context():
        assert db.session.scalars(select(AuditEntry).where(AuditEntry.action == "calendar.days")).one()
    assert office.post("/calendar/undo", change=done(answer)).status_code == 303
    assert office.post("/calendar/undo", change=done(answer)).status_code == 303  # twice is once
    assert len(sessions(site, YESTERDAY)) == 2 and stale(site) == [YESTERDAY, YESTERDAY]


def test_a_half_day_ends_early_and_an_exam_day_has_its_own_bells(site: Site, office: Visitor) -> None:
    office.post("/calendar/day", day=FRIDAY.isoformat(), kind="half", until="11:00")
    assert sessions(site, FRIDAY) == ["am 07:45-11:00"]
    own = "am 08:00-10:00\r\nsenior: pm 14:00 - 16:30"
    office.post("/calendar/day", day=FRIDAY.isoformat(), kind="exam", bells=own, label="期中")
    assert sessions(site, FRIDAY) == ["am 08:00-10:00"]
    assert sessions(site, FRIDAY, "senior") == ["am 08:00-10:00", "pm 14:00-16:30"]
    assert "senior: pm 14:00-16:30" in office.text(f"/calendar?day={FRIDAY}")
    office.post("/calendar/day", day=FRIDAY.isoformat(), kind="ordinary")
    assert sessions(site, FRIDAY) == ["am 07:45-11:50", "pm 13:30-17:00"]


def test_a_make_up_day_gives_another_weekdays_lessons(site: Site, office: Visitor) -> None:
    saturday = sample.DAY + dt.timedelta(days=3)
    office.post("/calendar/day", day=saturday.isoformat(), kind="school", as_weekday="2")
    assert len(sessions(site, saturday)) == 2


@pytest.mark.parametrize(
    ("where", "fields", "says"),
    [
        ("day", {"day": "tomorrow", "kind": "off"}, "is not a day"),
        ("day", {"day": "2026-11-26", "last": "2026-11-25", "kind": "off"}, "must not come before"),
        ("day", {"day": "2026-11-26", "kind": "feast"}, "Choose what the day is"),
        ("day", {"day": "2026-11-26", "kind": "half", "until": "noon"}, "is not a time"),
        ("day", {"day": "2026-11-26", "kind": "exam", "bells": "eight to ten"}, "am 08:00-10:00"),
        ("day", {"day": "2026-11-26", "kind": "exam", "bells": "am 10:00-08:00"}, "must end after it starts"),
        ("terms", {"name": "", "starts": "2026-09-01", "ends": "2027-01-29"}, "Give the term a name"),
        ("terms", {"name": "1", "starts": "2026-09-01", "ends": "2026-08-01"}, "must not come before"),
        ("bells", HOURS | {"name": ""}, "needs a name"),
        ("bells", HOURS | {"timetable": ""}, "at most 32"),
        ("bells", HOURS | {"ends": "08:00"}, "must end after it starts"),
        ("classes", {"timetable": "x"}, "Tick the classes"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_a_sentence_and_changes_nothing(
    site: Site, office: Visitor, where: str, fields: dict[str, str], says: str
) -> None:
    answer = office.post(f"/calendar/{where}", **fields)
    assert answer.status_code == 422 and says in answer.get_data(as_text=True)
    with site.app.app_context():
        assert db.session.scalars(select(CalendarChange)).all() == []
        assert db.session.scalars(select(CalendarDay)).all() == []


def test_a_year_is_set_up_with_two_terms_one_look_up_and_one_yes(site: Site, office: Visitor) -> None:
    done(office.post("/calendar/terms", name="2026-1", starts="2026-02-24", ends="2026-07-03"))
    done(office.post("/calendar/terms", name="2026-2", starts="2026-09-01", ends="2027-01-29"))
    office.post("/calendar/proposals", do="seed", year="2026")
    page = office.text("/calendar?year=2026")
    dates = re.findall(r'name="date" value="([\d-]+)"', page)
    assert "2026-10-10" in dates and "days are proposed" in page
    assert sessions(site, dt.date(2026, 10, 1)) != []  # a proposal counts for nothing
    token = office.token()
    data = {"do": "take", "year": "2026", "date": dates, "weekday-2026-10-10": "3", "csrf_token": token}
    change = done(office.client.post("/calendar/proposals", data=data))
    assert sessions(site, dt.date(2026, 10, 1)) == [] and len(sessions(site, dt.date(2026, 10, 10))) == 2
    with site.app.app_context():
        row = db.session.scalars(select(CalendarDay).where(CalendarDay.date == dt.date(2026, 10, 10))).one()
        assert (row.kind, row.as_weekday, row.label) == (DayKind.SCHOOL, 3, "国庆节")
        assert db.session.scalars(select(DayProposal)).all() == []
    office.post("/calendar/undo", change=change)
    with site.app.app_context():
        assert db.session.scalars(select(CalendarDay)).all() == []


def test_the_page_says_when_make_up_days_are_not_published(office: Visitor) -> None:
    assert "not yet published" not in office.text("/calendar?year=2026")
    assert "not yet published" in office.text("/calendar?year=2031")


def test_make_up_days_take_the_lessons_of_the_days_that_were_moved() -> None:
    found = {each.date: each for each in seeds.seeded(2026)}
    assert [day.isoformat()[5:] for day, each in found.items() if each.kind == DayKind.SCHOOL] == [
        "01-04", "02-14", "02-28", "05-09", "09-20", "10-10"
    ]  # fmt: skip
    assert found[dt.date(2026, 1, 4)].as_weekday == 4  # Friday 2 January was moved
    assert {each.kind for each in seeds.seeded(2031)} == {DayKind.OFF}
    with pytest.raises(service.BadCalendar, match="country 'XX'"):
        seeds.seeded(2026, country="XX")


def test_bells_count_from_their_date_and_undo_brings_the_old_ones_back(site: Site, office: Visitor) -> None:
    hours = {"timetable": "junior", "name": "am", "starts": "08:00", "ends": "11:30", "since": "2026-11-23"}
    answer = office.post("/calendar/bells", **hours, **{f"weekday-{n}": "1" for n in range(5)})
    assert "3 past days are judged again (2026-11-23 – 2026-11-25)" in office.text(answer.headers["Location"])
    assert (
        sessions(site, sample.DAY)[0] == "am 08:00-11:30"
        and sessions(site, dt.date(2026, 11, 20))[0] == "am 07:45-11:50"
    )
    office.post("/calendar/undo", change=done(answer))
    assert sessions(site, sample.DAY)[0] == "am 07:45-11:50"


def test_a_grade_gets_a_timetable_and_today_is_judged_again(site: Site, office: Visitor) -> None:
    change = done(office.post("/calendar/classes", timetable="寄宿", grade="8"))
    with site.app.app_context():
        rows = db.session.execute(select(SchoolClass.grade, SchoolClass.timetable))
        kept = {grade: timetable for grade, timetable in rows}
        assert kept == {8: "寄宿", 10: "senior"}
    assert stale(site) == [sample.DAY]
    office.post("/calendar/undo", change=change)
    with site.app.app_context():
        assert "寄宿" not in db.session.scalars(select(SchoolClass.timetable)).all()


def test_undo_refuses_what_somebody_has_changed_again(site: Site, office: Visitor) -> None:
    first = done(office.post("/calendar/day", day=FRIDAY.isoformat(), kind="off"))
    office.post("/calendar/day", day=FRIDAY.isoformat(), kind="half", until="12:00")
    answer = office.post("/calendar/undo", change=first)
    assert answer.status_code == 422 and "changed this again" in answer.get_data(as_text=True)
    assert sessions(site, FRIDAY) == ["am 07:45-11:50"]


ICS = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//x//y//EN
BEGIN:VEVENT
UID:1
DTSTART;VALUE=DATE:20270205
DTEND;VALUE=DATE:20270212
SUMMARY:寒假
END:VEVENT
BEGIN:VEVENT
UID:2
DTSTART:20261127T000000Z
DTEND:20261127T040000Z
SUMMARY:期中考试
END:VEVENT
BEGIN:VEVENT
UID:3
SUMMARY:no date
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n")


def upload(office: Visitor, content: bytes):  # type: ignore[no-untyped-def]
    """Choose a file in the form and send it."""
    data = {"file": (io.BytesIO(content), "school.ics"), "csrf_token": office.token()}
    return office.client.post("/calendar/files", data=data, headers=office.headers)


def test_a_file_is_shown_in_words_before_it_counts(site: Site, office: Visitor) -> None:
    page = upload(office, ICS.encode()).get_data(as_text=True)
    assert "speaks of 8 days" in page and "no date" in page and "寒假" in page
    with site.app.app_context():
        found = {each.date: (each.kind, each.label) for each in db.session.scalars(select(DayProposal))}
        assert db.session.scalars(select(CalendarDay)).all() == []
    assert found[FRIDAY] == (DayKind.EXAM, "期中考试") and found[dt.date(2027, 2, 11)] == (DayKind.OFF, "寒假")
    assert dt.date(2027, 2, 12) not in found


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\xff\xfe\x00", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", b"BEGIN:VEVENT"]
)
def test_what_is_no_calendar_is_refused(office: Visitor, content: bytes) -> None:
    answer = upload(office, content)
    assert answer.status_code == 422 and "Nothing in this file is a day" in answer.get_data(as_text=True)


def test_what_is_exported_reads_back_as_the_same_days(site: Site, office: Visitor) -> None:
    office.post("/calendar/day", day="2026-12-30", last="2027-01-01", kind="off", label="元旦, 快乐")
    office.post("/calendar/day", day="2026-12-12", kind="school", as_weekday="4")
    office.post("/calendar/day", day="2026-12-14", kind="half", until="11:15", label="x")
    office.post("/calendar/day", day="2026-12-15", kind="exam", bells="am 08:00-10:00", label="y")
    office.post("/calendar/terms", name="1", starts="2026-09-01", ends="2027-01-29")
    file = office.get("/calendar.ics")
    assert file.content_type.startswith("text/calendar")
    with site.app.app_context(), transaction() as session:
        before = {(d.date, d.kind, d.as_weekday, d.until, str(d.bells)) for d in session.scalars(select(CalendarDay))}
        for each in session.scalars(select(CalendarDay)):
            session.delete(each)
    assert "speaks of 6 days" in upload(office, file.get_data()).get_data(as_text=True)
    with site.app.app_context():
        after = {(d.date, d.kind, d.as_weekday, d.until, str(d.bells)) for d in db.session.scalars(select(DayProposal))}
        assert after == before


def test_the_feed_has_an_address_nobody_can_guess_and_a_new_one_ends_it(site: Site, office: Visitor) -> None:
    office.post("/calendar/day", day=FRIDAY.isoformat(), kind="off", label="运动会")
    seen = []
    for _again in range(2):
        office.post("/calendar/feed")
        found = re.search(r'value="http://[^/]+(/calendar/feed/[\w-]{32}\.ics)"', office.text("/calendar/files"))
        assert found is not None
        seen.append(found[1])
    stranger = site.stranger()
    assert "运动会" in stranger.text(seen[1])
    assert stranger.get(seen[0]).status_code == stranger.get("/calendar/feed/x.ics").status_code == 404


@pytest.mark.parametrize("login", ["lijing", "zhaoqiang", "menwei"])
def test_only_office_and_head_see_or_change_the_calendar(site: Site, login: str) -> None:
    visitor = site.visitor(login)
    for url in ("/calendar", "/calendar/bells", "/calendar/files", "/calendar.ics"):
        assert visitor.get(url).status_code == 403
    for where in ("day", "terms", "terms/remove", "proposals", "bells", "classes", "files", "feed", "undo"):
        assert visitor.post(f"/calendar/{where}", day="2026-11-25", kind="off").status_code == 403, where
    with site.app.app_context():
        assert db.session.scalars(select(CalendarDay)).all() == []


def test_nothing_of_another_school_is_undone_or_removed(site: Site, office: Visitor) -> None:
    with site.app.app_context(), transaction() as session:
        session.add(School(id="erzhong", name="x", sign="x", created_at=clock.now()))
        session.flush()
        term = service.add_term(session, "erzhong", name="1", starts=dt.date(2026, 9, 1), ends=dt.date(2027, 1, 1))
        change = CalendarChange(school_id="erzhong", part="days", before={}, after={}, made_at=clock.now())
        change.made_by = uuid.uuid4()
        session.add(change)
        session.flush()
        ids = {"term": str(term.id), "change": str(change.id)}
    assert office.post("/calendar/undo", change=ids["change"]).status_code == 404
    assert office.post("/calendar/terms/remove", term=ids["term"]).status_code == 404
    assert office.get(f"/calendar?done={ids['change']}").status_code == 200
    with site.app.app_context():
        assert len(db.session.scalars(select(Term)).all()) == 1
