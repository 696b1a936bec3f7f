"""Whom leave and printed passes let out: in each gate's list within its minute, and out of it again."""

import uuid

import pytest
from flask import Flask
from sqlalchemy import select

from gateway import cards
from gateway.cards import Answer
from gateway.wire import Direction, ListKind
from server import clock, gatelists, settings
from server.accounts.models import User
from server.accounts.rules import Grant
from server.accounts.service import create_user
from server.db import db, transaction
from server.gates import rules
from server.leave import requests
from server.leave.models import LeaveKind, LeaveSource
from server.leave.requests import Actor, Decision, Wanted
from server.register import passes
from server.schools.models import School
from tests.server import gate
from tests.server.test_gatelists import Gates, come

WORD = "a gate and a bell"


@pytest.fixture
def pupils(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[uuid.UUID]:
    """Four pupils of a school whose exits are strict, at ten to eight on a Wednesday."""
    gate.set_clock(monkeypatch, gate.at("07:50"))
    found = gate.add_school(4)[1]
    with transaction() as session:
        settings.set_policy(session, "mingde", rules.ExitPolicy, strict_exits=True)
        create_user("mingde", "office", "office", WORD, [Grant("office")])
    return found


class Known:
    """What gate-1 goes by, as it has taken the lists so far."""

    def __init__(self, app: Flask) -> None:
        self.gates = Gates(app)
        self.raw: dict[ListKind, bytes] = {}
        come()
        self.look()

    def look(self) -> list[str]:
        """A minute later; gives the kinds of lists that were sent."""
        sent = [kind for _, kind in self.gates.look(after=gatelists.REFRESH)]
        self.raw |= self.gates.obey()
        return sent

    def lets_out(self, n: int, when: str) -> bool:
        """Whether the n-th pupil may leave at a wall-clock time."""
        lists = cards.joined(self.raw)
        assert lists is not None
        answer = lists.answer(gate.card_of(n), Direction.OUT, clock.to_millis(gate.at(when)))
        assert answer in {Answer.KNOWN, Answer.NO_PASS}
        return answer is Answer.KNOWN


def office() -> User:
    return db.session.scalars(select(User).where(User.login == "office")).one()


def approved(pupil: uuid.UUID, starts: str, ends: str) -> uuid.UUID:
    with transaction() as session:
        school, now = session.get_one(School, "mingde"), clock.now()
        span = {"starts_at": gate.at(starts), "ends_at": gate.at(ends)}
        want = Wanted(pupil_id=pupil, kind=LeaveKind.OFFICIAL, source=LeaveSource.STAFF, **span)
        leave = requests.ask(session, school, want, Actor(office()), now)
        return requests.decide(session, school, leave.id, Decision(approve=True), office(), now).id


def withdraw(leave_id: uuid.UUID) -> None:
    with transaction() as session:
        requests.withdraw(session, session.get_one(School, "mingde"), leave_id, Actor(office()), clock.now())


def test_approved_leave_lets_out_in_its_time_and_one_that_is_asked_for_does_not(app: Flask, pupils) -> None:
    known = Known(app)
    assert not known.lets_out(0, "10:00")
    with transaction() as session:
        want = Wanted(pupils[1], LeaveKind.SICK, gate.at("10:00"), gate.at("11:00"), LeaveSource.STAFF)
        requests.ask(session, session.get_one(School, "mingde"), want, Actor(office()), clock.now())
    approved(pupils[0], "10:00", "11:00")
    assert known.look() == ["exits"]
    assert [known.lets_out(0, when) for when in ("09:59", "10:00", "10:59:59", "11:00")] == [False, True, True, False]
    assert not known.lets_out(1, "10:30") and not known.lets_out(2, "10:30")


def test_leave_of_several_days_lets_out_on_each_of_them(app: Flask, pupils) -> None:
    approved(pupils[3], "34:00", "58:00")  # Thursday 10:00 to Friday 10:00
    known = Known(app)
    times = ("10:00", "33:59", "34:00", "40:00", "57:59", "58:00")
    assert [known.lets_out(3, when) for when in times] == [False, False, True, True, True, False]


def test_a_withdrawn_or_shortened_leave_is_gone_from_the_gate_within_a_minute(app: Flask, pupils, monkeypatch) -> None:
    first, second = approved(pupils[0], "10:00", "11:00"), approved(pupils[1], "10:00", "16:00")
    known = Known(app)
    assert known.lets_out(0, "10:30") and known.lets_out(1, "15:00")
    withdraw(first)
    with transaction() as session:
        school, until = session.get_one(School, "mingde"), (gate.at("10:00"), gate.at("11:00"))
        requests.change(session, school, second, until, Decision(approve=True), office(), clock.now())
    assert known.look() == ["exits"]
    assert not known.lets_out(0, "10:30") and known.lets_out(1, "10:30") and not known.lets_out(1, "15:00")
    gate.set_clock(monkeypatch, gate.at("10:20"))
    withdraw(second)  # what is left of it
    assert "exits" in known.look()
    assert not known.lets_out(1, "10:20")


def printed(leave_id: uuid.UUID) -> str:
    with transaction() as session:
        return passes.code_of(passes.exit_pass(session, office(), leave_id, clock.now()).id)


def test_a_printed_pass_lets_out_a_quarter_of_an_hour_before_its_leave_until_it_is_taken(
    app: Flask, pupils, monkeypatch
) -> None:
    leave = approved(pupils[0], "10:00", "11:00")
    known = Known(app)
    assert not known.lets_out(0, "09:50")
    code = printed(leave)
    assert known.look() == ["exits"]
    assert [known.lets_out(0, when) for when in ("09:44", "09:45", "10:30", "11:00")] == [False, True, True, False]
    gate.set_clock(monkeypatch, gate.at("09:46"))
    with transaction() as session:
        assert passes.use(session, office(), code, clock.now())
    known.look()
    assert not known.lets_out(0, "09:50") and known.lets_out(0, "10:30")


def test_a_pass_is_never_good_for_longer_than_its_leave(app: Flask, pupils, monkeypatch) -> None:
    leave = approved(pupils[0], "10:00", "16:00")
    code = printed(leave)
    known = Known(app)
    assert known.lets_out(0, "15:00") and passes.paper(office(), code, gate.at("15:00")).state == "valid"
    gate.set_clock(monkeypatch, gate.at("10:20"))
    withdraw(leave)
    known.look()
    assert not known.lets_out(0, "10:20") and passes.paper(office(), code, gate.at("10:21")).state == "expired"


def test_another_schools_leave_opens_nothing(app: Flask, pupils) -> None:
    gate.add_school(2, "other")
    approved(pupils[0], "10:00", "11:00")
    span = (gate.at("0:00"), gate.at("24:00"))
    assert [list(source("other", *span)) for source in gatelists.PASS_SOURCES] == [[], []]
