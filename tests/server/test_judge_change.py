"""What a family may be told of a day: every entry and exit once, in any order of arrival; and the word for now."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.attendance import news, rules
from server.attendance.news import Event, Kind
from server.attendance.rules import Mark, Tap

AM, PM = rules.Session("am", 28_200, 42_600), rules.Session("pm", 48_600, 61_200)


def at(text: str) -> int:
    hours, minutes, *rest = (int(part) for part in text.split(":"))
    return hours * 3600 + minutes * 60 + sum(rest)


def day(now: str, *taps: str, sessions: tuple = (AM, PM), **facts) -> rules.Day:  # type: ignore[no-untyped-def,type-arg]
    """A day from taps like `07:41 in`; `in?` is an entry whose clock proves nothing."""
    made = [Tap(at(when), way.rstrip("?"), trusted=not way.endswith("?")) for when, way in (t.split() for t in taps)]
    return rules.judge(sessions=sessions, policy=rules.Policy(), now=at(now), taps=made, **facts)


def events(old: rules.Day | None, new: rules.Day) -> list[Event]:
    """The news of `new` after `old`, which is the first that was known of the day."""
    found = news.change(old and news.remembering(None, old), new)
    return list(found.events) if found else []


def told(taps: list[Tap]) -> tuple[list[Event], rules.Day]:
    """All events, the taps arriving one by one, and the day in the end."""
    found: list[Event] = []
    before: rules.Day | None = None
    for count in range(len(taps) + 1):
        after = rules.judge(sessions=[AM, PM], policy=rules.Policy(), now=80_000, taps=taps[:count])
        added = news.change(before, after)
        found += added.events if added else ()
        before = news.remembering(before, after)
    assert before is not None
    return found, before


@settings(max_examples=400, deadline=None)
@given(st.lists(st.builds(Tap, st.integers(0, 40).map(lambda n: n * 2000), st.sampled_from(["in", "out"]),
                          st.sampled_from([True] * 7 + [False])), max_size=9))  # fmt: skip
def test_each_entry_and_exit_of_the_final_day_is_told_once_in_any_order_of_arrival(taps: list[Tap]) -> None:
    found, final = told(taps)
    for kind, times, whole in (
        (Kind.IN, [stay.entered for stay in final.stays], {tap.at for tap in taps if tap.direction == "in"}),
        (Kind.OUT, list(final.exits), {tap.at for tap in taps if tap.direction == "out"}),
    ):
        of_kind = [event for event in found if event.kind == kind]
        assert [event.n for event in of_kind] == list(range(1, len(times) + 1))
        assert {event.at for event in of_kind} <= whole
        holders = [max(time for time in times if time <= (event.at or 0)) for event in of_kind]
        assert sorted(holders) == times
    assert sum(event.kind == Kind.UNSURE for event in found) == final.unsure


def test_an_ordinary_day_is_told_entry_by_entry() -> None:
    first, second = day("07:42", "07:41 in"), day("17:04", "07:41 in", "17:03 out")
    assert events(None, first) == [Event(Kind.IN, 1, at("07:41"))]
    assert events(first, second) == [Event(Kind.OUT, 1, at("17:03"))]
    assert events(second, day("18:30", "07:41 in", "17:03 out")) == []


def test_a_late_entry_says_its_minutes_in_the_very_second_of_the_tap() -> None:
    assert events(None, day("08:32:10", "08:32:10 in")) == [Event(Kind.IN, 1, at("08:32:10"), late=42)]
    assert events(None, day("08:40", "08:32:10 in")) == [Event(Kind.IN, 1, at("08:32:10"), late=42)]


def test_only_the_first_entry_into_a_session_is_late() -> None:
    back = day("10:31", "07:41 in", "10:00 out", "10:30 in")
    assert [event.late for event in events(None, back) if event.kind == Kind.IN] == [0, 0]


def test_each_session_has_its_own_late_entry() -> None:
    both = day("14:00", "08:10 in", "11:52 out", "13:50 in")
    assert [(event.n, event.late) for event in events(None, both) if event.kind == Kind.IN] == [(1, 20), (2, 20)]


def test_an_early_exit_says_its_minutes_and_coming_back_takes_them_away() -> None:
    left = day("16:21", "07:41 in", "16:20 out")
    assert events(None, left)[-1] == Event(Kind.OUT, 1, at("16:20"), early=40)
    back = day("16:31", "07:41 in", "16:20 out", "16:30 in")
    assert [event.early for event in events(None, back) if event.kind == Kind.OUT] == [0]
    assert events(left, back) == [Event(Kind.IN, 2, at("16:30"))]


def test_leave_at_the_end_makes_an_exit_not_early() -> None:
    left = day("15:03", "07:41 in", "15:02 out", leave=[rules.Leave(at("15:00"), at("17:00"), "sick")])
    assert events(None, left)[-1] == Event(Kind.OUT, 1, at("15:02"))


def test_a_morning_that_arrives_after_the_afternoon_is_told_as_its_own_times() -> None:
    known = day("13:21", "13:20 in")
    whole = day("13:25", "07:41 in", "11:52 out", "13:20 in")
    assert events(known, whole) == [Event(Kind.IN, 2, at("07:41")), Event(Kind.OUT, 1, at("11:52"))]


def test_an_entry_a_little_earlier_than_the_told_one_is_not_told_again() -> None:
    assert events(day("08:00", "07:43 in"), day("08:00", "07:41 in", "07:43 in")) == []


def test_an_exit_in_the_middle_splits_a_stay_and_tells_what_was_not_known() -> None:
    known = day("13:30", "07:41 in", "13:20 in")
    whole = day("13:30", "07:41 in", "11:52 out", "13:20 in")
    assert events(known, whole) == [Event(Kind.OUT, 1, at("11:52")), Event(Kind.IN, 2, at("13:20"))]


def test_who_leaves_twice_without_an_entry_left_once() -> None:
    assert events(None, day("12:00", "11:52 out", "11:55 out")) == [Event(Kind.OUT, 1, at("11:52"))]


def test_an_entry_without_a_time_is_told_once() -> None:
    unsure = day("08:00", "00:01 in?")
    assert events(None, unsure) == [Event(Kind.UNSURE, 1, None)]
    assert events(unsure, day("17:04", "00:01 in?", "17:03 out")) == [Event(Kind.OUT, 1, at("17:03"))]


def test_a_told_entry_that_an_earlier_one_swallowed_is_not_told_again_when_a_split_brings_it_back() -> None:
    first = news.remembering(None, day("14:00", "13:20 in"))
    swallowed = news.remembering(first, day("14:00", "13:00 in", "13:20 in"))
    split = day("14:00", "13:00 in", "13:10 out", "13:20 in")
    added = news.change(swallowed, split)
    assert added and added.events == (Event(Kind.IN, 2, at("13:00")), Event(Kind.OUT, 1, at("13:10")))


def test_ordinals_go_on_when_a_correction_took_a_stay_away() -> None:
    both = news.remembering(None, day("14:00", "07:41 in", "11:52 out", "13:20 in"))
    fewer = news.remembering(both, day("14:00", "07:41 in", "11:52 out"))
    added = news.change(fewer, day("18:26", "07:41 in", "11:52 out", "18:25 in"))
    assert added and added.events == (Event(Kind.IN, 3, at("18:25")),)


def test_a_forgotten_exit_is_no_event() -> None:
    assert events(day("17:59", "07:41 in"), day("18:30", "07:41 in")) == []


@pytest.mark.parametrize(
    ("now", "taps", "word"),
    [
        ("06:30", [], "not_yet"),
        ("06:50", ["06:40 in"], "in_school"),
        ("07:00", ["06:40 in", "06:55 out"], "left"),
        ("08:19", [], "not_yet"),
        ("08:20", [], "unexplained"),
        ("08:19", ["00:01 in?"], "unconfirmed"),
        ("08:20", ["00:01 in?"], "unconfirmed"),
        ("08:33", ["08:32:10 in"], "late"),
        ("12:30", ["08:32:10 in"], "late"),  # the afternoon has not begun
        ("13:31", ["08:32:10 in"], "in_school"),
        ("10:05", ["07:41 in", "10:00 out"], "left"),
        ("12:30", ["07:41 in", "11:52 out"], "left"),
        ("13:35", ["07:41 in", "11:52 out"], "not_yet"),  # expected back
        ("14:00", ["07:41 in", "11:52 out"], "unexplained"),
        ("12:30", ["11:52 out"], "left"),
        ("17:59", ["07:41 in"], "in_school"),
        ("18:00", ["07:41 in"], "left"),
    ],
)
def test_the_word_for_now_says_where_the_pupil_is(now: str, taps: list[str], word: str) -> None:
    assert rules.status(day(now, *taps)) == word


@pytest.mark.parametrize(
    ("now", "facts", "word"),
    [
        ("08:30", {"leave": [rules.Leave(0, at("12:00"), "sick")]}, "excused"),
        ("07:00", {"leave": [rules.Leave(0, at("12:00"), "sick")]}, "excused"),
        ("08:30", {"gaps": [rules.Gap(at("07:20"), at("07:40"))]}, "unconfirmed"),
        ("08:30", {"marks": [Mark("am", "present")]}, "in_school"),
        ("08:30", {"marks": [Mark("am", "late", 12)]}, "late"),
        ("08:00", {"marks": [Mark("am", "absent")]}, "unexplained"),
        ("18:00", {"marks": [Mark("pm", "present")]}, "left"),
        ("10:00", {"sessions": ()}, "off"),
    ],
)
def test_the_word_for_now_without_taps_comes_from_the_newest_begun_session(now: str, facts: dict, word: str) -> None:
    assert rules.status(day(now, **facts)) == word


def test_a_day_off_shows_who_is_inside_all_the_same() -> None:
    assert rules.status(day("10:10", "10:00 in", sessions=())) == "in_school"
    assert rules.status(day("10:40", "10:00 in", "10:30 out", sessions=())) == "left"
