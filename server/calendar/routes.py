"""The calendar's pages: the year, terms, proposals, bells, files and the feed."""

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

from babel.core import get_global
from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from server import clock
from server.accounts import guard
from server.accounts.models import User
from server.audit import service as audit
from server.calendar import changes, feed, forms, ical, proposals, rules, seeds, service, year
from server.calendar.changes import Part
from server.calendar.models import CalendarDay, DayKind
from server.db import db, transaction
from server.errors import NotFound
from server.people import service as people
from server.schools.models import School

bp = Blueprint("calendar", __name__, template_folder="templates")
ICS = "text/calendar; charset=utf-8"
YEARS = range(2004, 2100)


@bp.get("/calendar")
def page() -> ResponseReturnValue:
    """The year with its days, terms and proposals."""
    return _page()


@bp.get("/calendar/bells")
def bells() -> ResponseReturnValue:
    """Timetables with their bells, and which class keeps which."""
    return _bells_page()


@bp.get("/calendar/files")
def files() -> ResponseReturnValue:
    """Import, export and the feed."""
    return _files_page()


@bp.post("/calendar/day")
def set_day() -> ResponseReturnValue:
    """Say what a day, or a span of days, is."""
    days: list[dt.date] = []

    def act(user: User) -> None:
        days[:] = forms.a_span(request.form.get("day", ""), request.form.get("last", ""))
        for day in days:
            _set_one(user.school_id, day)

    return _changed(Part.DAYS, act, lambda error: _page(error=error, form="day"), lambda: {"year": days[0].year})


def _set_one(school_id: str, day: dt.date) -> None:
    session, kind = db.session(), request.form.get("kind", "")
    label = request.form.get("label", "").strip()[: forms.MOST_LABEL]
    if kind == DayKind.OFF:
        service.set_off(session, school_id, days=[day], label=label)
    elif kind == DayKind.HALF:
        service.set_half(session, school_id, day=day, until=forms.a_time(request.form.get("until", "")), label=label)
    elif kind == DayKind.EXAM:
        bells_ = forms.own_bells(request.form.get("bells", ""))
        service.set_exam(session, school_id, day=day, bells=bells_, label=label)
    elif kind == DayKind.SCHOOL:
        weekday = forms.a_weekday(request.form.get("as_weekday", ""))
        service.set_make_up(
            session, school_id, day=day, as_weekday=day.weekday() if weekday is None else weekday, label=label
        )
    elif kind == "ordinary":
        service.set_ordinary(session, school_id, day=day)
    else:
        raise forms.BadForm(_("Choose what the day is."))


@bp.post("/calendar/terms")
def add_term() -> ResponseReturnValue:
    """Open a term."""

    def act(user: User) -> None:
        name = request.form.get("name", "").strip()[:40]
        days = forms.a_span(request.form.get("starts", ""), request.form.get("ends", ""))
        if not name:
            raise forms.BadForm(_("Give the term a name, as in 2026-2027-1."))
        for other in year.terms_of(user.school_id):
            if other.starts <= days[-1] and days[0] <= other.ends:
                raise forms.BadForm(_("These dates overlap the term %(name)s.", name=other.name))
        service.add_term(db.session(), user.school_id, name=name, starts=days[0], ends=days[-1])

    return _changed(Part.TERMS, act, lambda error: _page(error=error, form="term"), _same_year)


@bp.post("/calendar/terms/remove")
def remove_term() -> ResponseReturnValue:
    """Take a term away."""

    def act(user: User) -> None:
        service.remove_term(db.session(), user.school_id, forms.an_id(request.form.get("term", "")))

    return _changed(Part.TERMS, act, lambda error: _page(error=error, form="term"), _same_year)


@bp.post("/calendar/proposals")
def propose() -> ResponseReturnValue:
    """Look a year up, take what is ticked, or throw all away."""
    wanted = request.form.get("do", "")
    if wanted == "take":
        ticked = [forms.a_date(text) for text in request.form.getlist("date")]
        chosen = {day: forms.a_weekday(request.form.get(f"weekday-{day.isoformat()}", "")) for day in ticked}
        return _changed(
            Part.DAYS,
            lambda user: proposals.take(db.session(), user.school_id, chosen),
            lambda error: _page(error=error, form="proposals"),
            _same_year,
        )
    user, school = _changer(), guard.the_school()
    with transaction() as session:
        if wanted == "drop":
            proposals.drop(session, user.school_id)
        elif wanted == "seed":
            proposals.keep(
                session, user.school_id, seeds.seeded(_year(), country=_country(school), locale=school.locale)
            )
        audit.record(
            user, f"calendar.{'proposed' if wanted == 'seed' else 'dropped'}", f"school:{school.id}", clock.now()
        )
    return redirect(url_for("calendar.page", year=_year()) + "#proposals", 303)


