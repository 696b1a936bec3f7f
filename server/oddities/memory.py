"""What a batch of taps cannot ask each time: a school's policy, and when its lessons end. Kept for a minute."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import select

from server import clock, settings
from server.calendar import service as calendar
from server.db import db
from server.oddities import rules
from server.people.models import SchoolClass
from server.schools.models import School

LOOK_AGAIN = 60.0  # real seconds after which a change that staff made counts
MOST = 256  # things that are kept at a time


@dataclass
class Memory:
    """One for each process."""

    kept: dict[Hashable, tuple[float, Any]] = field(default_factory=dict)

    def policy(self, school: School) -> rules.Policy:
        """What the school calls odd."""
        found: rules.Policy = self._or(school.id, lambda: settings.policy(school.id, rules.Policy))
        return found

    def closings(self, school: School, day: date) -> dict[str, datetime]:
        """Timetable -> the end of its last lesson; those without lessons on that day are not in the answer."""
        found: dict[str, datetime] = self._or((school.id, day), lambda: _closings(school, day))
        return found

    def _or(self, name: Hashable, ask: Callable[[], Any]) -> Any:
        since, found = self.kept.get(name, (-LOOK_AGAIN, None))
        if time.monotonic() - since < LOOK_AGAIN:
            return found
        if len(self.kept) >= MOST:
            self.kept.clear()
        found = ask()
        self.kept[name] = time.monotonic(), found
        return found


def _closings(school: School, day: date) -> dict[str, datetime]:
    names = db.session.scalars(select(SchoolClass.timetable).where(SchoolClass.school_id == school.id).distinct())
    lessons = calendar.timetables_on(school.id, set(names), day)
    return {
        name: clock.at_local(day, max(each.ends for each in sessions), school.timezone)
        for name, sessions in lessons.items()
        if sessions
    }
