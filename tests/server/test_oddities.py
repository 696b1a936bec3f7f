"""Odd uses of cards: noticed once whatever the order of arrival, and never at the cost of a tap or a text."""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from itertools import permutations

import pytest
from flask import Flask
from sqlalchemy import event, update

from gateway import wire
from server import pipeline, settings
from server.cards.models import Card, CardState
from server.db import db, transaction
from server.oddities import rules
from server.oddities.models import OddUse
from server.outbox.models import OutboxText
from server.people.models import Pupil
from server.taps.models import Tap
from tests.server import gate

EVENING = gate.at("18:30")
SPOOLS = {"gate-1": gate.SPOOL, "gate-2": "ff" * 8, "gate-3": "ee" * 8}


@pytest.fixture
def pupils(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[uuid.UUID]]:
    """Six pupils of a school, in the evening of their day."""
    gate.set_clock(monkeypatch, EVENING)
    yield gate.add_school(6)[1]


class Taps:
    """Makes taps with numbers that go up at each gate."""

    def __init__(self) -> None:
        self.seq = 0

    def __call__(self, when: str, way: str = "in", *, n: int = 0, where: str = "gate-1", **more: object) -> wire.Tap:
        self.seq += 1
        shift = timedelta(milliseconds=int(more.pop("ms", 0)))  # type: ignore[call-overload]
        more.setdefault("card", gate.card_of(n))
        return gate.tap(self.seq, gate.at(when) + shift, direction=way, gateway=where, spool=SPOOLS[where], **more)


@pytest.fixture
def tap() -> Taps:
    return Taps()


def take(*taps: wire.Tap) -> None:
    """One by one."""
    for each in taps:
        pipeline.handle([gate.delivery([each], EVENING, gateway=each.gateway)], EVENING)


def odd(*columns: str) -> list[object]:
    return gate.rows(OddUse, *(columns or ("kind",)))


def choose(**chosen: object) -> None:
    with transaction() as session:
        settings.set_policy(session, "mingde", rules.Policy, **chosen)


def test_one_card_at_two_gates_within_minutes_is_shown_with_both_gates(pupils, tap) -> None:
    take(tap("07:40"), tap("07:41", "out", where="gate-2"))
    found = odd("kind", "pupil_id", "gate", "other_gate", "at", "before", "times", "day")
    times = gate.at("07:41"), gate.at("07:40")
    assert found == [("two_gates", pupils[0], "gate-2", "gate-1", *times, 1, gate.DAY)]


@pytest.mark.parametrize(
    ("chosen", "apart", "shown"),
    [
        ({}, 119, True),
        ({}, 120, False),
        ({"gates_seconds": 300}, 299, True),
        ({"gates_seconds": 0}, 1, False),
        ({"between": {"gate-1+gate-2": 600}}, 599, True),
        ({"between": {"gate-1+gate-2": 30}}, 31, False),
    ],
)
def test_how_long_the_walk_takes_is_the_schools_to_say(pupils, tap, chosen, apart, shown) -> None:
    choose(**chosen)
    take(tap("07:40"), tap("07:40", "out", where="gate-2", ms=1000 * apart))
    assert odd() == (["two_gates"] if shown else [])


def test_in_twice_without_an_out_is_shown_once_a_day(pupils, tap) -> None:
    take(tap("07:40"), tap("07:52"), tap("08:30"), tap("09:00"))
    assert odd("kind", "at", "times") == [("in_in", gate.at("07:52"), 3)]


@pytest.mark.parametrize(
    ("day", "shown"),
    [
        ([("07:40", "in"), ("07:40:30", "in")], []),  # touched twice, to be sure
        ([("07:40", "in"), ("12:00", "out"), ("13:20", "in"), ("17:01", "out")], []),
        ([("07:40", "both"), ("12:00", "both"), ("13:20", "both")], []),
        ([("07:40", "both"), ("12:00", "in")], ["in_in"]),
        ([("12:00", "out"), ("12:30", "out")], []),
        ([("07:40", "in"), ("17:01", "out"), ("17:20", "in")], ["after_leaving"]),
        ([("07:40", "in"), ("16:20", "out"), ("16:40", "in")], []),  # lessons are not over
        ([("17:20", "in")], []),
    ],
)
def test_an_ordinary_day_is_not_odd_and_an_odd_one_is(pupils, tap, day, shown) -> None:
    take(*(tap(when, way) for when, way in day))
    assert odd() == shown


def test_rules_can_be_switched_off(pupils, tap) -> None:
    choose(in_in=False, after_leaving=False, together_ms=0)
    take(tap("07:40"), tap("07:50"), tap("17:01", "out"), tap("17:20"), tap("17:20", n=1, ms=100))
    assert odd() == []


DAYS = {
    "a late exit explains": [
        ("07:40", "in", "gate-1"),
        ("12:00", "out", "gate-1"),
        ("13:20", "in", "gate-1"),
    ],
    "two gates, and in twice": [("07:40", "in", "gate-1"), ("07:41", "in", "gate-2"), ("07:50", "in", "gate-2")],
    "back at night": [("07:40", "in", "gate-1"), ("17:05", "out", "gate-3"), ("17:06", "in", "gate-1")],
}


