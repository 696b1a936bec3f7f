"""Reading the forms about leave: dates and times of day as browsers send them, files, and who was spoken to."""

import uuid
from datetime import date, datetime, timedelta

from flask import request
from flask_babel import gettext as _

from server import clock
from server.errors import Refused
from server.leave import files
from server.leave.models import LeaveKind
from server.leavedesk import words
from server.schools.models import School


def text(name: str, most: int = 200) -> str:
    """One field, without spaces around it."""
    return request.form.get(name, "").strip()[:most]


def identity(value: str) -> uuid.UUID | None:
    """An id that a form or address carries; None for anything else."""
    try:
        return uuid.UUID(value) if value else None
    except ValueError:
        return None


def kind() -> LeaveKind:
    """The kind that was chosen. Raises Refused."""
    try:
        return LeaveKind(text("kind"))
    except ValueError:
        raise Refused(_("Choose what kind of leave it is.")) from None


def span(school: School) -> tuple[datetime, datetime]:
    """From the first to the last date; whole days where no time is given. Raises Refused."""
    first = _date(text("from"))
    last = _date(text("to") or text("from"))
    starts, ends = _time(text("from_time")), _time(text("to_time"))
    ends_at = (last, ends) if ends is not None else (last + timedelta(days=1), 0)
    return clock.at_local(first, starts or 0, school.timezone), clock.at_local(*ends_at, school.timezone)


def _date(value: str) -> date:
    try:
        found = date.fromisoformat(value)
    except ValueError:
        raise Refused(_("Write the first day, and the last one if it is another.")) from None
    if not 2000 < found.year < 2200:
        raise Refused(_("Write the first day, and the last one if it is another."))
    return found


def _time(value: str) -> int | None:
    if not value:
        return None
    hours, _colon, minutes = value.partition(":")
    if not (hours.isdecimal() and minutes.isdecimal() and int(hours) < 24 and int(minutes) < 60):
        raise Refused(_("Write times like 13:30, or leave them empty for the whole day."))
    return int(hours) * 3600 + int(minutes) * 60


def file() -> tuple[str, bytes] | None:
    """The file that was chosen, checked; None when none was. Raises Refused."""
    sent = request.files.get("file")
    if sent is None or not sent.filename:
        return None
    content = sent.stream.read(files.LARGEST + 1)
    sent.close()
    try:
        files.checked(content)
    except files.BadFile as error:
        raise Refused(words.file_words(error)) from None
    return sent.filename, content
