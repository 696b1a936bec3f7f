"""The leave desk: what waits to be decided, who is away today and soon, and writing leave down."""

import uuid
from collections.abc import Callable

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from server import clock, settings
from server.accounts import guard
from server.accounts.models import User
from server.audit import service as audit
from server.db import new_id, transaction
from server.errors import NotAllowed, Refused
from server.leave import access, files, links, requests
from server.leave.models import LeaveKind, LeaveSource, LeaveState
from server.leave.requests import Actor, CannotLeave, Decision, Wanted
from server.leave.rules import LeavePolicy, needs_guardian
from server.leavedesk import family, forms, lists, service, texts, warn, words
from server.leavedesk.lists import Sought, Tab
from server.people import service as people

bp = Blueprint("leavedesk", __name__, template_folder="templates")
words.init(bp)
family.init(bp)


@bp.get("/leave")
def page() -> ResponseReturnValue:
    """One part of the inbox."""
    user, school, now = _reader(), guard.the_school(), clock.now()
    sought = _sought()
    return render_template(
        "leavedesk/leave.html",
        sought=sought,
        tabs=lists.counts(user, school, now),
        rows=lists.rows(user, school, sought, now),
        classes=lists.classes(user),
        kinds=words.KINDS,
        warnings=len(warn.unseen(user)),
        may_trip=_may_trip(user),
    )


def _sought() -> Sought:
    tab, kind = request.args.get("tab", ""), request.args.get("kind", "")
    return Sought(
        Tab(tab) if tab in list(Tab) else Tab.ASKED,
        forms.identity(request.args.get("class", "")),
        LeaveKind(kind) if kind in list(LeaveKind) else None,
        request.args.get("q", "").strip()[:40],
    )


@bp.get("/leave/new")
def new() -> ResponseReturnValue:
    """Choose a pupil, then write the leave down."""
    return _new_page(request.args.get("pupil", ""))


@bp.post("/leave/new")
def write() -> ResponseReturnValue:
    """Write a leave down; at once approved when this user may and it is wished."""
    user, school, now = _reader(), guard.the_school(), clock.now()
    pupil, _room = access.pupil(user, forms.identity(forms.text("pupil")) or new_id())

    def act() -> ResponseReturnValue:
        wanted, file = _wanted(pupil.id), forms.file()
        with transaction() as session:
            leave = service.ask(session, school, wanted, Actor(user), file, now)
            if forms.text("approve") == "yes" and leave.state == LeaveState.ASKED:
                service.decide(session, school, leave.id, Decision(approve=True), user, now)
        return redirect(url_for("leavedesk.one", leave_id=leave.id), 303)

    return _tried(act, lambda problem: _new_page(str(pupil.id), problem))


def _wanted(pupil_id: uuid.UUID) -> Wanted:
    starts_at, ends_at = forms.span(guard.the_school())
    return Wanted(
        pupil_id=pupil_id,
        kind=forms.kind(),
        starts_at=starts_at,
        ends_at=ends_at,
        source=LeaveSource.STAFF,
        reason=forms.text("reason"),
        guardian_id=forms.identity(forms.text("guardian")),
        called=forms.text("called"),
        once=forms.text("once", 40) or None,
    )


def _new_page(pupil_id: str, problem: str = "") -> ResponseReturnValue:
    user, sought = _reader(), request.args.get("q", "").strip()[:40]
    chosen = access.pupil(user, forms.identity(pupil_id) or new_id()) if pupil_id else None
    if sought:
        with transaction():
            audit.record(user, "pupils.searched", "leave", clock.now(), {"words": sought})
    found = lists.found(_reader(), sought)
    shown = render_template(
        "leavedesk/new.html",
        words=sought,
        found=found,
        chosen=chosen,
        contacts=_excusers(chosen[0].id) if chosen else [],
        kinds=words.KINDS,
        today=clock.local_day(clock.now(), guard.the_school().timezone),
        once=str(new_id()),
        problem=problem,
        form=request.form,
    )
    return shown, 422 if problem else 200


@bp.get("/leave/trip")
def trip() -> ResponseReturnValue:
    """A trip or the like for pupils of one class."""
    return _trip_page(request.args.get("class", ""))


