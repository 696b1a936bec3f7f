"""The gates' page: how each is, its last self-test, and who is told when one fails."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime

from babel.core import get_global
from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from gateway import wire
from server import clock, settings
from server.accounts import guard
from server.accounts import service as accounts
from server.accounts.models import Role, User
from server.audit import service as audit
from server.db import transaction
from server.errors import NotAllowed, Refused
from server.gates import rules, selftests, service, words
from server.gates.models import GateFault, GateTest, Gateway
from server.people import service as people
from server.people.rules import BadPhone, e164
from server.schools.models import School

bp = Blueprint("gates", __name__, template_folder="templates")
for filter_ in (words.sentence, words.remedy, words.in_full):
    bp.add_app_template_filter(filter_)
MAY_CHANGE = frozenset({Role.OFFICE, Role.HEAD, Role.OPERATOR})


@dataclass(frozen=True)
class Fault:
    """One fault of today in words."""

    words: words.Words
    since: datetime
    mended_at: datetime | None


@dataclass(frozen=True)
class Reader:
    """One reader in words; `fault` is empty when all is well."""

    id: str
    last_card: datetime | None
    fault: words.Words | None


@dataclass(frozen=True)
class Row:
    """One gate of the page; `test` is none, running, fine, faults or silent."""

    gateway: Gateway
    readers: list[Reader]
    faults: list[Fault]
    test: str
    tested_at: datetime | None

    @property
    def is_faulty(self) -> bool:
        """Whether somebody should look at it."""
        return any(fault.mended_at is None for fault in self.faults) or any(reader.fault for reader in self.readers)


@bp.app_template_filter()
def moment(at: datetime) -> str:
    """07:52 of today, else 11-24 07:52."""
    zone = guard.the_school().timezone
    local, today = clock.local(at, zone), clock.local_day(clock.now(), zone)
    return f"{local:%H:%M}" if local.date() == today else f"{local:%m-%d %H:%M}"


@bp.get("/gates")
def page() -> ResponseReturnValue:
    """All gates of the school."""
    user, school = _viewer(), guard.the_school()
    day = clock.local_day(clock.now(), school.timezone)
    return render_template(
        "gates/gates.html",
        rows=_rows(school.id, day),
        policy=settings.policy(school.id, rules.SelfTestPolicy),
        may_change=_may_change(user),
        caretakers=[(person, people.masked(person.phone)) for person in selftests.caretakers(school.id)],
    )


@bp.post("/gates/<gateway_id>/test")
def test_now(gateway_id: str) -> ResponseReturnValue:
    """Have one gate test itself."""
    _changer()
    with transaction() as session:
        selftests.by_hand(session, guard.the_school(), gateway_id, clock.now())
    return redirect(url_for("gates.page"), 303)


@bp.post("/gates/<gateway_id>/rest")
def rest(gateway_id: str) -> ResponseReturnValue:
    """A gate is switched off on purpose, or in use again."""
    user, off = _changer(), request.form.get("resting") == "yes"
    with transaction() as session:
        if off:
            selftests.rest(session, user.school_id, gateway_id, clock.now())
        else:
            selftests.use(user.school_id, gateway_id)
        audit.record(user, "gate.rested" if off else "gate.used", f"gate:{gateway_id}", clock.now())
    return redirect(url_for("gates.page"), 303)


@bp.post("/gates/caretakers")
def add_caretaker() -> ResponseReturnValue:
    """Tell one more number."""
    user, school = _changer(), guard.the_school()
    name, phone = request.form.get("name", "").strip()[:64], _number(school)
    if not name:
        raise Refused(_("Write the caretaker's name, so that colleagues know whose number it is."))
    with transaction() as session:
        selftests.add_caretaker(session, school, name=name, phone=phone, locale=school.locale)
        audit.record(user, "caretaker.added", f"school:{school.id}", clock.now())
    return redirect(url_for("gates.page"), 303)


@bp.post("/gates/caretakers/<uuid:caretaker_id>/remove")
def remove_caretaker(caretaker_id: uuid.UUID) -> ResponseReturnValue:
    """Tell one number no more."""
    user = _changer()
    with transaction() as session:
        selftests.remove_caretaker(session, user.school_id, caretaker_id)
        audit.record(user, "caretaker.removed", f"school:{user.school_id}", clock.now())
    return redirect(url_for("gates.page"), 303)


def _viewer() -> User:
    user = guard.the_user()
    if not accounts.scope_of(user).whole and not _may_change(user):
        raise NotAllowed
    return user


def _changer() -> User:
    user = guard.the_user()
    if not _may_change(user):
        raise NotAllowed
    return user


def _may_change(user: User) -> bool:
    return bool(MAY_CHANGE & accounts.roles_of(user))


def _number(school: School) -> str:
    region = str(get_global("zone_territories").get(school.timezone, "CN"))
    try:
        return e164(request.form.get("phone", "")[:40], region=region)
    except BadPhone:
        raise Refused(_("This is no telephone number that a text can be sent to. Look at its digits.")) from None


def _rows(school_id: str, day: date) -> list[Row]:
    tests, faults = selftests.newest_tests(school_id), selftests.faults_on(school_id, day)
    return [
        _row(each, tests.get(each.id), [fault for fault in faults if fault.gateway_id == each.id])
        for each in selftests.gates_of(school_id)
    ]


def _row(gateway: Gateway, test: GateTest | None, faults: list[GateFault]) -> Row:
    state = service.newest_state(gateway)
    told = [Fault(words.of_fault(each.part, each.found), each.seen_at, each.mended_at) for each in faults]
    readers = [_reader(each) for each in state.readers] if state else []
    return Row(gateway, readers, told, _outcome(test), test.asked_at if test else None)


def _reader(state: wire.ReaderState) -> Reader:
    last = clock.from_millis(state.last_card) if state.last_card else None
    return Reader(state.reader, last, words.of_reader(state))


def _outcome(test: GateTest | None) -> str:
    if test is None:
        return "none"
    if test.judged_at is None:
        return "running"
    if test.answered_at is None:
        return "silent"
    return "faults" if rules.faults_of(test.checks) else "fine"
