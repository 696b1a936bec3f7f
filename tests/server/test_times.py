"""Taps whose time nobody knows: between which times they lie, under which day they are filed, and who is told."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from flask import Flask

from gateway import wire
from server import clock, pipeline
from server.attendance.models import PupilDay
from server.db import db, transaction
from server.gates import service as gates
from server.gates.models import SpoolGap
from server.outbox.models import OutboxText
from server.pipeline import Delivery, Report
from server.taps import jobs as taps_jobs
from server.taps.models import Tap
from tests.server import gate


@pytest.fixture
def world(app: Flask, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    gate.add_school()
    gate.set_clock(monkeypatch, gate.at("07:45"))
    return monkeypatch


def untimed(seq: int, *, late: bool = True, **bounds: datetime) -> wire.Tap:
    """A tap of an earlier boot without a time, whose gateway knows these bounds."""
    known = {name: clock.to_millis(moment) for name, moment in bounds.items()}
    return gate.tap(seq, gate.at("00:00"), at=61_000, clock="unsynced", boot="boot-0", late=late, **known)


def arrive(*taps: wire.Tap, when: str = "07:45") -> None:
    pipeline.handle([gate.delivery(taps, gate.at(when))], gate.at(when))


def say(**fields: object) -> None:
    now = clock.now()
    state = wire.State(online=True, birth=clock.to_millis(now), at=clock.to_millis(now), spool=gate.SPOOL, **fields)
    topic = wire.topic("mingde", "gate-1", wire.Kind.STATE)
    pipeline.heard([Report(topic, "mingde", "gate-1", state, now)])


def test_bounds_within_a_day_file_the_tap_under_it_and_nobody_is_late_by_it(world: pytest.MonkeyPatch) -> None:
    gate.set_clock(world, gate.at("33:00"))  # the next morning
    arrive(untimed(1, earliest=gate.at("08:10"), latest=gate.at("11:20")), when="33:00")
    ((day, at, trust),) = gate.rows(Tap, "day", "at", "clock")
    assert (day, at, trust) == (gate.DAY, gate.at("11:20"), "unsynced")
    assert gate.rows(Tap, "earliest", "latest") == [(gate.at("08:10"), gate.at("11:20"))]
    ((date, late, verdict),) = gate.rows(PupilDay, "date", "late_minutes", "verdict")
    assert (date, late, verdict["flags"]) == (gate.DAY, 0, ["time_uncertain"])


def test_where_the_gate_knows_no_bounds_the_taps_around_it_give_them(world: pytest.MonkeyPatch) -> None:
    arrive(gate.tap(1, gate.at("07:10")), gate.tap(3, gate.at("07:30")))
    arrive(untimed(2))
    assert (gate.at("07:10"), gate.at("07:30"), "unsynced") in gate.rows(Tap, "earliest", "latest", "clock")


def test_a_tap_without_a_time_that_may_be_old_is_no_news(world: pytest.MonkeyPatch) -> None:
    arrive(untimed(1))
    arrive(untimed(2, earliest=gate.at("00:30"), latest=gate.at("07:44")))
    assert gate.rows(OutboxText, "body") == []


def test_a_tap_without_a_time_that_is_fresh_is_told_without_one(world: pytest.MonkeyPatch) -> None:
    arrive(untimed(1, earliest=gate.at("07:31"), latest=gate.at("07:44")))
    (text,) = gate.rows(OutboxText, "body")
    assert "待核实" in text
    assert ":" not in text


def test_a_tap_of_a_clock_in_the_future_has_no_time(world: pytest.MonkeyPatch) -> None:
    ahead = gate.tap(1, datetime(2039, 1, 1, tzinfo=UTC), ticks=10**9 - 500)
    arrive(ahead)
    ((at, trust),) = gate.rows(Tap, "at", "clock")
    assert trust == "unsynced"
    assert at <= gate.at("07:45")
    assert "待核实" in gate.rows(OutboxText, "body")[0]


def test_the_order_of_a_spool_outlives_any_clock(world: pytest.MonkeyPatch) -> None:
    arrive(*(untimed(seq) for seq in (1, 2, 3)))
    arrive(untimed(3), untimed(2))  # again, with other ids: another card image
    assert gate.rows(Tap, "seq") == [1, 2, 2, 3, 3]


def gap(first: int, last: int, *, asked: bool = True) -> None:
    now = clock.now()
    with transaction() as session:
        session.add(
            SpoolGap(
                school_id="mingde",
                gateway_id="gate-1",
                spool=gate.SPOOL,
                first_seq=first,
                last_seq=last,
                since=gate.at("07:00"),
                until=gate.at("07:40"),
                seen_at=now - timedelta(minutes=1),
                asked_at=now if asked else None,
            )
        )


def gaps() -> list[tuple[int, int, bool]]:
    found = gate.rows(SpoolGap, "first_seq", "last_seq", "lost_at", "closed_at")
    assert all((lost is None) == (closed is None) for _, _, lost, closed in found)
    return [(first, last, lost is not None) for first, last, lost, _ in found]


def test_what_the_gate_says_is_gone_is_lost_and_the_rest_is_waited_for(world: pytest.MonkeyPatch) -> None:
    gap(10, 20)
    say(next_seq=30, depth=3, gone=[wire.Gone(spool=gate.SPOOL, first=1, last=12)])
    assert gaps() == [(10, 12, True), (13, 20, False)]
    assert gates.gaps_on("mingde", gate.DAY)[0].starts == 7 * 3600  # nobody is absent by it, lost or not


def test_what_came_before_the_gate_said_gone_is_not_lost(world: pytest.MonkeyPatch) -> None:
    gap(1, 3)
    arrive(gate.tap(2, gate.at("07:20")))
    say(next_seq=4, depth=1, gone=[wire.Gone(spool=gate.SPOOL, first=1, last=3)])
    assert gaps() == [(1, 1, True), (3, 3, True)]


def test_another_gate_cannot_say_that_these_are_gone(world: pytest.MonkeyPatch) -> None:
    gap(1, 3)
    now = clock.now()
    state = wire.State(online=True, birth=1, at=1, gone=[wire.Gone(spool=gate.SPOOL, first=1, last=3)])
    pipeline.heard([Report(wire.topic("mingde", "gate-2", wire.Kind.STATE), "mingde", "gate-2", state, now)])
    assert gaps() == [(1, 3, False)]


def test_a_lost_tail_is_one_incident_however_often_the_gate_is_heard(world: pytest.MonkeyPatch) -> None:
    arrive(gate.tap(1, gate.at("07:20")))
    gone = [wire.Gone(spool=gate.SPOOL, first=2, last=3)]
    for _ in range(3):
        say(next_seq=4, depth=0, gone=gone)
    assert gaps() == [(2, 3, True)]


def test_a_gap_that_nobody_can_fill_any_more_is_lost(world: pytest.MonkeyPatch) -> None:
    gap(1, 3)
    taps_jobs.forget()
    assert gaps() == [(1, 3, False)]
    gate.set_clock(world, gate.at("07:45") + timedelta(days=9))
    taps_jobs.forget()
    assert gaps() == [(1, 3, True)]


def test_an_old_gap_whose_taps_have_come_unnoticed_is_not_lost(world: pytest.MonkeyPatch) -> None:
    gap(1, 1)
    arrive(gate.tap(1, gate.at("07:20")))
    gate.set_clock(world, gate.at("07:45") + timedelta(days=9))
    taps_jobs.forget()
    assert gate.rows(SpoolGap, "lost_at") == [None]


def test_what_a_database_that_was_set_back_asked_for_is_judged_and_not_told_again(world: pytest.MonkeyPatch) -> None:
    gap(1, 1)
    arrive(gate.tap(1, gate.at("07:41")), gate.tap(2, gate.at("07:42"), card=gate.card_of(1)))
    (text,) = gate.rows(OutboxText, "body")
    assert "学生1" in text
    assert gate.rows(PupilDay, "inside") == [True, True]


def test_bounds_from_the_future_are_not_believed(world: pytest.MonkeyPatch) -> None:
    tap = msgspec.structs.replace(untimed(1), earliest=clock.to_millis(gate.at("09:00")))  # from the future
    pipeline.handle([Delivery("t", "mingde", "gate-1", gate.message([tap]), gate.at("07:45"))], gate.at("07:45"))
    assert gate.rows(Tap, "latest") == [gate.at("07:45")]
    assert db.session.scalar(db.select(Tap.earliest)) is None
