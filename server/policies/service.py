"""Settings as people read and write them: each field with its default, range, value and history."""

import dataclasses
import datetime as dt
import enum
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, get_origin, get_type_hints

import msgspec
from flask_babel import gettext as _
from sqlalchemy import select

from server import clock, settings
from server.accounts import service as accounts
from server.accounts.models import User
from server.audit import service as audit
from server.calendar import service as calendar
from server.db import db
from server.errors import NotAllowed, NotFound, Refused
from server.people import service as people
from server.people.models import Pupil
from server.policies import pairs
from server.policies.words import FIELDS, POLICIES, Field, Shown
from server.schools.models import School, SchoolPolicy

MAY_SET = frozenset({"office", "head"})
YES, NO = "yes", "no"
MOST_WORDS = 200


class BadField(Refused):
    """What stands in one field cannot be taken; the text says what can."""

    def __init__(self, field: str, sentence: str) -> None:
        """`field` is where the sentence is shown."""
        super().__init__(sentence)
        self.field = field


@dataclass(frozen=True)
class Line:
    """One setting of a page; `sort` is yes, number, time, weekday, choice, words or pairs."""

    key: str
    words: Field
    sort: str
    value: Any
    default: Any
    least: int | None = None
    most: int | None = None
    choices: tuple[str, ...] = ()
    type_: Any = None


@dataclass(frozen=True)
class Past:
    """One change of the past: from when it counts, who made it and when, and what was chosen."""

    since: dt.date
    at: dt.datetime
    by: str
    chosen: tuple[tuple[Line, Any], ...]


def may_set(user: User) -> bool:
    """Whether the user may set anything."""
    return bool(MAY_SET & accounts.roles_of(user))


def check(user: User) -> None:
    """Raises NotAllowed for those who may not set anything."""
    if not may_set(user):
        raise NotAllowed


def by_numbers(user: User, numbers: Collection[str]) -> tuple[list[uuid.UUID], list[str]]:
    """The visible pupils with these numbers, and the numbers that none of them has."""
    rows = db.session.execute(people.visible_pupils(user).where(Pupil.number.in_(numbers)))
    found = {pupil.number: pupil.id for pupil, _room in rows}
    return list(found.values()), [each for each in numbers if each not in found]


def shown(name: str) -> Shown:
    """The policy of that name. Raises NotFound."""
    for each in POLICIES:
        if settings.name_of(each.kind) == name:
            return each
    raise NotFound


def lines(school: School, kind: type[Any], on: dt.date) -> list[Line]:
    """Each setting with what holds on a date."""
    now, default = settings.policy(school.id, kind, on=on), kind()
    return [_line(kind, field, now, default) for field in dataclasses.fields(kind)]


def _line(kind: type[Any], field: "dataclasses.Field[Any]", now: Any, default: Any) -> Line:
    type_ = get_type_hints(kind)[field.name]
    limits = field.metadata
    return Line(
        key=field.name,
        words=FIELDS[f"{settings.name_of(kind)}.{field.name}"],
        sort=limits.get("shown") or _sort(field.name, type_),
        value=getattr(now, field.name),
        default=getattr(default, field.name),
        least=limits.get("least"),
        most=limits.get("most"),
        choices=tuple(str(each) for each in type_) if _is_enum(type_) else (),
        type_=type_,
    )


def _sort(name: str, type_: Any) -> str:
    if type_ is bool:
        return "yes"
    if _is_enum(type_):
        return "choice"
    if get_origin(type_) is dict:
        return "pairs"
    if type_ is int:
        return "weekday" if name.endswith("weekday") else "number"
    return "words"


def _is_enum(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, enum.Enum)


