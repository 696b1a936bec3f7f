"""Every address as every role: nobody gets a page, a name or a number of another class, grade or school."""

import io
import re
import uuid
import zipfile
from collections.abc import Iterator

import msgspec
import pytest
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from server import config
from server.accounts import rules
from server.accounts.rules import Grant
from server.accounts.service import create_user
from server.db import db, transaction
from server.register import desk, service
from tests import sample
from tests.server.site import Site, Visitor
from tests.server.two_schools import (
    Known,
    classes_of,
    leave_and_warnings,
    missing_and_writing,
    name_uniquely,
    papers,
    second_school,
)

# Pages without a place in the school: files, the login, receipts (which ask for a secret of their own), and the
# stream, which says that something has changed and never what.
NOT_WALKED = {"static", "accounts.login", "accounts.log_in", "accounts.log_out", "accounts.language"} | {
    "outbox.receipt",
    "outbox.reply",
    "live.stream",
    "calendar.subscribed",  # its address is its key: tests/server/test_calendar_pages.py
    # pages behind a signed link, which is its holder's only right: tests/server/test_leave_pages.py
    "leavedesk.link_landing",
    "leavedesk.link_open",
    "leavedesk.link_ask",
    "leavedesk.link_withdraw",
}
QUERIES = ("", "?state=in_school", "?state=missing", "?state=delivered", "?q=2026", "?q=131", "?day=2026-11-24")
DECIDERS = {"class_teacher", "grade_head", "office", "head"}
READERS = DECIDERS | {"counsellor"}
FOREIGN = ("外校生", "外校母", "9（9）班外校", "外校东门", "外校中学", "外校正文")


@pytest.fixture
def site(settings: config.Config, morning: None) -> Iterator[Site]:
    """A school of four classes (8.1, 8.2, 10.1, 10.2) and a second school beside it."""
    site = Site(msgspec.structs.replace(settings, demo=True), pupils=8)
    with site.app.app_context():
        name_uniquely()
        second_school()
        missing_and_writing()
        leave_and_warnings()
        papers()
        with transaction():
            for login, (grants, _sees) in staff(site).items():
                create_user("mingde", login, login, sample.PASSWORD, grants)
        db.session.remove()
    yield site
    site.close()


def staff(site: Site) -> dict[str, tuple[list[Grant], frozenset[int]]]:
    """Login -> its grants, and which of the four classes it may see."""
    one, two = (uuid.UUID(each) for each in site.classes[:2])
    every = frozenset({0, 1, 2, 3})
    return {
        "teacher-of-one": ([Grant("class_teacher", class_id=one)], frozenset({0})),
        "subject-of-two": ([Grant("subject_teacher", class_id=two)], frozenset({1})),
        "head-of-ten": ([Grant("grade_head", grade=10)], frozenset({2, 3})),
        "office": ([Grant("office")], every),
        "head": ([Grant("head")], every),
        "counsellor": ([Grant("counsellor")], every),
        "guard": ([Grant("guard")], every),
        "operator": ([Grant("operator")], frozenset()),
        "teacher-of-none": ([Grant("class_teacher")], frozenset()),
        "grade-head-of-none": ([Grant("grade_head")], frozenset()),
        "nobody": ([], frozenset()),
    }


def addresses(rule: Rule, known: Known) -> list[str]:
    """What a rule's places may hold for this class; a place that is not known here fails, so that it gets known."""
    if "contact_id" in rule.arguments:
        pairs = [pair.split() for pair in known.contacts]
        return [_filled(rule, pupil_id=pupil, contact_id=contact) for pupil, contact in pairs]
    if {"roll_id", "part"} <= rule.arguments:
        return [_filled(rule, roll_id=roll, part=known.class_id) for roll in known.rolls]
    holds = {"roll_id": known.rolls if known.entries else [], "entry_id": known.entries}
    holds |= {"visit_id": known.visits, "staff_id": known.members}
    holds |= {
        "class_id": [known.class_id],
        "pupil_id": known.pupils,
        "recipient": known.recipients,
        "odd_id": known.odd,
    }
    holds |= {"gateway_id": known.gates, "caretaker_id": known.caretakers}
    holds |= {"case_id": known.cases, "reply_id": known.replies}
    if "file_id" in rule.arguments:
        pairs = [pair.split() for pair in known.files]
        return [_filled(rule, leave_id=leave, file_id=file) for leave, file in pairs]
    holds |= {"code": known.codes}
    holds |= {"leave_id": known.leaves, "warning_id": known.warnings}
    [place] = rule.arguments
    return [_filled(rule, **{place: value}) for value in holds[place]]


