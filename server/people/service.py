"""Pupils, classes and guardians: who may be seen by whom, and the look-ups that pages need."""

import re
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, false, or_, select, true

from server.accounts import service as accounts
from server.accounts.models import User
from server.accounts.rules import MAY_CALL
from server.db import db
from server.errors import NotFound
from server.people.models import Guardian, Guardianship, Pupil, SchoolClass


@dataclass(frozen=True)
class Contact:
    """One guardian of one pupil as pages show them; `shown` is the number with its middle hidden."""

    id: uuid.UUID
    guardian_id: uuid.UUID
    name: str
    relation: str
    rank: int
    phone: str | None
    shown: str
    verified_at: datetime | None
    gate_texts: bool
    barred: bool


@dataclass(frozen=True)
class Families:
    """(pupil, guardian) -> relation, and the pupils of whom at least one guardian gets gate texts."""

    relations: dict[tuple[uuid.UUID, uuid.UUID], str]
    told: frozenset[uuid.UUID]


def in_scope(user: User) -> ColumnElement[bool]:
    """Condition on SchoolClass: the classes that this user may see."""
    scope = accounts.scope_of(user)
    if scope.whole:
        return true()
    wanted = [SchoolClass.grade.in_(scope.grades)] if scope.grades else []
    if scope.classes:
        wanted.append(SchoolClass.id.in_(scope.classes))
    return or_(*wanted) if wanted else false()


def visible_pupils(user: User) -> Select[Pupil, SchoolClass]:
    """Active pupils of the user's school and scope, each with the class."""
    return (
        select(Pupil, SchoolClass)
        .join(SchoolClass, SchoolClass.id == Pupil.class_id)
        .where(Pupil.school_id == user.school_id, Pupil.active, in_scope(user))
    )


def visible_classes(user: User) -> list[SchoolClass]:
    """Classes of the user's school and scope, youngest grade first."""
    query = select(SchoolClass).where(SchoolClass.school_id == user.school_id, in_scope(user))
    return sorted(db.session.scalars(query), key=class_order)


def class_order(school_class: SchoolClass) -> tuple[int, int, str]:
    """Sorts 八（2）班 before 八（10）班."""
    number = re.search(r"(\d+)\D*$", school_class.name)
    return school_class.grade, int(number.group(1)) if number else 0, school_class.name


def class_words(school_class: SchoolClass, locale: str) -> str:
    """八（2）班 / 8 (2); a name without a number in brackets is the same in every language."""
    number = re.search(r"[(（]\s*(\d+)\s*[)）]", school_class.name)
    if locale.startswith("zh") or number is None:
        return school_class.name
    return f"{school_class.grade} ({number.group(1)})"


def visible_class(user: User, class_id: uuid.UUID) -> SchoolClass:
    """One class. Raises NotFound, also when it is another's."""
    query = select(SchoolClass).where(
        SchoolClass.school_id == user.school_id, SchoolClass.id == class_id, in_scope(user)
    )
    found = db.session.scalar(query)
    if found is None:
        raise NotFound
    return found


def visible_pupil(user: User, pupil_id: uuid.UUID) -> tuple[Pupil, SchoolClass]:
    """One pupil with the class. Raises NotFound, also when it is another's."""
    row = db.session.execute(visible_pupils(user).where(Pupil.id == pupil_id)).first()
    if row is None:
        raise NotFound
    return row[0], row[1]


def may_call(user: User, school_class: SchoolClass) -> bool:
    """Whether the user may read whole numbers of this class: by a grant over it, not by one over another class."""
    scope = accounts.scope_of(user, MAY_CALL)
    return scope.whole or school_class.grade in scope.grades or school_class.id in scope.classes


def matching(user: User, words: str) -> Select[Pupil, SchoolClass]:
    """Visible pupils whose name holds the words, or whose number begins with them."""
    plain = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return visible_pupils(user).where(
        or_(Pupil.name.ilike(f"%{plain}%", escape="\\"), Pupil.number.ilike(f"{plain}%", escape="\\"))
    )


def contacts_of(pupil_id: uuid.UUID) -> list[Contact]:
    """The guardians of a pupil in the order in which they are asked."""
    query = (
        select(Guardianship, Guardian)
        .join(Guardian, Guardian.id == Guardianship.guardian_id)
        .where(Guardianship.pupil_id == pupil_id)
        .order_by(Guardianship.rank, Guardian.name)
    )
    return [_contact(ship, guardian) for ship, guardian in db.session.execute(query)]


def _contact(ship: Guardianship, guardian: Guardian) -> Contact:
    return Contact(
        id=ship.id,
        guardian_id=guardian.id,
        name=guardian.name,
        relation=str(ship.relation),
        rank=ship.rank,
        phone=guardian.phone,
        shown=masked(guardian.phone or ""),
        verified_at=guardian.verified_at,
        gate_texts=ship.gate_texts,
        barred=ship.barred,
    )


def relations(pupils: Collection[uuid.UUID]) -> dict[tuple[uuid.UUID, uuid.UUID], str]:
    """(pupil, guardian) -> relation, for the words beside a text."""
    query = select(Guardianship.pupil_id, Guardianship.guardian_id, Guardianship.relation)
    rows = db.session.execute(query.where(Guardianship.pupil_id.in_(pupils)))
    return {(pupil, guardian): str(relation) for pupil, guardian, relation in rows}


def families(pupils: Collection[uuid.UUID]) -> Families:
    """What pages say of texts to the families of these pupils."""
    told = and_(
        Guardianship.gate_texts,
        Guardianship.barred.is_(False),
        Guardian.phone.is_not(None),
        Guardian.verified_at.is_not(None),
    )
    query = select(Guardianship.pupil_id, Guardianship.guardian_id, Guardianship.relation, told.label("told"))
    query = query.join(Guardian, Guardian.id == Guardianship.guardian_id).where(Guardianship.pupil_id.in_(pupils))
    rows = db.session.execute(query).all()
    relations = {(row.pupil_id, row.guardian_id): str(row.relation) for row in rows}
    return Families(relations, frozenset(row.pupil_id for row in rows if row.told))


def masked(phone: str) -> str:
    """138****4471 for +8613812344471; of other numbers the country and the last four stay."""
    local = phone.removeprefix("+86")
    if len(local) < 8:
        return "****" if phone else ""
    return f"{local[:3]}****{local[-4:]}"