def change(user: User, policy: Shown, form: Mapping[str, str]) -> int:
    """Set what the form says differently; how many past days are judged again. Raises BadField, NotAllowed."""
    check(user)
    session, school = db.session(), db.session.get_one(School, user.school_id)
    today = calendar.today_of(session, school.id)
    since = _since(form.get("since", ""), today)
    new = {}
    for line in lines(school, policy.kind, since):
        value = read(line, form.get(line.key, ""))
        if value != _as_read(line):
            new[line.key] = value
    if not new:
        return 0
    settings.set_policy(session, school.id, policy.kind, since=since, by=user.id, **new)
    subject = f"policy:{settings.name_of(policy.kind)}"
    audit.record(user, "policy.set", subject, clock.now(), {"since": since.isoformat()} | _plain(new))
    again = calendar.past(today, since, today) if policy.judges else []
    calendar.touched(session, school.id, again)
    return len(again)


def _as_read(line: Line) -> Any:
    return msgspec.to_builtins(line.value) if line.sort == "pairs" else line.value


def _plain(new: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in new.items()}


def _since(text: str, today: dt.date) -> dt.date:
    try:
        since = dt.date.fromisoformat(text) if text else today
    except ValueError:
        raise BadField("since", _("Write the date like 2026-11-25.")) from None
    if abs((since - today).days) > calendar.LOOK_BACK_DAYS:
        raise BadField("since", _("A change counts at most 400 days back or ahead."))
    return since


def read(line: Line, text: str) -> Any:
    """What somebody wrote -> the value. Raises BadField."""
    text = text.strip()
    if line.sort == "yes":
        return text == YES
    if line.sort == "choice":
        if text not in line.choices:
            raise BadField(line.key, _("Choose one of the list."))
        return type(line.default)(text)
    if line.sort == "words":
        return _words(line, text)
    if line.sort == "pairs":
        return _pairs(line, text)
    return _number(line, text)


def _words(line: Line, text: str) -> Any:
    if len(text) > MOST_WORDS:
        raise BadField(line.key, _("At most %(n)s characters.", n=MOST_WORDS))
    if not isinstance(line.default, tuple):
        return text
    parts = (part.strip() for part in text.replace("，", ",").replace("、", ",").split(","))
    return tuple(part for part in parts if part)


def _pairs(line: Line, text: str) -> Any:
    if len(text) > MOST_WORDS:
        raise BadField(line.key, _("At most %(n)s characters.", n=MOST_WORDS))
    try:
        return pairs.read(text, line.type_)
    except (ValueError, msgspec.ValidationError):
        raise BadField(line.key, _("Write name = value, with commas between, as the hint shows.")) from None


def _number(line: Line, text: str) -> int:
    try:
        hours, _colon, minutes = text.partition(":") if line.sort == "time" else ("0", "", text)
        value = int(hours) * 60 + int(minutes)
    except ValueError:
        sentence = _("Write the time like 18:20.") if line.sort == "time" else _("Write a whole number.")
        raise BadField(line.key, sentence) from None
    least, most = line.least, line.most
    if (least is not None and value < least) or (most is not None and value > most):
        if line.sort == "time":
            raise BadField(line.key, _("Write the time like 18:20."))
        raise BadField(line.key, _("It must be between %(least)s and %(most)s.", least=least, most=most))
    return value


def past(school: School, kind: type[Any], on: dt.date) -> list[Past]:
    """All changes, the newest first."""
    rows = settings.history(school.id, kind)
    ids = {row.set_by for row in rows if row.set_by}
    names = {each.id: each.name for each in db.session.scalars(select(User).where(User.id.in_(ids)))}
    known = {line.key: line for line in lines(school, kind, on)}
    found = [_past(row, known, names.get(row.set_by, "") if row.set_by else "") for row in rows]
    return sorted(found, key=lambda each: each.at, reverse=True)


def _past(row: SchoolPolicy, known: Mapping[str, Line], by: str) -> Past:
    chosen = tuple((known[name], value) for name, value in row.chosen.items() if name in known)
    return Past(row.since, row.set_at, by, chosen)
