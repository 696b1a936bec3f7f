"""Pages of what people see: the class register, corrections, the lists, the guard's page, slips and passes."""

import datetime as dt
import uuid

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from server import clock
from server.accounts import guard
from server.accounts import service as accounts
from server.attendance.gatebook import Reason
from server.attendance.rules import MarkKind
from server.audit import service as audit
from server.calendar import service as calendar
from server.db import db, new_id, transaction
from server.errors import Refused
from server.people.models import SchoolClass
from server.register import calls, lists, passes, rules, service, sheet, words
from server.register import desk as gate
from server.register.models import ClassRegister
from server.register.service import Place, Saying

bp = Blueprint("register", __name__, template_folder="templates")
words.init(bp)
UNDO_SECONDS = 8
SAYINGS = {"present": MarkKind.PRESENT, "absent": MarkKind.ABSENT, "late": MarkKind.LATE}


@bp.get("/register")
def classes() -> ResponseReturnValue:
    """The classes whose register this user takes, the open ones first in sight."""
    user, school, now = guard.the_user(), guard.the_school(), clock.now()
    mark, day = words.newest(school.id), _today()
    return render_template(
        "register/classes.html", mark=mark, day=day, rows=lists.registers(user, school, now), now=now
    )


@bp.get("/register/<uuid:class_id>")
def take(class_id: uuid.UUID) -> ResponseReturnValue:
    """One class in one session on one screen."""
    service.room_of(guard.the_user(), class_id)
    _note_look("class.viewed", f"class:{class_id}")
    return _page(service.room_of(guard.the_user(), class_id))