@bp.post("/calendar/bells")
def set_bell() -> ResponseReturnValue:
    """Set the hours of one part of the day, from a date on."""

    def act(user: User) -> None:
        hours = forms.a_session(*(request.form.get(name, "") for name in ("name", "starts", "ends")))
        mask = sum(1 << n for n in range(7) if request.form.get(f"weekday-{n}"))
        bell = rules.Bell(hours, forms.a_date(request.form.get("since", "")), mask)
        timetable = forms.a_timetable(request.form.get("timetable", ""))
        service.set_bell(db.session(), user.school_id, timetable=timetable, bell=bell)

    return _changed(Part.BELLS, act, lambda error: _bells_page(error=error, form="bell"), dict, "calendar.bells")


@bp.post("/calendar/classes")
def set_classes() -> ResponseReturnValue:
    """Let classes, or whole grades, keep a timetable."""

    def act(user: User) -> None:
        grades = set(request.form.getlist("grade"))
        chosen = set(forms.ids(request.form.getlist("class")))
        chosen |= {each.id for each in people.visible_classes(user) if str(each.grade) in grades}
        if not chosen:
            raise forms.BadForm(_("Tick the classes that are to keep it."))
        timetable = forms.a_timetable(request.form.get("timetable", ""))
        service.set_timetable(db.session(), user.school_id, classes=chosen, timetable=timetable)

    return _changed(Part.CLASSES, act, lambda error: _bells_page(error=error, form="classes"), dict, "calendar.bells")


@bp.post("/calendar/files")
def take_file() -> ResponseReturnValue:
    """Read an .ics file: what it says is proposed, and counts when somebody takes it."""
    user, school = _changer(), guard.the_school()
    upload = request.files.get("file")
    try:
        found = ical.read(upload.read() if upload else b"", timezone=school.timezone)
    except service.BadCalendar:
        found = ical.Reading(())
    if not found.days:
        sentence = _("Nothing in this file is a day. Choose the .ics file that the other calendar exports.")
        return _files_page(error=forms.BadForm(sentence), form="file"), 422
    with transaction() as session:
        news = proposals.keep(session, user.school_id, found.days)
        audit.record(user, "calendar.imported", f"school:{school.id}", clock.now(), {"days": len(found.days)})
    return _page(reading=found, news=news, shown=found.days[0].date.year)


@bp.post("/calendar/feed")
def renew_feed() -> ResponseReturnValue:
    """A new address for those who subscribe; the old one ends."""
    user = _changer()
    with transaction() as session:
        feed.renew(session, user.school_id)
        audit.record(user, "calendar.feed", f"school:{user.school_id}", clock.now())
    return redirect(url_for("calendar.files"), 303)


@bp.get("/calendar.ics")
def export() -> ResponseReturnValue:
    """The calendar as a file."""
    answer = _ics(_changer().school_id)
    answer.headers["Content-Disposition"] = "attachment; filename=gatebell.ics"
    return answer


@bp.get("/calendar/feed/<token>.ics")
@guard.public
def subscribed(token: str) -> ResponseReturnValue:
    """The calendar for whoever knows its address: days and terms, nobody's name."""
    school_id = feed.school_of(db.session(), token)
    if school_id is None:
        raise NotFound
    return _ics(school_id)


@bp.post("/calendar/undo")
def undo() -> ResponseReturnValue:
    """Put back what stood before a change."""
    user, change = _changer(), forms.an_id(request.form.get("change", ""))
    try:
        with transaction() as session:
            row = changes.undo(session, user, change, clock.now())
            endpoint = "calendar.bells" if row.part in (Part.BELLS, Part.CLASSES) else "calendar.page"
    except changes.ChangedSince:
        sentence = _("Somebody has changed this again since. Look at what stands there now.")
        return _page(error=forms.BadForm(sentence), form="undo"), 422
    return redirect(url_for(endpoint, undone=1), 303)


def _changed(
    part: Part,
    act: Callable[[User], object],
    again: Callable[[forms.BadForm], str],
    place: Callable[[], dict[str, Any]],
    endpoint: str = "calendar.page",
) -> ResponseReturnValue:
    """Do it as one change that can be undone; what cannot be taken is said on the same page."""
    user = _changer()
    try:
        with transaction() as session, changes.noted(session, user, part, clock.now()) as found:
            act(user)
    except forms.BadForm as error:
        db.session.rollback()
        return again(error), 422
    done = found.change.id if found.change else None
    return redirect(url_for(endpoint, done=done, **place()), 303)


