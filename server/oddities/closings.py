"""When the last lessons of a school's day end, remembered for a minute: a batch of taps cannot ask each time."""

import time
from dataclasses import dataclass, field
from datetime import date, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from server import clock
from server.calendar import service as calendar
from server.people.models import SchoolClass
from server.schools.models import School

LOOK_AGAIN = 60.0  # real seconds
MOST = 64  # days of schools that are remembered


@dataclass
class Closings:
    """By school and day: timetable -> the moment that its last lesson ends."""

    known: dict[tuple[str, date], tuple[float, dict[str, datetime]]] = field(default_factory=dict)

    def of(self, session: Session, school: School, day: date) -> dict[str, datetime]:
        """Timetables without lessons on that day are not in the answer."""
        asked, now = (school.id, day), time.monotonic()
        since, found = self.known.get(asked, (-LOOK_AGAIN, {}))
        if now - since >= LOOK_AGAIN:
            found = _asked(session, school, day)
            if len(self.known) >= MOST:
                self.known.clear()
            self.known[asked] = now, found
        return found


def _asked(session: Session, school: School, day: date) -> dict[str, datetime]:
    names = set(session.scalars(select(SchoolClass.timetable).where(SchoolClass.school_id == school.id).distinct()))
    lessons = calendar.timetables_on(school.id, names, day)
    return {
        name: clock.at_local(day, max(each.ends for each in sessions), school.timezone)
        for name, sessions in lessons.items()
        if sessions
    }
