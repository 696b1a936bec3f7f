"""The roll call: opened once, ticked by many at once, ended with a report. Nobody is ever taken off it."""

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from server import clock
from server.accounts import service as accounts
from server.accounts.models import User
from server.db import db, insert_new, new_id, table
from server.errors import NotAllowed, NotFound, Refused
from server.people import service as people
from server.rollcall import presence, rules
from server.rollcall.models import RollCall, RollEntry, RollPost, RollTick
from server.rollcall.presence import Person
from server.schools.models import School

MAY_START = frozenset({"office", "head", "operator", "guard"})
DOUBLE_CLICK = 5  # seconds in which the same word of the same person is one
_roll, _entry, _post = table(RollCall), table(RollEntry), table(RollPost)


@dataclass(frozen=True)
class Said:
    """One touch of a marshal's finger; `id` was made on the phone, `at` is when it happened."""

    id: uuid.UUID
    entry_id: uuid.UUID
    there: bool
    at: datetime


def may_start(user: User) -> bool:
    """Whether the user may start and end a roll call, and send people to classes."""
    return bool(MAY_START & accounts.roles_of(user))


def start(session: Session, school: School, user: User, kind: rules.RollKind, now: datetime) -> tuple[RollCall, bool]:
    """Open the roll with everybody who is or may be inside now; the one that runs already, if there is one.

    Also says whether it is new. Raises NotAllowed.
    """
    if not may_start(user):
        raise NotAllowed
    row = {"id": new_id(), "school_id": school.id, "kind": kind, "open_for": school.id, "started_at": now}
    row |= {"started_by": user.name, "ended_by": "", "changed_at": now}
    is_new = session.execute(insert_new(_roll, _roll.c.id), [row]).first() is not None
    roll = running(session, school.id)
    if roll is None:
        raise Refused(_("The roll call has ended at this moment. Start again."))
    if is_new:
        _list(session, roll, presence.everybody(session, school, now), now)
    return roll, is_new


def running(session: Session, school_id: str) -> RollCall | None:
    """The open roll call of a school."""
    return session.scalar(select(RollCall).where(RollCall.open_for == school_id))


def follow(session: Session, school: School, now: datetime) -> int:
    """Put those on the open roll who came in, or came into doubt, since the alarm; how many."""
    roll = _locked(session, select(RollCall).where(RollCall.open_for == school.id))
    added = _list(session, roll, presence.everybody(session, school, now), now) if roll else 0
    if roll and added:
        roll.changed_at = now
    return added


def newcomers(session: Session, school: School, roll: RollCall, now: datetime) -> bool:
    """Whether somebody is inside who is not on the roll."""
    listed = set(session.scalars(select(RollEntry.person).where(RollEntry.roll_id == roll.id)))
    return any(person.key not in listed for person in presence.everybody(session, school, now))


def _list(session: Session, roll: RollCall, everybody: Iterable[Person], now: datetime) -> int:
    rows = [
        {
            "id": new_id(),
            "school_id": roll.school_id,
            "roll_id": roll.id,
            "part": person.part,
            "person": person.key,
            "pupil_id": person.pupil_id,
            "name": person.name,
            "seat": person.seat,
            "standing": person.standing,
            "seen_at": person.seen_at,
            "place": person.place,
            "added_at": now,
            "there": False,
            "said_name": "",
        }
        for person in everybody
    ]
    return len(session.execute(insert_new(_entry, _entry.c.id), rows).all()) if rows else 0


def say(session: Session, user: User, said: Said, now: datetime) -> RollEntry:
    """Tick a person or take it back. The later touch wins, whichever came first; each is kept with its name.

    Raises NotFound for what this user may not tick, Refused when the roll had ended before the touch.
    """
    entry = session.get(RollEntry, said.entry_id)
    if entry is None or entry.school_id != user.school_id:
        raise NotFound
    roll = _locked(session, select(RollCall).where(RollCall.id == entry.roll_id))
    if roll is None or not may_tick(session, user, roll, entry.part):
        raise NotFound
    session.refresh(entry)
    at = max(said.at, roll.started_at)
    if roll.ended_at is not None and at > roll.ended_at:
        raise Refused(_("This roll call has ended. Nothing was changed."))
    if _is_known(session, user, entry, said):
        return entry
    tick = RollTick(id=said.id, school_id=roll.school_id, roll_id=roll.id, entry_id=entry.id, there=said.there)
    tick.user_id, tick.name, tick.at, tick.received_at = user.id, user.name, at, now
    session.add(tick)
    if entry.said_at is None or at >= entry.said_at:
        entry.there, entry.said_at, entry.said_by, entry.said_name = said.there, at, user.id, user.name
    roll.changed_at = now
    return entry


def _is_known(session: Session, user: User, entry: RollEntry, said: Said) -> bool:
    """A touch that was sent twice, a double-click, or the taking back of what nobody said."""
    if session.get(RollTick, said.id) is not None:
        return True
    if entry.said_at is None:
        return not said.there
    same = entry.there == said.there and entry.said_by == user.id
    return same and abs((said.at - entry.said_at).total_seconds()) < DOUBLE_CLICK


