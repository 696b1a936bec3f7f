"""How many texts a second each provider is given, by all senders together.

The rate that a provider allows counts for the account, so what is left of it is one row in the database, locked for
the moment of a claim. That costs a lock only where a rate is set, and holds for any number of senders and machines;
counting per process would be wrong by the number of processes, which nobody knows.
"""

import datetime as dt
from collections.abc import Mapping

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from server import clock
from server.db import insert_new, table
from server.outbox.models import Bucket
from server.outbox.rules import Lane

KEPT = 0.3  # share of what may go out at once that is kept for the gate

_bucket = table(Bucket)
_LOCKED = (
    select(_bucket)
    .where(_bucket.c.provider.in_(bindparam("names", expanding=True)))
    .order_by(_bucket.c.provider)
    .with_for_update()
)
_SAVE = (
    update(_bucket)
    .where(_bucket.c.provider == bindparam("of_provider"))
    .values(tokens=bindparam("left"), filled_at=bindparam("at"))
)


def filled(tokens: float, per_second: float, seconds: float) -> float:
    """What a bucket holds after so many seconds: it takes the texts of one second, at least one, and no more."""
    return min(max(1.0, per_second), tokens + per_second * max(0.0, seconds))


class Rates:
    """What each limited provider may still be given in this transaction; a provider without a limit has no row."""

    def __init__(self, per_second: Mapping[str, float], tokens: Mapping[str, float] | None = None) -> None:
        self.per_second = per_second
        self.tokens = dict(tokens or {})

    def admits(self, provider: str, lane: Lane) -> bool:
        """Whether one more text may be given; lanes other than the gate's leave a third of a second's texts."""
        if provider not in self.tokens:
            return True
        burst = max(1.0, self.per_second[provider])
        kept = 0.0 if lane is Lane.GATE or burst < 2 else KEPT * burst
        return self.tokens[provider] >= 1 + kept

    def give(self, provider: str) -> None:
        """One text was given."""
        if provider in self.tokens:
            self.tokens[provider] -= 1


def load(session: Session, per_second: Mapping[str, float], now: dt.datetime) -> Rates:
    """Lock the buckets of the limited providers until the transaction's end, and fill them for the time that passed."""
    if not per_second:
        return Rates({})
    names = list(per_second)
    rows = session.execute(_LOCKED, {"names": names}).all()
    if len(rows) < len(names):
        new = [{"provider": name, "tokens": max(1.0, rate), "filled_at": now} for name, rate in per_second.items()]
        session.execute(insert_new(_bucket), new)
        rows = session.execute(_LOCKED, {"names": names}).all()
    passed = {row.provider: clock.elapsed(row.filled_at, now) for row in rows}
    return Rates(
        per_second, {row.provider: filled(row.tokens, per_second[row.provider], passed[row.provider]) for row in rows}
    )


def save(session: Session, rates: Rates, now: dt.datetime) -> None:
    """Write down what is left."""
    left = [{"of_provider": name, "left": tokens, "at": now} for name, tokens in sorted(rates.tokens.items())]
    if left:
        session.execute(_SAVE, left)