def _filled(rule: Rule, **places: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: places[found[1]], rule.rule)


def walked(site: Site, *, places: bool) -> list[tuple[Rule, str]]:
    """Rules with their methods, those with places in the address or those without."""
    found = [rule for rule in site.app.url_map.iter_rules() if rule.endpoint not in NOT_WALKED]
    methods = {"GET", "POST", "PUT", "PATCH", "DELETE"}
    return [
        (rule, method)
        for rule in found
        if bool(rule.arguments) == places
        for method in (rule.methods or set()) & methods
    ]


def asked(visitor: Visitor, method: str, url: str, token: str) -> tuple[int, str]:
    """Status and body."""
    response = visitor.client.open(url, method=method, headers={"X-CSRFToken": token}, buffered=True)
    return response.status_code, words_of(response)


def words_of(response: TestResponse) -> str:
    """What can be read in an answer: of a zip, a workbook too, all that is packed in it."""
    body = response.get_data()
    if not body.startswith(b"PK"):
        return body.decode(errors="replace")
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return "".join(archive.read(name).decode() for name in archive.namelist())


def token_of(visitor: Visitor) -> str:
    """Any page's token; it is on the login page before, and kept."""
    found = re.search(r'csrf_token" value="([^"]+)"|X-CSRFToken": "([^"]+)"', visitor.get("/").get_data(as_text=True))
    assert found is not None
    return found[1] or found[2]


def test_nothing_of_another_school_is_found_by_its_ids(site: Site) -> None:
    [foreign] = classes_of(site, "erzhong")
    for login in staff(site):
        visitor = site.visitor(login)
        token = token_of(visitor)
        for rule, method in walked(site, places=True):
            for url in addresses(rule, foreign):
                code, body = asked(visitor, method, url, token)
                assert code in {403, 404}, f"{login}: {method} {url} gave {code}"
                assert not [word for word in FOREIGN if word in body], f"{login}: {method} {url}"


def test_no_list_shows_anything_of_another_school(site: Site) -> None:
    for login in staff(site):
        visitor = site.visitor(login)
        for rule, _method in walked(site, places=False):
            for query in QUERIES:
                body = words_of(visitor.get(rule.rule + query))
                assert not [word for word in FOREIGN if word in body], f"{login}: {rule.rule}{query}"


@pytest.mark.parametrize("query", QUERIES)
def test_lists_show_the_pupils_of_the_own_classes_alone(site: Site, query: str) -> None:
    classes = classes_of(site, "mingde")
    seen_of_own = 0
    for login, (_grants, sees) in staff(site).items():
        visitor = site.visitor(login)
        hidden = [name for n, known in enumerate(classes) if n not in sees for name in known.names]
        for rule, _method in walked(site, places=False):
            body = words_of(visitor.get(rule.rule + query))
            assert not [name for name in hidden if name in body], f"{login}: {rule.rule}{query}"
            seen_of_own += "学生甲" in body
    assert seen_of_own  # or the names are not what pages show


