"""The absence board with its actions, and the replies that a person has to read."""

import uuid
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from server import clock
from server.absence import desk
from server.absence.rules import Reason
from server.accounts import guard
from server.audit import service as audit
from server.board import replies as letters
from server.board import service, words
from server.db import db, transaction
from server.errors import NotAllowed
from server.live import service as live
from server.people import service as people

bp = Blueprint("board", __name__, template_folder="templates")
words.init(bp)
LEAST_WORDS, MOST_WORDS = 2, 200


@bp.get("/absence")
def absence() -> ResponseReturnValue:
    """The brake if it is on, then missing pupils by need, then what was just resolved."""
    return _board_page()


def _board_page() -> str:
    user, school = guard.the_user(), guard.the_school()
    mark, day = live.newest(school.id), service.today(user)
    _note_look()
    grade, class_id = _chosen()
    return render_template(
        "board/absence.html",
        mark=mark,
        now=clock.now(),
        board=service.board(user, day, grade=grade, class_id=class_id),
        grade=grade,
        class_id=class_id,
        may_stop=desk.may_stop(user),
        undoable=len(desk.undoable(db.session(), user, clock.now())),
    )


@bp.get("/absence/<uuid:case_id>")
def case(case_id: uuid.UUID) -> ResponseReturnValue:
    """One missing pupil with everything that can be done."""
    return _case_page(case_id)


def _case_page(case_id: uuid.UUID, problem: str = "", written: str = "") -> str:
    user = guard.the_user()
    mark = live.newest(user.school_id)
    row = service.one(user, case_id)
    _note_look(f"pupil:{row.pupil.id}")
    row = service.one(user, case_id)
    reasons = desk.CLOSING
    return render_template(
        "board/case.html", mark=mark, row=row, problem=problem, written=written, reasons=reasons, now=clock.now()
    )


@bp.post("/absence/<uuid:case_id>/release")
def release(case_id: uuid.UUID) -> ResponseReturnValue:
    """The family of one held pupil is asked after all."""
    with transaction() as session:
        desk.release(session, guard.the_user(), case_id, clock.now())
    return _back()


@bp.post("/absence/<uuid:case_id>/ask")
def ask(case_id: uuid.UUID) -> ResponseReturnValue:
    """The next contact now."""
    with transaction() as session:
        desk.ask_now(session, guard.the_user(), case_id, asked=_number("asked"), now=clock.now())
    return _back()


@bp.post("/absence/<uuid:case_id>/confirm")
def confirm(case_id: uuid.UUID) -> ResponseReturnValue:
    """A guardian's "ill" becomes approved leave."""
    with transaction() as session:
        desk.confirm(session, guard.the_user(), case_id, clock.now())
    return _back()


@bp.post("/absence/<uuid:case_id>/seen")
def seen(case_id: uuid.UUID) -> ResponseReturnValue:
    """The pupil is here."""
    with transaction() as session:
        desk.seen_here(session, guard.the_user(), case_id, clock.now())
    return _back()


@bp.post("/absence/<uuid:case_id>/close")
def close(case_id: uuid.UUID) -> ResponseReturnValue:
    """Settled by a person, with a reason and words."""
    written, reason = request.form.get("words", "").strip(), request.form.get("reason", "")
    if not service.one(guard.the_user(), case_id).may:  # who may not decide learns nothing of the form
        raise NotAllowed
    if reason not in desk.CLOSING:
        return _case_page(case_id, _("Choose a reason."), written), 422
    if not LEAST_WORDS <= len(written) <= MOST_WORDS:
        return _case_page(case_id, _("Write in a few words who said so, up to 200 characters."), written), 422
    with transaction() as session:
        desk.close(session, guard.the_user(), case_id, reason=Reason(reason), words=written, now=clock.now())
    return _back()


@bp.get("/absence/send")
def ask_again() -> ResponseReturnValue:
    """Before all held questions are sent: how many, and to whom."""
    return _send_page()


def _send_page(problem: str = "") -> str:
    user = guard.the_user()
    grade, class_id = _chosen()
    found = service.board(user, service.today(user), grade=grade, class_id=class_id)
    return render_template(
        "board/send.html", brake=found.brake, grade=grade, class_id=class_id, problem=problem, rooms=found.rooms
    )


@bp.post("/absence/send")
def send() -> ResponseReturnValue:
    """Release all that are shown, if they are still as many as the person saw."""
    try:
        with transaction() as session:
            desk.release_all(session, guard.the_user(), _rooms(), seen=_number("seen"), now=clock.now())
    except desk.Changed as changed:
        return _send_page(str(changed)), 422
    return _back()


@bp.post("/absence/undo")
def undo() -> ResponseReturnValue:
    """Hold again what has just been released, as far as nothing has left."""
    with transaction() as session:
        desk.undo(session, guard.the_user(), clock.now())
    return _back()


@bp.post("/absence/call")
def call() -> ResponseReturnValue:
    """Ask the classes with held pupils to look who is there."""
    with transaction() as session:
        desk.call_classes(session, guard.the_user(), _rooms(), clock.now())
    return _back()


@bp.post("/absence/stop")
def stop() -> ResponseReturnValue:
    """No family is asked anything any more."""
    with transaction() as session:
        desk.stop(session, guard.the_user(), clock.now())
    return _back()


@bp.post("/absence/go-on")
def go_on() -> ResponseReturnValue:
    """Families are asked again."""
    with transaction() as session:
        desk.go_on(session, guard.the_user(), clock.now())
    return _back()


@bp.get("/replies")
def replies() -> ResponseReturnValue:
    """What families wrote and nothing could take."""
    user = guard.the_user()
    mark = live.newest(user.school_id)
    if not letters.may_read(user):
        raise NotAllowed
    return render_template("board/replies.html", mark=mark, letters=letters.unread(user))


@bp.post("/replies/<uuid:reply_id>/read")
def read(reply_id: uuid.UUID) -> ResponseReturnValue:
    """Somebody has read it and done what it needs."""
    with transaction() as session:
        letters.read(session, guard.the_user(), reply_id, clock.now())
    return redirect(url_for("board.replies"), 303)


@bp.post("/replies/<uuid:reply_id>/end")
def end(reply_id: uuid.UUID) -> ResponseReturnValue:
    """The sender wants no more texts from the gate."""
    with transaction() as session:
        letters.end_texts(session, guard.the_user(), reply_id, clock.now())
    return redirect(url_for("board.replies"), 303)


def _chosen() -> tuple[int | None, uuid.UUID | None]:
    grade, class_id = request.values.get("grade", ""), request.values.get("class", "")
    try:
        chosen = uuid.UUID(class_id) if class_id else None
    except ValueError:
        chosen = None
    return int(grade) if grade.isascii() and grade.isdecimal() and len(grade) < 4 else None, chosen


def _rooms() -> list[uuid.UUID]:
    """The classes that the page showed."""
    grade, class_id = _chosen()
    rooms = people.visible_classes(guard.the_user())
    return [room.id for room in rooms if grade in (None, room.grade) and class_id in (None, room.id)]


def _number(name: str) -> int:
    text = request.form.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else -1


def _back() -> Response:
    grade, class_id = _chosen()
    shown: dict[str, Any] = {"grade": grade, "class": class_id}
    return redirect(url_for("board.absence", **shown), 303)


def _note_look(subject: str = "absence") -> None:
    user, now = guard.the_user(), clock.now()
    if not audit.looked_lately(user, "absence.viewed", subject, now):
        with transaction():
            audit.record(user, "absence.viewed", subject, now)
