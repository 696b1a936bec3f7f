"""What is on record of a school's people and cards, read at once, and the writes that an import collects."""

import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.cards.models import Card, CardState
from server.people import rules as people
from server.people.models import Guardian, Guardianship, Pupil, SchoolClass


@dataclass
class Known:
    """A guardian on record or about to be; `phone` is the keyed hash, `claim` the row of the file that named it."""

    id: uuid.UUID
    name: str
    phone: str | None
    verified: bool
    claim: int | None = None


@dataclass
class Records:
    """A school's people; grows while a file is compared, so that a later row finds what an earlier one adds."""

    classes: dict[str, Any]  # by people.same_name(name)
    pupils: dict[str, Any]  # by number
    short: dict[str, Any]  # by number without the zeros before it
    cards: dict[str, Any]  # by canonical text
    holders: set[uuid.UUID]  # pupils with an active card
    guardians: dict[tuple[str, str], Known]  # by keyed hash of the number, and people.same_name(name)
    numbers: dict[str, Known]  # by keyed hash alone
    families: dict[uuid.UUID, dict[uuid.UUID, tuple[Known, Any]]]  # pupil -> guardian


@dataclass
class Writes:
    """Rows to insert and fields to change, by table."""

    inserts: dict[type, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    updates: dict[type, dict[uuid.UUID, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))

    @property
    def size(self) -> int:
        """How many rows there are to write."""
        return sum(map(len, self.inserts.values())) + sum(map(len, self.updates.values()))

    def change(self, model: type, row_id: uuid.UUID, **values: Any) -> None:
        """Change fields of one row; several changes of one row become one."""
        self.updates[model].setdefault(row_id, {"id": row_id}).update(values)


def recorded(session: Session, school_id: str) -> Records:
    """All that an import compares with, in five look-ups."""
    classes = session.execute(
        select(SchoolClass.id, SchoolClass.name, SchoolClass.grade).where(SchoolClass.school_id == school_id)
    )
    query = select(Pupil.id, Pupil.number, Pupil.name, Pupil.class_id, Pupil.seat, Pupil.active)
    pupils = session.execute(query.where(Pupil.school_id == school_id)).all()
    card = select(Card.id, Card.text, Card.pupil_id, Card.state).where(Card.school_id == school_id)
    cards = session.execute(card).all()
    guardians = _guardians(session, school_id)
    return Records(
        classes={people.same_name(row.name): row for row in classes},
        pupils={row.number: row for row in pupils},
        short={row.number.lstrip("0"): row for row in pupils},
        cards={row.text: row for row in cards},
        holders={row.pupil_id for row in cards if row.pupil_id and row.state == CardState.ACTIVE},
        guardians={(known.phone, people.same_name(known.name)): known for known in guardians.values() if known.phone},
        numbers={known.phone: known for known in guardians.values() if known.phone},
        families=_families(session, school_id, guardians),
    )


def _guardians(session: Session, school_id: str) -> dict[uuid.UUID, Known]:
    query = select(Guardian.id, Guardian.name, Guardian.phone_hash, Guardian.verified_at)
    rows = session.execute(query.where(Guardian.school_id == school_id))
    return {row.id: Known(row.id, row.name, row.phone_hash, row.verified_at is not None) for row in rows}


def _families(
    session: Session, school_id: str, guardians: dict[uuid.UUID, Known]
) -> dict[uuid.UUID, dict[uuid.UUID, tuple[Known, Any]]]:
    query = select(
        Guardianship.id, Guardianship.pupil_id, Guardianship.guardian_id, Guardianship.relation, Guardianship.rank
    ).where(Guardianship.school_id == school_id)
    found: dict[uuid.UUID, dict[uuid.UUID, tuple[Known, Any]]] = defaultdict(dict)
    for row in session.execute(query):
        found[row.pupil_id][row.guardian_id] = (guardians[row.guardian_id], row)
    return found
