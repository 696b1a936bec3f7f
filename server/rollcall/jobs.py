"""Who comes in during a roll call gets on it; what visitors left behind is deleted in time."""

from sqlalchemy import select

from server import clock
from server.db import db, transaction
from server.jobs import every
from server.rollcall import desk, service
from server.rollcall.models import RollCall
from server.schools.models import School


@every(seconds=2)
def follow_open_rolls() -> None:
    """Put newcomers on the rolls that run."""
    reader, now = db.session(), clock.now()
    open_rolls = reader.scalars(select(RollCall).where(RollCall.open_for.is_not(None))).all()
    running = [(roll, reader.get_one(School, roll.school_id)) for roll in open_rolls]
    for school in [school for roll, school in running if service.newcomers(reader, school, roll, now)]:
        with transaction() as session:
            service.follow(session, school, clock.now())


@every(seconds=3600)
def purge_visits() -> None:
    """Delete the visits that are older than each school keeps them."""
    for school_id in db.session.scalars(select(School.id)).all():
        with transaction() as session:
            desk.purge(session, school_id, clock.now())
