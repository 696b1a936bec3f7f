"""What a span of leave is on one date. No clock, no database."""

from datetime import date, datetime, timedelta

DAY = 86_400


def dates(starts: datetime, ends: datetime) -> list[date]:
    """Every date that a leave touches, from <= t < to, both ends on the school's wall clock."""
    last = (ends - timedelta(microseconds=1)).date()
    return [starts.date() + timedelta(days=n) for n in range((last - starts.date()).days + 1)]


def within(starts: int, ends: int) -> tuple[int, int]:
    """Seconds of one date that a leave covers, cut at both midnights."""
    return max(0, starts), min(DAY, ends)
