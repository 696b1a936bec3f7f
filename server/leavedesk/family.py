"""The family's page behind a signed link: no login, and nothing is shown or done before a person presses the button."""

from flask import Blueprint, current_app, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import force_locale
from flask_babel import gettext as _

from server import clock
from server.accounts import guard
from server.db import db, new_id, transaction
from server.errors import NotFound, Refused
from server.leave import links, requests
from server.leave.models import Leave, LeaveKind, LeaveSource
from server.leave.requests import Actor, CannotLeave, Wanted
from server.leavedesk import forms, service, words

KINDS = (LeaveKind.SICK, LeaveKind.PERSONAL)  # what a family may ask for


def init(bp: Blueprint) -> None:
    """Add the pages."""
    bp.add_url_rule("/l/<token>", view_func=guard.public(link_landing), methods=["GET"])
    bp.add_url_rule("/l/<token>", view_func=guard.public(link_open), methods=["POST"])
    bp.add_url_rule("/l/<token>/leave", view_func=guard.public(link_ask), methods=["POST"])
    bp.add_url_rule("/l/<token>/withdrawal", view_func=guard.public(link_withdraw), methods=["POST"])


def address(token: str) -> str:
    """The whole link, for a text."""
    base: str = current_app.extensions["gatebell"].web.url.rstrip("/")
    return base + url_for("leavedesk.link_landing", token=token)


def link_landing(token: str) -> ResponseReturnValue:
    """What a preview of the link gets: a button, and no child's name."""
    held = _holder(token)
    if held is None:
        return _dead()
    with force_locale(_locale(held)):
        return render_template("leavedesk/landing.html", token=token, held=held, locale=_locale(held))


def link_open(token: str) -> ResponseReturnValue:
    """The form."""
    held = _holder(token)
    return _dead() if held is None else _page(token, held)


def link_ask(token: str) -> ResponseReturnValue:
    """The guardian asks for leave."""
    held = _holder(token)
    if held is None:
        return _dead()
    with force_locale(_locale(held)):
        problem = _asked(held)
    return _page(token, held, problem=problem, done=not problem)


def _asked(held: links.Holder) -> str:
    """The sentence that says why not; empty when it is asked."""
    try:
        if forms.kind() not in KINDS:
            raise Refused(_("Choose what kind of leave it is."))
        wanted, sent = _wanted(held), forms.file()
        with transaction() as session:
            service.ask(session, held.school, wanted, Actor(guardian_id=held.guardian.id), sent, clock.now())
    except CannotLeave as error:
        return words.fault_words(error.fault)
    except Refused as error:
        return str(error)
    return ""


def _wanted(held: links.Holder) -> Wanted:
    starts_at, ends_at = forms.span(held.school)
    return Wanted(
        pupil_id=held.pupil.id,
        kind=forms.kind(),
        starts_at=starts_at,
        ends_at=ends_at,
        source=LeaveSource.LINK,
        reason=forms.text("reason"),
        guardian_id=held.guardian.id,
        once=forms.text("once", 40) or None,
    )


def link_withdraw(token: str) -> ResponseReturnValue:
    """The guardian takes an own leave of this child back."""
    held = _holder(token)
    if held is None:
        return _dead()
    leave_id, problem = forms.identity(forms.text("leave")) or new_id(), ""
    with force_locale(_locale(held)):
        try:
            with transaction() as session:
                _own(held, session.get(Leave, leave_id))
                service.withdraw(session, held.school, leave_id, Actor(guardian_id=held.guardian.id), clock.now())
        except CannotLeave as error:
            problem = words.fault_words(error.fault)
    return _page(token, held, problem=problem)


def _own(held: links.Holder, leave: Leave | None) -> None:
    """A link is for one child: a sibling's leave needs the sibling's link."""
    if leave is None or leave.pupil_id != held.pupil.id or leave.guardian_id != held.guardian.id:
        raise NotFound


def _page(token: str, held: links.Holder, *, problem: str = "", done: bool = False) -> ResponseReturnValue:
    held = links.holder(db.session(), token, clock.now())
    locale, now = _locale(held), clock.now()
    query = db.select(Leave).where(Leave.pupil_id == held.pupil.id, Leave.guardian_id == held.guardian.id)
    own = db.session.scalars(query.where(Leave.ends_at > now).order_by(Leave.starts_at)).all()
    with force_locale(locale):
        shown = render_template(
            "leavedesk/family.html",
            token=token,
            held=held,
            locale=locale,
            own=[(leave, leave.state in requests.OPEN) for leave in own],
            kinds=[(kind, words.KINDS[kind]) for kind in KINDS],
            today=clock.local_day(now, held.school.timezone),
            once=str(new_id()),
            problem=problem,
            done=done,
            form=request.form if problem else {},
        )
    return shown, 422 if problem else 200


def _holder(token: str) -> links.Holder | None:
    try:
        return links.holder(db.session(), token, clock.now())
    except NotFound:
        return None


def _dead() -> ResponseReturnValue:
    return render_template("leavedesk/dead.html", locale=""), 404


def _locale(held: links.Holder) -> str:
    """The language that was chosen on the page, else the guardian's."""
    chosen = request.args.get("lang", "")
    return chosen if chosen in {"en", "zh_Hans_CN"} else held.guardian.locale
