"""Leave from the asking to the decision: by whom, for how long, only once, and never without a guardian."""

import base64
import threading
import uuid
from datetime import date, datetime, timedelta

import pytest
from flask import Flask, current_app
from sqlalchemy import func, select

from server import clock, pipeline, settings
from server.accounts.models import User
from server.accounts.rules import Grant
from server.accounts.service import create_user
from server.attendance.models import PupilDay
from server.audit.models import AuditEntry
from server.db import db, transaction
from server.errors import NotFound
from server.leave import access, files, links, requests, rules, service
from server.leave.models import Leave, LeaveFile, LeaveKind, LeaveSource, LeaveState
from server.leave.requests import Actor, CannotLeave, Decision, Wanted
from server.leave.rules import Fault, LeavePolicy
from server.people.models import Guardian, Guardianship, Pupil, SchoolClass
from server.schools.models import School
from tests.server import gate

KEY = "a gate and a bell"


@pytest.fixture
def pupils(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[uuid.UUID]:
    """Four pupils of class 8 (2), each with a mother, at ten to eight on a Wednesday."""
    gate.set_clock(monkeypatch, gate.at("07:50"))
    return gate.add_school(4)[1]


def the_school() -> School:
    return db.session.get_one(School, "mingde")


def mother_of(pupil_id: uuid.UUID) -> uuid.UUID:
    return db.session.scalars(select(Guardianship.guardian_id).where(Guardianship.pupil_id == pupil_id)).one()


def somebody(role: str, *, grade: int | None = None, own_class: bool = False) -> User:
    room = db.session.scalars(select(SchoolClass.id)).first() if own_class else None
    with transaction():
        return create_user("mingde", f"{role}-{uuid.uuid4().hex[:6]}", role, KEY, [Grant(role, grade, room)])


def wanted(pupil_id: uuid.UUID, starts: str = "24:00", ends: str = "48:00", **more: object) -> Wanted:
    usual = {"kind": LeaveKind.SICK, "source": LeaveSource.STAFF, "reason": "发烧"}
    return Wanted(pupil_id=pupil_id, starts_at=gate.at(starts), ends_at=gate.at(ends), **{**usual, **more})  # type: ignore[arg-type]


def ask(want: Wanted, user: User | None = None, guardian: uuid.UUID | None = None) -> uuid.UUID:
    with transaction() as session:
        return requests.ask(session, the_school(), want, Actor(user, guardian), clock.now()).id


def decide(leave_id: uuid.UUID, user: User, decision: Decision = Decision(approve=True)) -> Leave:  # noqa: B008
    with transaction() as session:
        return requests.decide(session, the_school(), leave_id, decision, user, clock.now())


def fault_of(call: object, *arguments: object, **more: object) -> Fault:
    with pytest.raises(CannotLeave) as caught:
        call(*arguments, **more)  # type: ignore[operator]
    return caught.value.fault


def test_only_a_guardian_excuses_a_pupil_and_the_school_needs_none_for_its_own_reasons(pupils: list[uuid.UUID]) -> None:
    teacher, office = somebody("class_teacher", own_class=True), somebody("office")
    asked = ask(wanted(pupils[0]), teacher)
    assert fault_of(decide, asked, teacher) is Fault.GUARDIAN
    assert fault_of(decide, asked, teacher, Decision(approve=True, guardian_id=mother_of(pupils[1]))) is Fault.STRANGER
    said = Decision(approve=True, guardian_id=mother_of(pupils[0]), called="called 07:45")
    assert decide(asked, teacher, said).state == LeaveState.APPROVED
    official = ask(wanted(pupils[1], kind=LeaveKind.OFFICIAL), office)
    assert decide(official, office).state == LeaveState.APPROVED


def test_a_barred_guardian_excuses_nobody_also_when_barred_between_asking_and_deciding(pupils: list[uuid.UUID]) -> None:
    teacher, mother = somebody("class_teacher", own_class=True), mother_of(pupils[0])
    asked = ask(wanted(pupils[0], guardian_id=mother, source=LeaveSource.LINK), guardian=mother)
    with transaction() as session:
        session.scalars(select(Guardianship).where(Guardianship.guardian_id == mother)).one().barred = True
    assert fault_of(decide, asked, teacher) is Fault.STRANGER
    assert fault_of(ask, wanted(pupils[0], "48:00", "72:00", guardian_id=mother), guardian=mother) is Fault.STRANGER


@pytest.mark.parametrize(
    ("role", "kind", "days", "may"),
    [
        ("class_teacher", "sick", 1, True),
        ("class_teacher", "sick", 2, False),
        ("class_teacher", "official", 1, False),
        ("grade_head", "personal", 3, True),
        ("grade_head", "personal", 4, False),
        ("office", "trip", 30, True),
        ("office", "sick", 4, False),
        ("head", "sick", 100, True),
        ("counsellor", "sick", 1, False),
        ("subject_teacher", "sick", 1, False),
        ("guard", "trip", 1, False),
    ],
)
def test_each_role_decides_so_many_days_of_its_kinds(role: str, kind: str, days: int, may: bool) -> None:
    assert (rules.most_days({role}, kind, LeavePolicy()) >= days) == may


def test_days_are_counted_as_school_days_over_a_weekend(pupils: list[uuid.UUID]) -> None:
    teacher, head = somebody("class_teacher", own_class=True), somebody("grade_head", grade=8)
    friday_to_monday = wanted(pupils[0], "48:00", "144:00", guardian_id=mother_of(pupils[0]))
    asked = ask(friday_to_monday, teacher)
    assert db.session.get_one(Leave, asked).school_days == 2
    assert fault_of(decide, asked, teacher) is Fault.POWER
    assert decide(asked, head).state == LeaveState.APPROVED
    assert fault_of(ask, wanted(pupils[1], "72:00", "120:00"), teacher) is Fault.NO_LESSONS


def test_the_school_chooses_how_much_a_teacher_decides(pupils: list[uuid.UUID]) -> None:
    teacher = somebody("class_teacher", own_class=True)
    asked = ask(wanted(pupils[0], "24:00", "72:00", guardian_id=mother_of(pupils[0])), teacher)
    with transaction() as session:
        settings.set_policy(session, "mingde", LeavePolicy, teacher_days=2)
    assert decide(asked, teacher).state == LeaveState.APPROVED


def test_a_teacher_of_another_class_decides_nothing(pupils: list[uuid.UUID]) -> None:
    other = somebody("class_teacher")
    asked = ask(wanted(pupils[0], guardian_id=mother_of(pupils[0])), other)
    assert fault_of(decide, asked, other) is Fault.POWER
    with pytest.raises(NotFound):
        access.leave(other, asked)


@pytest.mark.parametrize(
    ("starts", "ends", "fault"),
    [("30:00", "30:00", Fault.ORDER), ("32:00", "31:00", Fault.ORDER), ("24:00", "9000:00", Fault.LONG)]
    + [("-24:00", "48:00", Fault.PAST)],
)
def test_an_impossible_span_is_refused(pupils: list[uuid.UUID], starts: str, ends: str, fault: Fault) -> None:
    assert fault_of(ask, wanted(pupils[0], starts, ends, guardian_id=mother_of(pupils[0]))) is fault


def test_a_double_click_and_the_same_request_again_are_one_leave(pupils: list[uuid.UUID]) -> None:
    mother = mother_of(pupils[0])
    want = wanted(pupils[0], guardian_id=mother, once="form-1")
    first = ask(want, guardian=mother)
    assert ask(want, guardian=mother) == first
    assert ask(wanted(pupils[0], guardian_id=mother, once="form-2"), guardian=mother) == first
    assert db.session.scalar(select(func.count()).select_from(Leave)) == 1


def test_two_at_once_make_one_leave_and_overlapping_ones_are_refused(pupils: list[uuid.UUID]) -> None:
    app, mother = current_app._get_current_object(), mother_of(pupils[0])  # type: ignore[attr-defined]
    made: list[object] = []

    def click(hour: str) -> None:
        with app.app_context():
            try:
                made.append(ask(wanted(pupils[0], hour, "40:00", guardian_id=mother)))
            except CannotLeave as error:
                made.append(error.fault)
            db.session.remove()

    threads = [threading.Thread(target=click, args=(hour,)) for hour in ("31:00", "32:00", "33:00", "34:00")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(str(each) for each in made).count("overlap") == 3 and len(made) == 4
    db.session.rollback()  # what the test had read before is not what stands now
    assert db.session.scalar(select(func.count()).select_from(Leave)) == 1


def test_a_decision_is_made_once_whoever_is_quicker(pupils: list[uuid.UUID]) -> None:
    teacher, head = somebody("class_teacher", own_class=True), somebody("head")
    asked = ask(wanted(pupils[0], guardian_id=mother_of(pupils[0])), teacher)
    decide(asked, teacher)
    decide(asked, head)  # the same again
    assert fault_of(decide, asked, head, Decision(approve=False)) is Fault.DECIDED
    leave = db.session.get_one(Leave, asked)
    assert leave.state == LeaveState.APPROVED and leave.decided_by == teacher.id
    trail = db.session.scalars(select(AuditEntry.action).where(AuditEntry.subject == f"leave:{asked}")).all()
    assert sorted(trail) == ["leave.approved", "leave.asked"]


def status_after(pupil_id: uuid.UUID, day: date = gate.DAY) -> str:
    pipeline.facts_change()
    db.session.rollback()
    db.session.expire_all()
    return db.session.get_one(PupilDay, (pupil_id, day)).status


def test_a_day_is_judged_again_at_the_decision_the_change_and_the_withdrawal(
    pupils: list[uuid.UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.set_clock(monkeypatch, gate.at("09:30"))
    pipeline.time_passes()
    teacher = somebody("class_teacher", own_class=True)
    asked = ask(wanted(pupils[0], "0:00", "24:00", guardian_id=mother_of(pupils[0])), teacher)
    assert status_after(pupils[0]) == "unexplained"  # asking excuses nobody
    decide(asked, teacher)
    assert status_after(pupils[0]) == "excused"
    with transaction() as session:
        span = gate.at("0:00"), gate.at("08:30")
        requests.change(session, the_school(), asked, span, Decision(approve=True), teacher, clock.now())
    assert status_after(pupils[0]) == "unexplained"
    with transaction() as session:
        longer = Decision(approve=True, guardian_id=mother_of(pupils[0]))
        requests.change(session, the_school(), asked, (gate.at("0:00"), gate.at("24:00")), longer, teacher, clock.now())
    assert status_after(pupils[0]) == "excused"
    with transaction() as session:
        left = requests.withdraw(session, the_school(), asked, Actor(teacher), clock.now())
    assert (left.state, left.ends_at) == (LeaveState.APPROVED, gate.at("09:30"))  # what was excused stays excused
    assert status_after(pupils[0]) == "not_yet"


def test_extending_needs_a_guardian_and_the_power_for_the_whole(pupils: list[uuid.UUID]) -> None:
    teacher, head = somebody("class_teacher", own_class=True), somebody("head")
    asked = ask(wanted(pupils[0], guardian_id=mother_of(pupils[0])), teacher)
    decide(asked, teacher)

    def extend(user: User, decision: Decision) -> None:
        with transaction() as session:
            span = gate.at("24:00"), gate.at("72:00")
            requests.change(session, the_school(), asked, span, decision, user, clock.now())

    assert fault_of(extend, head, Decision(approve=True)) is Fault.GUARDIAN
    confirmed = Decision(approve=True, guardian_id=mother_of(pupils[0]))
    assert fault_of(extend, teacher, confirmed) is Fault.POWER
    extend(head, confirmed)
    assert db.session.get_one(Leave, asked).school_days == 2


def test_a_leave_that_has_not_begun_is_withdrawn_whole_and_its_time_is_free_again(pupils: list[uuid.UUID]) -> None:
    mother = mother_of(pupils[0])
    asked = ask(wanted(pupils[0], guardian_id=mother), guardian=mother)
    with pytest.raises(NotFound), transaction() as session:
        requests.withdraw(session, the_school(), asked, Actor(guardian_id=mother_of(pupils[1])), clock.now())
    with transaction() as session:
        requests.withdraw(session, the_school(), asked, Actor(guardian_id=mother), clock.now())
    assert db.session.get_one(Leave, asked).state == LeaveState.WITHDRAWN
    assert ask(wanted(pupils[0], guardian_id=mother), guardian=mother) != asked


def test_the_gate_knows_when_a_pupil_may_leave(pupils: list[uuid.UUID]) -> None:
    office = somebody("head")
    for starts, ends in (("10:00", "11:00"), ("13:30", "14:30"), ("14:30", "40:00")):
        decide(ask(wanted(pupils[0], starts, ends, kind=LeaveKind.OFFICIAL), office), office)
    ask(wanted(pupils[1], "10:00", "11:00"), office)  # not approved
    windows = service.exit_windows("mingde", gate.DAY)
    assert windows == {pupils[0]: [(36000, 39600), (48600, 86400)]}
    assert service.exit_windows("mingde", gate.DAY + timedelta(days=1)) == {pupils[0]: [(0, 57600)]}


PNG = b"\x89PNG\r\n\x1a\n" + b"picture of a doctor's note " * 40


def test_a_file_is_what_its_content_says_and_lies_encrypted(pupils: list[uuid.UUID]) -> None:
    asked = ask(wanted(pupils[0], guardian_id=mother_of(pupils[0])))
    with transaction() as session:
        row = files.add(session, session.get_one(Leave, asked), "note.png", PNG, None, clock.now())
    kept = db.session.execute(select(func.length(LeaveFile.content))).scalar_one()
    raw = db.session.connection().exec_driver_sql("SELECT content, name FROM leave_file").one()
    assert b"doctor" not in bytes(raw[0]) and "note" not in raw[1] and kept > len(PNG)
    assert files.one(asked, row.id).content == PNG
    with pytest.raises(NotFound):
        files.one(uuid.uuid4(), row.id)
    for bad in (b"<html><script>", b"GIF89a", b"MZ", b"", b" %PDF-1.4"):
        with pytest.raises(files.BadFile, match="type"):
            files.checked(bad)
    with pytest.raises(files.BadFile, match="size"):
        files.checked(PNG + bytes(files.LARGEST))


def link_of(pupil_id: uuid.UUID, ends: datetime) -> tuple[str, Guardian]:
    guardian = db.session.get_one(Guardian, mother_of(pupil_id))
    return links.token(guardian, pupil_id, ends), guardian


def test_a_link_opens_for_its_guardian_and_pupil_until_it_ends(pupils: list[uuid.UUID]) -> None:
    token, guardian = link_of(pupils[0], gate.at("30:00"))
    held = links.holder(db.session(), token, gate.at("29:59"))
    assert (held.pupil.id, held.guardian.id) == (pupils[0], guardian.id)
    with pytest.raises(NotFound):
        links.holder(db.session(), token, gate.at("30:00"))


def test_a_link_with_anything_changed_or_of_a_barred_guardian_is_dead(pupils: list[uuid.UUID]) -> None:
    token, guardian = link_of(pupils[0], gate.at("30:00"))
    raw = bytearray(links._parts(token)[0])
    for forged in (token[:-1] + ("A" if token[-1] != "A" else "B"), token[:-2], "", "x" * 70, token.swapcase()):
        with pytest.raises(NotFound):
            links.holder(db.session(), forged, gate.at("29:00"))
    other = links.token(guardian, pupils[1], gate.at("30:00"))  # signed, but not a guardian of that pupil
    swapped = bytes(raw[:16]) + pupils[1].bytes + bytes(raw[32:]) + links._parts(token)[1]
    for bad in (other, base64.urlsafe_b64encode(swapped).decode().rstrip("=")):
        with pytest.raises(NotFound):
            links.holder(db.session(), bad, gate.at("29:00"))
    with transaction() as session:
        session.scalars(select(Guardianship).where(Guardianship.guardian_id == guardian.id)).one().barred = True
    with pytest.raises(NotFound):
        links.holder(db.session(), token, gate.at("29:00"))


def test_a_link_dies_with_the_number_it_was_sent_to_and_with_the_pupil(pupils: list[uuid.UUID]) -> None:
    token, guardian = link_of(pupils[0], gate.at("30:00"))
    with transaction() as session:
        session.get_one(Guardian, guardian.id).phone_hash = "another"
    with pytest.raises(NotFound):
        links.holder(db.session(), token, gate.at("29:00"))
    token, _guardian = link_of(pupils[1], gate.at("30:00"))
    with transaction() as session:
        session.get_one(Pupil, pupils[1]).active = False
    with pytest.raises(NotFound):
        links.holder(db.session(), token, gate.at("29:00"))
