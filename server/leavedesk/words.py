"""What the leave desk's pages call things, in the reader's language."""

from datetime import datetime

from flask import Blueprint
from flask_babel import get_locale, lazy_gettext, ngettext
from flask_babel import lazy_gettext as _

from server.accounts import guard
from server.leave.files import BadFile
from server.leave.rules import Fault
from server.leavedesk import texts
from server.leavedesk.models import AbsenceWarning
from server.schools.models import School

KINDS = {"sick": _("Sick"), "personal": _("Personal"), "official": _("Official"), "trip": _("School trip")}
STEPS = {
    "leave.asked": _("Asked for"),
    "leave.approved": _("Approved"),
    "leave.declined": _("Declined"),
    "leave.changed": _("Changed"),
    "leave.withdrawn": _("Withdrawn"),
    "leave.file": _("File added"),
}
SOURCES = {"text": _("by text"), "link": _("by the family's page"), "staff": _("by staff")}
FAULTS = {
    Fault.ORDER: _("The end is before the beginning. Look at both."),
    Fault.LONG: _("That is more than half a year. Look at the dates."),
    Fault.PAST: _("That is too long ago. Look at the dates, or ask the office."),
    Fault.NO_LESSONS: _("There are no lessons in that time, so no leave is needed."),
    Fault.OVERLAP: _("There is a leave in that time already. Change that one instead."),
    Fault.STRANGER: _("This person may not excuse the pupil. Ask another guardian."),
    Fault.GUARDIAN: _("Only a guardian can excuse a pupil. Call one, and say here whom you spoke to."),
    Fault.POWER: _("This is for somebody else to decide: it is longer, or of another kind, than your role decides."),
    Fault.DECIDED: _("Somebody else has decided it already. Reload the page."),
    Fault.OVER: _("This leave is over. It stays as it is."),
}
FILES = {
    "type": _("The file is neither a picture (JPEG, PNG) nor a PDF. Take a photo of the paper instead."),
    "size": _("The file is larger than 4 MB. Take a smaller photo."),
    "many": _("There are five files already."),
}


def init(bp: Blueprint) -> None:
    """Give the templates these words."""
    for filter_ in (kind_words, step_words, source_words, when_words, warning_words):
        bp.add_app_template_filter(filter_)


def fault_words(fault: Fault) -> str:
    """Why something cannot be done, and what to do instead."""
    return str(FAULTS[fault])


def file_words(error: BadFile) -> str:
    """Why a file cannot be kept."""
    return str(FILES[str(error)])


def kind_words(kind: str) -> str:
    """病假 / Sick"""
    return str(KINDS[kind])


def step_words(action: str) -> str:
    """What was done."""
    return str(STEPS.get(action, action))


def source_words(source: str) -> str:
    """By which way it came."""
    return str(SOURCES[source])


def when_words(span: tuple[datetime, datetime], school: School | None = None) -> str:
    """11月26日至28日 / Thu 26 Nov – Sat 28 Nov"""
    chinese = str(get_locale()).startswith("zh")
    return texts.span_words(texts.span_of(school or guard.the_school(), *span), chinese=chinese)


def warning_words(warning: AbsenceWarning) -> str:
    """What there is to ask about."""
    count = warning.count
    if warning.kind == "weekday":
        return str(lazy_gettext("away on the same weekday %(n)s times of the last five", n=count))
    if warning.kind == "sick":
        return str(lazy_gettext("ill on %(n)s school days lately, not in one stretch", n=count))
    return ngettext("away %(num)s school day", "away %(num)s school days in a row", count)
