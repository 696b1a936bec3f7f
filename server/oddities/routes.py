"""The page of odd uses of cards."""

import uuid

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from server import clock
from server.accounts import guard
from server.audit import service as audit
from server.db import transaction
from server.oddities import lists, words

bp = Blueprint("oddities", __name__, template_folder="templates")
bp.add_app_template_filter(words.title, "odd_title")
bp.add_app_template_filter(words.advice, "odd_advice")
LISTS = ("new", "chance", "seen")


@bp.get("/odd-uses")
def odd_uses() -> ResponseReturnValue:
    """What cards were used for that is odd, of the last month."""
    user, now = guard.the_user(), clock.now()
    if not audit.looked_lately(user, "odd_uses.viewed", "odd_uses", now):
        with transaction():
            audit.record(user, "odd_uses.viewed", "odd_uses", now)
    return _page()


@bp.post("/odd-uses/<uuid:odd_id>/seen")
def seen(odd_id: uuid.UUID) -> ResponseReturnValue:
    """Somebody has looked into one; who it was is kept."""
    user, now = guard.the_user(), clock.now()
    with transaction() as session:
        odd = lists.mark_seen(session, user, odd_id, now)
        subject = f"pupil:{odd.pupil_id}" if odd.pupil_id else "odd_uses"
        audit.record(user, "odd_use.seen", subject, now, {"kind": odd.kind, "id": str(odd.id)})
    return _page()


def _page() -> ResponseReturnValue:
    asked = request.args.get("show", "")
    show = asked if asked in LISTS else LISTS[0]
    found = lists.page(guard.the_user(), clock.now(), show)
    return render_template("oddities/odd_uses.html", show=show, page=found)
