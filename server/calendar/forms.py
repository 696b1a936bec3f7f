"""What people type into the calendar's forms, understood or refused with the sentence that is shown there."""

import datetime as dt
import re
import uuid
from collections.abc import Iterable

from flask_babel import gettext as _

from server.calendar import rules
from server.errors import NotFound, Refused

LONGEST = 400
MOST_LABEL = 60


class BadForm(Refused):
    """Something cannot be taken; the text stands at the form."""


def a_date(text: str) -> dt.date:
    """2027-02-05 -> date. Raises BadForm."""
    try:
        day = dt.date.fromisoformat(text.strip())
    except ValueError:
        day = dt.date.min
    if not 2000 <= day.year <= 2100:
        raise BadForm(_("%(text)s is not a day; write it like 2026-11-25.", text=text or "–"))
    return day


def a_span(first: str, last: str) -> list[dt.date]:
    """Every date from the first to the last; without a last one only the first. Raises BadForm."""
    begins = a_date(first)
    ends = a_date(last) if last.strip() else begins
    if not 0 <= (ends - begins).days < LONGEST:
        raise BadForm(_("The last day must not come before the first, and at most 400 days can be set at once."))
    return [begins + dt.timedelta(days=n) for n in range((ends - begins).days + 1)]


def a_time(text: str) -> int:
    """07:50 -> seconds after midnight. Raises BadForm."""
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text.strip())
    if match is None:
        raise BadForm(_("%(text)s is not a time; write it like 07:50.", text=text or "–"))
    return int(match[1]) * 3600 + int(match[2]) * 60


def a_session(name: str, starts: str, ends: str) -> rules.Session:
    """One session with its hours. Raises BadForm."""
    if not 1 <= len(name.strip()) <= 16:
        raise BadForm(_("A part of the day needs a name of at most 16 characters, as in am, pm or eve."))
    found = rules.Session(name.strip(), a_time(starts), a_time(ends))
    if found.ends <= found.starts:
        raise BadForm(_("%(name)s must end after it starts.", name=found.name))
    return found


def own_bells(text: str) -> list[tuple[str, rules.Session]]:
    """Lines like `am 08:00-10:00`, or `senior: am 08:00-10:00` for one timetable alone. Raises BadForm."""
    return [_own(line) for line in text.splitlines() if line.strip()]


def _own(line: str) -> tuple[str, rules.Session]:
    match = re.fullmatch(r"(?:([^:：]{1,32})[:：])?\s*(\S{1,16})\s+([\d:]+)\s*[-–—]\s*([\d:]+)", line.strip())
    if match is None:
        raise BadForm(_("Write each part of the day on a line of its own, like: am 08:00-10:00"))
    return (match[1] or "").strip(), a_session(match[2], match[3], match[4])


def a_weekday(text: str) -> int | None:
    """0 (Monday) to 6; None for what is no weekday."""
    return int(text) if text in {"0", "1", "2", "3", "4", "5", "6"} else None


def a_timetable(text: str) -> str:
    """A timetable's name. Raises BadForm."""
    if not 1 <= len(text.strip()) <= 32:
        raise BadForm(_("A timetable needs a name of at most 32 characters."))
    return text.strip()


def an_id(text: str) -> uuid.UUID:
    """The id in a form. Raises NotFound for what is none."""
    found = ids([text])
    if not found:
        raise NotFound
    return found[0]


def ids(texts: Iterable[str]) -> list[uuid.UUID]:
    """Those of the texts that are ids."""
    return [uuid.UUID(text) for text in texts if re.fullmatch(r"[0-9a-f-]{36}", text) and text.count("-") == 4]
