"""What each gate is told: who is known, who may leave when, who is inside; only what it lacks, and no name."""

import time
import uuid
import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from gateway import gatelist, wire
from gateway.gatelist import CardList, ExitList, InsideList
from gateway.wire import ListKind, ListPart
from server import clock, gatelists, pipeline, settings
from server.calendar import service as calendar
from server.cards.models import Card, CardState
from server.db import db, transaction
from server.gatelists import Lister
from server.gates import rules
from server.gates.models import Gateway, ListKey, SpoolGap
from server.people.models import Pupil
from tests.server import gate

NOON = gate.at("12:00")


@pytest.fixture(autouse=True)
def seven(monkeypatch: pytest.MonkeyPatch) -> None:
    """The school's clock shows 07:00 of a Wednesday."""
    gate.set_clock(monkeypatch, gate.SEVEN)


@pytest.fixture
def pupils(app: Flask) -> list[uuid.UUID]:
    """A school with five pupils."""
    return gate.add_school(5)[1]


def come(gateway: str = "gate-1", school: str = "mingde", **fields: object) -> None:
    """A gate says that it is there, and which lists it holds."""
    now = clock.to_millis(clock.now())
    state = wire.State(online=True, birth=now, at=now, **{"lists": {}, **fields})
    pipeline.heard([pipeline.Report("t", school, gateway, state, clock.now())])


class Gates:
    """The gates' ends of the wire: what was sent to each, joined."""

    def __init__(self, app: Flask) -> None:
        self.sent: list[tuple[str, str, ListPart]] = []
        self.lister = Lister(app, send=lambda *sent: self.sent.append(sent), serves=lambda *_: True)
        self.now = time.monotonic()

    def look(self, *, after: float = 0.0) -> list[tuple[str, str]]:
        """One look of the lister some seconds later; gives gate and kind of each list that it sent."""
        self.now += after
        self.sent.clear()
        self.lister.look(self.now)
        return [(gateway, str(part.kind)) for _, gateway, part in self.sent if part.part == 0]

    def lists(self, gateway: str = "gate-1") -> dict[ListKind, bytes]:
        """What the last look sent to a gate."""
        pieces = {kind: gatelist.Pieces() for kind in ListKind}
        parts = [part for _, to, part in self.sent if to == gateway]
        return {part.kind: raw for part in parts if (raw := pieces[part.kind].take(part))}

    def obey(self, gateway: str = "gate-1", school: str = "mingde") -> dict[ListKind, bytes]:
        """The gate takes them and says so."""
        lists = self.lists(gateway)
        row = db.session.get(Gateway, (school, gateway))
        held = dict((row.state["lists"] if row else None) or {})
        come(gateway, school, lists=held | {kind: gatelist.version(raw) for kind, raw in lists.items()})
        return lists


@pytest.fixture
def gates(app: Flask) -> Gates:
    """Nothing sent yet."""
    return Gates(app)


ALL = [("gate-1", "cards"), ("gate-1", "exits"), ("gate-1", "inside")]


def cards_of(raw: bytes) -> tuple[CardList, dict[bytes, int]]:
    """The list and its holders."""
    found = gatelist.unpacked(raw, CardList)
    return found, found.holders()


def holder(cards: CardList, card: str) -> int | None:
    """Who holds a card, by this list."""
    return cards.holders().get(gatelist.hashed(card, cards.key))


def test_a_gate_that_comes_is_sent_all_lists_and_then_none(pupils: list[uuid.UUID], gates: Gates) -> None:
    assert gates.look() == []
    come()
    assert gates.look() == ALL
    gates.obey()
    assert [gates.look(after=5) for _ in range(30)] == [[]] * 30


def test_cards_of_active_pupils_are_known_and_lost_ones_are_nobodys(pupils: list[uuid.UUID], gates: Gates) -> None:
    with transaction() as session:
        session.execute(update(Pupil).where(Pupil.id == pupils[1]).values(active=False))
        for n, state in ((2, CardState.LOST), (3, CardState.BLOCKED)):
            session.execute(update(Card).where(Card.text == gate.card_of(n)).values(state=state))
        session.add(Card(school_id="mingde", text="em4100:67003B51C6", pupil_id=pupils[0], since=clock.now()))
    come()
    gates.look()
    cards, _ = cards_of(gates.lists()[ListKind.CARDS])
    held = [holder(cards, gate.card_of(n)) for n in range(5)]
    assert held[1] is None and held[2:4] == [gatelist.NOBODY] * 2 and {held[0], held[4]} == {0, 1}
    assert holder(cards, "em4100:67003B51C6") == held[0] and holder(cards, "em4100:62E3086CED") is None
    assert [group.name for group in cards.groups] == ["八（2）班"] and cards.group_numbers() == [0, 0]


