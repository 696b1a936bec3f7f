"""When pupils are expected: terms, days off, make-up days, bells of several timetables, and what turns a day."""

from datetime import UTC, date, datetime

import pytest
from click.testing import CliRunner
from flask import Flask

from server import cli, config
from server.calendar import rules, service
from server.calendar.rules import Bell, Session, Special
from server.db import db, transaction
from server.schools.models import School

WEDNESDAY, SATURDAY = date(2026, 11, 25), date(2026, 11, 28)
TERM = (date(2026, 9, 1), date(2027, 1, 29))
FRESH = (Session("am", 28_200, 42_600), Session("pm", 48_600, 61_200))


@pytest.mark.parametrize(
    ("day", "terms", "special", "weekday"),
    [
        (WEDNESDAY, [TERM], None, 2),
        (WEDNESDAY, [], None, 2),  # no term is set yet
        (date(2027, 1, 29), [TERM], None, 4),  # the last day belongs to it
        (date(2027, 1, 30), [TERM], None, None),
        (WEDNESDAY, [TERM], Special(lessons=False), None),
        (SATURDAY, [TERM], None, 5),
        (SATURDAY, [TERM], Special(lessons=True, as_weekday=4), 4),
        (date(2027, 2, 6), [TERM], Special(lessons=True, as_weekday=4), None),  # no lessons outside every term
    ],
)
def test_the_lessons_of_a_date_are_those_of_one_weekday(day, terms, special, weekday) -> None:  # type: ignore[no-untyped-def]
    assert rules.weekday(day, terms=terms, special=special) == weekday


def test_the_newest_bells_that_count_already_ring() -> None:
    winter = Bell(Session("pm", 48_600, 61_200), date(2026, 10, 8))
    summer = Bell(Session("pm", 50_400, 63_000), date(2026, 5, 1))
    assert rules.sessions(date(2026, 10, 7), weekday=2, bells=[winter, summer]) == (summer.session,)
    assert rules.sessions(date(2026, 10, 8), weekday=3, bells=[summer, winter]) == (winter.session,)
    assert rules.sessions(date(2026, 4, 30), weekday=3, bells=[summer, winter]) == ()


def test_bells_ring_on_their_weekdays_and_in_the_order_of_the_day() -> None:
    evening = Bell(Session("eve", 66_600, 75_600), date(2026, 9, 1), weekdays=0b0001111)
    morning = Bell(Session("am", 28_200, 42_600), date(2026, 9, 1))
    assert [s.name for s in rules.sessions(WEDNESDAY, weekday=3, bells=[evening, morning])] == ["am", "eve"]
    assert [s.name for s in rules.sessions(WEDNESDAY, weekday=4, bells=[evening, morning])] == ["am"]
    assert rules.sessions(WEDNESDAY, weekday=5, bells=[evening, morning]) == ()


def test_a_session_ends_for_good_by_a_row_without_weekdays() -> None:
    begun = Bell(Session("eve", 66_600, 75_600), date(2026, 9, 1))
    over = Bell(begun.session, date(2026, 11, 1), weekdays=0)
    assert rules.sessions(WEDNESDAY, weekday=2, bells=[begun, over]) == ()


def test_a_fresh_school_has_days_that_its_first_tap_can_count_for(school: School) -> None:
    assert service.sessions_on(school.id, "default", WEDNESDAY) == FRESH
    assert service.is_school_day(school.id, WEDNESDAY)
    assert not service.is_school_day(school.id, SATURDAY)


def test_single_days_and_bells_of_a_school_count(school: School) -> None:
    evening = Bell(Session("eve", 66_600, 75_600), date(2026, 9, 1), weekdays=0b0010000)
    with transaction() as session:
        service.add_term(session, school.id, name="2026-1", starts=TERM[0], ends=TERM[1])
        service.set_bell(session, school.id, timetable="boarders", bell=evening)
        service.set_make_up(session, school.id, day=SATURDAY, as_weekday=4)
        service.set_off(session, school.id, days=[WEDNESDAY], label="运动会")
    assert service.sessions_on(school.id, "boarders", SATURDAY) == (evening.session,)
    assert service.timetables_on(school.id, ["boarders", "nobody set this one"], SATURDAY) == {
        "boarders": (evening.session,),
        "nobody set this one": FRESH,
    }
    assert service.sessions_on(school.id, "boarders", WEDNESDAY) == ()
    assert not service.is_school_day(school.id, date(2027, 2, 1))


