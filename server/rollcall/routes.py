"""Pages of who is inside, the roll call, its report and log, and the desk."""

import uuid
from collections import defaultdict
from datetime import datetime, timedelta

from babel.core import get_global
from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from server import clock
from server.accounts import guard
from server.accounts import service as accounts
from server.accounts.models import User
from server.audit import service as audit
from server.cards import rules as cards
from server.db import db, new_id, transaction
from server.errors import NotFound, Refused
from server.people import service as people
from server.people.rules import BadPhone, e164
from server.rollcall import desk, export, presence, report, rules, service, sheet, words
from server.rollcall.models import RollCall
from server.rollcall.presence import Person
from server.rollcall.rules import RollKind, Tally
from server.schools.models import School

bp = Blueprint("rollcall", __name__, template_folder="templates")
words.init(bp)
PHONE = "phone"  # how the queue in a phone says who asks; it wants no page back
LONGEST_AGO = 24 * 3600 * 1000  # milliseconds a tick may wait in a phone


@bp.get("/inside")
def inside() -> ResponseReturnValue:
    """How many are inside, by class."""
    user, school, now = guard.the_user(), guard.the_school(), clock.now()
    found, session = _people_of(user, school, now), db.session()
    counts = {key: rules.tally((each.standing, False) for each in those) for key, those in found.items()}
    disputed = [each for those in found.values() for each in those if each.standing == rules.Standing.DISPUTED]
    return render_template(
        "rollcall/inside.html",
        mark="",  # whatever is new, the stream says so at once
        now=now,
        classes=people.visible_classes(user),
        counts=counts,
        nobody=Tally(),
        disputed=disputed,
        roll=service.running(session, school.id),
        whole=accounts.scope_of(user).whole,
        at_desk=bool(desk.AT_DESK & accounts.roles_of(user)),
    )


@bp.get("/inside/list")
def inside_list() -> ResponseReturnValue:
    """The list to print, with every name; it needs no gate, no broker and no script."""
    user, school, now = guard.the_user(), guard.the_school(), clock.now()
    _note(user, "inside.listed", f"school:{school.id}")
    classes = sheet.class_of(school.id)
    found = _people_of(user, school, now)
    order = sorted(found, key=lambda key: sheet.place(key, classes))
    return render_template("rollcall/paper.html", now=now, order=order, people=found, classes=classes)


def _people_of(user: User, school: School, now: datetime) -> dict[str, list[Person]]:
    """Who is or may be inside, of the classes that the user may see; visitors and staff for who sees the school."""
    session, found = db.session(), defaultdict[str, list[Person]](list)
    those = presence.pupils(session, school, people.visible_pupils(user), now)
    if accounts.scope_of(user).whole:
        those += [*presence.visitors(session, school.id), *presence.staff(session, school, now)]
    for each in those:
        found[each.part].append(each)
    return found


@bp.get("/rollcall")
def page() -> ResponseReturnValue:
    """Start one, go to the one that runs, and the log of those that were."""
    user, session = guard.the_user(), db.session()
    roll = service.running(session, user.school_id)
    return render_template(
        "rollcall/rollcall.html",
        roll=roll,
        seconds=service.running_seconds(roll, clock.now()) if roll else 0,
        may_start=service.may_start(user),
        log=report.log(user),
        today=clock.local_day(clock.now(), guard.the_school().timezone),
    )


@bp.post("/rollcall")
def start() -> ResponseReturnValue:
    """The alarm."""
    user, school = guard.the_user(), guard.the_school()
    try:
        kind = RollKind(request.form.get("kind", ""))
    except ValueError:
        raise Refused(_("Say whether this is a drill or real.")) from None
    with transaction() as session:
        roll, is_new = service.start(session, school, user, kind, clock.now())
        if is_new:
            audit.record(user, "rollcall.started", f"rollcall:{roll.id}", clock.now(), {"kind": kind})
    return redirect(url_for("rollcall.overview", roll_id=roll.id), 303)


@bp.get("/rollcall/<uuid:roll_id>")
def overview(roll_id: uuid.UUID) -> ResponseReturnValue:
    """All classes of a roll, most missing first as it was when the page was opened."""
    user, now = guard.the_user(), clock.now()
    roll = service.the_roll(user, roll_id)
    if roll.ended_at is not None:
        return redirect(url_for("rollcall.the_report", roll_id=roll.id), 303)
    ordered_at = _ordered_at(now)
    return render_template(
        "rollcall/overview.html",
        mark="",  # whatever is new, the stream says so at once
        roll=roll,
        seconds=service.running_seconds(roll, now),
        seen=sheet.overview(user, roll, now, ordered_at),
        order=clock.to_millis(ordered_at),
        may_start=service.may_start(user),
        colleagues=service.colleagues(db.session(), user.school_id) if service.may_start(user) else (),
    )


