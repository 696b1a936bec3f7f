"""A roster against what is on record: what would change, in words, and then the change itself."""

from collections.abc import Iterable, Iterator
from typing import Any

from babel.core import get_global
from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from server import clock
from server.cards.models import Card
from server.people.models import Guardian, Guardianship, Pupil, SchoolClass
from server.schools.models import School
from server.transfer.compare import Comparison
from server.transfer.records import Writes, recorded
from server.transfer.rules import Entry, Sheet

CHUNK = 500
MODELS = (SchoolClass, Pupil, Card, Guardian, Guardianship)  # in the order in which they refer to each other


def region_of(school: School) -> str:
    """The country in which numbers without a country code are, by the school's time zone."""
    return str(get_global("zone_territories").get(school.timezone, "CN"))


def compare(session: Session, school: School, sheet: Sheet, entries: Iterable[Entry], *, vouched: bool) -> Comparison:
    """What these entries would change on record. `vouched`: the school answers for the telephone numbers."""
    comparison = Comparison(school, recorded(session, school.id), sheet, vouched=vouched, now=clock.now())
    for entry in entries:
        comparison.take(entry)
    comparison.finish()
    return comparison


def carry_out(session: Session, writes: Writes) -> Iterator[int]:
    """Write it, in the caller's transaction; yields how many rows each step wrote."""
    for model in MODELS:
        for rows in _chunks(writes.inserts[model]):
            session.execute(insert(model), rows)
            yield len(rows)
    for model in MODELS:
        for rows in _chunks(list(writes.updates[model].values())):
            session.execute(update(model), rows)
            yield len(rows)


def _chunks(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    return (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))
