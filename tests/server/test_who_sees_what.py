"""Every address as every role: nobody gets a page, a name or a number of another class, grade or school."""

import io
import re
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import pytest
from sqlalchemy import select, update
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from server import config, crypt
from server.absence.models import AbsenceCase
from server.accounts import rules
from server.accounts.rules import Grant
from server.accounts.service import create_user
from server.attendance.models import PupilDay
from server.calendar.models import BellTime
from server.db import db, transaction
from server.gates.models import Caretaker, Gateway
from server.leave import files
from server.leave.models import Leave, LeaveKind, LeaveState
from server.leavedesk.models import AbsenceWarning
from server.leavedesk.rules import WarningKind
from server.oddities.models import OddUse
from server.outbox.models import InboundText, OutboxText, PhoneText, TextState
from server.people.models import Guardian, Guardianship, Pupil, Relation, SchoolClass
from server.register import desk, passes, service
from server.register.models import GatePass
from server.rollcall import service as rollcall
from server.rollcall.models import RollCall, RollEntry, StaffMember, Visit
from server.rollcall.rules import RollKind
from server.schools.models import School
from tests import sample
from tests.server.site import Site, Visitor

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


@dataclass
class Known:
    """One class of pupils with what stands for them in addresses."""

    class_id: str
    grade: int
    pupils: list[str] = field(default_factory=list)
    contacts: list[str] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    gates: list[str] = field(
        default_factory=list
    )  # of the other school: whoever sees a school's gates sees all of them
    caretakers: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    leaves: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    rolls: list[str] = field(default_factory=list)  # with a part: of both schools; alone: of the other one
    entries: list[str] = field(default_factory=list)
    visits: list[str] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    cases: list[str] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)


@pytest.fixture
def site(settings: config.Config, morning: None) -> Iterator[Site]:
    """A school of four classes (8.1, 8.2, 10.1, 10.2) and a second school beside it."""
    site = Site(msgspec.structs.replace(settings, demo=True), pupils=8)
    with site.app.app_context():
        _name_uniquely()
        _second_school()
        _missing_and_writing()
        _leave()
        _papers()
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


def _name_uniquely() -> None:
    with transaction() as session:
        for n, pupil in enumerate(session.scalars(select(Pupil).order_by(Pupil.number))):
            pupil.name = f"学生甲{n:02}号"
            at = sample.moment(7, 30)
            session.add(sample.odd_use(at, kind="in_in", subject=pupil.id.hex, pupil_id=pupil.id))
            bodies = update(OutboxText).where(OutboxText.pupil_id == pupil.id)
            session.execute(bodies.values(body=f"【明德学校】{pupil.name} 到校"))


def _second_school() -> None:
    at, phone = sample.moment(7, 40), "+8613100009999"
    with transaction() as session:
        session.add(School(id="erzhong", name="外校中学", sign="外校", created_at=at))
        session.flush()
        room = SchoolClass(school_id="erzhong", name="9（9）班外校", grade=8, timetable="junior")
        bell = BellTime(
            school_id="erzhong", timetable="junior", session="am", starts=27900, ends=42600, since=sample.DAY
        )
        gate = Gateway(school_id="erzhong", id="gate-1", name="外校东门", online=True, birth=1, heard_at=at, state={})
        far = Gateway(school_id="erzhong", id="gate-far", name="外校东门", birth=1, heard_at=at, state={})
        keys = Caretaker(school_id="erzhong", name="外校母", phone=phone, phone_hash=crypt.look_up(phone), locale="en")
        session.add_all([room, bell, gate, far, keys])
        session.flush()
        pupil = Pupil(school_id="erzhong", class_id=room.id, number="20260801", name="外校生", created_at=at)
        mother = Guardian(
            school_id="erzhong", name="外校母", phone=phone, phone_hash=crypt.look_up(phone), verified_at=at
        )
        session.add_all([pupil, mother])
        session.flush()
        ship = Guardianship(school_id="erzhong", pupil_id=pupil.id, guardian_id=mother.id, rank=1)
        ship.relation = Relation.MOTHER
        day = PupilDay(pupil_id=pupil.id, date=sample.DAY, school_id="erzhong", status="in_school", verdict={})
        day.judged_at, day.summary = at, "P:am"
        text = sample.text(pupil, mother, at=at, state=TextState.DELIVERED, body="外校正文")
        text.school_id = "erzhong"
        odd = sample.odd_use(at, kind="in_in", school_id="erzhong", subject=pupil.id.hex, pupil_id=pupil.id)
        session.add_all([ship, day, text, odd, sample.tap(at, school_id="erzhong", pupil_id=pupil.id)])
        session.flush()
        session.add(PhoneText(text_id=text.id, recipient=text.recipient, phone=phone, body="外校正文", received_at=at))
        visit = Visit(school_id="erzhong", name="外校生客", host_name="外校母", arrived_at=at, changed_at=at)
        session.add_all([StaffMember(school_id="erzhong", name="外校母"), visit])
    for school_id in ("erzhong", "mingde"):
        _ring(school_id)


def _ring(school_id: str) -> None:
    """A roll call runs at each school."""
    login = f"alarm-{school_id}"
    with transaction() as session:
        user = create_user(school_id, login, login, sample.PASSWORD, [Grant("office")])
        school = session.get_one(School, school_id)
        rollcall.start(session, school, user, RollKind.DRILL, sample.moment(7, 53))