def _ordered_at(now: datetime) -> datetime:
    try:
        return clock.from_millis(int(request.args.get("order", "")))
    except (ValueError, OverflowError):
        return now


@bp.get("/rollcall/<uuid:roll_id>/parts/<part>")
def part(roll_id: uuid.UUID, part: str) -> ResponseReturnValue:
    """One class, to be ticked."""
    user, now = guard.the_user(), clock.now()
    roll = service.the_roll(user, roll_id)
    if not service.may_tick(db.session(), user, roll, part) or part not in service.parts_of(db.session(), roll):
        raise NotFound
    _note(user, "rollcall.viewed", f"class:{part}")
    roll = service.the_roll(user, roll_id)
    sure, doubtful = sheet.rows(roll, part)
    tally = rules.tally((row.entry.standing, row.entry.there) for row in [*sure, *doubtful])
    return render_template(
        "rollcall/part.html",
        mark="",  # whatever is new, the stream says so at once
        roll=roll,
        seconds=service.running_seconds(roll, now),
        part=part,
        school_class=sheet.class_of(user.school_id).get(part),
        sure=sure,
        doubtful=doubtful,
        tally=tally,
    )


@bp.post("/rollcall/entries/<uuid:entry_id>")
def tick(entry_id: uuid.UUID) -> ResponseReturnValue:
    """Somebody is there, or is not after all; a phone that was cut off says how long ago."""
    user, now = guard.the_user(), clock.now()
    said = service.Said(_key(), entry_id, request.form.get("there") == "1", clock.before(now, _ago()))
    with transaction() as session:
        entry = service.say(session, user, said, now)
    if request.headers.get("X-Queue") == PHONE:
        return Response(status=204)
    return redirect(url_for("rollcall.part", roll_id=entry.roll_id, part=entry.part, _anchor=f"e-{entry.id}"), 303)


def _key() -> uuid.UUID:
    try:
        return uuid.UUID(request.form.get("key", ""))
    except ValueError:
        return new_id()


def _ago() -> int:
    text = request.form.get("ago", "0")
    return min(int(text), LONGEST_AGO) if text.isascii() and text.isdigit() and len(text) < 12 else 0


@bp.post("/rollcall/<uuid:roll_id>/posts")
def send(roll_id: uuid.UUID) -> ResponseReturnValue:
    """Send somebody to a class where nobody ticks."""
    user, part = guard.the_user(), request.form.get("part", "")[:36]
    try:
        whom = uuid.UUID(request.form.get("whom", ""))
    except ValueError:
        service.the_roll(user, roll_id)
        raise Refused(_("Choose whom to send.")) from None
    with transaction() as session:
        post = service.send(session, user, roll_id, part, whom, clock.now())
        audit.record(
            user, "rollcall.sent", f"rollcall:{roll_id}", clock.now(), {"part": part, "user": str(post.user_id)}
        )
    return redirect(url_for("rollcall.overview", roll_id=roll_id), 303)


@bp.post("/rollcall/<uuid:roll_id>/end")
def end(roll_id: uuid.UUID) -> ResponseReturnValue:
    """All clear."""
    user = guard.the_user()
    with transaction() as session:
        roll = service.end(session, user, roll_id, clock.now())
        audit.record(user, "rollcall.ended", f"rollcall:{roll.id}", clock.now())
    return redirect(url_for("rollcall.the_report", roll_id=roll_id), 303)


@bp.get("/rollcall/<uuid:roll_id>/report")
def the_report(roll_id: uuid.UUID) -> ResponseReturnValue:
    """Who was missing when, and for how long; to be printed."""
    user, now = guard.the_user(), clock.now()
    service.the_roll(user, roll_id)
    _note(user, "rollcall.reported", f"rollcall:{roll_id}")
    roll = service.the_roll(user, roll_id)
    return render_template(
        "rollcall/report.html",
        roll=roll,
        seconds=service.running_seconds(roll, now),
        found=report.of_roll(user, roll, now),
        may_start=service.may_start(user),
    )


@bp.get("/rollcall/<uuid:roll_id>/report.csv")
def report_csv(roll_id: uuid.UUID) -> ResponseReturnValue:
    """The report for a spreadsheet."""
    user, now = guard.the_user(), clock.now()
    service.the_roll(user, roll_id)
    _note(user, "rollcall.exported", f"rollcall:{roll_id}")
    roll = service.the_roll(user, roll_id)
    response = make_response(export.as_csv(report.of_roll(user, roll, now)))
    response.headers["Content-Type"] = "text/csv; charset=utf-8"
    response.headers["Content-Disposition"] = f"attachment; filename=rollcall-{_stamp(roll)}.csv"
    return response


def _stamp(roll: RollCall) -> str:
    return f"{clock.local(roll.started_at, guard.the_school().timezone):%Y%m%d-%H%M}"


