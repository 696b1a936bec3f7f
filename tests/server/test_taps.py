"""Taps are kept each once; what is no tap is kept raw once and counted."""

import threading
from datetime import date

from flask import Flask
from sqlalchemy import select

from server.db import db, transaction
from server.taps import service as taps
from server.taps.models import RefusedPayload, Tap
from tests.server import gate


def facts(*made) -> list[taps.NewTap]:
    origin = taps.Origin("mingde", "Asia/Shanghai", "gate-1", gate.BOOT, 10**9, gate.at("07:45"))
    return [taps.fact(tap, origin, {}) for tap in made]


def test_only_new_taps_come_back_and_each_once(app: Flask) -> None:
    gate.add_school()
    first, second = facts(gate.tap(1, gate.at("07:41")), gate.tap(2, gate.at("07:42")))
    with transaction() as session:
        assert taps.store(session, [first]) == [first]
    with transaction() as session:
        assert taps.store(session, [second, first, second]) == [second]
        assert taps.store(session, []) == []
    assert gate.rows(Tap, "seq") == [1, 2]


def test_two_workers_with_the_same_taps_store_each_once(app: Flask) -> None:
    gate.add_school()
    made = facts(*(gate.tap(n, gate.at("07:41")) for n in range(1, 201)))
    new: list[int] = []
    start = threading.Barrier(2)

    def work(rows: list[taps.NewTap]) -> None:
        with app.app_context():
            start.wait()
            with transaction() as session:
                new.append(len(taps.store(session, rows)))

    workers = [threading.Thread(target=work, args=(rows,)) for rows in (made, made[::-1])]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert sorted(new) == [0, 200]
    assert len(gate.rows(Tap, "id")) == 200


def test_a_tap_belongs_to_the_schools_date(app: Flask) -> None:
    days = []
    for zone in ("Asia/Shanghai", "America/New_York"):
        origin = taps.Origin("school", zone, "gate-1", gate.BOOT, 10**9, gate.at("08:00"))
        days.append(taps.fact(gate.tap(1, gate.at("00:30")), origin, {}).day)
    assert days == [gate.DAY, date(2026, 11, 24)]


def test_a_tap_of_a_gateway_without_a_clock_is_filed_by_its_ticks(app: Flask) -> None:
    origin = taps.Origin("mingde", "Asia/Shanghai", "gate-1", gate.BOOT, 700_000, gate.at("07:45"))
    unset = gate.tap(1, gate.at("07:41"), at=5000, clock="unsynced", ticks=100_000)
    fact = taps.fact(unset, origin, {})
    assert (fact.at, fact.clock, fact.day) == (gate.at("07:35"), "unsynced", gate.DAY)
    assert fact.sent_at.year == 1970


def refuse(payload: bytes, *, key: str = "", topic: str = "gatebell/1/00/mingde/gate-1/tap") -> None:
    with transaction():
        taps.refuse(topic, payload, "not JSON: \0", key=key)


def test_a_refused_payload_is_kept_raw_once_and_counted(app: Flask) -> None:
    for _ in range(3):
        refuse(b"\xff{")
    refuse(b"other")
    rows = gate.rows(RefusedPayload, "payload", "count")
    assert [tuple(row) for row in rows] == [(b"\xff{", 3), (b"other", 1)]
    assert "\0" not in gate.rows(RefusedPayload, "reason")[0]


def test_the_same_thing_in_other_bytes_is_counted_by_its_key(app: Flask) -> None:
    refuse(b"sent at 1", key="tap 7")
    refuse(b"sent at 2", key="tap 7")
    assert [tuple(row) for row in gate.rows(RefusedPayload, "payload", "count")] == [(b"sent at 1", 2)]


def test_a_payload_is_kept_only_in_part_and_a_flood_is_only_counted(app: Flask, monkeypatch) -> None:
    monkeypatch.setattr(taps, "KEEP_REFUSED", 3)
    refuse(b"x" * 100_000)
    for n in range(6):
        refuse(b"%d" % n)
    refuse(b"0")  # known ones are counted on
    db.session.rollback()
    rows = db.session.scalars(select(RefusedPayload)).all()
    assert {(len(row.payload), row.size, row.count) for row in rows} == {
        (16384, 100_000, 1),
        (1, 1, 2),
        (1, 1, 1),
        (0, 0, 4),
    }


def test_refusals_at_the_same_time_are_all_counted(app: Flask) -> None:
    def work() -> None:
        with app.app_context():
            for _ in range(5):
                refuse(b"again")

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert gate.rows(RefusedPayload, "count") == [20]