@bp.post("/leave/trip")
def go_on_trip() -> ResponseReturnValue:
    """Approve it for all who are ticked."""
    user, school, now = _tripper(), guard.the_school(), clock.now()
    room = people.visible_class(user, forms.identity(forms.text("class")) or new_id())
    ticked = [each for each in map(forms.identity, request.form.getlist("pupils")) if each is not None]

    def act() -> ResponseReturnValue:
        if not ticked:
            raise Refused(_("Tick the pupils who go."))
        once = forms.text("once", 40) or str(new_id())
        kind = LeaveKind.OFFICIAL if forms.text("kind") == "official" else LeaveKind.TRIP
        wanted = service.Trip(kind, *forms.span(school), forms.text("reason"), once)
        with transaction() as session:
            left_out = service.trip(session, school, user, ticked, wanted, now)
        if not left_out:
            return redirect(url_for("leavedesk.page", tab="coming", q="", kind=kind), 303)
        return _trip_page(str(room.id), left_out=", ".join(pupil.name for pupil in left_out))

    return _tried(act, lambda problem: _trip_page(str(room.id), problem))


def _trip_page(class_id: str, problem: str = "", left_out: str = "") -> ResponseReturnValue:
    user, now = _tripper(), clock.now()
    wanted = forms.identity(class_id)
    shown = render_template(
        "leavedesk/trip.html",
        classes=lists.classes(user),
        room=people.visible_class(user, wanted) if wanted else None,
        pupils=lists.of_class(user, wanted) if wanted else [],
        today=clock.local_day(now, guard.the_school().timezone),
        once=str(new_id()),
        problem=problem,
        left_out=left_out,
        form=request.form,
        ticked=request.form.getlist("pupils"),
    )
    return shown, 422 if problem else 200


@bp.get("/leave/warnings")
def warnings() -> ResponseReturnValue:
    """Pupils who are away too long or too often."""
    return render_template("leavedesk/warnings.html", rows=warn.unseen(_reader()))


@bp.post("/leave/warnings/<uuid:warning_id>/seen")
def seen(warning_id: uuid.UUID) -> ResponseReturnValue:
    """Somebody takes care of it."""
    user = _reader()
    with transaction() as session:
        row = warn.seen(session, user, warning_id, clock.now())
        audit.record(user, "absence.seen", f"pupil:{row.pupil_id}", clock.now(), {"kind": row.kind})
    return redirect(url_for("leavedesk.warnings"), 303)


@bp.get("/leave/<uuid:leave_id>")
def one(leave_id: uuid.UUID) -> ResponseReturnValue:
    """One leave; who looked is kept."""
    return _leave_page(leave_id)


def _leave_page(leave_id: uuid.UUID, problem: str = "") -> ResponseReturnValue:
    user, school, now = guard.the_user(), guard.the_school(), clock.now()
    pupil_id = lists.row(user, leave_id).pupil.id
    if not audit.looked_lately(user, "leave.viewed", f"pupil:{pupil_id}", now):
        with transaction():
            audit.record(user, "leave.viewed", f"pupil:{pupil_id}", now)
    row = lists.row(user, leave_id)
    most = requests.power(school, user, row.room, row.leave.kind)
    shown = render_template(
        "leavedesk/one.html",
        row=row,
        steps=lists.steps(row.leave),
        files=files.of(leave_id),
        contacts=_excusers(row.pupil.id),
        may_decide=most >= row.leave.school_days,
        needs_guardian=needs_guardian(row.leave.kind),
        is_open=row.leave.state in requests.OPEN and row.leave.ends_at > now,
        begun=row.leave.starts_at < now,
        span=texts.span_of(school, row.leave.starts_at, row.leave.ends_at),
        problem=problem,
    )
    return shown, 422 if problem else 200


@bp.post("/leave/<uuid:leave_id>/decision")
def decide(leave_id: uuid.UUID) -> ResponseReturnValue:
    """Approve or decline."""
    user, school = guard.the_user(), guard.the_school()
    access.leave(user, leave_id)

    def act() -> ResponseReturnValue:
        if forms.text("decision") not in {"approve", "decline"}:
            raise Refused(_("Approve or decline."))
        with transaction() as session:
            service.decide(session, school, leave_id, _decision(), user, clock.now())
        return redirect(url_for("leavedesk.one", leave_id=leave_id), 303)

    return _tried(act, lambda problem: _leave_page(leave_id, problem))


def _decision() -> Decision:
    return Decision(
        approve=forms.text("decision") != "decline",
        guardian_id=forms.identity(forms.text("guardian")),
        called=forms.text("called"),
        note=forms.text("note"),
    )


