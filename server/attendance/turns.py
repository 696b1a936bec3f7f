"""Which days of which schools must be judged again though nobody tapped: a bell rang, a gap opened or was mended."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from sqlalchemy import func, select

from server import clock, settings
from server.attendance import boarding, rules
from server.attendance.models import PupilDay
from server.calendar import service as calendar
from server.db import db
from server.gates import service as gates
from server.leave import service as leave
from server.people.models import Pupil
from server.schools.models import School

LOOK_AGAIN = 60.0  # real seconds after which bells, policy and pupils are read again
Plan = tuple[object, ...]


@dataclass
class _Known:
    """What everybody of a school was judged with last."""

    day: date
    plan: Plan
    next_at: datetime | None
    looked_at: float

    def holds(self, today: date, now: datetime) -> bool:
        """Whether there is no need to read it again."""
        fresh = time.monotonic() - self.looked_at < LOOK_AGAIN
        return fresh and self.day == today and (self.next_at is None or now < self.next_at)


@dataclass
class Turns:
    """Remembers per school what all were judged with last; a process that starts judges today once."""

    known: dict[str, _Known] = field(default_factory=dict)
    troubles: dict[str, frozenset[gates.Trouble]] = field(default_factory=dict)

    def due(self, now: datetime) -> Iterator[tuple[School, date]]:
        """School and date, the newest first; a school counts as done when the caller comes back after its last."""
        troubles = gates.troubles(now - gates.LOOK_BACK, now)
        for school in db.session.scalars(select(School).order_by(School.id)).all():
            mine = frozenset(each for each in troubles.get(school.id, ()) if each.counts)
            before = self.troubles.get(school.id, frozenset())
            known = self._looked(school, now)
            days = _touched(school, mine ^ before, now) | self._turned(school, known)
            for day in sorted(days, reverse=True):
                yield school, day
            self.troubles[school.id], self.known[school.id] = mine, known

    def look_again(self, school_id: str) -> None:
        """Something of this school has changed: read bells, policy and pupils anew at the next turn."""
        known = self.known.get(school_id)
        if known:
            known.looked_at = -LOOK_AGAIN

    def _looked(self, school: School, now: datetime) -> _Known:
        """What today is to be judged with: remembered for a while, read again when a bell has rung."""
        today, known = clock.local_day(now, school.timezone), self.known.get(school.id)
        if known and known.holds(today, now):
            return known
        plan, next_at = _plan(school, today, now)
        return _Known(today, plan, next_at, time.monotonic())

    def _turned(self, school: School, new: _Known) -> set[date]:
        old = self.known.get(school.id)
        changed = old is None or (old.day, old.plan) != (new.day, new.plan)
        judged = calendar.is_school_day(school.id, new.day) or boarding.is_used(db.session(), school.id)
        return {new.day} if changed and judged else set()


def _plan(school: School, today: date, now: datetime) -> tuple[Plan, datetime | None]:
    """All that a day's verdicts depend on besides taps and gaps, and when time changes it next."""
    policy = settings.policy(school.id, rules.Policy)
    cut_off = timedelta(minutes=policy.absent_after)
    bells = calendar.boundaries(school.id, today, minutes_after_start=[policy.absent_after])
    moments = sorted({*bells, *(end + cut_off for end in leave.ends_on(db.session(), school, today))})
    count = select(func.count()).select_from(Pupil).where(Pupil.school_id == school.id, Pupil.active)
    passed = sum(moment <= now for moment in moments)
    plan = (policy, bells, passed, db.session.scalar(count))
    return plan, next((moment for moment in moments if moment > now), None)


def _touched(school: School, troubles: frozenset[gates.Trouble], now: datetime) -> set[date]:
    """The school's dates, of those with verdicts, on which a trouble that came, ended or was mended may count."""
    today = clock.local_day(now, school.timezone)
    oldest = clock.local_day(now - gates.LOOK_BACK, school.timezone)
    found: set[date] = set()
    for trouble in troubles:
        first = max(oldest, clock.local_day(trouble.since, school.timezone))
        last = min(today, clock.local_day(trouble.until or now, school.timezone))
        found.update(first + timedelta(days=n) for n in range((last - first).days + 1))
    judged = select(PupilDay.date).where(PupilDay.school_id == school.id, PupilDay.date.in_(sorted(found))).distinct()
    return {day for day in db.session.scalars(judged) if calendar.is_school_day(school.id, day)} if found else set()