def _missing_and_writing() -> None:
    """Of every pupil a held case, and a reply of a guardian whose words are the pupil's name."""
    with transaction() as session:
        for pupil in session.scalars(select(Pupil)):
            at = sample.moment(7, 50)
            case = AbsenceCase(school_id=pupil.school_id, pupil_id=pupil.id, date=sample.DAY, session="am", n=1)
            case.state, case.why, case.opened_at, case.changed_at = "held", ["gate_silent"], at, at
            session.add(case)
        query = select(Guardian, Pupil).join(Guardianship, Guardianship.guardian_id == Guardian.id)
        first = query.join(Pupil, Pupil.id == Guardianship.pupil_id).where(Guardianship.rank == 1)
        for mother, pupil in session.execute(first).all():
            reply = InboundText(school_id=pupil.school_id, provider="phone", reference=str(pupil.id))
            reply.sender, reply.phone, reply.body = mother.phone_hash, mother.phone, pupil.name
            reply.received_at = reply.handled_at = sample.moment(7, 51)
            reply.handled_as = "person"
            session.add(reply)


def _leave() -> None:
    """A leave with a file and a warning for the first pupil of each class, in both schools."""
    at = sample.moment(7, 40)
    with transaction() as session:
        firsts = {pupil.class_id: pupil for pupil in session.scalars(select(Pupil).order_by(Pupil.number.desc()))}
        for pupil in firsts.values():
            row = Leave(school_id=pupil.school_id, pupil_id=pupil.id, kind=LeaveKind.SICK, state=LeaveState.ASKED)
            row.starts_at, row.ends_at, row.asked_at = sample.moment(24, 0), sample.moment(48, 0), at
            row.reason = f"{pupil.name}发烧"
            warning = AbsenceWarning(school_id=pupil.school_id, pupil_id=pupil.id, kind=WarningKind.IN_A_ROW, count=3)
            warning.since, warning.date, warning.urgent, warning.made_at = sample.DAY, sample.DAY, True, at
            session.add_all([row, warning])
            session.flush()
            files.add(session, row, f"{pupil.name}.pdf", b"%PDF-1.7", None, at)


def _papers() -> None:
    """A late slip for everybody."""
    at = sample.moment(7, 50)
    with transaction() as session:
        for pupil in session.scalars(select(Pupil)):
            slip = GatePass(school_id=pupil.school_id, pupil_id=pupil.id, kind="late", cause="2026-11-25", made_at=at)
            slip.valid_from, slip.valid_until, slip.made_by = at, sample.moment(9, 50), uuid.uuid4()
            session.add(slip)


def classes_of(site: Site, school_id: str) -> list[Known]:
    """The classes of a school in the order of site.classes."""
    with site.app.app_context():
        found = {str(each.id): Known(str(each.id), each.grade) for each in _all(SchoolClass, school_id)}
        place = {}
        for pupil in _all(Pupil, school_id):
            known = place[pupil.id] = found[str(pupil.class_id)]
            known.pupils.append(str(pupil.id))
            known.names.append(pupil.name)
        for ship in _all(Guardianship, school_id):
            place[ship.pupil_id].contacts.append(f"{ship.pupil_id} {ship.id}")
        _odds_and_cases(place, school_id)
        for text in _all(OutboxText, school_id):
            if text.state != TextState.QUEUED:
                place[text.pupil_id].recipients.append(text.recipient)
        _leaves_and_slips(place, school_id)
        [roll] = _all(RollCall, school_id)
        for known in found.values():
            known.rolls = [str(roll.id)]
        if school_id != "mingde":
            for known in found.values():
                known.entries = [str(each.id) for each in _all(RollEntry, school_id)]
                known.visits = [str(each.id) for each in _all(Visit, school_id)]
                known.members = [str(each.id) for each in _all(StaffMember, school_id)]
                assert known.entries and known.visits and known.members
                known.gates = ["gate-far"]
                known.caretakers = [str(each.id) for each in _all(Caretaker, school_id)]
        db.session.remove()
    return [found[each] for each in site.classes] if school_id == "mingde" else list(found.values())


def _odds_and_cases(place: dict, school_id: str) -> None:
    for row in _all(OddUse, school_id):
        if row.pupil_id and not row.other_id:
            place[row.pupil_id].odd.append(str(row.id))
    for case in _all(AbsenceCase, school_id):
        place[case.pupil_id].cases.append(str(case.id))
    for reply in _all(InboundText, school_id):
        place[uuid.UUID(reply.reference)].replies.append(str(reply.id))


def _leaves_and_slips(place: dict, school_id: str) -> None:
    for leave in _all(Leave, school_id):
        place[leave.pupil_id].leaves.append(str(leave.id))
        for file in files.of(leave.id):
            place[leave.pupil_id].files.append(f"{leave.id} {file.id}")
    for warning in _all(AbsenceWarning, school_id):
        place[warning.pupil_id].warnings.append(str(warning.id))
    for slip in _all(GatePass, school_id):
        place[slip.pupil_id].codes.append(passes.code_of(slip.id))


def _all(table: type, school_id: str) -> list:
    return list(db.session.scalars(select(table).where(table.school_id == school_id)))


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
