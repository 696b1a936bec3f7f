"""Writes the demo school into an empty database: calendar, roster, cards, gates and one login per role."""

import uuid
from collections.abc import Iterator
from datetime import date
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from server import clock, crypt
from server.accounts import service as accounts
from server.accounts.rules import Grant
from server.calendar import rules as bells
from server.calendar import service as calendar
from server.cards.models import Card, CardState
from server.db import new_id
from server.demo import gates, roster
from server.gates.models import Gateway, Reader
from server.people.models import Guardian, Guardianship, Pupil, SchoolClass
from server.schools import service as schools
from server.schools.models import School

ID = "mingde"
PASSWORD = "gate-and-bell"
LOGINS = (
    ("wangmin", "王敏", "school office: sees everything"),
    ("lijing", "李静", "class teacher of 八（2）班"),
    ("zhaoqiang", "赵强", "head of grade 8"),
    ("menwei", "孙国强", "gate guard"),
    ("xiaozhang", "陈志远", "head teacher"),
)
TODAY = date(2026, 11, 25)
TERM = (date(2026, 8, 31), date(2027, 1, 22))
BELLS = {
    "senior": {"am": ("07:20", "11:50"), "pm": ("13:30", "17:00")},
    "junior": {"am": ("07:45", "11:50"), "pm": ("13:40", "17:10")},
}


def add(session: Session, people: roster.Roster) -> School:
    """The whole school; the caller commits."""
    school = schools.add(session, ID, name="明德实验学校", sign="明德学校")
    session.flush()
    _add_calendar(session)
    session.flush()
    calendar.settled(session, calendar.stale(session))  # nobody has a verdict yet that it could change
    classes = _add_classes(session, people)
    _add_pupils(session, people, classes)
    _add_gates(session)
    allowed = grants(classes)
    for login, name, _ in LOGINS:
        accounts.create_user(ID, login, name, PASSWORD, [allowed[login]])
    return school


def grants(classes: dict[str, uuid.UUID]) -> dict[str, Grant]:
    """What each login may see."""
    return {
        "wangmin": Grant("office"),
        "lijing": Grant("class_teacher", class_id=classes["八（2）班"]),
        "zhaoqiang": Grant("grade_head", grade=8),
        "menwei": Grant("guard"),
        "xiaozhang": Grant("head"),
    }


def _add_calendar(session: Session) -> None:
    calendar.add_term(session, ID, name="2026-2027学年第一学期", starts=TERM[0], ends=TERM[1])
    calendar.set_off(session, ID, days=[date(2026, 10, day) for day in range(1, 8)], label="国庆节")
    calendar.set_make_up(session, ID, day=date(2026, 9, 20), as_weekday=2, label="国庆调休")
    calendar.set_make_up(session, ID, day=date(2026, 10, 10), as_weekday=3, label="国庆调休")
    for timetable, sessions in BELLS.items():
        for name, (starts, ends) in sessions.items():
            hours = bells.Session(name, _seconds(starts), _seconds(ends))
            calendar.set_bell(session, ID, timetable=timetable, bell=bells.Bell(hours, TERM[0]))


def _seconds(hours_minutes: str) -> int:
    hours, minutes = hours_minutes.split(":")
    return int(hours) * 3600 + int(minutes) * 60


def _add_classes(session: Session, people: roster.Roster) -> dict[str, uuid.UUID]:
    ids = {one.name: new_id() for one in people.classes}
    session.execute(
        insert(SchoolClass),
        [
            {"id": ids[one.name], "school_id": ID, "name": one.name, "grade": one.grade, "timetable": one.timetable}
            for one in people.classes
        ],
    )
    return ids


def _add_pupils(session: Session, people: roster.Roster, classes: dict[str, uuid.UUID]) -> None:
    now = clock.now()
    pupils = {pupil.number: new_id() for pupil in people.pupils}
    guardians = {care.guardian.key: (new_id(), care.guardian) for pupil in people.pupils for care in pupil.care}
    session.execute(
        insert(Pupil),
        [
            {
                "id": pupils[pupil.number],
                "school_id": ID,
                "class_id": classes[pupil.class_name],
                "number": pupil.number,
                "name": pupil.name,
                "seat": pupil.seat,
                "active": True,
                "created_at": now,
            }
            for pupil in people.pupils
        ],
    )
    session.execute(insert(Guardian), [_guardian(key, person, now) for key, person in guardians.values()])
    session.execute(insert(Guardianship), list(_guardianships(people, pupils, guardians)))
    session.execute(insert(Card), list(_cards(people, pupils, now)))


def _guardian(key: uuid.UUID, person: roster.Guardian, now: Any) -> dict[str, Any]:
    return {
        "id": key,
        "school_id": ID,
        "name": person.name,
        "phone": person.phone,
        "phone_hash": crypt.look_up(person.phone) if person.phone else None,
        "verified_at": now if person.verified else None,
        "locale": person.locale,
    }


def _guardianships(
    people: roster.Roster, pupils: dict[str, uuid.UUID], guardians: dict[int, tuple[uuid.UUID, roster.Guardian]]
) -> Iterator[dict[str, Any]]:
    for pupil in people.pupils:
        for care in pupil.care:
            yield {
                "id": new_id(),
                "school_id": ID,
                "pupil_id": pupils[pupil.number],
                "guardian_id": guardians[care.guardian.key][0],
                "relation": care.relation,
                "rank": care.rank,
                "gate_texts": care.gate_texts,
                "barred": care.barred,
            }


def _cards(people: roster.Roster, pupils: dict[str, uuid.UUID], now: Any) -> Iterator[dict[str, Any]]:
    for pupil in people.pupils:
        states = dict.fromkeys(pupil.chips, CardState.ACTIVE) | dict.fromkeys(pupil.lost_chips, CardState.LOST)
        for text, state in states.items():
            yield {
                "id": new_id(),
                "school_id": ID,
                "text": text,
                "pupil_id": pupils[pupil.number],
                "state": state,
                "since": now,
            }


def _add_gates(session: Session) -> None:
    session.add_all(Gateway(school_id=ID, id=gateway, name=name) for gateway, name in gates.GATEWAYS.items())
    session.flush()
    session.add_all(Reader(school_id=ID, gateway_id=one.gateway, id=one.id, name=one.name) for one in gates.READERS)
