"""The register of a class over a month, as it is printed and as it is saved: codes of each session of each day."""

import csv
import datetime as dt
import importlib
import importlib.util
import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import xlsxwriter
from flask_babel import gettext as _

from server.accounts.models import User
from server.attendance import summary
from server.errors import Refused
from server.people.models import Pupil, SchoolClass
from server.reports import rules, service
from server.reports.rules import Span, Tally
from server.reports.service import Whose

BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"  # Excel reads UTF-8 only with it


class PdfMissing(Refused):
    """The program that makes PDF files is not installed here."""


@dataclass(frozen=True)
class Column:
    """One school day with the names of its sessions."""

    date: dt.date
    sessions: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One pupil: for each column a code a session, and the sums."""

    pupil: Pupil
    cells: tuple[tuple[str, ...], ...]
    tally: Tally


@dataclass(frozen=True)
class Register:
    """A class's month."""

    school_class: SchoolClass
    span: Span
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    policy: rules.Policy


def register(user: User, school_class: SchoolClass, span: Span) -> Register:
    """The codes of every visible pupil of a class on every school day of a span."""
    of = Whose(school_class)
    lines, policy = service.days_of(user, of, span), service.policy(user.school_id, span)
    columns = _columns(lines.items())
    rows = [_row(pupil, columns, lines, policy) for pupil, _class in service.pupils(user, of)]
    return Register(school_class, span, columns, tuple(rows), policy)


def _columns(days: Iterable[tuple[tuple[object, dt.date], str]]) -> tuple[Column, ...]:
    names: dict[dt.date, tuple[str, ...]] = {}
    for (_pupil, date), line in days:
        read = tuple(said.session for said in summary.read(line))
        names[date] = max(names.get(date, ()), read, key=len)
    return tuple(Column(date, names[date]) for date in sorted(names))


def _row(pupil: Pupil, columns: Sequence[Column], lines: dict, policy: rules.Policy) -> Row:  # type: ignore[type-arg]
    days = [summary.read(lines.get((pupil.id, column.date), "")) for column in columns]
    cells = tuple(_codes(day, len(column.sessions), policy) for day, column in zip(days, columns, strict=True))
    return Row(pupil, cells, rules.total(rules.tally(day, policy) for day in days))


def _codes(day: Sequence[summary.Said], sessions: int, policy: rules.Policy) -> tuple[str, ...]:
    """A pupil of whom nothing was expected has empty places."""
    used, open_ = policy.used, policy.register_open
    codes = [used[rules.key(said, place, open_)].code for place, said in enumerate(day)]
    return tuple(codes + [""] * (sessions - len(codes)))


def table(register: Register) -> Iterator[list[str]]:
    """Headings, then pupils, as plain cells."""
    days = [f"{column.date:%m-%d} {name}" for column in register.columns for name in column.sessions]
    yield [_("Seat"), _("Number"), _("Name"), *days, *sums_head()]
    for row in register.rows:
        codes = [code for cell in row.cells for code in cell]
        yield [str(row.pupil.seat), row.pupil.number, row.pupil.name, *codes, *sums(row.tally)]


def sums_head() -> list[str]:
    """Over the columns of sums()."""
    words = [_("Possible"), _("Attended"), _("Late"), _("Authorised"), _("Unauthorised"), _("Counted apart")]
    return [*words, _("Attendance rate, per cent")]


def sums(tally: Tally) -> list[str]:
    """A tally as cells."""
    rate = "" if tally.rate is None else f"{tally.rate * 100:.1f}"
    counts = (tally.possible, tally.attended, tally.late, tally.authorised, tally.unauthorised, tally.apart)
    return [*(str(count) for count in counts), rate]


def as_csv(rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """UTF-8 with a mark for Excel, line by line; no cell is a formula."""
    yield BOM.encode()
    for row in rows:
        line = io.StringIO()
        csv.writer(line).writerow([rules.safe(cell) for cell in row])
        yield line.getvalue().encode()


def as_excel(rows: Iterable[Sequence[str]]) -> IO[bytes]:
    """A workbook on disk, written row by row; every cell is text, so that 007 stays 007 and nothing is a formula."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it is read by the answer, and gone when closed
    with xlsxwriter.Workbook(file, {"constant_memory": True}) as book:
        text, sheet = book.add_format({"num_format": "@"}), book.add_worksheet()
        sheet.freeze_panes(1, 0)
        for n, row in enumerate(rows):
            for place, cell in enumerate(row):
                sheet.write_string(n, place, cell, text)
    file.seek(0)
    return file


def as_pdf(html: str, css: str) -> bytes:
    """The printed page as a file; nothing is fetched. Raises PdfMissing."""
    if importlib.util.find_spec("weasyprint") is None:
        raise PdfMissing(
            _("PDF files are not set up on this server: print the page instead, or ask for gatebell[pdf].")
        )
    weasyprint = importlib.import_module("weasyprint")
    page = weasyprint.HTML(string=html, url_fetcher=weasyprint.URLFetcher(allowed_protocols=()))
    return bytes(page.write_pdf(stylesheets=[weasyprint.CSS(string=css)]))
