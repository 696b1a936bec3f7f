"""Which pages there are: a few in the bar, all others in groups on one page. A new page is one line here."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import current_app, request, url_for
from flask_babel import lazy_gettext as _

from server.accounts import guard
from server.accounts import service as accounts
from server.board.replies import MAY_READ
from server.leave.access import READERS

STAFF = frozenset[str]()  # everybody who logs in
SETTERS = frozenset({"office", "head"})
OFFICE = frozenset({"office", "head", "operator"})
LEAVE = ("leavedesk.new", "leavedesk.trip", "leavedesk.one")
REGISTER = frozenset({"class_teacher", "subject_teacher", "grade_head", "office", "head"})
DESK = frozenset({"guard", "office", "head"})


@dataclass(frozen=True)
class Place:
    """One page in the menu. `roles` only spares people a page that would refuse them: the service decides."""

    endpoint: str
    icon: str
    words: Any
    hint: Any = ""
    roles: frozenset[str] = STAFF
    under: tuple[str, ...] = ()  # further endpoints that belong to it


@dataclass(frozen=True)
class Link:
    """A page as the template draws it."""

    href: str
    icon: str
    words: str
    hint: str
    here: bool


BAR = (
    Place("overview.today", "home", _("Today")),
    Place("overview.classes", "clipboard-check", _("Classes"), under=("overview.school_class",)),
    Place("overview.find", "users", _("Pupils"), under=("overview.pupil",)),
    Place("overview.sent_texts", "message-2", _("Texts")),
)
DEMO = Place("overview.phone_list", "device-mobile", _("Phone"), under=("overview.phone",))
MORE = Place("overview.more", "dots", _("More"))

CASES = ("board.case", "board.ask_again")
GROUPS: tuple[tuple[Any, tuple[Place, ...]], ...] = (
    (
        _("The school day"),
        (
            Place(
                "board.absence", "user-question", _("Absence"), _("Missing pupils: held, asked, answered"), under=CASES
            ),
            Place("board.replies", "messages", _("Replies"), _("What a person must read"), MAY_READ),
            Place("leavedesk.page", "file-text", _("Leave"), _("Requests, who is away, trips"), READERS, LEAVE),
            Place("leavedesk.warnings", "history", _("Away often"), _("Pupils somebody should ask about"), READERS),
            Place("register.classes", "clipboard-check", _("Registers"), roles=REGISTER, under=("register.take",)),
            Place("register.differences", "eye-check", _("Gate against class"), roles=REGISTER),
            Place("register.desk", "shield", _("Guard's page"), roles=DESK, under=("register.person",)),
            Place("register.papers", "ticket", _("Slips and passes"), roles=REGISTER | DESK),
            Place(
                "rollcall.inside",
                "users-group",
                _("Who is inside"),
                _("By class, and a list to print"),
                under=("rollcall.inside_list",),
            ),
            Place("rollcall.page", "flag", _("Roll call"), _("Evacuations and drills")),
            Place("rollcall.visitors", "id-badge", _("Visitors and staff"), _("Sign in and out"), DESK),
        ),
    ),
    (
        _("Reports"),
        (
            Place(
                "reports.whole",
                "chart-bar",
                _("Reports"),
                _("Attendance by day, month and term, and registers to print"),
            ),
        ),
    ),
    (_("Gates"), (Place("gates.page", "router", _("Gates"), _("Whether each gate and reader works"), OFFICE),)),
    (
        _("Setting up"),
        (
            Place("calendar.page", "calendar", _("Calendar"), _("Terms, days off, bells"), SETTERS),
            Place("policies.boarders", "bed", _("Boarders"), _("Who sleeps at school, and who is not back"), SETTERS),
            Place("policies.page", "settings", _("Settings"), _("When somebody is late, who is told what"), SETTERS),
        ),
    ),
)


def bar() -> list[Link]:
    """The bar at the top, and at the foot of a phone."""
    demo = (DEMO,) if current_app.extensions["gatebell"].demo else ()
    more = (MORE,) if groups() else ()
    return [link for place in (*BAR, *demo, *more) for link in _links(place)]


def groups() -> list[tuple[str, list[Link]]]:
    """All other pages of this user, without the groups that hold none."""
    found = [(str(words), [link for place in places for link in _links(place)]) for words, places in GROUPS]
    return [(words, links) for words, links in found if links]


def _links(place: Place) -> Iterator[Link]:
    user = guard.current_user()
    if place.endpoint not in current_app.view_functions or user is None:
        return
    if place.roles and not place.roles & accounts.roles_of(user):
        return
    here = request.endpoint in (place.endpoint, *place.under)
    yield Link(url_for(place.endpoint), place.icon, str(place.words), str(place.hint), here)
