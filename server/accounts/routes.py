"""Log in, log out, choose the language."""

from flask import Blueprint, Response, current_app, make_response, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from server import clock
from server.accounts import guard, rules, service
from server.db import transaction

bp = Blueprint("accounts", __name__, template_folder="templates")
LOCALES = ("zh_Hans_CN", "en")
LOCALE_COOKIE = "gatebell-locale"


@bp.get("/login")
@guard.public
def login() -> ResponseReturnValue:
    """The form; who is logged in already goes on."""
    target = rules.local_path(request.args.get("next", "/"))
    if guard.current_user() is not None:
        return redirect(target)
    return render_template("accounts/login.html", target=target, login="", problem=None)


@bp.post("/login")
@guard.public
def log_in() -> ResponseReturnValue:
    """Check login and password. Unknown name and wrong password get the same answer after the same work."""
    login, password = request.form.get("login", "").strip(), request.form.get("password", "")
    target = rules.local_path(request.form.get("next", "/"))
    address = request.remote_addr or ""
    with transaction():
        wait = service.begin_try(login, address, clock.now())
    if wait:
        problem = _("Too many tries. Wait %(n)s seconds, then try again.", n=wait)
        page = render_template("accounts/login.html", target=target, login=login, problem=problem)
        return page, 429, {"Retry-After": str(wait)}
    user = service.verified(login, password)
    if user is None:
        problem = _("Login or password is wrong. Look at capital letters and try again.")
        return render_template("accounts/login.html", target=target, login=login, problem=problem), 422
    with transaction():
        service.take_back(login, address, clock.now())
        token = service.open_session(user, request.headers.get("User-Agent", ""), clock.now())
    session.clear()
    return _with_cookie(make_response(redirect(target, 303)), token)


@bp.post("/logout")
@guard.public
def log_out() -> ResponseReturnValue:
    """End the session on the server; the cookie is dead wherever it was copied to."""
    with transaction():
        service.close_session(request.cookies.get(guard.cookie_name(), ""))
    session.clear()
    response = make_response(redirect(url_for("accounts.login"), 303))
    response.delete_cookie(guard.cookie_name(), secure=current_app.config["SESSION_COOKIE_SECURE"])
    return response


@bp.post("/language")
@guard.public
def language() -> ResponseReturnValue:
    """Remember the language: with the user, and in this browser for its login page."""
    locale = request.form.get("locale", "")
    response = make_response(redirect(rules.local_path(request.form.get("next", "/")), 303))
    if locale not in LOCALES:
        return response
    user = guard.current_user()
    if user is not None:
        with transaction():
            user.locale = locale
    response.set_cookie(
        LOCALE_COOKIE, locale, max_age=365 * 86400, httponly=True, samesite="Lax", secure=_secure(), path="/"
    )
    return response


def _with_cookie(response: Response, token: str) -> Response:
    response.set_cookie(guard.cookie_name(), token, httponly=True, samesite="Lax", secure=_secure(), path="/")
    return response


def _secure() -> bool:
    return bool(current_app.config["SESSION_COOKIE_SECURE"])
