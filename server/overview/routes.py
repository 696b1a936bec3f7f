"""The staff's pages: Today, classes, a pupil, texts, finding someone, and the demo's phone."""

import datetime as dt
import uuid

from flask import Blueprint, current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from server import clock
from server.accounts import guard
from server.accounts import service as accounts
from server.audit import service as audit
from server.db import transaction
from server.errors import NotAllowed, NotFound, Refused
from server.leave import access
from server.leavedesk import lists as leave
from server.live import service as live
from server.outbox import service as outbox
from server.overview import chart, lists, menu, phones, service, story, texts, todo, words
from server.people import service as people
from server.register import service as registers

bp = Blueprint("overview", __name__, template_folder="templates")
words.init(bp)
LONGEST_REPLY = 200  # characters
YEARS = range(1970, 2201)


@bp.app_context_processor
def navigation() -> dict[str, object]:
    """The pages that there are, for the bar at the top and the one at the foot."""
    return {"nav": menu.bar}


@bp.get("/more")
def more() -> ResponseReturnValue:
    """All pages that are not in the bar."""
    return render_template("overview/more.html", groups=menu.groups())


@bp.get("/")
def today() -> ResponseReturnValue:
    """Who is in school, what needs a person, and the newest taps."""
    user, school, now = guard.the_user(), guard.the_school(), clock.now()
    mark, day = live.newest(school.id), service.today(school)
    roll, gates = service.roll(user, day), service.gates(school, day, now)
    morning = service.morning(user, school, day, now, roll=roll, gates=gates)
    sent = texts.states_on(user, day)
    return render_template(
        "overview/today.html",
        mark=mark,
        day=day,
        now=now,
        counts=roll.counts,
        morning=morning,
        charts=[chart.draw(morning, width) for width in (760, 340)],
        slots=chart.table(morning),
        gates=gates,
        sees_gates=accounts.scope_of(user).whole,
        todos=todo.todos(user, day, todo.Known(roll.counts, gates, sent["failed"], now)),
        feed=service.feed(user, day, {gate.id: gate.short for gate in gates}),
        taps=sum(gate.taps for gate in gates),
        texts=sent,
        latency=outbox.latency(school.id, day),
    )


@bp.get("/classes")
def classes() -> ResponseReturnValue:
    """All classes that the user looks after, with their counts of today."""
    user, school = guard.the_user(), guard.the_school()
    mark, day = live.newest(school.id), service.today(school)
    whole = accounts.scope_of(user).whole
    return render_template("overview/classes.html", mark=mark, day=day, rows=lists.classes(user, day), whole=whole)


@bp.get("/classes/<uuid:class_id>")
def school_class(class_id: uuid.UUID) -> ResponseReturnValue:
    """One class on one day, by seat."""
    user, school = guard.the_user(), guard.the_school()
    mark, day = live.newest(school.id), _asked_day()
    found = people.visible_class(user, class_id)
    _note_look("class.viewed", f"class:{class_id}")
    rows = lists.register(user, found, day)
    here = service.today(school)
    return render_template(
        "overview/class.html",
        mark=mark,
        day=day,
        today=here,
        school_class=found,
        rows=rows,
        counts=lists.counted(rows),
        may_register=registers.may_take(user, found),
    )


@bp.get("/pupils/<uuid:pupil_id>")
def pupil(pupil_id: uuid.UUID) -> ResponseReturnValue:
    """One pupil: where now, the story of a day, the month, the family, and who looked."""
    user, school = guard.the_user(), guard.the_school()
    mark, day, here = live.newest(school.id), _asked_day(), service.today(school)
    people.visible_pupil(user, pupil_id)
    _note_look("pupil.viewed", f"pupil:{pupil_id}")
    found, of_class = people.visible_pupil(user, pupil_id)
    midnight = clock.at_local(here, 0, school.timezone)
    expected = service.expected_on(school.id, {of_class.timetable}, here)[of_class.timetable]
    verdict = story.day_of(pupil_id, here)
    return render_template(
        "overview/pupil.html",
        mark=mark,
        day=day,
        today=here,
        pupil=found,
        school_class=of_class,
        verdict=verdict,
        status=service.status_of(verdict, expected=expected),
        events=story.events(found, day),
        month=story.month(found, day.replace(day=1), here),
        contacts=people.contacts_of(pupil_id),
        leaves=leave.of_pupil(user, pupil_id, midnight - dt.timedelta(days=60)),
        may_leave=bool(access.READERS & access.roles_over(user, of_class)),
        may_call=people.may_call(user, of_class),
        may_register=registers.may_take(user, of_class),
        viewers=audit.viewers(school.id, f"pupil:{pupil_id}", midnight),
    )


