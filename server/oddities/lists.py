"""Odd uses as staff see them: those of their own pupils, the newest first, and who has looked into them."""

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, or_, select, true, update
from sqlalchemy.orm import Session

from server import clock, settings
from server.accounts import service as accounts
from server.accounts.models import User
from server.db import db
from server.errors import NotFound
from server.gates.models import Gateway
from server.oddities import rules
from server.oddities.models import OddUse
from server.oddities.rules import Kind
from server.people import service as people
from server.people.models import Pupil, SchoolClass
from server.schools.models import School

REMEMBERED = dt.timedelta(days=30)  # how far back a pair of cards counts as the same again
MOST = 100
ON_TODAY = {Kind.LOST, Kind.BLOCKED}  # a lost card has its own line there
Known = tuple[Pupil, SchoolClass]


@dataclass(frozen=True)
class Line:
    """One odd use; a pupil whom the user does not look after is None. `days`: on how many days a pair was seen."""

    odd: OddUse
    pupils: tuple[Known | None, ...]
    gate: str
    other_gate: str
    days: int
    chance: bool  # two cards at once, so seldom that it may be chance
    seen_by: str = ""
    seen_on: dt.date | None = None


@dataclass(frozen=True)
class Page:
    """What one look at the page needs; `counts` are of the three lists."""

    lines: list[Line]
    counts: Counter[str]
    more: bool


def page(user: User, now: dt.datetime, show: str) -> Page:
    """The odd uses of the last month: `new`, `chance` (pairs that may be nothing) or `seen`."""
    rows = list(db.session.scalars(select(OddUse).where(_in_view(user, now)).order_by(OddUse.at.desc(), OddUse.id)))
    days, least = Counter(row.subject for row in rows), _least(user.school_id, {row.kind for row in rows})
    lists: dict[str, list[OddUse]] = {"new": [], "chance": [], "seen": []}
    told = set()
    for row in rows:
        if row.kind == Kind.TOGETHER and row.subject in told:
            continue  # the pair's newest row speaks for all
        told.add(row.subject)
        weak = row.kind == Kind.TOGETHER and days[row.subject] < least
        lists["seen" if row.seen_at else "chance" if weak else "new"].append(row)
    shown = lists[show][:MOST]
    counts = Counter({name: len(each) for name, each in lists.items()})
    return Page(_lines(user, shown, days, least), counts, len(lists[show]) > MOST)


def waiting(user: User, now: dt.datetime) -> int:
    """How many odd uses nobody has looked into, without those that may be chance and those that Today names itself."""
    query = select(OddUse.kind, OddUse.subject, func.count().label("days"), func.count(OddUse.seen_at).label("seen"))
    query = query.where(_in_view(user, now)).group_by(OddUse.kind, OddUse.subject)
    rows = db.session.execute(query).all()
    least = _least(user.school_id, {row.kind for row in rows})
    single: list[int] = [row.days - row.seen for row in rows if row.kind not in {Kind.TOGETHER, *ON_TODAY}]
    pairs = [row for row in rows if row.kind == Kind.TOGETHER and row.days >= max(least, row.seen + 1)]
    return sum(single) + len(pairs)


def mark_seen(session: Session, user: User, odd_id: uuid.UUID, now: dt.datetime) -> OddUse:
    """Somebody has looked into it; of a pair, into all its days. Raises NotFound, also when it is another's."""
    odd = session.scalar(select(OddUse).where(OddUse.id == odd_id, _in_scope(user)))
    if odd is None:
        raise NotFound
    same = OddUse.subject == odd.subject if odd.kind == Kind.TOGETHER else OddUse.id == odd.id
    mine = (OddUse.school_id == user.school_id, OddUse.kind == odd.kind, same, OddUse.seen_at.is_(None))
    session.execute(update(OddUse).where(*mine).values(seen_at=now, seen_by=user.id))
    return odd


def _in_view(user: User, now: dt.datetime) -> ColumnElement[bool]:
    return _in_scope(user) & (OddUse.at >= now - REMEMBERED)


def _in_scope(user: User) -> ColumnElement[bool]:
    """Those of pupils of the own classes; whoever sees the whole school sees cards without a pupil too."""
    mine = people.visible_pupils(user).with_only_columns(Pupil.id)
    whole = accounts.scope_of(user).whole
    ours = true() if whole else or_(OddUse.pupil_id.in_(mine), OddUse.other_id.in_(mine))
    return (OddUse.school_id == user.school_id) & ours


def _least(school_id: str, kinds: Collection[str]) -> int:
    """Days from which on a pair is more than chance."""
    if Kind.TOGETHER not in kinds:
        return 1
    return settings.policy(school_id, rules.Policy).together_days


def _lines(user: User, rows: Collection[OddUse], days: Counter[str], least: int) -> list[Line]:
    if not rows:
        return []
    pupils = _pupils(user, {each for row in rows for each in (row.pupil_id, row.other_id) if each})
    seers = select(User.id, User.name).where(User.id.in_({row.seen_by for row in rows if row.seen_by}))
    names = {user_id: name for user_id, name in db.session.execute(seers)}
    gates = select(Gateway.id, Gateway.name).where(Gateway.school_id == user.school_id)
    gate = {gateway: next(iter(name.split()), gateway) for gateway, name in db.session.execute(gates)}
    zone = db.session.get_one(School, user.school_id).timezone
    return [
        Line(
            odd=row,
            pupils=tuple(pupils.get(each) for each in (row.pupil_id, row.other_id) if each),
            gate=gate.get(row.gate, row.gate),
            other_gate=gate.get(row.other_gate, row.other_gate),
            days=days[row.subject] if row.kind == Kind.TOGETHER else 1,
            chance=row.kind == Kind.TOGETHER and days[row.subject] < least,
            seen_by=names.get(row.seen_by, "?") if row.seen_by else "",
            seen_on=clock.local_day(row.seen_at, zone) if row.seen_at else None,
        )
        for row in rows
    ]


def _pupils(user: User, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Known]:
    """Those whom the user may see; whoever sees the whole school also sees who has left it."""
    query = select(Pupil, SchoolClass).join(SchoolClass, SchoolClass.id == Pupil.class_id)
    query = query.where(Pupil.school_id == user.school_id, Pupil.id.in_(ids), people.in_scope(user))
    return {row[0].id: (row[0], row[1]) for row in db.session.execute(query)}