def test_a_list_holds_no_name_no_number_and_no_card(pupils: list[uuid.UUID], gates: Gates) -> None:
    come()
    gates.look()
    text = b"".join(zlib.decompress(raw) for raw in gates.lists().values())
    for n, pupil in enumerate(pupils):
        names = (f"学生{n}", f"2026{n:04}", f"家长{n}", f"138{n:08}", gate.card_of(n)[-10:], str(pupil), pupil.hex)
        assert not [name for name in names if name.encode() in text]
    assert b"mingde" not in text


def test_each_gate_knows_the_cards_by_a_key_of_its_own(pupils: list[uuid.UUID], gates: Gates) -> None:
    come("gate-1")
    come("gate-2")
    assert gates.look() == [*ALL, *(("gate-2", kind) for _, kind in ALL)]
    (one, held), (two, others) = (cards_of(gates.lists(name)[ListKind.CARDS]) for name in ("gate-1", "gate-2"))
    assert one.key != two.key and not held.keys() & others.keys() and len(held) == len(others) == 5
    kept = db.session.execute(select(ListKey.__table__)).connection.exec_driver_sql(
        "SELECT key FROM gate_list_key"
    ).scalars()  # fmt: skip
    assert not any(one.key.hex() in each for each in kept)
    again = Gates(gates.lister.app)
    again.look()
    assert cards_of(again.lists("gate-1")[ListKind.CARDS])[0].key == one.key


def test_a_changed_card_reaches_its_gates_within_a_minute_and_only_the_lists_that_change(
    pupils: list[uuid.UUID], gates: Gates
) -> None:
    come()
    gates.look()
    gates.obey()
    with transaction() as session:
        session.execute(update(Card).where(Card.text == gate.card_of(2)).values(state=CardState.LOST))
    assert gates.look(after=5) == []
    assert gates.look(after=gatelists.REFRESH) == ALL
    assert holder(cards_of(gates.obey()[ListKind.CARDS])[0], gate.card_of(2)) == gatelist.NOBODY
    with transaction() as session:
        settings.set_policy(session, "mingde", rules.ExitPolicy, strict_exits=True)
    assert gates.look(after=gatelists.REFRESH) == [("gate-1", "exits")]


def test_who_is_inside_is_told_when_it_changes_and_now_and_then(
    pupils: list[uuid.UUID], gates: Gates, monkeypatch: pytest.MonkeyPatch
) -> None:
    come()
    gates.look()
    cards, _ = cards_of(gates.obey()[ListKind.CARDS])
    taps = [gate.tap(n + 1, gate.SEVEN + timedelta(seconds=n), card=gate.card_of(n)) for n in (0, 3)]
    pipeline.handle([gate.delivery(taps, clock.now())], clock.now())
    assert gates.look(after=gatelists.REFRESH) == [("gate-1", "inside")]
    there = gatelist.unpacked(gates.obey()[ListKind.INSIDE], InsideList)
    assert there.numbers() == {holder(cards, gate.card_of(n)) for n in (0, 3)}
    assert abs(there.at - clock.to_millis(clock.now())) < 60_000
    assert gates.look(after=gatelists.REFRESH) == []
    gate.set_clock(monkeypatch, gate.SEVEN + timedelta(seconds=gatelists.SAY_AGAIN + 5))
    assert gates.look(after=gatelists.REFRESH) == [("gate-1", "inside")]
    gate.set_clock(monkeypatch, gate.SEVEN + timedelta(days=1))
    gates.obey()
    assert gates.look(after=gatelists.REFRESH) == [("gate-1", "exits"), ("gate-1", "inside")]
    assert gatelist.unpacked(gates.lists()[ListKind.INSIDE], InsideList).numbers() == set()


def test_what_a_gate_does_not_confirm_is_sent_again_ever_less_often(pupils: list[uuid.UUID], gates: Gates) -> None:
    come()
    sendings = [second for second in range(0, 3_600, 10) if ("gate-1", "cards") in gates.look(after=10)]
    assert 5 <= len(sendings) <= 12
    pauses = [later - earlier for earlier, later in zip(sendings, sendings[1:], strict=False)]
    assert pauses == sorted(pauses) and pauses[0] <= 60 and pauses[-1] >= 500


def test_a_gate_that_knows_no_lists_and_one_that_is_gone_are_left_alone(pupils: list[uuid.UUID], gates: Gates) -> None:
    come("old", lists=None)
    come("gone")
    with transaction() as session:
        session.execute(update(Gateway).where(Gateway.id == "gone").values(online=False))
    assert gates.look() == []


def test_a_worker_sends_only_to_schools_that_it_hears(app: Flask, pupils: list[uuid.UUID]) -> None:
    sent: list[str] = []
    gate.add_school(2, "other")
    come()
    come(school="other")
    lister = Lister(
        app, send=lambda school, *_: sent.append(school), serves=lambda school, _: school == "other"
    )  # fmt: skip
    lister.look(time.monotonic())
    assert set(sent) == {"other"}


