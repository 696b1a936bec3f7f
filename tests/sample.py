"""A school in the middle of its morning, written straight into the tables: what the pages are looked at with."""

import datetime as dt
import random
import time
import uuid
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.timebase import Timebase
from server import clock, crypt
from server.accounts.models import User
from server.accounts.rules import Grant
from server.accounts.service import create_user
from server.attendance.models import PupilDay
from server.attendance.rules import Status
from server.calendar.models import BellTime
from server.cards.models import Card, CardState
from server.db import new_id, transaction
from server.gates.models import Gateway, Silence
from server.oddities.models import OddUse
from server.outbox.models import Attempt, Lane, OutboxText, PhoneText, Receipt, TextState
from server.people.models import Guardian, Guardianship, Pupil, Relation, SchoolClass
from server.schools.models import School
from server.taps.models import Tap

DAY = dt.date(2026, 11, 25)
ZONE = "Asia/Shanghai"
PASSWORD = "a gate and a bell"
GRADES = {7: "七", 8: "八", 9: "九", 10: "十", 11: "十一", 12: "十二"}
SURNAMES = "林张许陈刘杨王何李赵黄周吴徐孙朱马胡郭罗"
GIVEN = "语晨 浩宇 诗涵 嘉怡 俊熙 子墨 思涵 一凡 梓豪 欣然 若曦 启明 雨晴 景行 博文 锦程 柏宇 可馨"


@dataclass
class Sample:
    """What tests need to know of the school that was written."""

    school: School
    classes: list[SchoolClass]
    pupils: list[Pupil]
    users: dict[str, User]


def moment(hour: int, minute: int, second: float = 0, day: dt.date = DAY) -> dt.datetime:
    """A time of the day at the school, as UTC."""
    return clock.at_local(day, hour * 3600 + minute * 60, ZONE) + dt.timedelta(seconds=second)


def clock_at(hour: int, minute: int, second: float = 0) -> Timebase:
    """A clock that shows this time of the day now, and went at its usual pace since midnight."""
    midnight, now = clock.to_millis(moment(0, 0)), time.time_ns() // 1_000_000
    since = clock.to_millis(moment(hour, minute, second)) - midnight
    return Timebase(start=midnight, begins=now - since, speed=1.0, until=midnight)


class Rows:
    """Rows on their way into the tables, written many at a time in the order of their dependence."""

    ORDER = (Pupil, Guardian, Guardianship, PupilDay, Card, Tap, OutboxText, Attempt, PhoneText, Receipt, OddUse)

    def __init__(self) -> None:
        self.of: dict[type, list[object]] = {kind: [] for kind in self.ORDER}

    def add(self, row: object) -> None:
        """One more row."""
        self.of[type(row)].append(row)

    def save(self, session: Session) -> None:
        """Write all of them."""
        for kind in self.ORDER:
            session.bulk_save_objects(self.of[kind])