def test_a_class_a_grade_or_a_pupil_in_a_question_opens_nothing_of_others(site: Site) -> None:
    mine, [foreign] = classes_of(site, "mingde"), classes_of(site, "erzhong")
    questions = [f"?{key}={each.class_id}" for each in (mine[3], foreign) for key in ("class", "class_id")]
    questions += ["?grade=10", "?grade=9", *(f"?pupil={each.pupils[0]}" for each in (mine[3], foreign))]
    for login in ("teacher-of-one", "subject-of-two", "office", "nobody"):
        visitor, sees = site.visitor(login), staff(site)[login][1]
        hidden = [*FOREIGN, *(name for n, known in enumerate(mine) if n not in sees for name in known.names)]
        for rule, _method in walked(site, places=False):
            for question in questions:
                response = visitor.get(rule.rule + question)
                body = words_of(response)
                assert not [name for name in hidden if name in body], f"{login}: {rule.rule}{question}"
                assert response.status_code < 500, f"{login}: {rule.rule}{question}"


def test_pages_of_a_class_or_a_pupil_open_to_those_who_look_after_it_alone(site: Site) -> None:
    classes = classes_of(site, "mingde")
    may_call = rules.MAY_CALL
    for login, (grants, sees) in staff(site).items():
        visitor = site.visitor(login)
        token = token_of(visitor)
        for rule, method in walked(site, places=True):
            for n, known in enumerate(classes):
                for url in addresses(rule, known):
                    code, body = asked(visitor, method, url, token)
                    open_ = n in sees
                    if rule.endpoint == "overview.number":
                        open_ = open_ and any(grant.role in may_call for grant in grants) and code != 404
                    elif rule.endpoint in {"overview.phone", "overview.write_back"}:
                        open_ = len(sees) == len(classes)
                    elif rule.endpoint.startswith("board.") and rule.endpoint != "board.case":
                        wanted = READERS if rule.endpoint == "board.read" else DECIDERS
                        open_ = open_ and any(grant.role in wanted for grant in grants)
                    elif rule.endpoint.startswith("leavedesk."):
                        open_ = open_ and any(grant.role in may_call for grant in grants)
                    elif rule.endpoint.startswith("register."):
                        open_ = open_ and any(grant.role in may_look(rule.endpoint) for grant in grants)
                    done = {200, 303, 422} if method == "POST" else {200}  # 422: a form without its fields
                    assert (code in done) == open_ and (open_ or code in {403, 404}), f"{login}: {method} {url} {code}"
                    assert open_ or not [name for name in known.names if name in body], f"{login}: {url}"


def may_look(endpoint: str) -> frozenset[str]:
    """The roles that have to do with a page of registers, of the gate, or of slips."""
    if endpoint in {"register.person", "register.record"}:
        return desk.DESK
    return (
        desk.DESK | service.MAY_TAKE
        if endpoint in {"register.paper", "register.check", "register.use"}
        else (service.MAY_TAKE)
    )


def test_the_right_to_call_of_one_class_does_not_reach_into_those_a_guard_sees(site: Site) -> None:
    classes = classes_of(site, "mingde")
    with site.app.app_context(), transaction():
        grants = [Grant("guard"), Grant("class_teacher", class_id=uuid.UUID(site.classes[0]))]
        create_user("mingde", "both", "both", sample.PASSWORD, grants)
    visitor = site.visitor("both")
    [rule] = [rule for rule in site.app.url_map.iter_rules() if rule.endpoint == "overview.number"]
    codes = [asked(visitor, "POST", addresses(rule, known)[0], token_of(visitor))[0] for known in classes[:2]]
    assert codes == [200, 403]
    assert 'hx-post="/pupils' in visitor.text(f"/pupils/{classes[0].pupils[0]}")
    assert 'hx-post="/pupils' not in visitor.text(f"/pupils/{classes[1].pupils[0]}")


def test_a_contact_is_only_found_under_its_own_pupil(site: Site) -> None:
    classes = classes_of(site, "mingde")
    visitor = site.visitor("teacher-of-one")
    foreign = classes[1].contacts[0].split()[1]
    code, _body = asked(visitor, "POST", f"/pupils/{classes[0].pupils[0]}/contacts/{foreign}/number", token_of(visitor))
    assert code == 404
