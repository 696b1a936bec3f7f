"""Who asks: the user behind a request's cookie, and the gate that every page stands behind."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from flask import Flask, Response, current_app, g, redirect, request, url_for

from server import clock
from server.accounts import service
from server.accounts.models import User
from server.db import db, transaction
from server.errors import NotAllowed
from server.schools.models import School

P = ParamSpec("P")
R = TypeVar("R")
SEEN_EVERY = 60  # seconds between two notes that a session is in use


def init_app(app: Flask) -> None:
    """Close every endpoint to strangers; the few open ones say so themselves."""
    app.before_request(refuse_strangers)


def public(view: Callable[P, R]) -> Callable[P, R]:
    """Open this page to people who are not logged in."""
    view.public = True  # type: ignore[attr-defined]
    return view


def is_public(endpoint: str | None) -> bool:
    """Whether strangers may ask for it. A blueprint with CSRF_EXEMPT asks its machines for a secret itself."""
    if endpoint is None or endpoint == "static":
        return True
    machines: set[str] = current_app.extensions.get("gatebell-machines", set())
    if endpoint.rpartition(".")[0] in machines:
        return True
    return getattr(current_app.view_functions.get(endpoint), "public", False)


def refuse_strangers() -> Any:
    """Before each request: a page asks for the login, a fragment sends the whole page there."""
    if is_public(request.endpoint) or current_user() is not None:
        return None
    target = request.full_path.rstrip("?") if request.method == "GET" and "HX-Request" not in request.headers else "/"
    login = url_for("accounts.login", next=target if target != "/" else None)
    if "HX-Request" in request.headers or request.method != "GET":
        return Response(status=401, headers={"HX-Redirect": url_for("accounts.login")})
    return redirect(login)


def cookie_name() -> str:
    """`__Host-` ties the cookie to this host over HTTPS; plain HTTP (the demo, a school's own net) cannot have it."""
    return "__Host-gatebell" if current_app.config["SESSION_COOKIE_SECURE"] else "gatebell"


def current_user() -> User | None:
    """The user of this request."""
    if "user" not in g:
        g.user = _load()
    user: User | None = g.user
    return user


def _load() -> User | None:
    token = request.cookies.get(cookie_name(), "")
    now = clock.now()
    found = service.session_of(token, now) if token else None
    if found is None:
        return None
    session, user = found
    if clock.elapsed(session.seen_at, now) > SEEN_EVERY:
        with transaction():
            service.touch(token, now)
    return user


def the_user() -> User:
    """The user of this request, on pages that strangers cannot reach."""
    user = current_user()
    if user is None:
        raise NotAllowed
    return user


def current_school() -> School | None:
    """The school of the user; for strangers the only school, when there is just one."""
    if "school" not in g:
        user = current_user()
        if user is not None:
            g.school = db.session.get(School, user.school_id)
        else:
            schools = db.session.scalars(db.select(School).limit(2)).all()
            g.school = schools[0] if len(schools) == 1 else None
    school: School | None = g.school
    return school


def the_school() -> School:
    """The school of the user, on pages that strangers cannot reach."""
    school = current_school()
    if school is None:
        raise NotAllowed
    return school
