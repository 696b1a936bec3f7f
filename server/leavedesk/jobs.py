"""Looking for pupils who are away too long or too often, every few minutes."""

from sqlalchemy import select

from server import clock
from server.db import db, transaction
from server.jobs import every
from server.leavedesk import warn
from server.schools.models import School


@every(seconds=300)
def warn_of_absence() -> None:
    """One school in a transaction."""
    for school_id in list(db.session.scalars(select(School.id).order_by(School.id))):
        with transaction() as session:
            warn.look(session, session.get_one(School, school_id), clock.now())