def _changer() -> User:
    user = guard.the_user()
    changes.check(user)
    return user


def _common(error: forms.BadForm | None, form: str) -> dict[str, Any]:
    """What all three pages show: what was just changed, and what could not be."""
    session, school = db.session(), guard.the_school()
    asked = forms.ids([request.args.get("done", "")])
    done = changes.of(session, school.id, asked[0]) if asked and error is None else None
    today = service.today_of(session, school.id)
    return {
        "today": today,
        "error": error,
        "form": form,
        "typed": request.form,
        "done": done,
        "again": changes.judged_again(done, today) if done else [],
        "undone": error is None and request.args.get("undone") == "1",
        "history": changes.newest(session, school.id),
    }


def _page(
    *,
    error: forms.BadForm | None = None,
    form: str = "",
    reading: ical.Reading | None = None,
    news: int = 0,
    shown: int | None = None,
) -> str:
    _changer()
    school, session = guard.the_school(), db.session()
    shown = shown or _year()
    set_ = {
        day.date: day
        for day in proposals.set_days(session, school.id, dt.date(shown - 1, 1, 1), dt.date(shown + 1, 12, 31))
    }
    asked = _asked_day()
    china = _country(school) == seeds.CHINA
    return render_template(
        "calendar/year.html",
        year=shown,
        months=year.months(school.id, shown),
        terms=year.terms_of(school.id),
        set=set_,
        asked=asked,
        asked_row=(set_.get(asked) if asked else None) or CalendarDay(kind="ordinary", label="", bells=[]),
        waiting=proposals.waiting(session, school.id),
        unpublished=china and not seeds.make_ups_known(shown),
        reading=reading,
        news=news,
        **_common(error, form),
    )


def _bells_page(*, error: forms.BadForm | None = None, form: str = "") -> str:
    user, school = _changer(), guard.the_school()
    rooms = people.visible_classes(user)
    return render_template(
        "calendar/bells.html",
        timetables=[(name, _bells_of(school, name)) for name in service.timetables(school.id)],
        rooms=rooms,
        grades=sorted({each.grade for each in rooms}),
        **_common(error, form),
    )


def _bells_of(school: School, timetable: str) -> list[rules.Bell]:
    found = service.bells_of(school.id).get(timetable, [])
    return sorted(found, key=lambda bell: (bell.session.starts, bell.session.name, bell.since))


def _files_page(*, error: forms.BadForm | None = None, form: str = "") -> str:
    school = guard.the_school()
    _changer()
    token = feed.token_of(db.session(), school.id)
    address = url_for("calendar.subscribed", token=token, _external=True) if token else None
    return render_template("calendar/files.html", address=address, **_common(error, form))


def _ics(school_id: str) -> Response:
    session = db.session()
    school = session.get_one(School, school_id)
    days = proposals.set_days(session, school_id, dt.date.min, dt.date.max)
    return Response(ical.written(school.name, days, year.terms_of(school_id), school_id=school_id), content_type=ICS)


def _same_year() -> dict[str, Any]:
    return {"year": _year()}


def _year() -> int:
    asked = request.values.get("year", type=int)
    return asked if asked is not None and asked in YEARS else service.today_of(db.session(), guard.the_school().id).year


def _asked_day() -> dt.date | None:
    text = request.values.get("day", "")
    try:
        return forms.a_date(text) if text else None
    except forms.BadForm:
        return None


def _country(school: School) -> str:
    return str(get_global("zone_territories").get(school.timezone, seeds.CHINA))


@bp.app_template_filter()
def day_time(seconds: int) -> str:
    """07:50"""
    return f"{seconds // 3600:02}:{seconds % 3600 // 60:02}"


@bp.app_template_filter()
def own_bell_lines(bells_: list[list[Any]]) -> str:
    """Own bells of a day as they are typed."""
    return "\n".join(
        f"{f'{timetable}: ' if timetable else ''}{name} {day_time(starts)}-{day_time(ends)}"
        for timetable, name, starts, ends in bells_
    )


@bp.app_template_filter()
def has_bit(mask: int, bit: int) -> bool:
    """Whether a mask of weekdays holds one."""
    return bool(mask >> bit & 1)


@bp.app_template_filter()
def change_keys(rows: dict[str, Any]) -> str:
    """The dates of a change, the first and the last of many."""
    found = sorted("".join(json.loads(key)) for key in rows)
    return found[0] if len(found) == 1 else f"{found[0]} – {found[-1]}"
