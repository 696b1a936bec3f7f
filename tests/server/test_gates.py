"""What gates say of themselves, when one is silent, and which numbers are missing."""

from collections.abc import Iterator
from datetime import datetime

import pytest
from flask import Flask

from gateway import wire
from server import clock, pipeline
from server.db import transaction
from server.gates import jobs, rules, service
from server.gates.models import Gateway, Reader, Silence, SpoolGap
from server.taps import jobs as taps_jobs
from tests.server import gate


@pytest.fixture
def gates(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A school, at 07:00."""
    gate.set_clock(monkeypatch, gate.SEVEN)
    gate.add_school()
    yield monkeypatch


def state(when: datetime, **changes: object) -> wire.State:
    at = clock.to_millis(when)
    reader = wire.ReaderState(reader="lane-1", health=wire.ReaderHealth.UP, profile="rdm6300")
    fields: dict = {"online": True, "birth": at, "at": at, "boot": gate.BOOT, "clock": wire.ClockState.SYNCED}
    return wire.State(**{**fields, "readers": [reader], **changes})


def say(message: wire.State, when: datetime) -> None:
    topic = wire.topic("mingde", "gate-1", wire.Kind.STATE)
    pipeline.heard([pipeline.Report(topic, "mingde", "gate-1", message, when)])


def watch_at(monkeypatch: pytest.MonkeyPatch, clock_time: str) -> list[tuple[datetime, datetime | None, bool]]:
    gate.set_clock(monkeypatch, gate.at(clock_time))
    jobs.watch()
    return [tuple(row) for row in gate.rows(Silence, "starts", "ends", "covered")]


def test_a_gateway_and_its_readers_are_known_from_their_first_word(gates) -> None:
    say(state(gate.SEVEN), gate.SEVEN)
    say(state(gate.SEVEN), gate.at("07:01"))
    assert gate.rows(Reader, "id", "name") == [("lane-1", "lane-1")]
    assert gate.rows(Gateway, "id", "name", "online", "heard_at") == [("gate-1", "gate-1", True, gate.at("07:01"))]


def test_a_last_will_older_than_the_newest_birth_says_nothing(gates) -> None:
    old, new = state(gate.SEVEN), state(gate.at("07:10"))
    say(new, gate.at("07:10"))
    say(wire.State(online=False, birth=old.birth, at=old.at), gate.at("07:11"))
    assert gate.rows(Gateway, "online") == [True]
    say(wire.State(online=False, birth=new.birth, at=new.at), gate.at("07:12"))
    assert gate.rows(Gateway, "online", "heard_at") == [(False, gate.at("07:10"))]  # a will is no hearing


def test_a_gate_that_is_not_heard_for_90_seconds_is_silent_until_it_is_heard(gates) -> None:
    say(state(gate.SEVEN), gate.SEVEN)
    assert watch_at(gates, "07:01:20") == []
    assert watch_at(gates, "07:02") == [(gate.SEVEN, None, False)]
    assert watch_at(gates, "07:05") == [(gate.SEVEN, None, False)]  # once
    say(state(gate.at("07:06"), boot="boot-2"), gate.at("07:06"))
    assert watch_at(gates, "07:06:10") == [(gate.SEVEN, gate.at("07:06"), False)]
    assert service.gaps_on("mingde", gate.DAY) == [rules.Gap(7 * 3600, 7 * 3600 + 360)]


def test_a_gate_that_has_said_goodbye_is_silent_at_once(gates) -> None:
    born = state(gate.SEVEN)
    say(born, gate.SEVEN)
    say(wire.State(online=False, birth=born.birth, at=born.at), gate.at("07:00:20"))
    assert watch_at(gates, "07:00:25") == [(gate.SEVEN, None, False)]
    assert service.gaps_on("mingde", gate.DAY) == [rules.Gap(7 * 3600, 86400)]


def test_a_gate_that_was_awake_and_handed_over_everything_leaves_no_gap(gates) -> None:
    say(state(gate.SEVEN), gate.SEVEN)
    watch_at(gates, "07:05")
    held = clock.to_millis(gate.at("07:04:30"))
    say(state(gate.at("07:05:20"), depth=9, oldest=clock.to_millis(gate.SEVEN) - 1), gate.at("07:05:20"))
    assert watch_at(gates, "07:05:21") == [(gate.SEVEN, None, False)]  # it is back, but its taps are not
    say(state(gate.at("07:05:50"), depth=2, oldest=held), gate.at("07:05:50"))
    assert watch_at(gates, "07:05:51") == [(gate.SEVEN, gate.at("07:04:30"), True)]
    assert service.gaps_on("mingde", gate.DAY) == []


def test_a_gate_without_a_working_reader_is_silent(gates) -> None:
    down = wire.ReaderState(reader="lane-1", health=wire.ReaderHealth.DOWN, profile="rdm6300")
    mute = wire.ReaderState(reader="lane-2", health=wire.ReaderHealth.MUTE, profile="em18")
    say(state(gate.SEVEN, readers=[down, mute]), gate.SEVEN)
    assert watch_at(gates, "07:00:05") == [(gate.SEVEN, None, False)]


def test_a_gate_that_was_never_heard_is_not_missed(gates) -> None:
    with transaction() as session:
        session.add(Gateway(school_id="mingde", id="gate-9", name="gate-9"))
    assert watch_at(gates, "09:00") == []


def test_a_state_for_a_school_that_is_not_here_is_refused(gates) -> None:
    topic = wire.topic("nowhere", "gate-1", wire.Kind.STATE)
    pipeline.heard([pipeline.Report(topic, "nowhere", "gate-1", state(gate.SEVEN), gate.SEVEN)])
    assert gate.rows(Gateway, "id") == []


def arrive(*seqs: int, when: str = "07:41") -> None:
    made = [gate.tap(seq, gate.at(when)) for seq in seqs]
    pipeline.handle([gate.delivery(made, gate.at(when))], gate.at(when))


def open_gaps() -> list[tuple[int, int]]:
    return [(row[0], row[1]) for row in gate.rows(SpoolGap, "first_seq", "last_seq", "closed_at") if row[2] is None]


def test_missing_numbers_are_a_gap_after_half_a_minute(gates) -> None:
    arrive(1, 2, when="07:30")
    gate.set_clock(gates, gate.at("07:45"))
    arrive(6, when="07:45")
    assert open_gaps() == [(3, 5)]
    assert service.gaps_on("mingde", gate.DAY) == []
    gate.set_clock(gates, gate.at("07:45:31"))
    assert service.gaps_on("mingde", gate.DAY) == [rules.Gap(7 * 3600 + 1800, 7 * 3600 + 2700)]


def test_disorder_on_the_way_leaves_no_trace(gates) -> None:
    gate.set_clock(gates, gate.at("07:41"))
    arrive(1)
    arrive(5, 3)
    arrive(4, 2)
    taps_jobs.settle_gaps()
    assert gate.rows(SpoolGap, "id") == []


def test_a_gap_shrinks_splits_and_closes_as_its_taps_come(gates) -> None:
    gate.set_clock(gates, gate.at("07:41"))
    arrive(1)
    arrive(10)
    gate.set_clock(gates, gate.at("07:43"))
    arrive(4, 5)
    arrive(7)
    taps_jobs.settle_gaps()
    assert open_gaps() == [(2, 3), (6, 6), (8, 9)]
    arrive(2, 3, 6, 8, 9)
    taps_jobs.settle_gaps()
    assert open_gaps() == []
    assert len(gate.rows(SpoolGap, "id")) == 3  # they were incidents, so they stay as history
    assert service.gaps_on("mingde", gate.DAY) == []


def test_a_database_that_was_set_back_sees_what_it_lost(gates) -> None:
    gate.set_clock(gates, gate.at("07:41"))
    arrive(1, 2, 3)
    say(state(gate.at("07:42"), spool=gate.SPOOL, next_seq=8, depth=4), gate.at("07:42"))
    assert open_gaps() == []  # the gateway still has them
    say(state(gate.at("07:42"), spool=gate.SPOOL, next_seq=8, depth=0), gate.at("07:42"))
    assert open_gaps() == [(4, 7)]


def test_a_gateway_that_is_there_is_asked_once_for_what_is_missing(gates) -> None:
    gate.set_clock(gates, gate.at("07:41"))
    arrive(1)
    arrive(4)
    assert ask("07:41:10") == []  # not settled
    assert ask("07:42", gates) == []  # nobody there
    say(state(gate.at("07:42")), gate.at("07:42"))
    assert ask("07:43", gates) == [2]
    assert ask("07:44", gates) == []
    assert ask("08:50", gates) == [2]


def ask(clock_time: str, monkeypatch: pytest.MonkeyPatch | None = None) -> list[int]:
    if monkeypatch:
        gate.set_clock(monkeypatch, gate.at(clock_time))
    with transaction() as session:
        due = service.to_ask_for(session, clock.now())
        for gap in due:
            gap.asked_at = clock.now()
        return [gap.first_seq for gap in due]


@pytest.mark.parametrize(
    ("first", "last", "stored", "rest"),
    [
        (10, 20, [], [(10, 20)]),
        (10, 20, [12, 13], [(10, 11), (14, 20)]),
        (10, 20, [10, 20], [(11, 19)]),
        (3, 3, [3], []),
    ],
)
def test_what_remains_of_missing_numbers(first, last, stored, rest) -> None:
    assert rules.missing(first, last, stored) == rest


def test_the_numbers_before_runs() -> None:
    assert rules.before_runs([1, 2, 3]) == []
    assert rules.before_runs([9, 4, 5]) == [3, 8]