def test_a_date_that_is_set_again_is_what_was_set_last(school: School) -> None:
    with transaction() as session:
        service.set_off(session, school.id, days=[SATURDAY])
        service.set_make_up(session, school.id, day=SATURDAY, as_weekday=0)
    assert service.is_school_day(school.id, SATURDAY)
    with transaction() as session:
        service.set_off(session, school.id, days=[SATURDAY])
    assert not service.is_school_day(school.id, SATURDAY)


def test_another_schools_calendar_does_not_count(school: School) -> None:
    with transaction() as session:
        session.add(School(id="other", name="x", sign="x", created_at=school.created_at))
        session.flush()
        service.set_off(session, "other", days=[WEDNESDAY])
    assert service.is_school_day(school.id, WEDNESDAY)


def test_boundaries_are_the_moments_at_which_time_alone_turns_a_verdict(school: School) -> None:
    found = service.boundaries(school.id, WEDNESDAY, minutes_after_start=(5, 30))
    assert found[:3] == tuple(datetime(2026, 11, 24, 23, minute, tzinfo=UTC) for minute in (50, 55)) + (
        datetime(2026, 11, 25, 0, 20, tzinfo=UTC),
    )
    assert found[-1] == datetime(2026, 11, 25, 10, 0, tzinfo=UTC)  # an hour after the last bell
    assert service.boundaries(school.id, SATURDAY, minutes_after_start=(5,)) == ()


def test_terms_do_not_overlap_and_run_forward(school: School) -> None:
    with transaction() as session:
        service.add_term(session, school.id, name="one", starts=TERM[0], ends=TERM[1])
    with pytest.raises(service.BadCalendar, match="overlap term one"), transaction() as session:
        service.add_term(session, school.id, name="two", starts=TERM[1], ends=date(2027, 7, 1))
    with pytest.raises(service.BadCalendar, match="first day first"), transaction() as session:
        service.add_term(session, school.id, name="two", starts=date(2027, 7, 1), ends=date(2027, 2, 20))


def test_the_commands_set_a_year_up(app: Flask, school: School, settings: config.Config, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("GATEBELL_DATABASE__URL", settings.database.url)
    monkeypatch.setenv("GATEBELL_SECRETS__KEY_FILE", settings.secrets.key_file)
    db.session.rollback()

    def run(*words: str) -> str:
        result = CliRunner().invoke(cli.build(), ["calendar", *words])
        return f"{result.exit_code} {result.output}"

    assert run("term", "add", "2026-1", "2026-09-01..2027-01-29").startswith("0 term 2026-1")
    assert run("holiday", "add", "2026-10-01..2026-10-08", "--label", "国庆").startswith("0 8 day(s) off")
    assert run("makeup", "add", "2026-11-28", "--as", "friday").startswith("0 1 day(s)")
    assert run("bells", "set", "am", "08:00-12:00", "--since", "2026-09-01").startswith("0 default: am")
    assert run("show", "2026-11-28") == "0 2026-11-28 saturday: am 08:00-12:00\n"
    assert run("show", "2026-10-08") == "0 2026-10-08 thursday: off\n"
    assert run("half", "add", "2026-11-27", "--until", "11:00").startswith("0 1 half day(s)")
    assert run("show", "2026-11-27") == "0 2026-11-27 friday: am 08:00-11:00\n"
    assert "write it as in 12:00" in run("half", "add", "2026-11-27", "--until", "noon")
    assert "make-up days of 2031 not yet published" in run("seed", "2031")
    assert run("seed", "2026").startswith("0 39 day(s) found")
    assert "2026-10-10: school, lessons of wednesday 国庆节" in run("take", "--dry-run")
    assert "day(s) taken" in run("take") and run("take") == "0 0 day(s) taken\n"
    assert "SUMMARY:国庆节" in run("export", "-")
    assert "write 2027-02-15" in run("holiday", "add", "15.2.2027")
    assert run("--school", "other", "show", "2026-10-08").startswith("1 Error: there is no school 'other'")
