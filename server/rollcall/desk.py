"""The desk at the gate: visitors in and out, staff by name or badge, and the host who is told."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask_babel import force_locale
from flask_babel import gettext as _
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from server import clock, settings
from server.accounts import service as accounts
from server.accounts.models import User
from server.cards.models import Card
from server.db import db, insert_new, table
from server.errors import NotAllowed, NotFound, Refused
from server.outbox import service as outbox
from server.outbox.rules import Lane
from server.rollcall import rules
from server.rollcall.models import RollEntry, StaffMember, Visit
from server.schools.models import School

AT_DESK = frozenset({"guard", "office", "head"})
KEEPS_STAFF = frozenset({"office", "head"})
LASTS = timedelta(hours=2)  # after that it is no news that somebody waits
KIND = "visitor"
WORDINGS = frozenset({KIND})
_visit = table(Visit)


@dataclass(frozen=True)
class Arrival:
    """What the desk writes down; `id` was made with the form, so that a double-click is one visit."""

    id: uuid.UUID
    name: str
    host_id: uuid.UUID | None
    host_name: str
    purpose: str
    badge: str


def check_desk(user: User) -> None:
    """Raises NotAllowed for who does not sit at the desk."""
    if not AT_DESK & accounts.roles_of(user):
        raise NotAllowed


def check_office(user: User) -> None:
    """Raises NotAllowed for who does not keep the list of staff."""
    if not KEEPS_STAFF & accounts.roles_of(user):
        raise NotAllowed


def inside(school_id: str) -> Sequence[Visit]:
    """The visitors of now, the newest first."""
    query = select(Visit).where(Visit.school_id == school_id, Visit.left_at.is_(None))
    return db.session.scalars(query.order_by(Visit.arrived_at.desc())).all()


def gone(school_id: str, since: datetime) -> Sequence[Visit]:
    """Who has left since then, the newest first."""
    query = select(Visit).where(Visit.school_id == school_id, Visit.left_at >= since)
    return db.session.scalars(query.order_by(Visit.left_at.desc())).all()


def sign_in(session: Session, user: User, school: School, arrival: Arrival, now: datetime) -> Visit:
    """A visitor comes in, and the host is told. Raises NotAllowed, Refused."""
    check_desk(user)
    known = session.get(Visit, arrival.id)
    if known is not None:
        return _own(user, known)
    if not arrival.name:
        raise Refused(_("Write the visitor's name: in an evacuation somebody must be able to call it."))
    _check_badge(session, user.school_id, arrival.badge)
    host = _staff(session, user.school_id, arrival.host_id) if arrival.host_id else None
    row = {"id": arrival.id, "school_id": school.id, "name": arrival.name, "purpose": arrival.purpose}
    row |= {"badge": arrival.badge, "host_id": host.id if host else None, "texted": False}
    row |= {"host_name": host.name if host else arrival.host_name, "arrived_at": now, "changed_at": now}
    is_new = session.execute(insert_new(_visit, _visit.c.id), [row]).first() is not None
    visit = _own(user, session.get_one(Visit, arrival.id))
    if is_new and host and host.phone:
        visit.texted = outbox.enqueue(session, [_text(school, visit, host, now)]) > 0
    return visit


def _own(user: User, visit: Visit) -> Visit:
    if visit.school_id != user.school_id:
        raise NotFound
    return visit


def _check_badge(session: Session, school_id: str, badge: str) -> None:
    where = (Visit.school_id == school_id, Visit.badge == badge, Visit.left_at.is_(None))
    holder = session.scalar(select(Visit).where(*where)) if badge else None
    if holder is not None:
        said = _("Badge %(badge)s is with %(name)s, who has not signed out.", badge=badge, name=holder.name)
        raise Refused(said)


def _text(school: School, visit: Visit, host: StaffMember, now: datetime) -> outbox.NewText:
    values = {"name": visit.name, "time": _time(school, visit), "why": visit.purpose}
    return outbox.NewText(
        school_id=school.id,
        pupil_id=visit.id,  # what the text is about, and to whom: of a visit here, not of a child
        guardian_id=host.id,
        day=clock.local_day(now, school.timezone),
        kind=KIND,
        n=1,
        phone=host.phone or "",
        lane=Lane.ALERT,
        wording=KIND,
        body=_body(school, visit),
        values={key: words for key, words in values.items() if words},
        event_at=visit.arrived_at,
        expires_at=now + LASTS,
    )


def _time(school: School, visit: Visit) -> str:
    return f"{clock.local(visit.arrived_at, school.timezone):%H:%M}"


def _body(school: School, visit: Visit) -> str:
    at = _time(school, visit)
    with force_locale(school.locale):
        said = _("%(name)s came in at %(time)s to see you.", name=visit.name, time=at)
        if visit.purpose:
            said = _("%(name)s came in at %(time)s to see you: %(why)s.", name=visit.name, time=at, why=visit.purpose)
    plain = " ".join(said.replace("【", " ").replace("】", " ").split())  # operators find the sign by these brackets
    return f"【{school.sign}】{plain}"


def sign_out(session: Session, user: User, visit_id: uuid.UUID, now: datetime) -> Visit:
    """A visitor goes; signing out twice keeps the first time. Raises NotAllowed, NotFound."""
    check_desk(user)
    visit = session.get(Visit, visit_id)
    if visit is None:
        raise NotFound
    if _own(user, visit).left_at is None:
        visit.left_at = visit.changed_at = now
    return visit


def _staff(session: Session, school_id: str, staff_id: uuid.UUID) -> StaffMember:
    member = session.get(StaffMember, staff_id)
    if member is None or member.school_id != school_id or not member.active:
        raise NotFound
    return member


def pass_staff(session: Session, user: User, staff_id: uuid.UUID, now: datetime, *, inwards: bool) -> StaffMember:
    """A colleague comes or goes without a badge: the desk writes it down. Raises NotAllowed, NotFound."""
    check_desk(user)
    member = _staff(session, user.school_id, staff_id)
    member.signed_in, member.signed_at = inwards, now
    return member


def add_staff(
    session: Session, user: User, *, name: str, card: str | None, phone: str | None, login: str
) -> StaffMember:
    """Put somebody on the list of staff. Raises NotAllowed, Refused: a card that a pupil or a colleague holds."""
    check_office(user)
    if not name:
        raise Refused(_("Write the colleague's name."))
    if card:
        _check_card(session, user.school_id, card)
    account = _account(session, user.school_id, login) if login else None
    member = StaffMember(school_id=user.school_id, name=name, card=card, phone=phone)
    member.user_id, member.active, member.signed_in = account, True, False
    session.add(member)
    session.flush()
    return member


def _check_card(session: Session, school_id: str, card: str) -> None:
    held = select(Card.id).where(Card.school_id == school_id, Card.text == card, Card.pupil_id.is_not(None))
    mate = select(StaffMember.id).where(StaffMember.school_id == school_id, StaffMember.card == card)
    if session.scalar(held) or session.scalar(mate):
        raise Refused(_("Somebody holds this card already. Take another card."))


def _account(session: Session, school_id: str, login: str) -> uuid.UUID:
    found = session.scalar(select(User.id).where(User.school_id == school_id, User.login == login, User.active))
    if found is None:
        raise Refused(_("There is no account %(login)s. Leave it empty if the colleague does not log in.", login=login))
    return found


def remove_staff(session: Session, user: User, staff_id: uuid.UUID) -> None:
    """Somebody works here no more; the badge counts for nobody. Raises NotAllowed, NotFound."""
    check_office(user)
    member = _staff(session, user.school_id, staff_id)
    member.active, member.card, member.phone, member.user_id = False, None, None, None


def waiting(user: User, now: datetime) -> list[Visit]:
    """Visitors whose host got no text: it is said on Today: to the host, or to the desk if there is no account."""
    query = select(Visit, StaffMember.user_id).outerjoin(StaffMember, StaffMember.id == Visit.host_id)
    query = query.where(Visit.school_id == user.school_id, Visit.left_at.is_(None), Visit.texted.is_(False))
    rows = db.session.execute(query.where(Visit.arrived_at > now - LASTS).order_by(Visit.arrived_at)).all()
    desk = bool(AT_DESK & accounts.roles_of(user))
    return [visit for visit, host in rows if host == user.id or (host is None and desk and visit.host_name)]


def purge(session: Session, school_id: str, now: datetime) -> int:
    """Delete visits older than the school keeps them, and their names on old rolls; how many."""
    oldest = now - timedelta(days=settings.policy(school_id, rules.DeskPolicy).keep_days)
    query = select(Visit).where(Visit.school_id == school_id, Visit.arrived_at < oldest)
    visits = session.scalars(query).all()
    persons = [f"visitor:{visit.id}" for visit in visits]
    session.execute(
        update(RollEntry)
        .where(RollEntry.school_id == school_id, RollEntry.person.in_(persons))
        .values(name="", place="")
    )
    for visit in visits:
        session.delete(visit)
    return len(visits)
