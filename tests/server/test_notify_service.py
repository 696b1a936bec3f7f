"""Telling families: only who may know, at a verified number, with the right gate and time, once, in few statements."""

import datetime as dt
import uuid
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, select

from server import clock, crypt
from server.attendance.news import Change, Event, Kind
from server.attendance.rules import Day
from server.attendance.service import DayChange
from server.db import db, transaction
from server.gates.models import Gateway
from server.notify import service
from server.notify.rules import GatePolicy
from server.outbox.models import OutboxText
from server.people.models import Guardian, Guardianship, Pupil, Relation, SchoolClass
from server.schools.models import School, SchoolPolicy
from server.taps.models import Tap

DAY = dt.date(2026, 11, 25)
SECOND = 7 * 3600 + 41 * 60 + 30
AT = clock.at_local(DAY, SECOND, "Asia/Shanghai") + dt.timedelta(milliseconds=250)
NOW = AT + dt.timedelta(seconds=1)


def pupil(name: str = "林语晨") -> uuid.UUID:
    """A pupil of the only class."""
    with transaction() as session:
        found = session.scalar(select(SchoolClass))
        if found is None:
            found = SchoolClass(school_id="mingde", name="八（2）班", grade=8)
            session.add(found)
            session.flush()
        one = Pupil(school_id="mingde", class_id=found.id, number=uuid.uuid4().hex, name=name, created_at=NOW)
        session.add(one)
    return one.id


def guardian(child: uuid.UUID, phone: str | None = "+8613800000001", *, rank: int = 1, **changes: Any) -> uuid.UUID:
    """A guardian who wants gate texts and may have them, but for `changes`."""
    ship = {name: changes.pop(name) for name in ("gate_texts", "barred") if name in changes}
    person = {"verified_at": NOW, "locale": "zh_Hans_CN", **changes}
    with transaction() as session:
        one = Guardian(school_id="mingde", name="林", phone=phone, phone_hash=phone and crypt.look_up(phone), **person)
        session.add(one)
        session.flush()
        session.add(Guardianship(
            school_id="mingde", pupil_id=child, guardian_id=one.id, relation=Relation.MOTHER, rank=rank, **ship
        ))  # fmt: skip
    return one.id


def gate(gate_id: str, name: str) -> None:
    with transaction() as session:
        session.add(Gateway(school_id="mingde", id=gate_id, name=name))


def tap(child: uuid.UUID, gate_id: str, *, at: dt.datetime = AT, direction: str = "in", trust: str = "synced") -> None:
    with transaction() as session:
        session.add(Tap(
            id=uuid.uuid4(), school_id="mingde", gateway_id=gate_id, reader_id="r", direction=direction, card="x:00",
            pupil_id=child, at=at, day=DAY, clock=trust, spool="s", seq=1, boot="b", ticks=1, late=False,
            sent_at=at, received_at=at,
        ))  # fmt: skip


def changed(child: uuid.UUID, kind: Kind = Kind.IN, *, n: int = 1, at: int | None = SECOND, late: int = 0) -> DayChange:
    return DayChange("mingde", child, DAY, Change((Event(kind, n, at, late=late),)), Day())


def announced(*changes: DayChange, now: dt.datetime = NOW) -> int:
    with transaction() as session:
        return service.announce(session.get_one(School, "mingde"), changes, now)


def texts() -> list[OutboxText]:
    found = list(db.session.scalars(select(OutboxText).order_by(OutboxText.phone, OutboxText.body)))
    db.session.rollback()
    return found


@pytest.fixture(autouse=True)
def here(school: School) -> None:
    gate("gate-1", "1号门")
    gate("gate-2", "2号门")


def test_an_arrival_is_told_with_its_time_and_gate() -> None:
    child = pupil()
    mother = guardian(child)
    tap(child, "gate-1")
    assert announced(changed(child)) == 1
    (text,) = texts()
    assert text.body == "【明德学校】林语晨 07:41 已到校（1号门）。"
    assert (text.phone, text.guardian_id, text.lane, text.kind, text.n) == ("+8613800000001", mother, "gate", "in", 1)
    assert (text.event_at, text.segments) == (AT, 1)
    assert text.expires_at == AT + dt.timedelta(minutes=120)