def _page(room: SchoolClass) -> str:
    user, school, now = guard.the_user(), guard.the_school(), clock.now()
    mark, day = words.newest(school.id), _asked_day()
    lessons = calendar.sessions_on(school.id, room.timetable, day)
    second = clock.local_seconds(now, day, school.timezone)
    lesson = rules.pick(lessons, second, asked=request.values.get("session", ""))
    if lesson is None:
        return render_template("register/off.html", mark=mark, day=day, room=room)
    looked = sheet.read(db.session(), school, room, day, lesson)
    return render_template(
        "register/take.html",
        mark=mark,
        day=day,
        today=_today(),
        now=now,
        room=room,
        lessons=lessons,
        lesson=lesson,
        sheet=looked,
        called=calls.is_open(db.session(), Place(room, day, lesson)),
        register=_register(room, day, lesson.name),
        bar=_bar(looked, now),
        late=max(1, (second - lesson.starts) // 60) if lesson.starts < second < lesson.ends else 5,
        may=service.may_correct(user, school, room, day) and rules.is_open(lesson, second),
    )


def _register(room: SchoolClass, day: dt.date, name: str) -> ClassRegister | None:
    query = db.select(ClassRegister).filter_by(school_id=room.school_id, class_id=room.id, date=day, session=name)
    found: ClassRegister | None = db.session.scalar(query.execution_options(populate_existing=True))
    return found


def _bar(looked: sheet.Sheet, now: dt.datetime) -> sheet.Row | None:
    """Whom the bar above the foot is about: who was chosen, else of whom this user said something just now."""
    chosen, user = request.values.get("chosen", ""), guard.the_user()
    said = [row for row in looked.rows if row.mark is not None and row.mark.mark in SAYINGS]
    if chosen:
        return next((row for row in said if str(row.pupil.id) == chosen), None)
    mine = [
        (row.mark.made_at, row)
        for row in said
        if row.mark and row.mark.made_by == user.id and clock.elapsed(row.mark.made_at, now) < UNDO_SECONDS
    ]
    return max(mine, key=lambda pair: pair[0])[1] if mine else None


@bp.post("/register/<uuid:class_id>/say")
def say(class_id: uuid.UUID) -> ResponseReturnValue:
    """One tap: `say` holds what is said (present, absent, late, leave, back) and of whom, so one button is one tap."""
    service.room_of(guard.the_user(), class_id)
    what, _colon, whom = request.form.get("say", "").partition(":")
    pupil_id, day, name = _uuid(whom), _asked_day(), request.form.get("session", "")
    if day != _today():
        raise Refused(_("A day that is over is corrected on the pupil's page, with a reason."))
    with transaction() as session:
        user = guard.the_user()
        place = service.place_of(user, service.room_of(user, class_id), day, name)
        _said(session, place, what, pupil_id)
    return _back(class_id, day, name)


def _said(session: Session, place: Place, what: str, pupil_id: uuid.UUID, reason: str = "") -> None:
    """`pupil_id` is of whom it is said; to undo, it is which mark."""
    user, now = guard.the_user(), clock.now()
    if what in SAYINGS:
        minutes = _minutes() if what == "late" else 0
        service.say(session, user, place, Saying(pupil_id, SAYINGS[what], minutes, reason), now)
    elif what == "back":
        service.take_back(session, user, place, pupil_id, now, reason)
    elif what == "undo":
        service.undo(session, user, place, pupil_id, now)
    elif what == "leave":
        service.ask_leave(session, user, place, pupil_id, now)
    else:
        raise Refused(_("The request was not what this page sends. Go back and try again."))


@bp.post("/register/<uuid:class_id>/finish")
def finish(class_id: uuid.UUID) -> ResponseReturnValue:
    """The register is done; who was not looked at stays unconfirmed."""
    service.room_of(guard.the_user(), class_id)
    day, name = _asked_day(), request.form.get("session", "")
    if day != _today():
        raise Refused(_("A day that is over is corrected on the pupil's page, with a reason."))
    with transaction() as session:
        user = guard.the_user()
        place = service.place_of(user, service.room_of(user, class_id), day, name)
        service.finish(session, user, place, clock.now())
    return _back(class_id, day, name)


def _back(class_id: uuid.UUID, day: dt.date, name: str) -> ResponseReturnValue:
    """To the page again: as a piece of it for htmx, by a redirect without scripts, so a reload sends nothing twice."""
    if "HX-Request" in request.headers:
        return _page(service.room_of(guard.the_user(), class_id))
    return redirect(url_for("register.take", class_id=class_id, day=day, session=name), 303)


@bp.get("/register/pupils/<uuid:pupil_id>")
def pupil(pupil_id: uuid.UUID) -> ResponseReturnValue:
    """What was said of a pupil on a day, by whom, and the form that corrects it."""
    service.pupil_of(guard.the_user(), pupil_id)
    _note_look("pupil.viewed", f"pupil:{pupil_id}")
    return _correction(pupil_id)


def _correction(pupil_id: uuid.UUID, problem: str = "") -> str:
    user, school = guard.the_user(), guard.the_school()
    found, room = service.pupil_of(user, pupil_id)
    day = _asked_day()
    return render_template(
        "register/pupil.html",
        day=day,
        today=_today(),
        pupil=found,
        room=room,
        lessons=calendar.sessions_on(school.id, room.timetable, day),
        chosen=request.values.get("session", ""),
        history=service.history(user, pupil_id, day),
        may=service.may_correct(user, school, room, day),
        problem=problem,
        form=request.form,
    )


@bp.post("/register/pupils/<uuid:pupil_id>")
def correct(pupil_id: uuid.UUID) -> ResponseReturnValue:
    """Correct a day, this one or an earlier one; without a reason nothing is changed."""
    service.pupil_of(guard.the_user(), pupil_id)
    what, reason = request.form.get("what", ""), request.form.get("reason", "").strip()
    day, name = _asked_day(), request.form.get("session", "")
    if not reason:
        return _correction(pupil_id, _("Write why, in a few words: whoever reads the day later wants to know.")), 422
    with transaction() as session:
        _pupil, room = service.pupil_of(guard.the_user(), pupil_id)
        _said(session, service.place_of(guard.the_user(), room, day, name), what, pupil_id, reason)
    return redirect(url_for("register.pupil", pupil_id=pupil_id, day=day, session=name), 303)


@bp.get("/register/differences")
def differences() -> ResponseReturnValue:
    """Where gate and class disagree, and who forgets the card."""
    user, school = guard.the_user(), guard.the_school()
    mark, day = words.newest(school.id), _asked_day()
    found = lists.differences(user, school, day)
    return render_template("register/differences.html", mark=mark, day=day, today=_today(), found=found)


@bp.get("/gate")
def desk() -> ResponseReturnValue:
    """The guard's page: find a pupil, see what a guard must know."""
    user, school, now = guard.the_user(), guard.the_school(), clock.now()
    gate.require(user)
    sought = request.args.get("q", "").strip()[:40]
    if sought:
        with transaction():
            audit.record(user, "pupils.searched", "gate", now, {"words": sought})
    people, more = gate.found(user, school, sought, now)
    return render_template(
        "register/gate.html", words=sought, people=people, more=more, book=gate.book(user, _today()), day=_today()
    )


@bp.get("/gate/<uuid:pupil_id>")
def person(pupil_id: uuid.UUID) -> ResponseReturnValue:
    """One pupil at the gate, with the two things a guard may write down."""
    _note_look("pupil.viewed", f"pupil:{pupil_id}")
    found = gate.person(guard.the_user(), guard.the_school(), pupil_id, clock.now())
    return render_template("register/person.html", person=found, form_id=new_id(), reasons=list(Reason))


@bp.post("/gate/<uuid:pupil_id>")
def record(pupil_id: uuid.UUID) -> ResponseReturnValue:
    """Write an entry or exit down. The same form sent twice is one."""
    user = guard.the_user()
    gate.person(user, guard.the_school(), pupil_id, clock.now())
    direction, form = request.form.get("direction", ""), _uuid(request.form.get("form", ""))
    if direction not in {"in", "out"}:
        raise Refused(_("The request was not what this page sends. Go back and try again."))
    with transaction() as session:
        reason, note = _reason(), request.form.get("note", "").strip()[:200]
        gate.record(session, user, pupil_id, form=form, direction=direction, reason=reason, now=clock.now(), note=note)
    return redirect(url_for("register.desk", done=pupil_id), 303)


@bp.get("/passes")
def papers() -> ResponseReturnValue:
    """Slips and passes that can be printed today."""
    user, school, now = guard.the_user(), guard.the_school(), clock.now()
    due, late = passes.due(user, school, now), passes.late_today(user, _today())
    return render_template("register/passes.html", day=_today(), due=due, late=late)


@bp.post("/passes/late")
def late_slip() -> ResponseReturnValue:
    """Give a late slip and show it as it is printed."""
    try:
        with transaction() as session:
            given = passes.late_slip(session, guard.the_user(), _uuid(request.form.get("pupil", "")), clock.now())
    except passes.NotLate:
        raise Refused(
            _("This pupil is not late today. A slip is printed once the gate or the guard has seen them.")
        ) from None
    return redirect(url_for("register.paper", code=passes.code_of(given.id)), 303)


@bp.post("/passes/exit")
def exit_pass() -> ResponseReturnValue:
    """Give an exit pass and show it as it is printed."""
    try:
        with transaction() as session:
            given = passes.exit_pass(session, guard.the_user(), _uuid(request.form.get("leave", "")), clock.now())
    except passes.NoLeave:
        raise Refused(
            _("There is no approved leave from now on. Ask for it, and print the pass once it is given.")
        ) from None
    return redirect(url_for("register.paper", code=passes.code_of(given.id)), 303)


@bp.get("/passes/<code>")
def paper(code: str) -> ResponseReturnValue:
    """The paper: A6, with a code that a phone's camera opens."""
    shown = passes.paper(guard.the_user(), code, clock.now())
    square = passes.square(url_for("register.check", code=shown.code, _external=True))
    day = clock.local_day(shown.given.valid_from, guard.the_school().timezone)
    return render_template("register/paper.html", paper=shown, square=square, day=day)


@bp.get("/p/<code>")
def check(code: str) -> ResponseReturnValue:
    """What the camera opens: valid, used or expired, in letters that are read from an arm's length."""
    shown = passes.paper(guard.the_user(), code, clock.now())
    at_gate = accounts.scope_of(guard.the_user(), gate.DESK).whole
    return render_template("register/check.html", paper=shown, at_gate=at_gate)


@bp.post("/p/<code>")
def use(code: str) -> ResponseReturnValue:
    """Take the pass: it is worth nothing afterwards."""
    with transaction() as session:
        passes.use(session, guard.the_user(), code, clock.now())
    return redirect(url_for("register.check", code=code, taken=1), 303)


def _today() -> dt.date:
    return clock.local_day(clock.now(), guard.the_school().timezone)


def _asked_day() -> dt.date:
    text = request.values.get("day", "")
    try:
        day = dt.date.fromisoformat(text) if text else _today()
    except ValueError:
        day = dt.date.min
    if day.year not in words.YEARS:
        raise Refused(_("%(text)s is not a day; write it like 2026-11-25.", text=text))
    return day


def _minutes() -> int:
    try:
        return int(request.form.get("minutes", "") or 0)
    except ValueError:
        raise Refused(_("Minutes are a whole number, such as 7.")) from None


def _reason() -> Reason:
    try:
        return Reason(request.form.get("reason", ""))
    except ValueError:
        raise Refused(_("Choose why no card was read.")) from None


def _uuid(text: str) -> uuid.UUID:
    """An id of a form; only this page's own buttons send one."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise Refused(_("The request was not what this page sends. Go back and try again.")) from None


def _note_look(action: str, subject: str) -> None:
    user, now = guard.the_user(), clock.now()
    if not audit.looked_lately(user, action, subject, now):
        with transaction():
            audit.record(user, action, subject, now)
