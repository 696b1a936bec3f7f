"""Late slips and exit passes: a signed code on paper that says nothing by itself and is asked for here."""

import hmac
import re
import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import segno
from markupsafe import Markup
from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from server import clock, crypt
from server.accounts import service as accounts
from server.accounts.models import User
from server.attendance.gatebook import Reason
from server.attendance.models import PupilDay
from server.audit import service as audit
from server.db import db, insert_new, new_id, table
from server.errors import NotAllowed, NotFound, Refused
from server.gates.rules import ExitPass
from server.leave.models import Leave, LeaveState
from server.people import service as people
from server.people.models import Pupil, SchoolClass
from server.register import desk, rules, service
from server.register.models import GatePass
from server.register.rules import PassKind, PassState
from server.schools.models import School

BEFORE = timedelta(minutes=15)  # so long before the leave begins its pass opens the gate
LAST_MINUTE = 86_340  # 23:59, when a day's pass ends at the latest
OLD = timedelta(days=2)  # a pass is for the day on which it was made
SLIP = timedelta(hours=2)  # a late slip is for the next lesson, not for the week
_pass = table(GatePass)


class NotLate(Refused):
    """A late slip for who is not late today, or has not been seen yet."""


class NoLeave(Refused):
    """An exit pass without approved leave from now on."""


@dataclass(frozen=True)
class Paper:
    """A pass with its holder, what it is worth now, and the code on it."""

    given: GatePass
    pupil: Pupil
    room: SchoolClass
    state: PassState
    code: str


@dataclass(frozen=True)
class Due:
    """A part-day leave of today that a pass can be printed for."""

    leave: Leave
    pupil: Pupil
    room: SchoolClass
    given: GatePass | None


def code_of(pass_id: uuid.UUID) -> str:
    """48 hexadecimal characters: the random id and our seal on it."""
    return pass_id.hex.upper() + _seal(pass_id)


def _seal(pass_id: uuid.UUID) -> str:
    return crypt.look_up(f"gate pass 1 {pass_id.hex}")[:16].upper()


def id_of(code: str) -> uuid.UUID:
    """The pass of a code. Raises NotFound for a code that we did not make."""
    if not re.fullmatch(r"[0-9A-F]{48}", code):
        raise NotFound
    pass_id = uuid.UUID(code[:32])
    if not hmac.compare_digest(code[32:], _seal(pass_id)):
        raise NotFound
    return pass_id


def square(url: str) -> Markup:
    """The code for a camera, as a drawing that prints sharp."""
    drawn = segno.make(url, error="m").svg_inline(scale=4, border=2, omitsize=True, svgclass="qr", lineclass=None)
    return Markup(drawn)


def require(user: User) -> None:
    """Raises NotAllowed for who neither takes registers nor stands at the gate."""
    scope = accounts.scope_of(user, desk.DESK | service.MAY_TAKE)
    if not (scope.whole or scope.grades or scope.classes):
        raise NotAllowed


def _holder(user: User, pupil_id: uuid.UUID) -> tuple[Pupil, SchoolClass]:
    """A pupil for whom this user may give or check papers. Raises NotFound, NotAllowed."""
    pupil, room = people.visible_pupil(user, pupil_id)
    if not (accounts.scope_of(user, desk.DESK).whole or service.may_take(user, room)):
        raise NotAllowed
    return pupil, room


def late_slip(session: Session, user: User, pupil_id: uuid.UUID, now: datetime) -> GatePass:
    """Today's late slip of a pupil; the same one when it is asked for again. Raises NotLate."""
    _holder(user, pupil_id)
    school = session.get_one(School, user.school_id)
    day = clock.local_day(now, school.timezone)
    judged = session.get(PupilDay, (pupil_id, day))
    if judged is None or not judged.late_minutes:
        raise NotLate
    given = {"kind": PassKind.LATE.value, "cause": f"{day}", "leave_id": None, "minutes": judged.late_minutes}
    return _given(session, user, pupil_id, given | {"valid_from": now, "valid_until": now + SLIP}, now)


def exit_pass(session: Session, user: User, leave_id: uuid.UUID, now: datetime) -> GatePass:
    """Today's pass of an approved leave that begins or goes on today. Raises NotFound, NoLeave."""
    leave = session.get(Leave, leave_id)
    if leave is None or leave.school_id != user.school_id:
        raise NotFound
    _holder(user, leave.pupil_id)
    if leave.state != LeaveState.APPROVED or leave.ends_at <= now:
        raise NoLeave
    school = session.get_one(School, user.school_id)
    day = clock.local_day(now, school.timezone)
    first, last = (clock.at_local(day, at, school.timezone) for at in (0, LAST_MINUTE))
    given = {"kind": PassKind.EXIT.value, "cause": f"{day:%y%m%d}{leave.id.hex}", "leave_id": leave.id, "minutes": 0}
    span = {"valid_from": max(first, leave.starts_at - BEFORE), "valid_until": min(last, leave.ends_at)}
    return _given(session, user, leave.pupil_id, given | span, now)