@pytest.mark.parametrize("bar", [
    {"gate_texts": False},
    {"barred": True},
    {"verified_at": None},
    {"phone": None},
])  # fmt: skip
def test_who_may_not_or_will_not_know_is_not_told(bar: dict[str, Any]) -> None:
    child = pupil()
    guardian(child, **bar)
    tap(child, "gate-1")
    assert announced(changed(child)) == 0
    assert texts() == []


def test_a_repeat_tells_nobody_twice() -> None:
    child = pupil()
    guardian(child)
    tap(child, "gate-1")
    assert announced(changed(child)) == 1
    assert announced(changed(child, late=3)) == 0
    assert announced(changed(child, n=2)) == 1


def test_each_guardian_is_told_in_their_language_and_a_shared_number_once() -> None:
    child = pupil()
    first = guardian(child, "+8613800000001", rank=1)
    guardian(child, "+8613800000001", rank=2, locale="en")
    guardian(child, "+8613800000002", rank=3, locale="en")
    tap(child, "gate-1")
    assert announced(changed(child)) == 2
    one, two = texts() if texts()[0].guardian_id == first else reversed(texts())
    assert (one.guardian_id, one.body) == (first, "【明德学校】林语晨 07:41 已到校（1号门）。")
    assert two.body == "【明德学校】林语晨 07:41 arrived at school (1号门)."


def test_siblings_at_one_number_are_told_of_each() -> None:
    elder, younger = pupil("林语晨"), pupil("林语晴")
    for child in (elder, younger):
        guardian(child)
        tap(child, "gate-1")
    assert announced(changed(elder), changed(younger)) == 2
    assert sorted(text.body[6:9] for text in texts()) == ["林语晨", "林语晴"]


def test_a_gate_that_is_not_certain_is_left_out() -> None:
    child = pupil()
    guardian(child)
    tap(child, "gate-1")
    tap(child, "gate-2", at=AT + dt.timedelta(milliseconds=300))
    announced(changed(child))
    assert texts()[0].body == "【明德学校】林语晨 07:41 已到校。"
    assert texts()[0].event_at == AT


def test_a_leaving_is_not_told_with_the_gate_of_an_arrival() -> None:
    child = pupil()
    guardian(child)
    tap(child, "gate-1")
    tap(child, "gate-2", direction="out", at=AT + dt.timedelta(milliseconds=100))
    announced(changed(child, Kind.OUT))
    assert texts()[0].body == "【明德学校】林语晨 07:41 已离校（2号门）。"


def test_an_arrival_without_a_trusted_time_is_told_without_one() -> None:
    child = pupil()
    guardian(child)
    tap(child, "gate-2", trust="unsynced")
    announced(changed(child, Kind.UNSURE, at=None))
    (text,) = texts()
    assert text.body == "【明德学校】林语晨 已到校（2号门），刷卡时间待核实。"
    assert text.event_at == NOW


def test_the_schools_own_policy_counts() -> None:
    child = pupil()
    guardian(child)
    tap(child, "gate-1")
    with transaction() as session:
        chosen = {"fresh_minutes": 1, "max_age_minutes": 5}
        session.add(
            SchoolPolicy(school_id="mingde", feature="notify.GatePolicy", chosen=chosen, since=NOW.date(), set_at=NOW)
        )
    assert announced(changed(child), now=AT + dt.timedelta(minutes=6)) == 0
    assert announced(changed(child), now=AT + dt.timedelta(minutes=2)) == 1
    assert texts()[0].body.endswith("[系统延迟补发]")
    assert GatePolicy().fresh_minutes == 10


def test_a_batch_takes_no_more_statements_than_one_child(app: Flask) -> None:
    children = [pupil(f"学生{n}") for n in range(30)]
    for n, child in enumerate(children):
        guardian(child, f"+86138{n:08d}")
        tap(child, "gate-1")
    counts = []
    for batch in (children[:1], children[1:]):
        seen: list[str] = []
        event.listen(db.engine, "before_cursor_execute", note := lambda *args: seen.append(args[2]))  # noqa: B023
        assert announced(*(changed(child) for child in batch)) == len(batch)
        event.remove(db.engine, "before_cursor_execute", note)
        counts.append(len(seen))
    assert counts[0] == counts[1]
