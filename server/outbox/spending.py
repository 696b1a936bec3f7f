"""What a school's texts cost on one of its days: counted when a provider takes a text, held against the day's limit."""

import datetime as dt
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from server.config import Limits
from server.db import insert, table
from server.outbox import limits as rule
from server.outbox.models import Spend
from server.outbox.rules import Held, Lane

FRESH = 1.0  # seconds that a sum may be old; what a second can spend too much is a few texts

_spend = table(Spend)
Day = tuple[str, dt.date]


@dataclass(frozen=True)
class Cost:
    """A text that a provider has taken, or may have."""

    school_id: str
    day: dt.date
    provider: str
    segments: int


def add(session: Session, costs: Sequence[Cost]) -> None:
    """Count them; rows are taken in one order, so that two senders do not wait for each other for ever."""
    texts: Counter[tuple[str, dt.date, str]] = Counter()
    segments: Counter[tuple[str, dt.date, str]] = Counter()
    for cost in costs:
        place = (cost.school_id, cost.day, cost.provider)
        texts[place] += 1
        segments[place] += cost.segments
    for place in sorted(texts):
        new = insert(_spend).values(
            school_id=place[0], day=place[1], provider=place[2], texts=texts[place], segments=segments[place]
        )
        more = {"texts": _spend.c.texts + new.excluded.texts, "segments": _spend.c.segments + new.excluded.segments}
        session.execute(new.on_conflict_do_update(index_elements=["school_id", "day", "provider"], set_=more))


@dataclass
class Purse:
    """What schools may still spend today; sums are asked for again after a second."""

    limits: Limits
    spent: dict[Day, tuple[float, float]] = field(default_factory=dict)  # segments, and when they were counted

    def look(self, session: Session, days: Collection[Day]) -> None:
        """Ask for the sums of these days, as far as they are not fresh."""
        now = time.monotonic()
        if not self.limits.money_per_day:
            return
        old = {day for day in days if now - self.spent.get(day, (0.0, -FRESH))[1] >= FRESH}
        if not old:
            return
        self.spent = {day: known for day, known in self.spent.items() if now - known[1] < FRESH}
        self.spent |= {day: (count, now) for day, count in segments_of(session, old).items()}

    def holds(self, school_id: str, day: dt.date, lane: Lane) -> Held | None:
        """Why a text of this lane must wait."""
        segments = self.spent.get((school_id, day), (0.0, 0.0))[0]
        return rule.money(segments * self.limits.price_per_message, lane, self.limits)


def segments_of(session: Session, days: Collection[Day]) -> dict[Day, float]:
    """Messages that were billed on these days of these schools, by all providers."""
    sums = select(_spend.c.school_id, _spend.c.day, func.sum(_spend.c.segments)).group_by(
        _spend.c.school_id, _spend.c.day
    )
    asked = sums.where(tuple_(_spend.c.school_id, _spend.c.day).in_(sorted(days)))
    return dict.fromkeys(days, 0.0) | {(school, day): float(count) for school, day, count in session.execute(asked)}
