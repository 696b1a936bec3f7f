"""days-by-hand.md, line by line through cards, pipeline, calendar, leave and marks: in order, and in any other."""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from gateway import wire
from server import clock, pipeline
from server.attendance import marks, rules
from server.attendance import service as attendance
from server.attendance.cli import seconds
from server.attendance.models import PupilDay
from server.calendar import service as calendar
from server.calendar.rules import Bell, Session
from server.cards.models import Card, CardState
from server.db import db, transaction
from server.gates.models import Silence
from server.leave.models import Leave, LeaveKind, LeaveState
from server.people.models import Pupil, SchoolClass
from server.schools import service as schools
from server.schools.models import School
from tests.server import gate

TABLE = Path(__file__).with_name("days-by-hand.md")
SESSIONS = {"morning": "am", "afternoon": "pm", "evening": "eve"}
NOTES = {
    "entry twice": "in_in",
    "exit twice": "out_out",
    "entry missing": "entry_unknown",
    "exit missing": "exit_unknown",
    "time not sure": "time_uncertain",
    "tap on a day off": "tap_on_off_day",
    "came although on leave": "present_on_leave",
    "class yes, gate no": "seen_by_teacher_not_gate",
    "gate yes, class no": "seen_by_gate_not_class",
}
SCHOOL = {"day": "mingde", "boarder": "mingde", "weekly": "mingde", "london": "london"}
WEEK = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
TEACHER = uuid.UUID(int=7)
LATER = datetime(2027, 4, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    no: str
    pupil: str
    date: date
    taps: list[str]
    leave: list[str]
    teacher: list[str]
    silent: str
    asked: str
    sessions: dict[str, str]
    inside: bool
    notes: str


def lines() -> Iterator[Line]:
    """Every line below the head."""
    for text in TABLE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in text.strip("|").split("|")]
        if text.startswith("|") and cells[0].isdigit():
            no, pupil, day, taps, leave, teacher, silent, asked, *states, inside, notes = cells
            said = dict(zip(SESSIONS.values(), states, strict=True))
            many = [[part.strip() for part in cell.split(",") if part.strip()] for cell in (taps, leave, teacher)]
            yield Line(no, pupil, date.fromisoformat(day), *many, silent, asked, said, inside == "yes", notes)


LINES = list(lines())


def expected(line: Line) -> dict[str, object]:
    """What the line says, as a verdict is kept."""
    flags, notes = set(), line.notes
    for words, flag in NOTES.items():
        if words in notes:
            flags.add(flag)
            notes = notes.replace(words, "")
    assert not notes.strip(" ,"), f"line {line.no}: unknown note {notes!r}"
    sessions = {name: _state(words) for name, words in line.sessions.items() if words != "–"}
    return {"sessions": sessions, "inside": line.inside, "flags": sorted(flags)}


def _state(words: str) -> dict[str, object]:
    parts = words.split()
    minutes = {name: int(n) for name, n in zip(parts[::2], parts[1::2], strict=False)}
    state = "late" if parts[0] == "late" else "present" if parts[0] == "early" else parts[0]
    return {"state": state, "late": minutes.get("late", 0), "early": minutes.get("early", 0)}


@pytest.fixture
def classes(app: Flask, monkeypatch: pytest.MonkeyPatch) -> dict[str, uuid.UUID]:
    """The two schools with their calendars; the class of each kind of pupil."""
    gate.set_clock(monkeypatch, LATER)
    with transaction() as session:
        schools.add(session, "mingde", name="明德实验学校", sign="明德学校")
        schools.add(session, "london", name="Meadow School", sign="Meadow", timezone="Europe/London", locale="en")
        session.flush()
        _calendars(session)
        _silences(session)
        rooms = {kind: SchoolClass(school_id=SCHOOL[kind], name=kind, grade=8) for kind in SCHOOL}
        rooms["boarder"].timetable = rooms["weekly"].timetable = "boarders"
        session.add_all(rooms.values())
        session.flush()
        return {kind: room.id for kind, room in rooms.items()}


def _calendars(session) -> None:  # type: ignore[no-untyped-def]
    calendar.add_term(session, "mingde", name="2026-1", starts=date(2026, 9, 1), ends=date(2027, 1, 29))
    calendar.set_off(session, "mingde", days=[date(2026, 10, day) for day in range(1, 8)], label="国庆节")
    calendar.set_make_up(session, "mingde", day=date(2026, 10, 10), as_weekday=3)
    for day in (date(2026, 10, 25), date(2027, 3, 28)):
        calendar.set_make_up(session, "london", day=day, as_weekday=0)
    hours = {"am": ("07:50", "11:50"), "pm": ("13:30", "17:00"), "eve": ("19:00", "21:00")}
    for name, times in hours.items():
        bell = Bell(Session(name, *map(seconds, times)), date(2026, 9, 1))
        calendar.set_bell(session, "mingde", timetable="boarders", bell=bell)


def _silences(session) -> None:  # type: ignore[no-untyped-def]
    for day, span in {(line.date, line.silent) for line in LINES if line.silent}:
        starts, ends = (clock.at_local(day, seconds(time), "Asia/Shanghai") for time in span.split("-"))
        session.add(Silence(school_id="mingde", gateway_id="gate-1", starts=starts, ends=ends))