def _given(session: Session, user: User, pupil_id: uuid.UUID, given: dict[str, Any], now: datetime) -> GatePass:
    key = {"school_id": user.school_id, "pupil_id": pupil_id, "kind": given["kind"], "cause": given["cause"]}
    row = given | key | {"id": new_id(), "made_by": user.id, "made_at": now}
    if session.execute(insert_new(_pass, _pass.c.id), [row]).first():
        audit.record(user, "pass.given", f"pupil:{pupil_id}", now, {"kind": given["kind"]})
    return session.scalars(select(GatePass).filter_by(**key)).one()


def paper(user: User, code: str, now: datetime) -> Paper:
    """What a code is worth to this user. Raises NotFound for what is not of this user's pupils."""
    require(user)
    given = db.session.get(GatePass, id_of(code), populate_existing=True)
    if given is None or given.school_id != user.school_id:
        raise NotFound
    pupil, room = _holder(user, given.pupil_id)
    leave = db.session.get(Leave, given.leave_id, populate_existing=True) if given.leave_id else None
    approved = given.kind == PassKind.LATE or (leave is not None and leave.state == LeaveState.APPROVED)
    starts, ends = _span(given, leave)
    state = rules.pass_state(now=now, starts=starts, ends=ends, used_at=given.used_at, approved=approved)
    return Paper(given, pupil, room, state, code_of(given.id))


def _span(given: GatePass, leave: Leave | None) -> tuple[datetime, datetime]:
    """When a paper is good: as printed, and never longer than its leave, which may have been shortened since."""
    if leave is None:
        return given.valid_from, given.valid_until
    return max(given.valid_from, leave.starts_at - BEFORE), min(given.valid_until, leave.ends_at)


def exit_passes(school_id: str, starts: datetime, ends: datetime) -> list[ExitPass]:
    """Whom printed passes that nobody has taken yet let out, as the gates' lists take it."""
    query = (
        select(GatePass, Leave)
        .join(Leave, Leave.id == GatePass.leave_id)
        .where(GatePass.school_id == school_id, GatePass.kind == PassKind.EXIT, GatePass.used_at.is_(None))
        .where(GatePass.valid_until > starts, GatePass.valid_from < ends, GatePass.made_at > starts - OLD)
        .where(Leave.state == LeaveState.APPROVED)
    )
    rows = db.session.execute(query.execution_options(populate_existing=True))
    spans = [(given.pupil_id, *_span(given, leave)) for given, leave in rows]
    return [ExitPass(*each) for each in spans if each[1] < each[2]]


def use(session: Session, user: User, code: str, now: datetime) -> bool:
    """Take a valid pass, once: of two who scan it at the same moment one is told that it is used.

    An exit pass taken at the gate is an exit in the guard's book. Raises NotFound, NotAllowed.
    """
    shown = paper(user, code, now)
    leaving = shown.given.kind == PassKind.EXIT
    if leaving:
        desk.require(user)
    if shown.state is not PassState.VALID:
        return False
    unused = update(GatePass).where(GatePass.id == shown.given.id, GatePass.used_at.is_(None))
    taken = session.execute(unused.values(used_at=now, used_by=user.id).returning(GatePass.id)).first()
    if taken is None:
        return False
    audit.record(user, "pass.used", f"pupil:{shown.pupil.id}", now, {"kind": shown.given.kind})
    if leaving:
        desk.record(session, user, shown.pupil.id, form=shown.given.id, direction="out", reason=Reason.PASS, now=now)
    return True


def due(user: User, school: School, now: datetime) -> list[Due]:
    """The approved leave of today that is not over, of pupils whose papers this user may print."""
    require(user)
    day = clock.local_day(now, school.timezone)
    midnight = clock.at_local(day + timedelta(days=1), 0, school.timezone)
    query = (
        people.visible_pupils(user)
        .join(Leave, Leave.pupil_id == Pupil.id)
        .outerjoin(GatePass, and_(GatePass.leave_id == Leave.id, GatePass.valid_until > now))
        .add_columns(Leave, GatePass)
        .where(Leave.state == LeaveState.APPROVED, Leave.ends_at > now, Leave.starts_at < midnight)
        .where(_of_their_own(user))
        .order_by(Leave.starts_at, Pupil.number)
    )
    return [Due(row[2], row[0], row[1], row[3]) for row in db.session.execute(query)]


def late_today(user: User, day: date) -> list[tuple[Pupil, SchoolClass, PupilDay]]:
    """Who came late today, the newest first."""
    require(user)
    query = people.visible_pupils(user).join(PupilDay, PupilDay.pupil_id == Pupil.id).add_columns(PupilDay)
    query = query.where(PupilDay.date == day, PupilDay.late_minutes > 0, _of_their_own(user))
    rows = db.session.execute(query.order_by(PupilDay.first_in.desc(), Pupil.number).limit(60))
    return [(row[0], row[1], row[2]) for row in rows]


def _of_their_own(user: User) -> Any:
    scope = accounts.scope_of(user, desk.DESK | service.MAY_TAKE)
    if scope.whole:
        return SchoolClass.school_id == user.school_id
    return or_(SchoolClass.grade.in_(scope.grades), SchoolClass.id.in_(scope.classes))
