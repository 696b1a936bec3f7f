"""Who of the staff may see a leave and its reason: those who look after the class."""

import uuid

from sqlalchemy import ColumnElement, Select, false, or_, select, true

from server.accounts import service as accounts
from server.accounts.models import User
from server.accounts.rules import MAY_CALL, WHOLE_SCHOOL
from server.db import db
from server.errors import NotFound
from server.leave.models import Leave
from server.people.models import Pupil, SchoolClass

READERS = MAY_CALL  # class teacher, grade head, counsellor, office, head


def roles_over(user: User, room: SchoolClass) -> frozenset[str]:
    """The roles that a user holds over one class."""
    return frozenset(
        str(grant.role)
        for grant in user.grants
        if grant.class_id == room.id
        or (grant.class_id is None and grant.grade == room.grade)
        or (grant.class_id is None and grant.grade is None and grant.role in WHOLE_SCHOOL)
    )


def reads_any(user: User) -> bool:
    """Whether the user looks after any class."""
    scope = accounts.scope_of(user, READERS)
    return scope.whole or bool(scope.grades or scope.classes)


def looked_after(user: User) -> ColumnElement[bool]:
    """Condition on SchoolClass: the classes whose leave this user may see."""
    scope = accounts.scope_of(user, READERS)
    if scope.whole:
        return true()
    wanted: list[ColumnElement[bool]] = [SchoolClass.grade.in_(scope.grades)] if scope.grades else []
    if scope.classes:
        wanted.append(SchoolClass.id.in_(scope.classes))
    return or_(*wanted) if wanted else false()


def pupils(user: User) -> Select[Pupil, SchoolClass]:
    """Active pupils whose leave this user may see, with the class."""
    query = select(Pupil, SchoolClass).join(SchoolClass, SchoolClass.id == Pupil.class_id)
    return query.where(Pupil.school_id == user.school_id, Pupil.active, looked_after(user))


def pupil(user: User, pupil_id: uuid.UUID) -> tuple[Pupil, SchoolClass]:
    """One of them. Raises NotFound, also when it is another's."""
    row = db.session.execute(pupils(user).where(Pupil.id == pupil_id)).first()
    if row is None:
        raise NotFound
    return row[0], row[1]


def leaves(user: User) -> Select[Leave, Pupil, SchoolClass]:
    """The leave that this user may see, with pupil and class."""
    query = select(Leave, Pupil, SchoolClass).join(Pupil, Pupil.id == Leave.pupil_id)
    query = query.join(SchoolClass, SchoolClass.id == Pupil.class_id)
    return query.where(Leave.school_id == user.school_id, Pupil.active, looked_after(user))


def leave(user: User, leave_id: uuid.UUID) -> tuple[Leave, Pupil, SchoolClass]:
    """One of them. Raises NotFound, also when it is another's."""
    row = db.session.execute(leaves(user).where(Leave.id == leave_id)).first()
    if row is None:
        raise NotFound
    return row[0], row[1], row[2]