class Played:
    """One pupil who lives a line."""

    def __init__(self, line: Line, class_id: uuid.UUID, number: str) -> None:
        self.line = line
        self.school_id = SCHOOL[line.pupil]
        self.zone = "Europe/London" if line.pupil == "london" else "Asia/Shanghai"
        self.asked = self.moment(line.asked)
        serial = int(number.replace("-", ""))
        self.cards = {kind: f"em4100:{kind_no:02X}{serial:08X}" for kind_no, kind in enumerate(("", "2nd", "lost"), 1)}
        with transaction() as session:
            pupil = Pupil(school_id=self.school_id, class_id=class_id, number=number, name=f"学生{number}")
            pupil.created_at, pupil.boarder = clock.now(), line.pupil == "weekly"
            session.add(pupil)
            session.flush()
            self.pupil_id = pupil.id
            for kind, text in self.cards.items():
                state = CardState.LOST if kind == "lost" else CardState.ACTIVE
                session.add(
                    Card(school_id=self.school_id, text=text, pupil_id=pupil.id, state=state, since=clock.now())
                )

    def moment(self, time: str) -> datetime:
        """A time of the line's day; 24:00 is the next midnight."""
        return clock.at_local(self.line.date, seconds(time), self.zone)

    def days_before(self, words: str) -> int:
        """How long before the line's day a tap was that names its weekday: always in the seven days before."""
        name = words.split(maxsplit=1)[0]
        return (self.line.date.weekday() - WEEK.index(name) - 1) % 7 + 1 if name in WEEK else 0

    def touch(self, words: str, received: datetime | None = None) -> None:
        """One tap of the line, stored at its own time or at another."""
        time, way, *card = [word for word in words.split() if word not in WEEK]
        at, unset = self.moment(time) - timedelta(days=self.days_before(words)), way.endswith("?")
        tap = gate.tap(1, at, card=self.cards[card[0] if card else ""], spool=f"{uuid.uuid4().int >> 64:016x}",
                       direction="both" if way == "either" else way.rstrip("?"))  # fmt: skip
        if unset:
            changes = {"clock": wire.ClockState.UNSYNCED, "boot": "an-earlier-boot"}
            tap = gate.tap(1, at, card=tap.card, spool=tap.spool, direction=tap.direction, **changes)
        when = received or at
        assert pipeline.handle([gate.delivery([tap], when, school=self.school_id)], when)

    def go_on_leave(self, words: str) -> None:
        """One leave of the line."""
        *state, span = words.split()
        starts, ends = map(self.moment, span.split("-"))
        row = Leave(school_id=self.school_id, pupil_id=self.pupil_id, starts_at=starts, ends_at=ends)
        row.kind, row.asked_at = LeaveKind.SICK, clock.now()
        row.state = LeaveState(state[0]) if state else LeaveState.APPROVED
        with transaction() as session:
            session.add(row)

    def be_marked(self) -> None:
        """All that the teacher did, in order."""
        made: list[uuid.UUID] = []
        for n, words in enumerate(self.line.teacher):
            now = self.asked + timedelta(seconds=n)
            with transaction() as session:
                if words == "undone":
                    marks.undo(session, self.school_id, TEACHER, [made.pop()], now)
                    continue
                session_name, kind, *minutes = words.split()
                seen = marks.Seen(self.pupil_id, self.line.date, SESSIONS[session_name], rules.MarkKind(kind),
                                  int(minutes[0]) if minutes else 0)  # fmt: skip
                made += [mark.id for mark in marks.add(session, self.school_id, TEACHER, [seen], now)]

    def judged(self) -> dict[str, object]:
        """The verdict at the time at which the line looks."""
        with transaction() as session:
            school = session.get_one(School, self.school_id)
            attendance.apply(school, [(self.pupil_id, self.line.date)], self.asked)
        query = select(PupilDay.verdict).where(PupilDay.pupil_id == self.pupil_id, PupilDay.date == self.line.date)
        verdict = db.session.scalars(query).one()
        return {name: verdict[name] for name in ("sessions", "inside", "flags")}


def test_the_table_is_as_long_as_it_should_be_and_no_day_stands_twice() -> None:
    assert len(LINES) >= 120
    assert len({(line.pupil, line.date, str(line.taps), str(line.leave), str(line.teacher), line.silent, line.asked)
                for line in LINES}) == len(LINES)  # fmt: skip


def test_each_line_comes_out_as_a_person_judged_it(classes: dict[str, uuid.UUID]) -> None:
    found, wanted = {}, {}
    for line in LINES:
        pupil = Played(line, classes[line.pupil], f"1-{line.no}")
        for words in line.leave:
            pupil.go_on_leave(words)
        for words in line.taps:
            pupil.touch(words)
        pupil.be_marked()
        found[line.no], wanted[line.no] = pupil.judged(), expected(line)
    assert {no: (found[no], wanted[no]) for no in found if found[no] != wanted[no]} == {}


def test_facts_that_come_late_and_in_any_order_give_the_same_day(classes: dict[str, uuid.UUID]) -> None:
    chance, found, wanted = random.Random(20261125), {}, {}
    for line in LINES:
        pupil = Played(line, classes[line.pupil], f"2-{line.no}")
        pupil.judged()
        acts = [lambda words=words, pupil=pupil: pupil.touch(words, pupil.asked) for words in line.taps]
        acts += [lambda words=words, pupil=pupil: pupil.go_on_leave(words) for words in line.leave]
        acts.append(pupil.be_marked)
        chance.shuffle(acts)
        for act in acts:
            act()
        found[line.no], wanted[line.no] = pupil.judged(), expected(line)
    assert {no: (found[no], wanted[no]) for no in found if found[no] != wanted[no]} == {}