@bp.post("/leave/<uuid:leave_id>/span")
def change(leave_id: uuid.UUID) -> ResponseReturnValue:
    """Shorten or extend."""
    user, school = guard.the_user(), guard.the_school()
    access.leave(user, leave_id)

    def act() -> ResponseReturnValue:
        span = forms.span(school)
        with transaction() as session:
            service.change(session, school, leave_id, span, _decision(), user, clock.now())
        return redirect(url_for("leavedesk.one", leave_id=leave_id), 303)

    return _tried(act, lambda problem: _leave_page(leave_id, problem))


@bp.post("/leave/<uuid:leave_id>/withdrawal")
def withdraw(leave_id: uuid.UUID) -> ResponseReturnValue:
    """Take it back; what has passed stays excused."""
    user, school = guard.the_user(), guard.the_school()
    access.leave(user, leave_id)

    def act() -> ResponseReturnValue:
        with transaction() as session:
            service.withdraw(session, school, leave_id, Actor(user), clock.now())
        return redirect(url_for("leavedesk.one", leave_id=leave_id), 303)

    return _tried(act, lambda problem: _leave_page(leave_id, problem))


@bp.post("/leave/<uuid:leave_id>/files")
def add_file(leave_id: uuid.UUID) -> ResponseReturnValue:
    """Add a doctor's note."""
    user, now = guard.the_user(), clock.now()
    access.leave(user, leave_id)

    def act() -> ResponseReturnValue:
        sent = forms.file()
        if sent is None:
            raise Refused(_("Choose a picture or a PDF."))
        with transaction() as session:
            leave, _room = requests.opened(session, guard.the_school(), leave_id)
            try:
                files.add(session, leave, *sent, user.id, now)
            except files.BadFile as error:
                raise Refused(words.file_words(error)) from None
            requests.note(session, leave, "leave.file", Actor(user), now)
        return redirect(url_for("leavedesk.one", leave_id=leave_id), 303)

    return _tried(act, lambda problem: _leave_page(leave_id, problem))


@bp.get("/leave/<uuid:leave_id>/files/<uuid:file_id>")
def file(leave_id: uuid.UUID, file_id: uuid.UUID) -> ResponseReturnValue:
    """A file to save, never to be shown as a page of ours; that it was fetched is kept."""
    user = guard.the_user()
    _leave, pupil, _room = access.leave(user, leave_id)
    with transaction():
        audit.record(user, "leave.file_viewed", f"pupil:{pupil.id}", clock.now())
    found = files.one(leave_id, file_id)
    name = f"leave-{found.added_at:%Y%m%d}-{str(found.id)[:8]}.{files.SUFFIX[found.type]}"
    response = Response(found.content, mimetype=found.type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


@bp.post("/leave/link")
def send_link() -> ResponseReturnValue:
    """Send a guardian the link by which leave is asked for without a login."""
    user, school, now = _reader(), guard.the_school(), clock.now()
    pupil, _room = access.pupil(user, forms.identity(forms.text("pupil")) or new_id())
    guardian_id = forms.identity(forms.text("guardian"))
    days = settings.policy(school.id, LeavePolicy).link_days
    with transaction() as session:
        requests.locked(session, school, pupil.id)
        guardian = texts.may_be_texted(session, pupil.id, guardian_id)
        if guardian is None:
            raise Refused(_("No text can go there: the number is not verified, or this person may not be told."))
        token = links.token(guardian, pupil.id, clock.later(now, days * 86400))
        texts.send(session, school, guardian, pupil.id, texts.Said("link", link=family.address(token)), now)
        audit.record(user, "leave.link_sent", f"pupil:{pupil.id}", now, {"guardian": str(guardian.id)})
    return redirect(url_for("overview.pupil", pupil_id=pupil.id), 303)


def _tried(act: Callable[[], ResponseReturnValue], again: Callable[[str], ResponseReturnValue]) -> ResponseReturnValue:
    """Do it, or show the form again with the sentence that says why not."""
    try:
        return act()
    except CannotLeave as error:
        return again(words.fault_words(error.fault))
    except Refused as error:
        return again(str(error))


def _excusers(pupil_id: uuid.UUID) -> list[people.Contact]:
    return [contact for contact in people.contacts_of(pupil_id) if not contact.barred]


def _reader() -> User:
    user = guard.the_user()
    if not access.reads_any(user):
        raise NotAllowed
    return user


def _tripper() -> User:
    user = _reader()
    if not _may_trip(user):
        raise NotAllowed
    return user


def _may_trip(user: User) -> bool:
    return any(grant.role in {"office", "head"} for grant in user.grants)
