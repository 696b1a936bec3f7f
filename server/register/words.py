"""What the register's templates call: names of sessions, reasons and states, and the mark of the live stream."""

import datetime as dt

from flask import Blueprint, current_app
from flask_babel import lazy_gettext as _

from server import clock, web

YEARS = range(1970, 2201)
SESSIONS = {
    "am": _("Morning"),
    "noon": _("Noon break"),
    "pm": _("Afternoon"),
    "evening": _("Evening study"),
}
REASONS = {
    "forgotten": _("Card forgotten"),
    "lost": _("Card lost"),
    "broken": _("Card or reader does not work"),
    "collected": _("Fetched by the family"),
    "pass": _("With a pass"),
    "other": _("Another reason"),
}
MARKS = {
    "present": _("In class"),
    "late": _("Late"),
    "absent": _("Not in class"),
    "unlooked": _("Not looked at"),
}
LEAVE = {
    "sick": _("Sick leave"),
    "personal": _("Personal leave"),
    "official": _("Official leave"),
    "trip": _("On a trip"),
}
PASSES = {
    "valid": ("circle-check-filled", "in", _("Valid")),
    "early": ("clock", "late", _("Not yet valid")),
    "used": ("x", "ask", _("Used already")),
    "expired": ("x", "ask", _("Expired")),
    "withdrawn": ("x", "ask", _("Withdrawn")),
}


def init(bp: Blueprint) -> None:
    """Give the templates these words."""
    for filter_ in (session_words, passage_words, mark_words, leave_words, moment_words):
        bp.add_app_template_filter(filter_)
    bp.add_app_template_global(PASSES, "pass_words")  # type: ignore[arg-type]
    bp.add_app_template_global(wall_time)


def newest(school_id: str) -> str:
    """What an open page has seen; the live pages stand after this feature, so they are asked by way of the app."""
    mark: str = current_app.extensions["gatebell-live"].mark(school_id)
    return mark


def session_words(name: str) -> str:
    """早上 / Morning; a school's own names stay as they are."""
    return str(SESSIONS.get(name, name))


def passage_words(reason: str) -> str:
    """Why no card was read."""
    return str(REASONS.get(reason, REASONS["other"]))


def mark_words(mark: str) -> str:
    """What a teacher said."""
    return str(MARKS.get(mark, mark))


def leave_words(kind: str) -> str:
    """What kind of leave."""
    return str(LEAVE.get(kind, kind))


def moment_words(moment: dt.datetime, day: dt.date) -> str:
    """07:52, with the date when it is not of that day."""
    made = clock.local_day(moment, web.timezone())
    return web.hours(moment) if made == day else f"{web.day_words(made)} {web.hours(moment)}"


def wall_time(seconds: int) -> str:
    """07:45 of seconds after midnight."""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}"
