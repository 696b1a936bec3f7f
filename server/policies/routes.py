"""The settings pages: all policies, and one with its fields and history."""

import datetime as dt
from typing import Any

from babel.dates import get_day_names
from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from flask_babel import gettext as _

from server import clock, settings
from server.accounts import guard
from server.attendance import boarding
from server.db import db, transaction
from server.policies import pairs, service
from server.policies.words import POLICIES, Shown

bp = Blueprint("policies", __name__, template_folder="templates")
bp.add_app_template_filter(pairs.words, "pair_words")


@bp.get("/settings")
def page() -> ResponseReturnValue:
    """All policies, or the one that is asked for."""
    service.check(guard.the_user())
    name = request.args.get("of", "")
    if name:
        return _one(service.shown(name))
    return render_template("policies/all.html", policies=[(settings.name_of(each.kind), each) for each in POLICIES])


@bp.post("/settings")
def change() -> ResponseReturnValue:
    """Set a policy; what cannot be taken is said at its field."""
    user = guard.the_user()
    service.check(user)
    policy = service.shown(request.form.get("of", ""))
    try:
        with transaction():
            again = service.change(user, policy, request.form)
    except service.BadField as error:
        db.session.rollback()
        return _one(policy, error=error), 422
    return redirect(url_for("policies.page", of=settings.name_of(policy.kind), done=again), 303)


@bp.get("/boarders")
def boarders() -> ResponseReturnValue:
    """Who boards, and who of them is not back."""
    return _boarders()


@bp.post("/boarders")
def set_boarders() -> ResponseReturnValue:
    """Say by their numbers which pupils board, or board no more."""
    user = guard.the_user()
    service.check(user)
    numbers = request.form.get("numbers", "").replace(",", " ").replace("，", " ").split()
    found, unknown = service.by_numbers(user, numbers)
    if unknown or not found:
        sentence = _("No pupil has the number %(numbers)s. Nothing was changed.", numbers=", ".join(unknown) or "–")
        return _boarders(problem=sentence), 422
    with transaction():
        for pupil_id in found:
            boarding.set_boarder(user, pupil_id, boards=request.form.get("do") != "remove")
    return redirect(url_for("policies.boarders"), 303)


def _boarders(problem: str = "") -> str:
    user, school = guard.the_user(), guard.the_school()
    now = clock.now()
    return render_template(
        "policies/boarders.html",
        rows=boarding.boarders(user, school),
        missing={pupil.id for pupil, _room in boarding.not_back(user, school, now)},
        due=boarding.deadline(school, clock.local_day(now, school.timezone)),
        may_set=service.may_set(user),
        problem=problem,
        typed=request.form.get("numbers", ""),
    )


def _one(policy: Shown, *, error: service.BadField | None = None) -> str:
    school = guard.the_school()
    today = clock.local_day(clock.now(), school.timezone)
    return render_template(
        "policies/one.html",
        policy=policy,
        name=settings.name_of(policy.kind),
        lines=service.lines(school, policy.kind, today),
        past=service.past(school, policy.kind, today),
        today=today,
        typed=request.form,
        error=error,
        done=request.args.get("done", type=int) if error is None else None,
    )


@bp.app_template_filter()
def setting_words(value: Any, line: service.Line) -> str:
    """A value as people say it."""
    written = {
        "yes": lambda: _("yes") if value else _("no"),
        "time": lambda: f"{value // 60:02}:{value % 60:02}",
        "weekday": lambda: weekday_words()[int(value)],
        "choice": lambda: str(line.words.choices.get(str(value), value)),
        "pairs": lambda: pairs.words(value) or _("none"),
    }
    if line.sort in written:
        return written[line.sort]()
    if isinstance(value, list | tuple):
        return ", ".join(str(each) for each in value) or _("none")
    return f"{value} {line.words.unit}".strip()


@bp.app_template_global()
def weekday_words() -> list[str]:
    """Monday to Sunday in full."""
    names = get_day_names("wide", locale="zh_Hans_CN" if str(get_locale()).startswith("zh") else "en")
    return [names[day] for day in range(7)]


@bp.app_template_global()
def iso(day: dt.date) -> str:
    """As a date field wants it."""
    return day.isoformat()
