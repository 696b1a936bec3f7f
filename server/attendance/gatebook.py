"""What the guard wrote down at the gate for pupils whose card could not: facts that a day is judged from like taps."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from server.attendance.models import ManualPassage
from server.db import insert_new, table

Key = tuple[uuid.UUID, date]  # one pupil's day
Sight = tuple[datetime, str, str]  # as of a tap: moment, direction, clock
CLOCK = "synced"  # the server's own

_passage = table(ManualPassage)
_OF_DAYS = (
    select(_passage.c.pupil_id, _passage.c.day, _passage.c.at, _passage.c.direction)
    .where(_passage.c.school_id == bindparam("school"))
    .where(_passage.c.day.in_(bindparam("days", expanding=True)))
    .where(_passage.c.pupil_id.in_(bindparam("pupils", expanding=True)))
)


class Reason(StrEnum):
    """Why no card was read."""

    FORGOTTEN = "forgotten"
    LOST = "lost"
    BROKEN = "broken"  # the card, or the reader
    COLLECTED = "collected"  # somebody fetched the pupil
    PASS = "pass"
    OTHER = "other"


@dataclass(frozen=True)
class Passage:
    """One entry or exit to be kept; `id` comes with the form, so that a form sent twice is one passage."""

    id: uuid.UUID
    school_id: str
    pupil_id: uuid.UUID
    direction: str
    at: datetime
    day: date
    reason: Reason
    made_by: uuid.UUID
    made_at: datetime
    note: str = ""


def write(session: Session, passage: Passage) -> bool:
    """Keep it, whole seconds; False when it stands there already. Who calls judges its day in the same transaction."""
    row = asdict(passage) | {"reason": passage.reason.value, "note": passage.note[:200]}
    row["at"] = passage.at.replace(microsecond=0)
    return session.execute(insert_new(_passage, _passage.c.id), [row]).first() is not None


def of_days(
    session: Session, school_id: str, pupils: Collection[uuid.UUID], days: Collection[date]
) -> Mapping[Key, list[Sight]]:
    """What was written down of these pupils on these days, in the shape of taps."""
    found: dict[Key, list[Sight]] = {}
    given = {"school": school_id, "days": sorted(days), "pupils": sorted(pupils)}
    for row in session.execute(_OF_DAYS, given):
        found.setdefault((row.pupil_id, row.day), []).append((row.at, row.direction, CLOCK))
    return found
