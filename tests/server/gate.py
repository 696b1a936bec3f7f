"""A small school with cards, and a gate that makes taps for it, for tests of the way from wire to verdict."""

import time
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from gateway import wire
from gateway.timebase import Timebase
from server import clock, crypt
from server.cards.models import Card
from server.db import db, transaction
from server.people.models import Guardian, Guardianship, Pupil, Relation, SchoolClass
from server.pipeline import Delivery
from server.schools import service as schools
from server.schools.models import School

DAY = date(2026, 11, 25)  # a Wednesday
SPOOL = "00112233aabbccdd"
BOOT = "boot-1"
SEVEN = datetime(2026, 11, 24, 23, 0, tzinfo=UTC)  # 07:00 in Shanghai


def at(clock_time: str) -> datetime:
    """UTC moment of a wall-clock time of DAY in Shanghai: at("07:41"), at("07:41:30"), at("30:00") for the next day."""
    hours, minutes, seconds = (int(part) for part in (clock_time + ":00").split(":")[:3])
    return datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) + timedelta(
        hours=hours - 8, minutes=minutes, seconds=seconds
    )


def card_of(n: int) -> str:
    """The card of the n-th pupil."""
    return f"em4100:{n:010X}"


def add_school(count: int = 3, school_id: str = "mingde") -> tuple[School, list[uuid.UUID]]:
    """A school with one class of pupils, each with a card and a mother who has a verified number."""
    now = clock.now()
    with transaction() as session:
        school = schools.add(session, school_id, name="明德实验学校", sign="明德学校")
        session.flush()
        room = SchoolClass(school_id=school_id, name="八（2）班", grade=8)
        session.add(room)
        session.flush()
        pupils = [
            Pupil(school_id=school_id, class_id=room.id, number=f"2026{n:04}", name=f"学生{n}", created_at=now)
            for n in range(count)
        ]
        mothers = [_mother(school_id, n) for n in range(count)]
        session.add_all([*pupils, *mothers])
        session.flush()
        for n, (pupil, mother) in enumerate(zip(pupils, mothers, strict=True)):
            session.add(Card(school_id=school_id, text=card_of(n), pupil_id=pupil.id, since=now))
            family = Guardianship(school_id=school_id, pupil_id=pupil.id, guardian_id=mother.id, rank=1)
            family.relation = Relation.MOTHER
            session.add(family)
        return school, [pupil.id for pupil in pupils]


def _mother(school_id: str, n: int) -> Guardian:
    phone = f"+86138{n:08}"
    return Guardian(
        school_id=school_id, name=f"家长{n}", phone=phone, phone_hash=crypt.look_up(phone), verified_at=clock.now()
    )


def tap(seq: int, when: datetime, *, card: str = card_of(0), direction: str = "in", **changes: object) -> wire.Tap:
    """A tap of gate-1, made at `when` by its clock."""
    fields = {
        "id": wire.new_tap_id(),
        "spool": SPOOL,
        "seq": seq,
        "gateway": "gate-1",
        "reader": "lane-1",
        "direction": wire.Direction(direction),
        "card": card,
        "at": clock.to_millis(when),
        "clock": wire.ClockState.SYNCED,
        "boot": BOOT,
        "ticks": 1000 * seq,
    }
    return msgspec.convert({**fields, **changes}, wire.Tap)


def message(taps: Sequence[wire.Tap], *, ticks: int = 10**9) -> wire.Taps:
    """What the gate sends."""
    return wire.Taps(sent=taps[-1].at, boot=BOOT, ticks=ticks, taps=list(taps))


def delivery(
    taps: Sequence[wire.Tap], received: datetime, *, school: str = "mingde", gateway: str = "gate-1"
) -> Delivery:
    """The same as ingest hands it to the pipeline."""
    topic = wire.topic(school, gateway, wire.Kind.TAP)
    return Delivery(topic, school, gateway, message(taps), received)


def set_clock(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    """The server's clock shows `moment` and goes on; it knows the day before too, so that spans can be measured."""
    start = clock.to_millis(moment) - 86400_000
    begins = time.time_ns() // 1_000_000 - 86400_000
    monkeypatch.setattr(clock, "_base", Timebase(start=start, begins=begins, until=start + 30 * 86400_000))


def rows(model: type[Any], *columns: str) -> list[Any]:
    """All rows of a table as committed, by these columns, sorted."""
    db.session.rollback()
    found = db.session.execute(select(*(getattr(model, column) for column in columns))).all()
    return sorted(found, key=repr) if len(columns) > 1 else sorted((row[0] for row in found), key=repr)
