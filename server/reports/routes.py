"""Report pages, registers to print, and files: each look and each file is in the trail."""

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from flask import Blueprint, Response, render_template, request, send_file, stream_with_context
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from flask_babel import gettext as _

from server import clock, web
from server.accounts import guard
from server.accounts import service as accounts
from server.audit import service as audit
from server.db import transaction
from server.errors import NotAllowed, Refused
from server.people import service as people
from server.people.models import Pupil, SchoolClass
from server.reports import chart, interop, page, registers, rules, service
from server.reports.rules import Period, Span
from server.reports.service import Whose

bp = Blueprint("reports", __name__, template_folder="templates")
YEARS = range(1970, 2201)
OFFICE = frozenset({"office", "head"})
EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
bp.add_app_template_filter(page.per_cent)
bp.add_app_template_filter(page.change, "rate_change")
bp.add_app_template_filter(chart.tens)
bp.add_app_template_filter(page.year)


@bp.get("/reports")
def whole() -> ResponseReturnValue:
    """All classes that the user looks after, or one grade of them."""
    text = request.args.get("grade", "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 4):
        raise Refused(_("%(text)s is not a grade; write its number.", text=text))
    return _page(service.whose(guard.the_user(), grade=int(text) if text else None))


@bp.get("/reports/classes/<uuid:class_id>")
def of_class(class_id: uuid.UUID) -> ResponseReturnValue:
    """One class by pupil."""
    return _page(service.whose(guard.the_user(), class_id=class_id))


@bp.get("/reports/pupils/<uuid:pupil_id>")
def of_pupil(pupil_id: uuid.UUID) -> ResponseReturnValue:
    """One pupil by day."""
    return _page(service.whose(guard.the_user(), pupil_id=pupil_id))


def _page(of: Whose) -> ResponseReturnValue:
    user, school, now = guard.the_user(), guard.the_school(), clock.now()
    period, day = _period(), _asked_day()
    _note_look(of.subject)
    found = page.report(user, school, of, period=period, day=day, now=now)
    return render_template(
        "reports/report.html",
        of=of,
        day=day,
        report=found,
        periods=page.PERIODS,
        office=bool(accounts.roles_of(user) & OFFICE),
        today=clock.local_day(now, school.timezone),
        class_names={each.id: people.class_words(each, str(get_locale())) for each in people.visible_classes(user)},
    )


@bp.get("/reports/classes/<uuid:class_id>/register")
def register(class_id: uuid.UUID) -> ResponseReturnValue:
    """A class's month to be printed."""
    people.visible_class(guard.the_user(), class_id)
    _note_look(f"register:{class_id}")
    found = _register(class_id)
    return render_template("reports/register.html", register=found, legend=page.legend(found.policy), day=_asked_day())


@bp.get("/reports/classes/<uuid:class_id>/register.csv")
def register_csv(class_id: uuid.UUID) -> ResponseReturnValue:
    """The same as CSV."""
    found = _noted_register(class_id, "register.csv")
    return _csv(registers.table(found), f"register-{found.span.first:%Y-%m}.csv")


@bp.get("/reports/classes/<uuid:class_id>/register.xlsx")
def register_excel(class_id: uuid.UUID) -> ResponseReturnValue:
    """The same for Excel."""
    found = _noted_register(class_id, "register.xlsx")
    file = registers.as_excel(registers.table(found))
    return send_file(file, EXCEL, as_attachment=True, download_name=f"register-{found.span.first:%Y-%m}.xlsx")


@bp.get("/reports/classes/<uuid:class_id>/register.pdf")
def register_pdf(class_id: uuid.UUID) -> ResponseReturnValue:
    """The printed page as a file."""
    found = _noted_register(class_id, "register.pdf")
    html = render_template("reports/register_pdf.html", register=found, legend=page.legend(found.policy))
    made = registers.as_pdf(html, (Path(web.STATIC) / "monthsheet.css").read_text())
    headers = {"Content-Disposition": f'attachment; filename="register-{found.span.first:%Y-%m}.pdf"'}
    return Response(made, mimetype="application/pdf", headers=headers)


def _register(class_id: uuid.UUID) -> registers.Register:
    user = guard.the_user()
    return registers.register(user, people.visible_class(user, class_id), _month())


def _noted_register(class_id: uuid.UUID, name: str) -> registers.Register:
    """First who may, then the note (its transaction gives back what was read), then the register."""
    people.visible_class(guard.the_user(), class_id)
    _note_export(name, f"class:{class_id}", _month())
    return _register(class_id)


def _month() -> Span:
    return rules.span(Period.MONTH, _asked_day(), ())


@bp.get("/reports/pupils.csv")
def pupils_csv() -> ResponseReturnValue:
    """Every visible pupil's sums; it streams."""
    span = _span()
    _note_export("pupils.csv", "school", span)
    return _csv(_sums(_pupils(span)), f"attendance-{span.first}.csv")


@bp.get("/reports/pupils.xlsx")
def pupils_excel() -> ResponseReturnValue:
    """The same for Excel."""
    span = _span()
    _note_export("pupils.xlsx", "school", span)
    file = registers.as_excel(_sums(_pupils(span)))
    return send_file(file, EXCEL, as_attachment=True, download_name=f"attendance-{span.first}.xlsx")


def _pupils(span: Span) -> list[tuple[Pupil, SchoolClass, rules.Tally]]:
    return service.of_pupils(guard.the_user(), Whose(), span)


def _sums(pupils: Iterable[tuple[Pupil, SchoolClass, rules.Tally]]) -> Iterator[list[str]]:
    yield [_("Class"), _("Seat"), _("Number"), _("Name"), *registers.sums_head()]
    for pupil, school_class, tally in pupils:
        yield [school_class.name, str(pupil.seat), pupil.number, pupil.name, *registers.sums(tally)]


@bp.get("/reports/edfi.csv")
def edfi() -> ResponseReturnValue:
    """Sessions as Ed-Fi's attendance events."""
    span = _office_span("edfi.csv")
    return _csv(interop.edfi(guard.the_school().id, interop.held(guard.the_user(), span)), f"edfi-{span.first}.csv")


@bp.get("/reports/ceds.csv")
def ceds() -> ResponseReturnValue:
    """Sessions in the words of CEDS."""
    span = _office_span("ceds.csv")
    return _csv(interop.ceds(guard.the_school().id, interop.held(guard.the_user(), span)), f"ceds-{span.first}.csv")


@bp.get("/reports/oneroster.zip")
def oneroster() -> ResponseReturnValue:
    """Pupils, classes and enrolments as OneRoster 1.2, with attendance beside them."""
    span = _office_span("oneroster.zip")
    file = interop.oneroster(guard.the_school(), interop.held(guard.the_user(), span), span)
    return send_file(file, "application/zip", as_attachment=True, download_name=f"oneroster-{span.first}.zip")


def _office_span(name: str) -> Span:
    """What leaves the school for another system is the office's affair. Raises NotAllowed."""
    user, span = guard.the_user(), _span()
    if not accounts.roles_of(user) & OFFICE or not accounts.scope_of(user).whole:
        raise NotAllowed
    _note_export(name, "school", span)
    return span


def _csv(rows: Iterable[Sequence[object]], name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(stream_with_context(registers.as_csv(rows)), mimetype="text/csv", headers=headers)


def _span() -> Span:
    return rules.span(_period(), _asked_day(), service.terms(guard.the_user().school_id))


def _period() -> Period:
    text = request.args.get("period", Period.MONTH)
    if text not in set(Period):
        raise Refused(_("%(text)s is not a time; choose day, week, month or term.", text=text))
    return Period(text)


def _asked_day() -> dt.date:
    text = request.args.get("day", "")
    school = guard.the_school()
    try:
        day = dt.date.fromisoformat(text) if text else clock.local_day(clock.now(), school.timezone)
    except ValueError:
        day = dt.date.min
    if day.year not in YEARS:
        raise Refused(_("%(text)s is not a day; write it like 2026-11-25.", text=text))
    return day


def _note_look(subject: str) -> None:
    user, now = guard.the_user(), clock.now()
    if not audit.looked_lately(user, "report.viewed", subject, now):
        with transaction():
            audit.record(user, "report.viewed", subject, now)


def _note_export(name: str, subject: str, span: Span) -> None:
    with transaction():
        detail = {"file": name, "first": f"{span.first}", "last": f"{span.last}"}
        audit.record(guard.the_user(), "report.exported", subject, clock.now(), detail)
