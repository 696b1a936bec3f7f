"""Two schools with a little of everything, each class's ids by what stands for them in addresses."""

import uuid
from dataclasses import dataclass, field

from sqlalchemy import select, update

from server import crypt
from server.absence.models import AbsenceCase
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
from server.register import passes
from server.register.models import GatePass
from server.rollcall import service as rollcall
from server.rollcall.models import RollCall, RollEntry, StaffMember, Visit
from server.rollcall.rules import RollKind
from server.schools.models import School
from tests import sample
from tests.server.site import Site


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


def name_uniquely() -> None:
    with transaction() as session:
        for n, pupil in enumerate(session.scalars(select(Pupil).order_by(Pupil.number))):
            pupil.name = f"学生甲{n:02}号"
            at = sample.moment(7, 30)
            session.add(sample.odd_use(at, kind="in_in", subject=pupil.id.hex, pupil_id=pupil.id))
            bodies = update(OutboxText).where(OutboxText.pupil_id == pupil.id)
            session.execute(bodies.values(body=f"【明德学校】{pupil.name} 到校"))


def second_school() -> None:
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


def missing_and_writing() -> None:
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


def leave_and_warnings() -> None:
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


def papers() -> None:
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