def test_a_school_whose_lists_cannot_be_made_stops_no_other(
    app: Flask, pupils: list[uuid.UUID], gates: Gates, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate.add_school(2, "other")
    come(school="other")
    come()
    made = gatelists.roster_of

    def poisoned(school_id: str) -> gatelists.Roster:
        if school_id == "mingde":
            raise ValueError("an odd fact")
        return made(school_id)

    monkeypatch.setattr(gatelists, "roster_of", poisoned)
    assert len(gates.look()) == 3 and {school for school, _, _ in gates.sent} == {"other"}
    assert "lists of school mingde cannot be made" in caplog.text


def exits(gates: Gates) -> ExitList:
    """What the gate was told of exits."""
    return gatelist.unpacked(gates.lists()[ListKind.EXITS], ExitList)


def test_exits_are_only_recorded_until_a_school_says_otherwise(pupils: list[uuid.UUID], gates: Gates) -> None:
    come()
    gates.look()
    assert not exits(gates).strict


def may_leave(found: ExitList, moment: datetime) -> bool:
    """Whether the default timetable lets go at that moment."""
    at = clock.to_millis(moment)
    return any(starts <= at < ends for starts, ends in found.free["default"])


def test_under_the_strict_rule_pupils_may_leave_outside_school_hours(pupils: list[uuid.UUID], gates: Gates) -> None:
    with transaction() as session:
        settings.set_policy(session, "mingde", rules.ExitPolicy, strict_exits=True)
        calendar.set_off(session, "mingde", days=[gate.DAY + timedelta(days=1)])
    come()
    gates.look()
    found = exits(gates)
    assert found.strict and (found.starts, found.ends) == tuple(clock.to_millis(gate.at(t)) for t in ("0:00", "192:00"))
    free = {time: may_leave(found, gate.at(time)) for time in ("07:49", "07:50", "11:44", "11:46", "13:29", "16:54")}
    assert free == {"07:49": True, "07:50": False, "11:44": False, "11:46": True, "13:29": True, "16:54": False}
    assert may_leave(found, gate.at("16:56")) and may_leave(found, gate.at("23:59"))
    assert may_leave(found, gate.at("34:00"))  # tomorrow is off
    assert not may_leave(found, gate.at("58:00")) and may_leave(found, gate.at("90:00"))  # Friday 10:00, Saturday 18:00


def test_passes_are_asked_of_every_feature_that_grants_them(
    pupils: list[uuid.UUID], gates: Gates, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, datetime, datetime]] = []

    def source(school_id: str, starts: datetime, ends: datetime) -> Sequence[rules.ExitPass]:
        asked.append((school_id, starts, ends))
        return [rules.ExitPass(who, NOON, NOON + timedelta(hours=1)) for who in (pupils[3], uuid.uuid4())]

    monkeypatch.setattr(gatelists, "PASS_SOURCES", (source,))
    with transaction() as session:
        settings.set_policy(session, "mingde", rules.ExitPolicy, strict_exits=True)
    come()
    gates.look()
    cards, _ = cards_of(gates.lists()[ListKind.CARDS])
    noon = clock.to_millis(NOON)
    assert exits(gates).passes == [gatelist.Pass(holder(cards, gate.card_of(3)), noon, noon + 3_600_000)]
    assert asked == [("mingde", gate.at("0:00"), gate.at("192:00"))]


HOURS = st.lists(st.tuples(st.integers(1, 86_399), st.integers(1, 86_400)).filter(lambda s: s[0] < s[1]), max_size=5)


@given(HOURS, st.integers(0, 1440), st.integers(0, 30))
def test_free_time_is_all_but_sessions_and_short_breaks(
    hours: list[tuple[int, int]], free_break: int, early: int
) -> None:
    spans = rules.free_spans(hours, free_break=free_break, early=early)
    for second in {0, 86_399, *(t + d for span in hours for t in span for d in (-1, 0, 1) if 0 <= t + d < 86_400)}:
        free = any(starts <= second < ends for starts, ends in spans)
        busy = any(starts <= second < ends - early * 60 for starts, ends in hours)
        outside = all(second < starts for starts, _ in hours) or all(second >= ends for _, ends in hours)
        assert not (busy and free), (second, spans)
        assert free or not outside, (second, spans)


def test_a_spool_that_another_machine_sealed_is_a_gap(pupils: list[uuid.UUID]) -> None:
    stored = [gate.tap(n, gate.SEVEN + timedelta(seconds=n), card=gate.card_of(n)) for n in (1, 2, 3)]
    pipeline.handle([gate.delivery(stored, clock.now())], clock.now())
    come(locked=[wire.Locked(spool=gate.SPOOL, next_seq=9, depth=5), wire.Locked(spool="f" * 16, next_seq=4, depth=0)])
    come(locked=[wire.Locked(spool=gate.SPOOL, next_seq=9, depth=5)])
    assert gate.rows(SpoolGap, "spool", "first_seq", "last_seq") == [(gate.SPOOL, 4, 8)]