def write(*, grades: tuple[int, ...] = (8, 10), of_grade: int = 2, pupils: int = 48) -> Sample:
    """A school with this many pupils spread over the classes, at 07:52 of a Wednesday."""
    chance, rows = random.Random(7), Rows()
    with transaction() as session:
        school = School(id="mingde", name="明德实验学校", sign="明德学校", created_at=moment(6, 0))
        session.add(school)
        session.flush()
        classes = _classes(session, grades, of_grade)
        _gates(session)
        session.flush()
        everybody = [_pupil(classes[n % len(classes)], n // len(classes) + 1, chance) for n in range(pupils)]
        for n, pupil in enumerate(everybody):
            rows.add(pupil)
            mother = _family(rows, pupil, n)
            _history(rows, pupil, classes[n % len(classes)].timetable, chance)
            _morning(rows, pupil, n, classes[n % len(classes)].timetable, mother, chance)
        _strange_cards(rows, everybody[-1])
        _odd_uses(rows, everybody)
        rows.save(session)
        users = _users(classes)
    return Sample(school, classes, everybody, users)


def _classes(session: Session, grades: tuple[int, ...], of_grade: int) -> list[SchoolClass]:
    classes = []
    for grade in grades:
        timetable = "senior" if grade >= 10 else "junior"
        for n in range(1, of_grade + 1):
            name = f"{GRADES[grade]}（{n}）班"
            classes.append(SchoolClass(id=new_id(), school_id="mingde", name=name, grade=grade, timetable=timetable))
    session.add_all(classes)
    for name, starts, ends in (("senior", 7 * 60 + 20, 11 * 60 + 50), ("junior", 7 * 60 + 45, 11 * 60 + 50)):
        for part, begins, until in (("am", starts, ends), ("pm", 13 * 60 + 30, 17 * 60)):
            session.add(
                BellTime(
                    school_id="mingde",
                    timetable=name,
                    session=part,
                    starts=begins * 60,
                    ends=until * 60,
                    since=dt.date(2026, 9, 1),
                )
            )
    return classes


def _gates(session: Session) -> None:
    for gate, name in (("gate-1", "1号门 东门"), ("gate-2", "2号门 南门"), ("gate-3", "3号门 西门")):
        heard = moment(7, 51, 56)
        session.add(Gateway(school_id="mingde", id=gate, name=name, online=True, birth=1, heard_at=heard, state={}))
    session.add(Silence(school_id="mingde", gateway_id="gate-2", starts=moment(7, 20), ends=moment(7, 40)))


def _pupil(school_class: SchoolClass, seat: int, chance: random.Random) -> Pupil:
    name = chance.choice(SURNAMES) + chance.choice(GIVEN.split())
    number = f"2026{school_class.grade:02d}{school_class.name[-3]}{seat:02d}"
    created = moment(6, 0)
    return Pupil(
        id=new_id(),
        school_id="mingde",
        class_id=school_class.id,
        number=number,
        name=name,
        seat=seat,
        created_at=created,
    )


def _family(rows: Rows, pupil: Pupil, n: int) -> Guardian:
    """Mother, father, grandmother; every eleventh family has no verified number. Returns the mother."""
    people = ((Relation.MOTHER, "敏"), (Relation.FATHER, "海峰"), (Relation.GRANDMOTHER, "桂芳"))
    family = []
    for rank, (relation, name) in enumerate(people, 1):
        phone = f"+8613{rank}{n:04d}{4471 + n:04d}"
        guardian = Guardian(
            id=new_id(),
            school_id="mingde",
            name=pupil.name[0] + name,
            phone=phone,
            phone_hash=crypt.look_up(phone),
            verified_at=moment(6, 0) if rank < 3 and n % 11 else None,
        )
        family.append(guardian)
        rows.add(guardian)
        rows.add(_ship(pupil, guardian, relation, rank))
    return family[0]


def _ship(pupil: Pupil, guardian: Guardian, relation: Relation, rank: int) -> Guardianship:
    return Guardianship(
        school_id="mingde",
        pupil_id=pupil.id,
        guardian_id=guardian.id,
        relation=relation,
        rank=rank,
        gate_texts=rank == 1,
        barred=False,
    )


def _history(rows: Rows, pupil: Pupil, timetable: str, chance: random.Random) -> None:
    for back in range(1, 25):
        day = DAY - dt.timedelta(days=back)
        if day.weekday() < 5 and day.month == 11:
            late = 4 if chance.random() < 0.06 else 0
            status = Status.EXCUSED if chance.random() < 0.03 else Status.LEFT
            first = moment(0, _minute(timetable, late, chance), chance.randrange(60), day)
            _day(rows, pupil, status, first=None if status == Status.EXCUSED else first, late=late, day=day)


def _day(
    rows: Rows,
    pupil: Pupil,
    status: str,
    *,
    first: dt.datetime | None = None,
    late: int = 0,
    last: dt.datetime | None = None,
    day: dt.date = DAY,
) -> None:
    inside = status in {Status.IN_SCHOOL, Status.LATE}
    rows.add(
        PupilDay(
            pupil_id=pupil.id,
            date=day,
            school_id="mingde",
            status=status,
            late_minutes=late,
            inside=inside,
            first_in=first,
            last_out=last,
            verdict={},
            summary=_summary(status, late),
            judged_at=moment(7, 52),
        )
    )


def _summary(status: str, late: int) -> str:
    """The two sessions of such a day."""
    letters = {Status.EXCUSED: "E.sick", Status.UNEXPLAINED: "A", Status.UNCONFIRMED: "U", Status.NOT_YET: "W"}
    letter = letters.get(Status(status), f"L+{late}" if late else "P")
    return f"{letter}:am|{'W' if status in {Status.IN_SCHOOL, Status.LATE} else letter.split('+')[0]}:pm"


def _morning(rows: Rows, pupil: Pupil, n: int, timetable: str, mother: Guardian, chance: random.Random) -> None:
    """Most come before their bell; some late, some not at all, a few excused, one has left again."""
    kind = (n + n // 18) % 43
    if kind in {7, 19}:
        return _day(rows, pupil, Status.UNCONFIRMED if kind == 19 else Status.NOT_YET)
    if kind == 29 and n < 200:
        return _day(rows, pupil, Status.UNEXPLAINED)
    if kind == 33:
        return _day(rows, pupil, Status.EXCUSED)
    late = chance.randrange(1, 8) if kind == 13 else 0
    minute = _minute(timetable, late, chance)
    at = moment(0, 0, minute * 60 + chance.randrange(60) + 0.25)
    whole = at.replace(microsecond=0)
    if kind == 39 and n < 100:
        _tap(rows, pupil, n, at, "in")
        out = moment(7, 50, 33.5 - n)
        _tap(rows, pupil, n, out, "out")
        _texts(rows, pupil, mother, whole, "in", n)
        return _day(rows, pupil, Status.LEFT, first=whole, last=out.replace(microsecond=0))
    _tap(rows, pupil, n, at, "in")
    _texts(rows, pupil, mother, whole, "in", n, late=late)
    return _day(rows, pupil, Status.LATE if late else Status.IN_SCHOOL, first=whole, late=late)


def _minute(timetable: str, late: int, chance: random.Random) -> int:
    """When somebody of this timetable comes, in minutes after midnight."""
    bell = 7 * 60 + (20 if timetable == "senior" else 45)
    return bell + late if late else bell - 1 - min(28, int(abs(chance.gauss(9, 7))))


def _tap(rows: Rows, pupil: Pupil, n: int, at: dt.datetime, direction: str) -> None:
    gate = f"gate-{n % 3 + 1}"
    rows.add(tap(at, pupil_id=pupil.id, gateway_id=gate, direction=direction, card=f"em4100:{n:010X}", seq=n))


def tap(at: dt.datetime, **fields: object) -> Tap:
    """A stored tap; `fields` say what is special about it."""
    usual: dict[str, object] = {
        "id": uuid.uuid4(),
        "school_id": "mingde",
        "gateway_id": "gate-1",
        "reader_id": "in",
        "direction": "in",
        "card": "em4100:67003B51C6",
        "at": at,
        "day": clock.local_day(at, ZONE),
        "clock": "synced",
        "spool": "s1",
        "seq": 1,
        "boot": "b1",
        "ticks": 1,
        "late": False,
        "sent_at": at,
        "received_at": at + dt.timedelta(milliseconds=40),
    }
    return Tap(**{**usual, **fields})


def _texts(rows: Rows, pupil: Pupil, mother: Guardian, at: dt.datetime, kind: str, n: int, late: int = 0) -> None:
    if mother.verified_at is None:
        return
    states = {5: TextState.FAILED, 6: TextState.SENT, 8: TextState.UNKNOWN, 9: TextState.QUEUED}
    state = states.get(n % 97, TextState.DELIVERED)
    hour = f"{clock.local(at, ZONE):%H:%M}"
    body = f"【明德学校】{pupil.name} {hour} 到校{'（迟到）' if late else ''}，{n % 3 + 1}号门。"
    row = text(pupil, mother, at=at, kind=kind, state=state, body=body)
    rows.add(row)
    if state == TextState.QUEUED:
        return
    took = row.sent_at or at
    if n % 17 == 0:
        rows.add(_attempt(row, 1, "mobile", at + dt.timedelta(seconds=0.8), "retry_other"))
        row.attempts = 2
    rows.add(_attempt(row, row.attempts, "phone", took, "accepted"))
    rows.add(PhoneText(text_id=row.id, recipient=row.recipient, phone=row.phone, body=body, received_at=took))
    if state == TextState.DELIVERED:
        rows.add(Receipt(text_id=row.id, provider="phone", state="delivered", raw="{}", received_at=row.settled_at))


def _attempt(row: OutboxText, n: int, provider: str, at: dt.datetime, outcome: str) -> Attempt:
    return Attempt(
        school_id="mingde", text_id=row.id, n=n, provider=provider, started_at=at, ended_at=at, outcome=outcome
    )


def text(
    pupil: Pupil, guardian: Guardian, *, at: dt.datetime, kind: str = "in", state: TextState, body: str, n: int = 1
) -> OutboxText:
    """A text to a guardian about something at the gate."""
    slow = int(pupil.number[-2:]) % 12 / 10
    sent = None if state == TextState.QUEUED else at + dt.timedelta(seconds=0.9 + slow)
    settled = at + dt.timedelta(seconds=1.8 + slow) if state in {TextState.DELIVERED, TextState.FAILED} else None
    return OutboxText(
        id=new_id(),
        school_id="mingde",
        pupil_id=pupil.id,
        guardian_id=guardian.id,
        day=clock.local_day(at, ZONE),
        kind=kind,
        n=n,
        recipient=guardian.phone_hash,
        phone=guardian.phone,
        lane=Lane.GATE,
        lane_rank=0,
        wording="arrived",
        body=body,
        segments=1,
        event_at=at,
        created_at=at + dt.timedelta(seconds=0.6),
        changed_at=at + dt.timedelta(seconds=2),
        next_attempt_at=at,
        expires_at=at + dt.timedelta(minutes=30),
        state=state,
        attempts=0 if state == TextState.QUEUED else 1,
        sent_at=sent,
        settled_at=settled,
        error="停机" if state == TextState.FAILED else None,
    )


def ring(session: Session, recipient: str, body: str, now: dt.datetime) -> None:
    """One more text comes in on a phone, as the provider of the demo writes it."""
    known = session.scalars(select(OutboxText).where(OutboxText.recipient == recipient)).first()
    assert known is not None
    known.changed_at = now
    session.add(PhoneText(text_id=known.id, recipient=recipient, phone=known.phone, body=body, received_at=now))


def _strange_cards(rows: Rows, holder: Pupil) -> None:
    lost = "em4100:00000L0ST1"
    rows.add(Card(school_id="mingde", text=lost, pupil_id=holder.id, state=CardState.LOST, since=moment(6, 0)))
    rows.add(tap(moment(7, 49, 20.1), seq=9001))
    rows.add(tap(moment(7, 41, 2.4), seq=9002, card=lost, gateway_id="gate-3"))


def odd_use(at: dt.datetime, **fields: object) -> OddUse:
    """Something odd at a gate; `fields` say what."""
    usual = {"school_id": "mingde", "day": clock.local_day(at, ZONE), "at": at, "noticed_at": at, "gate": "gate-1"}
    return OddUse(**{"id": new_id(), "times": 1, "card": "", "other_gate": "", **usual, **fields})


def _odd_uses(rows: Rows, pupils: list[Pupil]) -> None:
    if len(pupils) < 3:
        return
    one, two, three = (pupil.id for pupil in pupils[:3])
    at, before = moment(7, 40, 20), moment(7, 39, 10)
    walk = {"other_gate": "gate-2", "before": before, "card": "em4100:0000000001"}
    rows.add(odd_use(at, kind="two_gates", subject=one.hex, pupil_id=one, **walk))
    pair = {"pupil_id": two, "other_id": three, "subject": f"{two.hex}+{three.hex}"}
    for days in (0, 1, 2):
        rows.add(odd_use(at - dt.timedelta(days=days), kind="together", before=at - dt.timedelta(days=days), **pair))
    rows.add(odd_use(at, kind="mac", subject="gate-1/in", times=3))


def _users(classes: list[SchoolClass]) -> dict[str, User]:
    who = (
        ("wangmin", "王敏", Grant("office")),
        ("lijing", "李静", Grant("class_teacher", class_id=classes[1].id)),
        ("zhaoqiang", "赵强", Grant("grade_head", grade=8)),
        ("menwei", "门卫", Grant("guard")),
    )
    return {login: create_user("mingde", login, name, PASSWORD, [grant]) for login, name, grant in who}
