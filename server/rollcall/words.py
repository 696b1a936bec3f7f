"""What the pages of a roll call call things."""

from datetime import datetime

from flask import Blueprint
from flask_babel import gettext as _

from server import clock, web
from server.people import service as people
from server.people.models import SchoolClass
from server.rollcall import rules


def init(blueprint: Blueprint) -> None:
    """Give these words to all templates."""
    for filter_ in (part_words, lasting, standing_words, stamp):
        blueprint.add_app_template_filter(filter_)


def part_words(key: str, school_class: SchoolClass | None) -> str:
    """八（2）班, visitors, staff."""
    if school_class is not None:
        return people.class_words(school_class, web.chosen_locale())
    return {rules.VISITORS: _("Visitors"), rules.STAFF: _("Staff")}.get(key, _("A class that is no more"))


def lasting(seconds: int) -> str:
    """04:12, or 1:04:12."""
    hours, rest = divmod(max(0, seconds), 3600)
    return (f"{hours}:" if hours else "") + f"{rest // 60:02}:{rest % 60:02}"


def standing_words(standing: str) -> str:
    """Why somebody is on the list."""
    return {
        rules.Standing.INSIDE: _("In school"),
        rules.Standing.UNCONFIRMED: _("Unconfirmed"),
        rules.Standing.DISPUTED: _("Seen by the gate, absent for a teacher"),
    }[rules.Standing(standing)]


def stamp(at: datetime) -> str:
    """2026-11-25 07:52"""
    return f"{clock.local(at, web.timezone()):%Y-%m-%d %H:%M}"
