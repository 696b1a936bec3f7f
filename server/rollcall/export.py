"""A roll call's report as CSV."""

import csv
import io

from flask_babel import gettext as _

from server import web
from server.rollcall import rules
from server.rollcall.report import Line, Report, Section
from server.rollcall.words import part_words, standing_words


def as_csv(found: Report) -> str:
    """Text for a spreadsheet: with the mark that Excel wants, and no cell that it would run as a formula."""
    file = io.StringIO()
    file.write("\ufeff")
    csv.writer(file).writerows([rules.cell(each) for each in row] for row in _table(found))
    return file.getvalue()


def _table(found: Report) -> list[list[str]]:
    head = [_("Class"), _("Name"), _("On the list"), _("Found"), _("Ticked at"), _("Missing for, seconds"), _("By")]
    return [head] + [_cells(section, line) for section in found.sections for line in [*section.missing, *section.found]]


def _cells(section: Section, line: Line) -> list[str]:
    entry = line.entry
    at = web.hours(entry.said_at) if entry.there and entry.said_at else ""
    return [
        part_words(section.key, section.school_class),
        entry.name,
        standing_words(entry.standing),
        _("yes") if entry.there else _("no"),
        at,
        str(line.seconds),
        entry.said_name,
    ]