def may_tick(session: Session, user: User, roll: RollCall, part: str) -> bool:
    """Whether the user may see and tick this part: by scope, or because somebody sent them there."""
    if roll.school_id != user.school_id:
        return False
    return part in visible_parts(session, user, roll)


def visible_parts(session: Session, user: User, roll: RollCall) -> set[str]:
    """The parts of a roll whose names this user may see."""
    found = {str(each.id) for each in people.visible_classes(user)}
    if accounts.scope_of(user).whole:
        found |= {rules.VISITORS, rules.STAFF}
    if roll.ended_at is None:
        sent = select(RollPost.part).where(RollPost.roll_id == roll.id, RollPost.user_id == user.id)
        found |= set(session.scalars(sent))
    return found


def the_roll(user: User, roll_id: uuid.UUID) -> RollCall:
    """A roll call that this user may look at. Raises NotFound."""
    roll = db.session.get(RollCall, roll_id)
    if roll is None or roll.school_id != user.school_id:
        raise NotFound
    if not may_start(user) and not visible_parts(db.session(), user, roll):
        raise NotAllowed
    return roll


def send(session: Session, user: User, roll_id: uuid.UUID, part: str, whom: uuid.UUID, now: datetime) -> RollPost:
    """Send a colleague to a part of the open roll: they may tick there. Twice is once. Raises NotFound, NotAllowed."""
    if not may_start(user):
        raise NotAllowed
    roll = _locked(session, select(RollCall).where(RollCall.id == roll_id, RollCall.open_for == user.school_id))
    sent = session.get(User, whom)
    if roll is None or sent is None or sent.school_id != user.school_id or not sent.active:
        raise NotFound
    if part not in parts_of(session, roll):
        raise NotFound
    row = {"id": new_id(), "school_id": roll.school_id, "roll_id": roll.id, "part": part, "user_id": sent.id}
    session.execute(insert_new(_post), [row | {"name": sent.name, "sent_at": now}])
    roll.changed_at = now
    return session.scalars(
        select(RollPost).where(RollPost.roll_id == roll.id, RollPost.part == part, RollPost.user_id == sent.id)
    ).one()


def parts_of(session: Session, roll: RollCall) -> set[str]:
    """The classes and other parts that a roll has."""
    return set(session.scalars(select(RollEntry.part).where(RollEntry.roll_id == roll.id).distinct()))


def end(session: Session, user: User, roll_id: uuid.UUID, now: datetime) -> RollCall:
    """Close the roll; closing it twice changes nothing. Raises NotAllowed, NotFound."""
    if not may_start(user):
        raise NotAllowed
    roll = _locked(session, select(RollCall).where(RollCall.id == roll_id, RollCall.school_id == user.school_id))
    if roll is None:
        raise NotFound
    if roll.ended_at is None:
        roll.ended_at, roll.ended_by, roll.open_for, roll.changed_at = now, user.name, None, now
    return roll


def colleagues(session: Session, school_id: str) -> Sequence[User]:
    """Who can be sent."""
    query = select(User).where(User.school_id == school_id, User.active).order_by(User.name)
    return session.scalars(query).all()


def sent_to(session: Session, user: User) -> list[RollPost]:
    """Where this user was sent in the open roll."""
    query = select(RollPost).join(RollCall, RollCall.id == RollPost.roll_id)
    return list(session.scalars(query.where(RollCall.open_for == user.school_id, RollPost.user_id == user.id)))


def past(session: Session, school_id: str, most: int = 50) -> Sequence[RollCall]:
    """The log: roll calls that have ended, newest first."""
    query = select(RollCall).where(RollCall.school_id == school_id, RollCall.ended_at.is_not(None))
    return session.scalars(query.order_by(RollCall.started_at.desc()).limit(most)).all()


def entries(session: Session, roll: RollCall, parts: Collection[str]) -> Sequence[RollEntry]:
    """Everybody of these parts, by seat and name."""
    query = select(RollEntry).where(RollEntry.roll_id == roll.id, RollEntry.part.in_(sorted(parts)))
    return session.scalars(query.order_by(RollEntry.part, RollEntry.seat, RollEntry.added_at, RollEntry.name)).all()


def said_of(session: Session, roll: RollCall, parts: Collection[str]) -> Sequence[RollTick]:
    """Every tick and undo of these parts, in order."""
    query = select(RollTick).join(RollEntry, RollEntry.id == RollTick.entry_id)
    query = query.where(RollTick.roll_id == roll.id, RollEntry.part.in_(sorted(parts)))
    return session.scalars(query.order_by(RollTick.at, RollTick.received_at, RollTick.id)).all()


def running_seconds(roll: RollCall, now: datetime) -> int:
    """Real seconds since the alarm, or that the roll call took."""
    return max(0, int(clock.elapsed(roll.started_at, roll.ended_at or now)))


def _locked(session: Session, query: object) -> RollCall | None:
    """One roll at a time: two marshals' ticks are written one after the other."""
    found: RollCall | None = session.scalars(query.with_for_update()).first()  # type: ignore[attr-defined]
    return found
