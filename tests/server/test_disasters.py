"""Mornings that went wrong at real schools: no family is told anything false, and staff get one clear warning each."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from flask import Flask, current_app
from sqlalchemy import select, text

from gateway import wire
from server import clock, crypt, pipeline
from server.absence import desk, jobs
from server.absence.models import AbsenceCase
from server.accounts.models import User
from server.accounts.rules import Grant
from server.accounts.service import create_user
from server.attendance import marks
from server.attendance import rules as days
from server.attendance import service as attendance
from server.calendar import rules as bells
from server.calendar import service as calendar
from server.cards.models import Card
from server.db import db, transaction
from server.gates.models import GateFault, Gateway, Silence
from server.outbox.models import OutboxText
from server.overview import service as overview
from server.overview import todo
from server.people.models import Guardian, Guardianship, Pupil, Relation, SchoolClass
from server.schools import service as schools
from server.schools.models import School
from server.taps.models import Tap
from tests import sample
from tests.server import gate

FALSE = ("absent",)  # texts that say that a child was not seen
CLASSES, OF_CLASS = 4, 15


@dataclass
class Place:
    """A school of four classes of fifteen; even pupils come through gate-1, odd ones through gate-2."""

    id: str
    rooms: list[uuid.UUID] = field(default_factory=list)
    pupils: list[uuid.UUID] = field(default_factory=list)
    prefix: int = 0

    def card(self, n: int) -> str:
        return f"em4100:{self.prefix:02X}{n:08X}"


def build(school_id: str, prefix: int) -> Place:
    place, now = Place(school_id, prefix=prefix), clock.now()
    with transaction() as session:
        schools.add(session, school_id, name=f"{school_id}学校", sign="明德学校")
        session.flush()
        for n in (1, 2):
            row = Gateway(school_id=school_id, id=f"gate-{n}", name=f"{n}号门", online=True, birth=1, state={})
            row.heard_at = now
            session.add(row)
        for n in range(CLASSES):
            room = SchoolClass(school_id=school_id, name=f"八（{n + 1}）班", grade=8)
            session.add(room)
            session.flush()
            place.rooms.append(room.id)
            for seat in range(OF_CLASS):
                place.pupils.append(_pupil(session, place, room.id, len(place.pupils), seat))
        create_user(school_id, f"office-{school_id}", "office", sample.PASSWORD, [Grant("office")]).locale = "en"
    history(place)
    return place


def _pupil(session, place: Place, room: uuid.UUID, n: int, seat: int) -> uuid.UUID:
    now, phone = clock.now(), f"+8613{place.prefix}{n:08}"
    pupil = Pupil(school_id=place.id, class_id=room, number=f"{n:04}", name=f"学生{n}", seat=seat, created_at=now)
    mother = Guardian(school_id=place.id, name="家长", phone=phone, phone_hash=crypt.look_up(phone), verified_at=now)
    session.add_all([pupil, mother])
    session.flush()
    ship = Guardianship(school_id=place.id, pupil_id=pupil.id, guardian_id=mother.id, rank=1)
    ship.relation = Relation.MOTHER
    session.add_all([ship, Card(school_id=place.id, text=place.card(n), pupil_id=pupil.id, since=now)])
    return pupil.id


def history(place: Place) -> None:
    """Three earlier days on which both gates saw their halves."""
    with transaction() as session:
        for back in (1, 2, 5):
            day = gate.DAY - timedelta(days=back)
            for n, pupil in enumerate(place.pupils):
                at = clock.at_local(day, 27_600, "Asia/Shanghai")
                row = sample.tap(at, school_id=place.id, gateway_id=f"gate-{n % 2 + 1}", reader_id=f"g{n % 2 + 1}-in")
                row.pupil_id, row.card, row.seq, row.spool = pupil, place.card(n), n + 1, f"s{back}"
                session.add(row)


@pytest.fixture
def place(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Place:
    gate.set_clock(monkeypatch, gate.at("06:30"))
    return build("mingde", 1)


def come(
    place: Place, who: Sequence[int], *, at: str = "07:40", received: str = "", reader: str = "g", **changes: object
) -> None:
    """These pupils tap, each at its gate; their taps reach the server at `received`."""
    for number in (1, 2):
        taps = [
            gate.tap(
                1,
                gate.at(at) + timedelta(seconds=n),
                card=place.card(n),
                spool=f"{uuid.uuid4().int >> 64:016x}",
                gateway=f"gate-{number}",
                reader=f"{reader}{number}-in",
                **changes,
            )
            for n in who
            if n % 2 + 1 == number
        ]
        moment = gate.at(received or at) + timedelta(seconds=90)
        for start in range(0, len(taps), 50):
            part = gate.delivery(taps[start : start + 50], moment, school=place.id, gateway=f"gate-{number}")
            pipeline.handle([part], moment)


def passes(monkeypatch: pytest.MonkeyPatch, *times: str) -> None:
    """The server lives through these moments."""
    for time in times:
        gate.set_clock(monkeypatch, gate.at(time))
        pipeline.time_passes()
        pipeline.facts_change()
        jobs.ask_for_the_missing()


def told(school_id: str = "mingde") -> int:
    """Texts that say that a child was not seen, also those that were taken out of the queue."""
    db.session.rollback()
    query = select(OutboxText.id).where(OutboxText.kind.in_(FALSE), OutboxText.school_id == school_id)
    return len(db.session.scalars(query).all())


def states(school_id: str = "mingde") -> dict[str, int]:
    db.session.rollback()
    found: dict[str, int] = {}
    for state in db.session.scalars(select(AbsenceCase.state).where(AbsenceCase.school_id == school_id)):
        found[state] = found.get(state, 0) + 1
    return found


def why() -> set[str]:
    return {each for reasons in gate.rows(AbsenceCase, "why") for each in reasons}


def warnings(school_id: str = "mingde") -> list[str]:
    """The rows of Today that speak of missing pupils."""
    db.session.rollback()
    user = db.session.scalars(select(User).where(User.login == f"office-{school_id}")).one()
    roll = overview.roll(user, gate.DAY)
    found = todo.todos(user, gate.DAY, todo.Known(roll.counts, [], 0, clock.now()))
    return [row.kind for row in found if row.kind in {"held", "call", "unexplained", "stopped", "answered"}]


EVERYBODY = range(CLASSES * OF_CLASS)
MOST = [n for n in EVERYBODY if n % 20]  # three are really missing


def test_an_ordinary_morning_asks_about_those_who_are_missing(place: Place, monkeypatch) -> None:
    come(place, MOST)
    passes(monkeypatch, "07:50:30", "08:20:05")
    assert told() == 3 and states() == {"asking": 3} and warnings() == []


def test_both_gates_dead_all_morning(place: Place, monkeypatch) -> None:
    with transaction() as session:
        for n in (1, 2):
            session.add(Silence(school_id="mingde", gateway_id=f"gate-{n}", starts=gate.at("06:00")))
    passes(monkeypatch, "07:50:30", "08:20:05", "09:00", "11:00")
    assert told() == 0 and states() == {"held": 60} and why() >= {"gate_silent"} and warnings() == ["held"]


def test_one_gate_dead_all_morning(place: Place, monkeypatch) -> None:
    with transaction() as session:
        session.add(Silence(school_id="mingde", gateway_id="gate-2", starts=gate.at("06:00")))
    come(place, [n for n in EVERYBODY if n % 2 == 0])
    passes(monkeypatch, "07:50:30", "08:20:05", "09:00")
    assert told() == 0 and states() == {"held": 30} and warnings() == ["held"]


def test_a_dead_reader_on_a_living_gateway(place: Place, monkeypatch) -> None:
    come(place, [n for n in EVERYBODY if n % 2 == 0])
    passes(monkeypatch, "07:50:30", "08:20:05", "09:00")
    assert told() == 0 and states() == {"held": 30} and "reader" in why() and warnings() == ["held"]


@pytest.mark.parametrize(
    ("part", "found", "reasons"),
    [
        ("reader g2-in", "down gone", {"self_test"}),  # the same reader: one fact
        ("answer", "none", {"self_test"}),
        ("reader g2-out", "down gone", {"self_test", "reader"}),  # another one
        ("clock", "3000", {"reader"}),  # loses no tap
    ],
)
def test_a_dead_reader_that_the_self_test_found_is_one_reason(
    place: Place, monkeypatch, part: str, found: str, reasons: set[str]
) -> None:
    with transaction() as session:
        fault = GateFault(school_id="mingde", gateway_id="gate-2", day=gate.DAY, part=part, found=found)
        fault.seen_at = gate.at("07:30")
        session.add(fault)
    come(place, [n for n in EVERYBODY if n % 2 == 0])
    passes(monkeypatch, "07:50:30", "08:20:05")
    assert told() == 0 and states() == {"held": 30} and why() & {"self_test", "reader", "gate_silent"} == reasons


def test_a_silent_gate_is_one_reason(place: Place, monkeypatch) -> None:
    with transaction() as session:
        session.add(Silence(school_id="mingde", gateway_id="gate-2", starts=gate.at("06:00")))
        fault = GateFault(school_id="mingde", gateway_id="gate-2", day=gate.DAY, part="answer", found="none")
        fault.seen_at = gate.at("07:30")
        session.add(fault)
    come(place, [n for n in EVERYBODY if n % 2 == 0])
    passes(monkeypatch, "07:50:30", "08:20:05")
    assert states() == {"held": 30} and why() & {"self_test", "reader", "gate_silent"} == {"gate_silent"}


def test_a_dead_reader_that_few_use_is_noticed_by_its_own_history(place: Place, monkeypatch) -> None:
    with transaction() as session:  # the south gate is that of eight pupils, two of each class
        session.execute(text("DELETE FROM tap WHERE gateway_id = 'gate-2'"))
        few = [n for n in EVERYBODY if n % 2 and n % 15 in (1, 2, 3)]
        for back in (1, 2):
            for n in few:
                at = clock.at_local(gate.DAY - timedelta(days=back), 27_600, "Asia/Shanghai")
                session.add(sample.tap(at, gateway_id="gate-2", reader_id="g2-in", seq=n, spool=f"f{back}"))
    come(place, [n for n in EVERYBODY if n not in few], reader="other")
    passes(monkeypatch, "08:20:05")
    assert 0 < len(few) < 8 and told() == 0 and states() == {"held": len(few)} and "reader" in why()
    assert warnings() == ["held"]


def test_all_clocks_unsynced(place: Place, monkeypatch) -> None:
    come(place, MOST, clock=wire.ClockState.UNSYNCED)
    with transaction() as session:  # as it looks when no ticks of the same boot mend them
        session.execute(text("UPDATE tap SET clock = 'unsynced' WHERE received_at > :t"), {"t": "2026-11-24 22:00:00"})
    passes(monkeypatch, "07:50:30", "08:20:05", "09:00")
    assert told() == 0 and states() == {"held": 60} and "clock" in why() and warnings() == ["held"]


def test_all_clocks_a_day_behind(place: Place, monkeypatch) -> None:
    come(place, MOST, at="-16:20", received="07:40")
    assert {tap for tap in gate.rows(Tap, "day")} == {gate.DAY - timedelta(days=n) for n in (1, 2, 5)}
    passes(monkeypatch, "08:20:05", "09:00")
    assert told() == 0 and states() == {"held": 60} and "clock" in why() and warnings() == ["held"]


def test_the_calendar_says_school_on_a_holiday(place: Place, monkeypatch) -> None:
    passes(monkeypatch, "07:50:30", "08:20:05", "09:00")
    assert told() == 0 and states() == {"held": 60} and warnings() == ["held"]
    with transaction() as session:
        calendar.set_off(session, "mingde", days=[gate.DAY])
    passes(monkeypatch, "09:05", "09:06")
    assert told() == 0 and states() == {"closed": 60} and warnings() == []
    assert gate.rows(OutboxText, "id") == []


def test_all_taps_of_a_morning_arrive_in_one_go_after_the_cut_off(place: Place, monkeypatch) -> None:
    passes(monkeypatch, "07:50:30", "08:20:05")
    assert told() == 0
    come(place, MOST, received="08:40")
    passes(monkeypatch, "08:41:40", "08:45")
    assert told() == 0 and states() == {"found": 57, "held": 3} and warnings() == ["held"]
    assert "found" not in gate.rows(OutboxText, "kind")  # nobody was asked, so nothing is corrected


def office() -> User:
    return db.session.scalars(select(User).where(User.login == "office-mingde")).one()


def mark_all(place: Place, who: Sequence[int], at: str, monkeypatch) -> None:
    gate.set_clock(monkeypatch, gate.at(at))
    with transaction() as session:
        absent = [marks.Seen(place.pupils[n], gate.DAY, "am", days.MarkKind.ABSENT) for n in who]
        marks.add(session, "mingde", uuid.uuid4(), absent, clock.now())
        keys = {(place.pupils[n], gate.DAY) for n in who}
        attendance.apply(session.get_one(School, "mingde"), keys, clock.now())


def test_a_teacher_marks_a_whole_class_absent_by_the_wrong_button(place: Place, monkeypatch) -> None:
    come(place, [n for n in EVERYBODY if n not in (0, 1)])
    mark_all(place, range(OF_CLASS), "07:55", monkeypatch)
    passes(monkeypatch, "07:56", "08:20:05", "09:00")
    assert told() == 0 and states() == {"held": 2} and "marks" in why() and warnings() == ["held"]


def test_whom_the_gate_saw_no_mark_ever_turns_into_an_alert(place: Place, monkeypatch) -> None:
    come(place, EVERYBODY)
    come(place, [3], at="07:58", direction="out")  # out again, and marked absent: seen at the gate all the same
    mark_all(place, [3, 4], "08:10", monkeypatch)
    passes(monkeypatch, "08:20:05", "08:35")
    assert told() == 0 and states() == {}


def test_a_mark_before_the_cut_off_waits_for_it(place: Place, monkeypatch) -> None:
    come(place, [n for n in EVERYBODY if n != 5])
    mark_all(place, [5], "07:52", monkeypatch)
    passes(monkeypatch, "07:53", "08:19")
    assert told() == 0
    passes(monkeypatch, "08:20:05")
    assert told() == 1


def test_the_office_releases_by_mistake_and_takes_it_back(place: Place, monkeypatch) -> None:
    passes(monkeypatch, "08:20:05")
    with transaction() as session:
        assert desk.release_all(session, office(), place.rooms, seen=60, now=clock.now()) == 60
    passes(monkeypatch, "08:20:15")
    with transaction() as session:
        assert desk.undo(session, office(), clock.now()) == 60
    passes(monkeypatch, "08:21", "08:40")
    assert told() == 0 and states() == {"held": 60} and warnings() == ["held"]


def test_the_office_stops_what_it_has_released(place: Place, monkeypatch) -> None:
    passes(monkeypatch, "08:20:05")
    with transaction() as session:
        desk.release_all(session, office(), place.rooms, seen=60, now=clock.now())
        desk.stop(session, office(), clock.now())
    passes(monkeypatch, "08:21", "08:40")
    assert told() == 0 and states() == {"held": 60} and warnings() == ["stopped", "held"]


def test_the_server_is_down_over_the_cut_off_and_back_at_noon(place: Place, monkeypatch) -> None:
    passes(monkeypatch, "07:00")
    few = [n for n in EVERYBODY if n % 20]
    passes(monkeypatch, "11:30")  # it looks before the gates have handed over anything
    assert told() == 0 and states() == {"held": 60} and "late" in why()
    come(place, few, received="11:31")
    passes(monkeypatch, "11:33", "11:40")
    assert told() == 0 and states() == {"found": 57, "held": 3} and warnings() == ["held"]


def test_even_three_are_not_asked_about_hours_after_the_cut_off(place: Place, monkeypatch) -> None:
    come(place, MOST)
    passes(monkeypatch, "11:30")
    assert told() == 0 and states() == {"held": 3} and why() == {"late"}


def bell(starts: int, since) -> None:
    with transaction() as session:
        session_ = bells.Session("am", starts, 42_600)
        calendar.set_bell(session, "mingde", timetable="default", bell=bells.Bell(session_, since))


def test_bells_set_an_hour_early_by_mistake_and_corrected(place: Place, monkeypatch) -> None:
    bell(28_200, gate.DAY - timedelta(days=60))
    gate.set_clock(monkeypatch, gate.at("07:15"))
    bell(24_600, gate.DAY)
    come(place, EVERYBODY[:57], at="07:16")
    passes(monkeypatch, "07:19", "07:20:05")
    assert told() == 0 and states() == {"held": 3} and "bells" in why() and warnings() == ["held"]
    bell(28_200, gate.DAY)
    passes(monkeypatch, "07:25", "07:26")
    assert states() == {}  # nobody was told, so there never was a case
    come(place, [57, 58], at="07:45")
    passes(monkeypatch, "08:20:05")
    assert told() == 0 and states() == {"held": 1} and warnings() == ["held"]


def test_of_two_schools_only_the_one_with_the_dead_gate_is_held(place: Place, monkeypatch) -> None:
    other = build("erzhong", 2)
    with transaction() as session:
        session.add(Silence(school_id="mingde", gateway_id="gate-1", starts=gate.at("06:00")))
    come(place, [n for n in EVERYBODY if n % 2])
    come(other, MOST)
    passes(monkeypatch, "07:50:30", "08:20:05")
    assert (told("mingde"), states("mingde"), warnings("mingde")) == (0, {"held": 30}, ["held"])
    assert (told("erzhong"), states("erzhong"), warnings("erzhong")) == (3, {"asking": 3}, [])


def test_a_half_judged_school_is_not_asked_about(place: Place, monkeypatch) -> None:
    """The job may look while the judging of the cut-off is at work: what it does not see yet is judged by itself."""
    gate.set_clock(monkeypatch, gate.at("08:20:05"))
    come(place, EVERYBODY[:5])
    with transaction() as session:
        keys = [(pupil, gate.DAY) for pupil in place.pupils]
        attendance.apply(session.get_one(School, "mingde"), keys, gate.at("08:19"))
        attendance.apply(session.get_one(School, "mingde"), keys[5:8], clock.now())
    jobs.ask_for_the_missing()
    assert current_app and told() == 0 and states() == {"held": 55}
