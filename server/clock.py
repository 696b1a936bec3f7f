"""The server's only clock: UTC now, school-local days, and milliseconds as the wire has them."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from gateway import timebase

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_base = timebase.from_environment()


def now() -> datetime:
    """Aware UTC now (the demo's faster clock when GATEBELL_CLOCK is set)."""
    return from_millis(_base.now_ms())


def from_millis(millis: int) -> datetime:
    """Wire milliseconds -> aware UTC datetime."""
    return _EPOCH + timedelta(milliseconds=millis)


def to_millis(moment: datetime) -> int:
    """Aware datetime -> wire milliseconds."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def elapsed(earlier: datetime, later: datetime) -> float:
    """Real seconds between two moments, whatever the demo's speed."""
    return _base.elapsed_ms(to_millis(earlier), to_millis(later)) / 1000


def before(moment: datetime, millis: int) -> datetime:
    """The moment that was shown `millis` real milliseconds before `moment`."""
    return from_millis(_base.shown(_base.real(to_millis(moment)) - millis))


def local(moment: datetime, timezone: str) -> datetime:
    """The same moment on the school's wall clock."""
    return moment.astimezone(ZoneInfo(timezone))


def local_day(moment: datetime, timezone: str) -> date:
    """The school's date at a moment."""
    return local(moment, timezone).date()


def at_local(day: date, seconds: int, timezone: str) -> datetime:
    """UTC moment of `seconds` after the school's midnight, read as a wall-clock time."""
    wall = datetime(day.year, day.month, day.day) + timedelta(seconds=seconds)
    return wall.replace(tzinfo=ZoneInfo(timezone)).astimezone(UTC)


def local_seconds(moment: datetime, day: date, timezone: str) -> int:
    """Whole seconds of the school's wall clock from the midnight that begins `day`; the inverse of at_local."""
    wall = local(moment, timezone)
    return (wall.date() - day).days * 86400 + wall.hour * 3600 + wall.minute * 60 + wall.second


def later(moment: datetime, seconds: float) -> datetime:
    """The moment that will be shown when so many real seconds have passed since `moment` was."""
    return from_millis(_base.shown(_base.real(to_millis(moment)) + round(seconds * 1000)))
