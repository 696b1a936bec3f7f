"""What every page has: security headers, CSRF, languages, versioned assets, times as the school says them."""

import hashlib
import re
from datetime import date, datetime
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from babel.dates import format_date
from flask import Flask, Response, abort, current_app, request, url_for
from flask_babel import Babel, get_locale, lazy_gettext
from flask_wtf.csrf import CSRFProtect
from markupsafe import Markup
from werkzeug.middleware.proxy_fix import ProxyFix

from server import clock, config, crypt
from server.accounts import guard, service

csrf = CSRFProtect()  # type: ignore[no-untyped-call]
STATIC = Path(__file__).parent / "static"
ICONS = "vendor/tabler-icons-3.51.0/sprite.svg"
POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
YEAR = 365 * 86400
_ = lazy_gettext
ROLES = {
    "class_teacher": _("Class teacher"),
    "subject_teacher": _("Subject teacher"),
    "grade_head": _("Grade head"),
    "counsellor": _("Counsellor"),
    "guard": _("Gate"),
    "office": _("Office"),
    "head": _("Head of school"),
    "operator": _("Operator"),
}


def init_app(app: Flask) -> None:
    """Hook the common parts of all pages in."""
    settings: config.Config = app.extensions["gatebell"]
    secure = settings.web.secure_cookies
    app.secret_key = crypt.look_up("web cookies 1")
    app.config.update(
        SESSION_COOKIE_NAME="__Host-gatebell-form" if secure else "gatebell-form",
        SESSION_COOKIE_SECURE=secure,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        WTF_CSRF_TIME_LIMIT=None,
        BABEL_TRANSLATION_DIRECTORIES=str(Path(__file__).parent / "translations"),
        BABEL_DEFAULT_LOCALE="en",
    )
    if settings.web.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.web.proxies, x_proto=1, x_host=1)  # type: ignore[method-assign]
    app.extensions["gatebell-machines"] = set()
    app.before_request(refuse_nul)
    guard.init_app(app)
    csrf.init_app(app)  # type: ignore[no-untyped-call]
    Babel(app, locale_selector=chosen_locale)  # type: ignore[no-untyped-call]
    app.after_request(harden)
    app.context_processor(common)
    for filter_ in (hours, seconds, day_words, month_words, role_words, span):
        app.add_template_filter(filter_)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(asset=asset, icon=icon, clock_time=clock_time)


def open_to_machines(app: Flask, routes: ModuleType) -> None:
    """A feature whose routes say CSRF_EXEMPT is asked by machines that prove themselves: no form token, no login."""
    if getattr(routes, "CSRF_EXEMPT", False):
        csrf.exempt(routes.bp)  # type: ignore[no-untyped-call]
        app.extensions["gatebell-machines"].add(routes.bp.name)


def chosen_locale() -> str:
    """The user's language, else the browser's; `zh` in whatever form is zh_Hans_CN, the name that Babel finds."""
    user = guard.current_user()
    chosen = user.locale if user else request.cookies.get("gatebell-locale", "")
    if chosen in {"zh_Hans_CN", "en"}:
        return chosen
    wanted = request.accept_languages.best_match(["zh", "en"])
    if wanted is None:
        school = guard.current_school()
        return school.locale if school else "en"
    return "zh_Hans_CN" if wanted == "zh" else "en"


def refuse_nul() -> None:
    """PostgreSQL's texts hold no NUL and no page of ours sends one; machines' words are cleaned by who reads them."""
    if request.blueprint in current_app.extensions["gatebell-machines"]:
        return
    words = [request.path, *(word for pair in request.values.items(multi=True) for word in pair)]
    if any("\0" in word for word in words):
        abort(400)


def harden(response: Response) -> Response:
    """Headers of every answer; personal pages are kept nowhere, versioned files for ever."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", f"max-age={YEAR}")
    if request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "no-store")
    elif response.status_code == 200 and ("v" in request.args or "/vendor/" in request.path):
        response.headers["Cache-Control"] = f"public, max-age={YEAR}, immutable"
    return response


def common() -> dict[str, Any]:
    """What every template may use."""
    user = guard.current_user()
    settings: config.Config = current_app.extensions["gatebell"]
    return {
        "user": user,
        "user_roles": service.roles_of(user) if user else frozenset(),
        "school": guard.current_school(),
        "demo": settings.demo,
        "lang": "zh-CN" if chosen_locale() == "zh_Hans_CN" else "en",
        "fragment": "HX-Request" in request.headers,
    }


@cache
def _digest(path: Path, _changed: float) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def asset(filename: str) -> str:
    """URL of a static file, new whenever its content is."""
    if "vendor/" in filename:
        return url_for("static", filename=filename)
    path = STATIC / filename
    return url_for("static", filename=filename, v=_digest(path, path.stat().st_mtime))


@cache
def _icons() -> frozenset[str]:
    return frozenset(re.findall(r'<symbol id="([^"]+)"', (STATIC / ICONS).read_text()))


def icon(name: str, extra: str = "") -> Markup:
    """One icon of the sprite; it only repeats what the word beside it says, so readers skip it."""
    if name not in _icons():
        raise KeyError(f"no icon {name}: add it to server/static/vendor.toml and run deploy/vendor.py")
    return Markup('<svg class="ico {}" aria-hidden="true"><use href="{}#{}"></use></svg>').format(
        extra, f"{asset(ICONS)}", name
    )


def timezone() -> str:
    """The school's time zone."""
    school = guard.current_school()
    return school.timezone if school else "Asia/Shanghai"


def hours(moment: datetime) -> str:
    """07:52"""
    return f"{clock.local(moment, timezone()):%H:%M}"


def seconds(moment: datetime) -> Markup:
    """07:52:06, the seconds smaller."""
    local = clock.local(moment, timezone())
    return Markup('{}<small class="sec">:{}</small>').format(f"{local:%H:%M}", f"{local:%S}")


def clock_time() -> str:
    """The time at the school now, 07:52:06."""
    return f"{clock.local(clock.now(), timezone()):%H:%M:%S}"


def day_words(day: date) -> str:
    """11月25日 周三 / Wed 25 Nov"""
    chinese = str(get_locale()).startswith("zh")
    return format_date(day, "M月d日 EEE" if chinese else "EEE d MMM", locale="zh_Hans_CN" if chinese else "en")


def month_words(day: date) -> str:
    """2026年11月 / November 2026"""
    chinese = str(get_locale()).startswith("zh")
    return format_date(day, "y年M月" if chinese else "MMMM y", locale="zh_Hans_CN" if chinese else "en")


def role_words(role: str) -> str:
    """What a role is called."""
    return str(ROLES.get(role, role))


def span(value: float | None) -> str:
    """Seconds as people read them: 0.03, 1.8, 12, 95."""
    if value is None:
        return "–"
    return f"{value:.{2 if value < 0.995 else 1 if value < 9.95 else 0}f}"
