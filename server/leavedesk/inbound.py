"""What families write about leave: understood, asked back, and written down only after their yes."""

import uuid
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from server import clock
from server.calendar import service as calendar
from server.leave import requests, spoken
from server.leave.models import LeaveKind, LeaveSource, LeaveWish
from server.leavedesk import texts
from server.outbox.models import InboundText
from server.people.models import Guardian, Guardianship, Pupil, SchoolClass
from server.schools.models import School

TAKEN = "leave"  # as what a reply is kept
SURE_FOR = timedelta(hours=12)  # a yes that comes later is about something else


def answer(session: Session, reply: InboundText, now: datetime) -> str | None:
    """Take a request or the yes to one; None for everything that is not surely either: a person reads it."""
    school = session.get(School, reply.school_id)
    if school is None:
        return None
    wish = _waiting(session, school, reply.sender, now)
    said = spoken.yes_or_no(reply.body)
    if said is not None:
        return None if wish is None else _settle(session, school, wish, reply, now, yes=said)
    if not spoken.is_request(reply.body):
        return None
    return _wished(session, school, reply, now)


def _waiting(session: Session, school: School, sender: str, now: datetime) -> LeaveWish | None:
    query = select(LeaveWish).where(LeaveWish.school_id == school.id, LeaveWish.sender == sender)
    query = query.where(LeaveWish.settled_at.is_(None), LeaveWish.asked_at > now - SURE_FOR)
    return session.scalars(query.order_by(LeaveWish.asked_at.desc()).limit(1).with_for_update()).first()


def _settle(
    session: Session, school: School, wish: LeaveWish, reply: InboundText, now: datetime, *, yes: bool
) -> str | None:
    """The family says that we understood it, or that we did not; then it is nobody's leave."""
    requests.locked(session, school, wish.pupil_id)
    wish.settled_at = now
    guardian = texts.may_be_texted(session, wish.pupil_id, wish.guardian_id)
    if guardian is None:  # barred or unverified since
        return None
    if not yes:
        texts.send(session, school, guardian, wish.pupil_id, texts.Said("dropped"), now)
        return TAKEN
    wanted = requests.Wanted(
        wish.pupil_id, LeaveKind(wish.kind), wish.starts_at, wish.ends_at, LeaveSource.TEXT,
        reason=wish.words, guardian_id=wish.guardian_id, once=str(wish.id),
    )  # fmt: skip
    try:
        row = requests.ask(session, school, wanted, requests.Actor(guardian_id=wish.guardian_id), now)
    except requests.CannotLeave:  # another leave stands there meanwhile
        return None
    texts.tell_state(session, school, row, now)
    return TAKEN


def _wished(session: Session, school: School, reply: InboundText, now: datetime) -> str | None:
    child = _child(session, school, reply)
    if child is None:
        return None
    guardian_id, pupil, room = child
    said = _understood(school, reply.body, pupil, now)
    if said is None or not _all_school_days(school, room, said):
        return None
    requests.locked(session, school, pupil.id)
    wish = LeaveWish(school_id=school.id, pupil_id=pupil.id, guardian_id=guardian_id, sender=reply.sender)
    wish.kind, wish.words, wish.asked_at = LeaveKind(said.kind), reply.body, now
    wish.starts_at = clock.at_local(said.first, said.starts, school.timezone)
    wish.ends_at = clock.at_local(said.last, said.ends, school.timezone)
    if _is_taken(session, wish):
        return None
    _overtake(session, school, reply.sender, now)
    session.add(wish)
    return TAKEN if texts.ask_sure(session, school, wish, now) else None


def _is_taken(session: Session, wish: LeaveWish) -> bool:
    return requests.overlapping(session, wish.pupil_id, wish.starts_at, wish.ends_at) is not None


def _overtake(session: Session, school: School, sender: str, now: datetime) -> None:
    """Only the newest request of a number is waited for: a yes is never about an older one."""
    query = select(LeaveWish).where(LeaveWish.school_id == school.id, LeaveWish.sender == sender)
    for wish in session.scalars(query.where(LeaveWish.settled_at.is_(None))):
        wish.settled_at = now


def _understood(school: School, body: str, pupil: Pupil, now: datetime) -> spoken.Spoken | None:
    today = clock.local_day(now, school.timezone)
    second = clock.local_seconds(now, today, school.timezone)
    return spoken.understood(body, names=_names(pupil.name), today=today, second=second)


def _names(name: str) -> tuple[str, ...]:
    """How a child may be called in a text: 林语晨, and 语晨 alone when that is not a single sign."""
    return (name, name[1:]) if len(name) > 2 and not name.isascii() else (name,)


def _all_school_days(school: School, room: SchoolClass, said: spoken.Spoken) -> bool:
    """Three days from a Friday may mean Sunday or Tuesday: days off in it are a doubt."""
    days = [said.first + timedelta(days=n) for n in range((said.last - said.first).days + 1)]
    return all(calendar.sessions_on(school.id, room.timetable, day) for day in days)


def _child(session: Session, school: School, reply: InboundText) -> tuple[uuid.UUID, Pupil, SchoolClass] | None:
    """The only child of this number, or the only one whose name the text says; None in any doubt."""
    query = (
        select(Guardian.id, Pupil, SchoolClass)
        .join(Guardianship, Guardianship.guardian_id == Guardian.id)
        .join(Pupil, Pupil.id == Guardianship.pupil_id)
        .join(SchoolClass, SchoolClass.id == Pupil.class_id)
        .where(Guardian.school_id == school.id, Guardian.phone_hash == reply.sender)
        .where(Guardian.verified_at.is_not(None), Guardianship.barred.is_(False), Pupil.active)
        .order_by(Guardianship.rank, Guardianship.id)
    )
    found = {pupil.id: (guardian_id, pupil, room) for guardian_id, pupil, room in session.execute(query)}
    body = spoken.plain(reply.body)
    named = [each for each in found.values() if any(spoken.plain(name) in body for name in _names(each[1].name))]
    if len(found) == 1:
        return next(iter(found.values()))
    return named[0] if len(named) == 1 else None