@bp.post("/pupils/<uuid:pupil_id>/contacts/<uuid:contact_id>/number")
def number(pupil_id: uuid.UUID, contact_id: uuid.UUID) -> ResponseReturnValue:
    """A guardian's whole number, for a call; that it was read is kept."""
    user = guard.the_user()
    _pupil, of_class = people.visible_pupil(user, pupil_id)
    if not people.may_call(user, of_class):
        raise NotAllowed
    with transaction():
        subject = f"pupil:{pupil_id}"
        audit.record(user, "number.viewed", subject, clock.now(), {"guardianship": str(contact_id)})
    contact = next((each for each in people.contacts_of(pupil_id) if each.id == contact_id and each.phone), None)
    if contact is None:
        raise NotFound
    return render_template("overview/number.html", contact=contact)


@bp.get("/find")
def find() -> ResponseReturnValue:
    """Pupils by name or number, or those in one state today."""
    user, school = guard.the_user(), guard.the_school()
    mark, day = live.newest(school.id), service.today(school)
    sought, state = _sought(), request.args.get("state", "")
    if sought:
        _note_look("pupils.searched", "find", sought)
    rows, more = lists.found(user, day, words=sought, state=state)
    counts = service.counts(user, day)
    return render_template(
        "overview/find.html", mark=mark, day=day, words=sought, state=state, rows=rows, more=more, counts=counts
    )


@bp.get("/texts")
def sent_texts() -> ResponseReturnValue:
    """All texts of a day with their states, fifty a page."""
    user, school = guard.the_user(), guard.the_school()
    mark, day = live.newest(school.id), _asked_day()
    sought, state = _sought(), request.args.get("state", "")
    lines, more = texts.page(user, day, state=state, words=sought, before=_before())
    return render_template(
        "overview/texts.html",
        mark=mark,
        day=day,
        today=service.today(school),
        state=state,
        words=sought,
        lines=lines,
        more=more,
        counts=texts.states_on(user, day),
        latency=outbox.latency(school.id, day),
    )


@bp.get("/phone")
def phone_list() -> ResponseReturnValue:
    """The demo's phones, the one with the newest text first."""
    return _phone_page(None)


@bp.get("/phone/<recipient>")
def phone(recipient: str) -> ResponseReturnValue:
    """One phone of the demo, with all it received."""
    return _phone_page(recipient)


@bp.post("/phone/<recipient>")
def write_back(recipient: str) -> ResponseReturnValue:
    """What the phone's owner answers, taken as a provider would bring it."""
    body = request.form.get("body", "").strip()
    _only_in_the_demo()
    if not 0 < len(body) <= LONGEST_REPLY:
        return _phone_page(recipient, _("Write up to 200 characters.")), 422
    with transaction() as session:
        known = phones.write_back(session, guard.the_user(), recipient, body, clock.now())
    if not known:
        raise NotFound
    return redirect(url_for("overview.phone", recipient=recipient), 303)


def _only_in_the_demo() -> None:
    if not _is_demo():
        raise NotFound
    if not accounts.scope_of(guard.the_user()).whole:
        raise NotAllowed


def _phone_page(recipient: str | None, problem: str = "") -> str:
    _only_in_the_demo()
    user = guard.the_user()
    sought = _sought()
    found = phones.phones(user, sought)
    shown = recipient or (found[0].phone.recipient if found else None)
    opened = phones.opened(user, shown) if shown else None
    if recipient and opened is None:
        raise NotFound
    return render_template(
        "overview/phone.html",
        mark=live.newest(user.school_id),
        now=clock.now(),
        words=sought,
        phones=found,
        chosen=recipient,
        shown=opened,
        problem=problem,
    )


def _sought() -> str:
    return request.args.get("q", "").strip()[:40]


def _is_demo() -> bool:
    return bool(current_app.extensions["gatebell"].demo)


def _asked_day() -> dt.date:
    text = request.args.get("day", "")
    try:
        day = dt.date.fromisoformat(text) if text else service.today(guard.the_school())
    except ValueError:
        day = dt.date.min
    if day.year not in YEARS:  # the calendar's first and last days have no neighbours to lead to
        raise Refused(_("%(text)s is not a day; write it like 2026-11-25.", text=text))
    return day


def _before() -> tuple[dt.datetime, uuid.UUID] | None:
    at, _dash, text_id = request.args.get("before", "").partition("~")
    try:
        return (clock.from_millis(int(at)), uuid.UUID(text_id)) if at else None
    except (ValueError, OverflowError):
        raise Refused(_("This page of the list does not exist; begin at its top.")) from None


def _note_look(action: str, subject: str, sought: str = "") -> None:
    """Write down who looks at whom, once for a page that stays open and refreshes itself."""
    user, now = guard.the_user(), clock.now()
    if sought or not audit.looked_lately(user, action, subject, now):
        with transaction():
            audit.record(user, action, subject, now, {"words": sought} if sought else None)
