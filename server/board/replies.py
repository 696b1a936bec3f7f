"""What families wrote and nothing could take: who wrote, to which text, and what a person did with it."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from server.absence.desk import MAY_DECIDE
from server.accounts import service as accounts
from server.accounts.models import User
from server.audit import service as audit
from server.db import db
from server.errors import NotAllowed, NotFound
from server.outbox import inbound, rules
from server.outbox.models import InboundText, OutboxText
from server.people import service as people
from server.people.models import Guardian, Guardianship, Pupil, SchoolClass

MOST = 50
PERSON = "person"
MAY_READ = MAY_DECIDE | {"counsellor"}  # words of a family are not for guards and subject teachers


@dataclass(frozen=True)
class Child:
    """A pupil of the sender, as the user may see it."""

    pupil: Pupil
    room: SchoolClass
    relation: str


@dataclass(frozen=True)
class Letter:
    """One reply with what one needs to understand it."""

    reply: InboundText
    number: str
    children: tuple[Child, ...]
    answers: OutboxText | None
    is_stop: bool
    texts_on: bool  # gate texts still go to that number
    may_end: bool


def may_read(user: User) -> bool:
    """Whether replies are this user's at all."""
    return bool(accounts.roles_of(user) & MAY_READ)


def count(user: User) -> int:
    """How many wait for a person."""
    return db.session.scalar(_mine(user).with_only_columns(func.count(InboundText.id)).order_by(None)) or 0


def unread(user: User) -> list[Letter]:
    """The newest first."""
    return _letters(user, db.session.scalars(_mine(user).limit(MOST)).all())


def _mine(user: User) -> Select[InboundText]:
    """Those that wait for a person."""
    return _scope(user).where(InboundText.handled_as == PERSON)


def _scope(user: User) -> Select[InboundText]:
    """Replies of guardians of pupils over whom the user has a say; of strangers too for those over the whole school."""
    query = select(InboundText).where(InboundText.school_id == user.school_id)
    query = query.order_by(InboundText.received_at.desc())
    if not may_read(user):
        return query.where(InboundText.id.is_(None))
    if accounts.scope_of(user, MAY_READ).whole:
        return query
    senders = (
        select(Guardian.phone_hash)
        .join(Guardianship, Guardianship.guardian_id == Guardian.id)
        .where(Guardianship.barred.is_(False), Guardianship.pupil_id.in_(_pupils(user)))
    )
    return query.where(InboundText.sender.in_(senders))


def _pupils(user: User) -> Select[uuid.UUID]:
    scope = accounts.scope_of(user, MAY_READ)
    query = people.visible_pupils(user).with_only_columns(Pupil.id)
    if scope.whole:
        return query
    return query.where(SchoolClass.grade.in_(scope.grades) | SchoolClass.id.in_(scope.classes))


def _letters(user: User, replies: Sequence[InboundText]) -> list[Letter]:
    senders = {reply.sender for reply in replies}
    children, on = _children(user, senders), _texts_on(user.school_id, senders)
    answered = select(OutboxText).where(OutboxText.id.in_([reply.answers for reply in replies if reply.answers]))
    seen = {child.pupil.id for those in children.values() for child in those}
    whole = accounts.scope_of(user, MAY_READ).whole
    texts = {text.id: text for text in db.session.scalars(answered) if whole or text.pupil_id in seen}
    return [
        Letter(
            reply=reply,
            number=people.masked(reply.phone),
            children=tuple(children.get(reply.sender, ())),
            answers=texts.get(reply.answers) if reply.answers else None,
            is_stop=rules.is_stop(reply.body),
            texts_on=reply.sender in on,
            may_end=accounts.scope_of(user, MAY_DECIDE).whole or bool(children.get(reply.sender)),
        )
        for reply in replies
    ]


def _children(user: User, senders: Collection[str]) -> Mapping[str, list[Child]]:
    query = (
        select(Guardian.phone_hash, Pupil, SchoolClass, Guardianship.relation)
        .join(Guardianship, Guardianship.guardian_id == Guardian.id)
        .join(Pupil, Pupil.id == Guardianship.pupil_id)
        .join(SchoolClass, SchoolClass.id == Pupil.class_id)
        .where(Guardian.school_id == user.school_id, Guardian.phone_hash.in_(senders), Pupil.id.in_(_pupils(user)))
        .order_by(Pupil.number)
    )
    found: dict[str, list[Child]] = {}
    for sender, pupil, room, relation in db.session.execute(query):
        found.setdefault(sender or "", []).append(Child(pupil, room, str(relation)))
    return found


def _texts_on(school_id: str, senders: Collection[str]) -> set[str | None]:
    query = select(Guardian.phone_hash).join(Guardianship, Guardianship.guardian_id == Guardian.id)
    mine = query.where(Guardian.school_id == school_id, Guardian.phone_hash.in_(senders))
    return set(db.session.scalars(mine.where(Guardianship.gate_texts.is_(True))))


def read(session: Session, user: User, reply_id: uuid.UUID, now: datetime) -> None:
    """A person has read it; a second click changes nothing. Raises NotFound for one that is not the user's."""
    if not may_read(user):
        raise NotAllowed
    reply = _taken(session, user, reply_id)
    if reply.handled_as == PERSON:
        inbound.handled(reply, "read", now, by=user.id)
        audit.record(user, "reply.read", f"reply:{reply_id}", now)


def end_texts(session: Session, user: User, reply_id: uuid.UUID, now: datetime) -> None:
    """No gate texts to that number any more, for each child of the sender whom the user looks after."""
    if not accounts.roles_of(user) & MAY_DECIDE:
        raise NotAllowed
    reply = _taken(session, user, reply_id)
    if reply.handled_as != PERSON:
        return
    query = (
        select(Guardianship)
        .join(Guardian, Guardian.id == Guardianship.guardian_id)
        .where(Guardian.school_id == user.school_id, Guardian.phone_hash == reply.sender)
        .where(Guardianship.pupil_id.in_(_pupils(user)), Guardianship.gate_texts.is_(True))
        .order_by(Guardianship.id)
        .with_for_update()
    )
    for ship in session.scalars(query).all():
        ship.gate_texts = False
        audit.record(user, "texts.ended", f"pupil:{ship.pupil_id}", now, {"guardianship": str(ship.id)})
    inbound.handled(reply, "stop", now, by=user.id)


def _taken(session: Session, user: User, reply_id: uuid.UUID) -> InboundText:
    """The reply, locked, if it is the user's to read, also when somebody else has read it meanwhile."""
    if session.scalar(_scope(user).with_only_columns(InboundText.id).where(InboundText.id == reply_id)) is None:
        raise NotFound
    return inbound.locked(session, user.school_id, reply_id)
