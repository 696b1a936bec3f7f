"""What the overview's templates call: names of classes and relations, shares of a bar, the chart in words."""

import datetime as dt
from dataclasses import dataclass

from babel.dates import get_day_names
from flask import Blueprint
from flask_babel import get_locale, lazy_gettext
from flask_babel import gettext as _

from server import clock
from server.outbox.models import OutboxText
from server.outbox.rules import Held
from server.overview import chart
from server.overview.service import Counts
from server.people import service as people
from server.people.models import SchoolClass

LEAST_SHARE = 0.7  # per cent: one pupil in a thousand is still to be seen
RELATIONS = {
    "mother": lazy_gettext("Mother"),
    "father": lazy_gettext("Father"),
    "grandmother": lazy_gettext("Grandmother"),
    "grandfather": lazy_gettext("Grandfather"),
    "other": lazy_gettext("Guardian"),
}
PROVIDERS = {"phone": lazy_gettext("the demo phone"), "kannel": "Kannel"}
HELD = {
    Held.LATE: lazy_gettext("It would have come too late; the school does not want that."),
    Held.OVERTAKEN: lazy_gettext("A newer text was sent instead."),
    Held.PUPIL: lazy_gettext("Too many texts about this pupil within an hour. Look at the card and the reader."),
    Held.NUMBER: lazy_gettext("This number has had as many texts today as it may."),
    Held.WORDING: lazy_gettext("This number has had as many of these texts today as it may."),
    Held.MONEY: lazy_gettext("It waits: the day's money for texts is spent."),
    Held.MONEY_HARD: lazy_gettext("It waits: the day's money for texts is spent."),
}
TIMETABLES = {
    "default": lazy_gettext("Lessons"),
    "senior": lazy_gettext("Senior"),
    "junior": lazy_gettext("Junior"),
    "primary": lazy_gettext("Primary"),
}
FAMILIES = {
    "in_school": "in",
    "late": "late",
    "unexplained": "ask",
    "unconfirmed": "hold",
    "not_yet": "wait",
    "excused": "exc",
    "left": "left",
}


@dataclass(frozen=True)
class Share:
    """One part of a bar, in per cent of its width."""

    family: str
    x: float
    width: float


def init(bp: Blueprint) -> None:
    """Give the templates these words."""
    for filter_ in (class_words, relation_words, provider_words, held_words, initials, day_after):
        bp.add_app_template_filter(filter_)
    for function in (timetable, share, missing_words, before_words, chart_words, page_mark, weekdays):
        bp.add_app_template_global(function)


def class_words(school_class: SchoolClass) -> str:
    """八（2）班 / 8 (2)"""
    return people.class_words(school_class, str(get_locale()))


def relation_words(relation: str) -> str:
    """妈妈 / Mother"""
    return str(RELATIONS.get(relation, RELATIONS["other"]))


def provider_words(name: str) -> str:
    """Who takes the texts, as staff call it."""
    return str(PROVIDERS.get(name, name))


def held_words(why: str) -> str:
    """Why a text waits, or was not sent."""
    return str(HELD.get(Held(why), "")) if why in set(Held) else why


def initials(name: str) -> str:
    """What stands where a photo would: the given name of 林语晨 is 语晨, John Smith is JS."""
    if name.isascii():
        return "".join(part[0] for part in name.split()[:2]).upper()
    return name[-2:] if len(name) > 2 else name


def day_after(day: dt.date, days: int) -> dt.date:
    """So many days later, or earlier."""
    return day + dt.timedelta(days=days)


def timetable(name: str) -> str:
    """What a timetable's pupils are called; a school's own names stay as they are."""
    return str(TIMETABLES.get(name, name))


def share(counts: Counts) -> list[Share]:
    """The bar under the counts, in their order; nobody is too few to be seen."""
    present = [(family, counts.of[status]) for status, family in FAMILIES.items() if counts.of[status]]
    gaps = 0.3 * max(0, len(present) - 1)
    wide = [(family, max(LEAST_SHARE, 100 * count / counts.total)) for family, count in present]
    scale = (100 - gaps) / sum(width for _family, width in wide) if wide else 0
    parts, x = [], 0.0
    for family, width in wide:
        parts.append(Share(family, round(x, 2), round(width * scale, 2)))
        x += width * scale + 0.3
    return parts


def missing_words(counts: Counts) -> str:
    """What is behind "not yet"."""
    parts = []
    if counts.of["unexplained"]:
        parts.append(_("%(n)s unexplained", n=counts.of["unexplained"]))
    if counts.of["unconfirmed"]:
        parts.append(_("%(n)s unconfirmed", n=counts.of["unconfirmed"]))
    return " · ".join(parts) or (_("not an alarm yet") if counts.missing else _("everybody is accounted for"))


def before_words(day: dt.date, before: dt.date) -> str:
    """Yesterday, or the day's date."""
    if day - before == dt.timedelta(days=1):
        return _("Yesterday")
    return f"{before:%m-%d}"


def chart_words(morning: chart.Morning) -> str:
    """The chart for those who cannot see it."""
    slots = chart.table(morning)
    busiest = max(slots, key=lambda slot: slot.today)
    words = _("%(n)s arrivals today.", n=sum(slot.today for slot in slots))
    if busiest.today:
        words += " " + _("Most came in the ten minutes from %(time)s: %(n)s.", time=busiest.starts, n=busiest.today)
    if morning.silences:
        words += " " + _("A gate was without signal in part of this time.")
    return words


def page_mark(text: OutboxText) -> str:
    """Where the next page of texts begins."""
    return f"{clock.to_millis(text.created_at)}~{text.id}"


def weekdays() -> list[str]:
    """一 二 三 ... / Mon Tue Wed ..."""
    chinese = str(get_locale()).startswith("zh")
    names = get_day_names("narrow" if chinese else "abbreviated", locale="zh_Hans_CN" if chinese else "en")
    return [names[day] for day in range(7)]