@pytest.mark.parametrize("name", DAYS)
def test_every_order_of_arrival_tells_the_same(pupils, tap, name) -> None:
    choose(together_ms=0)  # six pupils at the same moments
    orders = list(permutations(DAYS[name]))
    for n, order in enumerate(orders):
        take(*(tap(when, way, n=n, where=where) for when, way, where in order))
    found: dict[uuid.UUID, list[object]] = {pupil: [] for pupil in pupils}
    for pupil, *row in odd("pupil_id", "kind", "at", "before", "gate", "other_gate", "times"):  # type: ignore[misc]
        found[pupil].append(row)
    assert len(orders) == len(pupils)
    assert all(rows == found[pupils[0]] for rows in found.values())
    assert bool(found[pupils[0]]) == (name != "a late exit explains")


def test_what_somebody_has_seen_stays_though_a_late_tap_explains_it(pupils, tap) -> None:
    take(tap("07:40"), tap("13:20"))
    with transaction() as session:
        session.execute(update(OddUse).values(seen_at=EVENING))
    take(tap("12:00", "out"))
    assert odd() == ["in_in"]


def test_two_cards_in_one_second_at_one_reader_are_shown_once_a_day_for_the_pair(pupils, tap) -> None:
    for minute in (40, 50):
        take(tap(f"07:{minute}"), tap(f"07:{minute}", n=1, ms=900))
    pair = sorted(pupils[:2])
    assert [row for row in odd("kind", "pupil_id", "other_id") if row[0] == "together"] == [("together", *pair)]


def test_cards_of_a_crowd_at_other_readers_later_or_read_from_afar_are_not_in_one_hand(pupils, tap) -> None:
    with transaction() as session:
        for n, pupil in enumerate(pupils[:2]):
            session.add(Card(school_id="mingde", text=f"epc:{n:024X}", pupil_id=pupil, since=EVENING))
    take(tap("07:40"), tap("07:40", n=1, ms=1001))
    take(tap("08:40", n=2), tap("08:40", n=3, ms=10, reader="lane-2"), tap("08:40", n=4, ms=10, where="gate-2"))
    take(tap("09:40", card=f"epc:{0:024X}"), tap("09:40", card=f"epc:{1:024X}", ms=10))
    assert "together" not in odd()


def test_the_pair_is_seen_in_one_batch_and_in_two(pupils, tap) -> None:
    pipeline.handle([gate.delivery([tap("07:40"), tap("07:40", n=1, ms=500)], EVENING)], EVENING)
    second = tap("07:50", n=3, ms=500)
    take(second, tap("07:50", n=2))
    assert odd() == ["together", "together"]


def test_cards_that_count_for_nobody_are_shown_by_why(pupils, tap) -> None:
    with transaction() as session:
        session.execute(update(Card).where(Card.text == gate.card_of(0)).values(state=CardState.LOST))
        session.execute(update(Card).where(Card.text == gate.card_of(1)).values(state=CardState.BLOCKED))
        session.execute(update(Pupil).where(Pupil.id == pupils[2]).values(active=False))
    take(*(tap("07:40", n=n, ms=5000 * n) for n in range(3)), tap("07:50"), tap("08:00", card="em4100:FFFFFFFF01"))
    found = odd("kind", "pupil_id", "times")
    assert found == [("blocked", pupils[1], 1), ("left_school", pupils[2], 1), ("lost", pupils[0], 2)]
    assert gate.rows(OutboxText, "id") == [] and len(gate.rows(Tap, "id")) == 5


def test_a_gate_that_does_not_know_the_time_accuses_nobody(pupils, tap) -> None:
    take(tap("07:40"), tap("07:40", where="gate-2", clock="unsynced", boot="other", ms=1000))
    assert odd() == []


def test_a_tap_that_comes_again_counts_once(pupils, tap) -> None:
    with transaction() as session:
        session.execute(update(Card).where(Card.text == gate.card_of(0)).values(state=CardState.LOST))
    each = tap("07:40")
    take(each, each)
    assert odd("kind", "times") == [("lost", 1)]


def test_no_tap_and_no_text_is_changed_by_what_is_odd(pupils, tap, monkeypatch) -> None:
    day = [tap("07:40"), tap("07:41", where="gate-2"), tap("07:41", n=1, ms=200, where="gate-2"), tap("17:05", "out")]
    take(*day)
    told = gate.rows(OutboxText, "pupil_id", "kind", "n", "body"), gate.rows(Tap, "id", "pupil_id", "at")
    assert odd() != []
    with transaction() as session:
        for table in (OutboxText, Tap, OddUse):
            session.execute(db.delete(table))
        session.execute(db.text("DELETE FROM pupil_day"))
    monkeypatch.setattr(pipeline.oddities, "notice", lambda *_: None)
    take(*day)
    assert told == (gate.rows(OutboxText, "pupil_id", "kind", "n", "body"), gate.rows(Tap, "id", "pupil_id", "at"))


def test_a_batch_in_which_nothing_is_odd_asks_one_thing_more(pupils, tap, monkeypatch) -> None:
    asked: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda _c, _k, statement, *_: asked.append(statement))
    counts = []
    for minute, notice in ((10, None), (20, None), (30, lambda *_: None)):
        if notice:
            monkeypatch.setattr(pipeline.oddities, "notice", notice)
        asked.clear()
        pupil = minute // 10 - 1
        take(tap(f"07:{minute}", n=pupil))
        counts.append(len(asked))
    assert counts[1] == counts[2] + 1


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_spans_hold_every_time_and_are_few(count) -> None:
    times = [gate.at("07:00") + timedelta(minutes=n * n) for n in range(count)]
    around = timedelta(seconds=1)
    found = rules.spans(reversed(times), around, 2)
    assert len(found) == min(count, 2)
    assert all(any(starts <= at - around and at + around <= ends for starts, ends in found) for at in times)