@bp.get("/visitors")
def visitors() -> ResponseReturnValue:
    """The desk."""
    return _desk_page()


def _desk_page(problem: str = "", code: int = 200) -> ResponseReturnValue:
    user, school, now = guard.the_user(), guard.the_school(), clock.now()
    desk.check_desk(user)
    midnight = clock.at_local(clock.local_day(now, school.timezone), 0, school.timezone)
    members = presence.active_staff(db.session(), school.id)
    page = render_template(
        "rollcall/visitors.html",
        visits=desk.inside(school.id),
        gone=desk.gone(school.id, midnight),
        members=members,
        entered=presence.staff_inside(db.session(), school, members, now),
        keeps_staff=bool(desk.KEEPS_STAFF & accounts.roles_of(user)),
        key=new_id(),
        problem=problem,
        form=request.form,
        long_ago=now - timedelta(hours=12),
    )
    return page, code


@bp.post("/visitors")
def sign_in() -> ResponseReturnValue:
    """A visitor comes."""
    user, school, now = guard.the_user(), guard.the_school(), clock.now()
    host, typed = _host()
    arrival = desk.Arrival(_key(), _field("name", 80), host, typed, _field("purpose", 80), _field("badge", 16))
    try:
        with transaction() as session:
            visit = desk.sign_in(session, user, school, arrival, now)
            audit.record(user, "visitor.in", f"visit:{visit.id}", now)
    except Refused as refused:
        return _desk_page(str(refused), 422)
    return redirect(url_for("rollcall.visitors"), 303)


def _host() -> tuple[uuid.UUID | None, str]:
    """The host among the staff, by the name that was typed; another name is kept as it is."""
    typed = _field("host", 64)
    members = presence.active_staff(db.session(), guard.the_user().school_id)
    named = [member.id for member in members if typed and member.name == typed]
    return (named[0], typed) if len(named) == 1 else (None, typed)


def _field(name: str, longest: int) -> str:
    return " ".join(request.form.get(name, "").split())[:longest]


@bp.post("/visitors/<uuid:visit_id>/out")
def sign_out(visit_id: uuid.UUID) -> ResponseReturnValue:
    """A visitor goes."""
    user, now = guard.the_user(), clock.now()
    with transaction() as session:
        desk.sign_out(session, user, visit_id, now)
        audit.record(user, "visitor.out", f"visit:{visit_id}", now)
    return redirect(url_for("rollcall.visitors"), 303)


@bp.post("/visitors/staff")
def add_staff() -> ResponseReturnValue:
    """One more colleague."""
    user, school, now = guard.the_user(), guard.the_school(), clock.now()
    try:
        card, phone = _card(), _phone(school)
        with transaction() as session:
            name, login = _field("staff_name", 64), _field("login", 64)
            member = desk.add_staff(session, user, name=name, card=card, phone=phone, login=login)
            audit.record(user, "staff.added", f"staff:{member.id}", now)
    except Refused as refused:
        return _desk_page(str(refused), 422)
    return redirect(url_for("rollcall.visitors"), 303)


def _card() -> str | None:
    text = _field("card", 80)
    try:
        return cards.canonical(text) if text else None
    except ValueError as error:
        raise Refused(str(error)) from None


def _phone(school: School) -> str | None:
    text, region = _field("phone", 40), str(get_global("zone_territories").get(school.timezone, "CN"))
    try:
        return e164(text, region=region) if text else None
    except BadPhone:
        raise Refused(_("This is no telephone number that a text can be sent to. Look at its digits.")) from None


@bp.post("/visitors/staff/<uuid:staff_id>/pass")
def pass_staff(staff_id: uuid.UUID) -> ResponseReturnValue:
    """A colleague comes or goes without a badge."""
    user, now, inwards = guard.the_user(), clock.now(), request.form.get("way") == "in"
    with transaction() as session:
        desk.pass_staff(session, user, staff_id, now, inwards=inwards)
        audit.record(user, "staff.in" if inwards else "staff.out", f"staff:{staff_id}", now)
    return redirect(url_for("rollcall.visitors"), 303)


@bp.post("/visitors/staff/<uuid:staff_id>/remove")
def remove_staff(staff_id: uuid.UUID) -> ResponseReturnValue:
    """A colleague works here no more."""
    user = guard.the_user()
    with transaction() as session:
        desk.remove_staff(session, user, staff_id)
        audit.record(user, "staff.removed", f"staff:{staff_id}", clock.now())
    return redirect(url_for("rollcall.visitors"), 303)


def _note(user: User, action: str, subject: str) -> None:
    """Write down who looked, once for a page that refreshes itself."""
    if not audit.looked_lately(user, action, subject, clock.now()):
        with transaction():
            audit.record(user, action, subject, clock.now())
