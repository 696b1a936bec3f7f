"""Changes of the calendar by people: who may, what stood before, and how each is undone."""

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from server.accounts import service as accounts
from server.accounts.models import User
from server.audit import service as audit
from server.calendar import service
from server.calendar.models import BellTime, CalendarChange, CalendarDay, Term
from server.db import new_id, table
from server.errors import NotAllowed, NotFound, Refused
from server.people.models import SchoolClass

MAY_CHANGE = frozenset({"office", "head"})
Values = Mapping[str, Any]  # of one row, as JSON has them; by the row's key


class Part(StrEnum):
    """What of a calendar was changed."""

    DAYS = "days"
    TERMS = "terms"
    BELLS = "bells"
    CLASSES = "classes"


_ROWS = {
    Part.DAYS: (table(CalendarDay), ("date",), ("kind", "label", "as_weekday", "until", "bells")),
    Part.TERMS: (table(Term), ("name", "starts"), ("ends",)),
    Part.BELLS: (table(BellTime), ("timetable", "session", "since"), ("starts", "ends", "weekdays")),
}
_class = table(SchoolClass)


class ChangedSince(Refused):
    """What is to be undone was changed again by somebody."""


@dataclass
class Noted:
    """A change that was made; None when nothing is different from before."""

    change: CalendarChange | None = None


def check(user: User) -> None:
    """Raises NotAllowed for those who may not change the calendar."""
    if not MAY_CHANGE & accounts.roles_of(user):
        raise NotAllowed


@contextmanager
def noted(session: Session, user: User, part: Part, now: dt.datetime) -> Iterator[Noted]:
    """Whatever is changed inside is kept as one change that can be undone, and stands in the audit trail."""
    check(user)
    found, before = Noted(), _read(session, user.school_id, part)
    yield found
    session.flush()
    after = _read(session, user.school_id, part)
    moved = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    if not moved:
        return
    row = CalendarChange(id=new_id(), school_id=user.school_id, part=part, made_by=user.id, made_at=now)
    row.before, row.after = ({key: those.get(key) for key in moved} for those in (before, after))
    session.add(row)
    audit.record(user, f"calendar.{part}", f"calendar:{row.id}", now, {"before": row.before, "after": row.after})
    found.change = row


def undo(session: Session, user: User, change_id: uuid.UUID, now: dt.datetime) -> CalendarChange:
    """Put back what stood before a change; twice is once. Raises ChangedSince, NotAllowed and NotFound."""
    check(user)
    row = session.get(CalendarChange, change_id, with_for_update=True)
    if row is None or row.school_id != user.school_id:
        raise NotFound
    if row.undone_at is not None:
        return row
    current = _read(session, row.school_id, Part(row.part))
    if {key: current.get(key) for key in row.after} != row.after:
        raise ChangedSince("somebody has changed this again since; look at what stands there now")
    _write(session, row)
    for first, last in spans(row, service.today_of(session, row.school_id)):
        service.passed(session, row.school_id, first, last)
    row.undone_by, row.undone_at = user.id, now
    audit.record(user, "calendar.undone", f"calendar:{row.id}", now)
    return row


def newest(session: Session, school_id: str, limit: int = 8) -> list[tuple[CalendarChange, str]]:
    """The last changes with the names of those who made them, the newest first."""
    query = (
        select(CalendarChange, User.name)
        .outerjoin(User, User.id == CalendarChange.made_by)
        .where(CalendarChange.school_id == school_id)
        .order_by(CalendarChange.made_at.desc(), CalendarChange.id)
    )
    return [(change, name or "") for change, name in session.execute(query.limit(limit))]


def of(session: Session, school_id: str, change_id: uuid.UUID) -> CalendarChange | None:
    """One change of the school."""
    row = session.get(CalendarChange, change_id)
    return row if row is not None and row.school_id == school_id else None


def judged_again(change: CalendarChange, today: dt.date) -> list[dt.date]:
    """The past days whose verdicts a change moves."""
    return sorted({day for span in spans(change, today) for day in service.past(today, *span)})


def spans(change: CalendarChange, today: dt.date) -> list[tuple[dt.date, dt.date]]:
    """First and last dates for which something else holds than before."""
    rows = [(_key(key), values) for side in (change.before, change.after) for key, values in side.items() if values]
    if change.part == Part.CLASSES:
        return [(today, today)]
    if change.part == Part.DAYS:
        return [(_date(key[0]), _date(key[0])) for key, _values in rows]
    if change.part == Part.TERMS:
        return [(_date(key[1]), _date(values["ends"])) for key, values in rows]
    return [(_date(key[2]), dt.date.max) for key, _values in rows]


def _read(session: Session, school_id: str, part: Part) -> dict[str, Values]:
    if part is Part.CLASSES:
        rooms = session.execute(select(_class.c.id, _class.c.timetable).where(_class.c.school_id == school_id))
        return {_text([str(class_id)]): {"timetable": timetable} for class_id, timetable in rooms}
    rows, keys, fields = _ROWS[part]
    found = session.execute(select(rows).where(rows.c.school_id == school_id)).mappings()
    return {_text([_plain(row[name]) for name in keys]): {name: _plain(row[name]) for name in fields} for row in found}


def _write(session: Session, change: CalendarChange) -> None:
    for key, values in change.before.items():
        _put(session, change.school_id, Part(change.part), _key(key), values)


def _put(session: Session, school_id: str, part: Part, key: list[str], values: Values | None) -> None:
    if part is Part.CLASSES:
        mine = _class.c.school_id == school_id
        session.execute(update(_class).where(mine, _class.c.id == uuid.UUID(key[0])).values(**(values or {})))
        return
    rows, names, _fields = _ROWS[part]
    named = {name: _stored(rows.c[name], value) for name, value in zip(names, key, strict=True)}
    where = [rows.c.school_id == school_id, *(rows.c[name] == value for name, value in named.items())]
    session.execute(delete(rows).where(*where))
    if values is not None:
        stored = {name: _stored(rows.c[name], value) for name, value in values.items()}
        session.execute(insert(rows).values(id=new_id(), school_id=school_id, **named, **stored))


def _stored(column: Any, value: Any) -> Any:
    return _date(value) if column.type.python_type is dt.date and value else value


def _plain(value: Any) -> Any:
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(value) if isinstance(value, StrEnum) else value


def _date(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def _text(parts: Iterable[Any]) -> str:
    return msgspec.json.encode(list(parts)).decode()


def _key(text: str) -> list[str]:
    return msgspec.json.decode(text, type=list[str])
