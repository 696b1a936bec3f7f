"""The calendar as iCalendar: what other programs may subscribe to, and what their files say of days.

The library is only read when somebody asks: it is large.
"""

import datetime as dt
import importlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from server import clock
from server.calendar.models import CalendarDay, DayKind, Term
from server.calendar.proposals import Proposed
from server.calendar.service import BadCalendar

LONGEST = 400  # days of one event
MOST = 2000  # events of one file
KIND_WORDS = (  # the first that is found in an event's categories or title says what its days are
    (DayKind.EXAM, re.compile(r"\bexams?\b|考试|期中|期末", re.IGNORECASE)),
    (DayKind.HALF, re.compile(r"half[- ]?day|半天", re.IGNORECASE)),
    (DayKind.SCHOOL, re.compile(r"make-?up|补班|补课|上班|上课|调休上|（班）|\(班\)", re.IGNORECASE)),
)
CATEGORIES = {DayKind.OFF: "OFF", DayKind.SCHOOL: "MAKE-UP", DayKind.HALF: "HALF-DAY", DayKind.EXAM: "EXAM"}
NOON = 12 * 3600


@dataclass(frozen=True)
class Reading:
    """What a file says: days to propose, and titles of what was left out, by the reason."""

    days: tuple[Proposed, ...]
    repeating: tuple[str, ...] = ()  # of these only the first date was taken
    unread: tuple[str, ...] = ()


def written(name: str, days: Iterable[CalendarDay], terms: Iterable[Term], *, school_id: str) -> bytes:
    """A school's days and terms as a calendar."""
    icalendar = importlib.import_module("icalendar")
    found = icalendar.Calendar()
    found.add("prodid", "-//Gatebell//Calendar//EN")
    found.add("version", "2.0")
    found.add("x-wr-calname", name)
    for term in terms:
        found.add_component(_event(school_id, term.starts, term.ends, term.name, "TERM"))
    for first, last, day in _runs(list(days)):
        found.add_component(_day_event(school_id, first, last, day))
    return bytes(found.to_ical())


def _event(school_id: str, first: dt.date, last: dt.date, title: str, category: str) -> Any:
    icalendar = importlib.import_module("icalendar")
    event = icalendar.Event()
    event.add("uid", f"{category.lower()}-{first.isoformat()}-{school_id}@gatebell")
    event.add("dtstamp", dt.datetime(first.year, first.month, first.day, tzinfo=dt.UTC))
    event.add("dtstart", first)
    event.add("dtend", last + dt.timedelta(days=1))
    event.add("summary", title or category.capitalize())
    event.add("categories", [category])
    return event


def _day_event(school_id: str, first: dt.date, last: dt.date, day: CalendarDay) -> Any:
    event = _event(school_id, first, last, day.label, CATEGORIES[DayKind(day.kind)])
    if day.as_weekday is not None:
        event.add("x-gatebell-lessons-of", str(day.as_weekday))
    if day.until is not None:
        event.add("x-gatebell-until", str(day.until))
    if day.bells:
        event.add("x-gatebell-bells", msgspec.json.encode(day.bells).decode())
    return event


def _runs(days: list[CalendarDay]) -> Iterator[tuple[dt.date, dt.date, CalendarDay]]:
    """Days in a row that are the same are one event."""
    start = 0
    for n, day in enumerate(days):
        if n + 1 < len(days) and _same(day, days[n + 1]):
            continue
        yield days[start].date, day.date, day
        start = n + 1


def _same(one: CalendarDay, next_: CalendarDay) -> bool:
    said = [(each.kind, each.label, each.as_weekday, each.until, each.bells) for each in (one, next_)]
    return said[0] == said[1] and next_.date - one.date == dt.timedelta(days=1)


def read(file: bytes, *, timezone: str) -> Reading:
    """The days of a file. Raises BadCalendar when it is no calendar, or too large a one."""
    icalendar = importlib.import_module("icalendar")
    try:
        found = icalendar.Calendar.from_ical(file)
        events = [each for each in found.walk("VEVENT") if _category(each) != "TERM"]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadCalendar(f"this is no iCalendar file (.ics): {error}") from None
    if len(events) > MOST:
        raise BadCalendar(f"the file holds {len(events)} events; a school's calendar has at most {MOST}")
    days: dict[dt.date, Proposed] = {}
    unread, repeating = [], []
    for event in events:
        span = _span(event, timezone)
        if span is None:
            unread.append(_title(event))
            continue
        repeating += [_title(event)] if "RRULE" in event else []
        for n in range((span[1] - span[0]).days + 1):
            day = span[0] + dt.timedelta(days=n)
            days[day] = _proposed(event, day)
    return Reading(tuple(days[day] for day in sorted(days)), tuple(repeating), tuple(unread))


def _span(event: Any, timezone: str) -> tuple[dt.date, dt.date] | None:
    """The first and the last date; None for what has none, or runs too long."""
    try:
        first = event.decoded("DTSTART")
        end = event.decoded("DTEND", first)
        starts, ends = _local(first, timezone), _local(end, timezone)
        whole = not isinstance(end, dt.datetime) or f"{ends:%H%M%S}" == "000000"
        last = _as_date(ends) - dt.timedelta(days=1) if whole and ends > starts else _as_date(ends)
        first_day = _as_date(starts)
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError):
        return None
    return (first_day, last) if 0 <= (last - first_day).days < LONGEST else None


def _local(moment: Any, timezone: str) -> Any:
    if isinstance(moment, dt.datetime) and moment.tzinfo:
        return clock.local(moment, timezone).replace(tzinfo=None)
    if isinstance(moment, dt.date):
        return moment
    raise TypeError


def _as_date(moment: dt.date) -> dt.date:
    return moment.date() if isinstance(moment, dt.datetime) else moment


def _proposed(event: Any, day: dt.date) -> Proposed:
    kind = _kind(event)
    until = _number(event, "X-GATEBELL-UNTIL", 86_399)
    return Proposed(
        date=day,
        kind=kind,
        label=_title(event),
        as_weekday=_number(event, "X-GATEBELL-LESSONS-OF", 6),
        until=(until or NOON) if kind is DayKind.HALF else None,
        bells=_bells(event),
    )


def _kind(event: Any) -> DayKind:
    category = _category(event)
    known = {name: kind for kind, name in CATEGORIES.items()}
    if category in known:
        return known[category]
    words = f"{category} {_title(event)}"
    return next((kind for kind, pattern in KIND_WORDS if pattern.search(words)), DayKind.OFF)


def _category(event: Any) -> str:
    found = event.get("CATEGORIES")
    if found is None:
        return ""
    first = found[0] if isinstance(found, list) else found
    return str(first.to_ical().decode("utf-8", "replace")).upper()


def _title(event: Any) -> str:
    return " ".join(str(event.get("SUMMARY", "")).replace("\0", "").split())[:60]


def _number(event: Any, name: str, most: int) -> int | None:
    text = str(event.get(name, ""))
    return int(text) if re.fullmatch(r"[0-9]{1,5}", text) and int(text) <= most else None


def _bells(event: Any) -> tuple[tuple[str, str, int, int], ...]:
    try:
        rows = msgspec.json.decode(str(event.get("X-GATEBELL-BELLS", "[]")), type=list[tuple[str, str, int, int]])
    except msgspec.MsgspecError:
        return ()
    good = all(len(table) <= 32 and 0 < len(name) <= 16 and 0 <= a < b <= 86_400 for table, name, a, b in rows)
    return tuple(rows) if good and len(rows) <= 50 else ()
