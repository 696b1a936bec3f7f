"""Whom a school may ask about a pupil, in the order of contacts, and the texts that go to them."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from server import clock, crypt
from server.absence import rules
from server.absence.models import AbsenceCase, AbsenceStep
from server.outbox import service as outbox
from server.outbox.models import OutboxText
from server.outbox.rules import Lane, TextState
from server.people import rules as numbers
from server.people.models import Guardian, Guardianship, Pupil
from server.schools.models import School

ALERT, CORRECTION = "absent", "found"  # kinds of texts
FRESH = timedelta(hours=2)  # a question that comes later frightens for nothing


@dataclass(frozen=True)
class Contact:
    """A guardian who may be asked by text."""

    guardian_id: uuid.UUID
    phone: str
    locale: str


def contacts_of(session: Session, pupils: Collection[uuid.UUID]) -> Mapping[uuid.UUID, list[Contact]]:
    """Of each pupil the guardians with a verified mobile who may know of it, in order, each number once."""
    query = (
        select(Guardianship.pupil_id, Guardian.id, Guardian.phone, Guardian.locale)
        .join(Guardian, Guardian.id == Guardianship.guardian_id)
        .where(Guardianship.pupil_id.in_(pupils), Guardianship.barred.is_(False))
        .where(Guardian.phone.is_not(None), Guardian.verified_at.is_not(None))
        .order_by(Guardianship.rank, Guardianship.id)
    )
    found: dict[uuid.UUID, dict[str, Contact]] = {}
    for pupil_id, guardian_id, phone, locale in session.execute(query):
        if phone and numbers.takes_texts(phone):
            found.setdefault(pupil_id, {}).setdefault(phone, Contact(guardian_id, phone, locale))
    return {pupil_id: list(by_phone.values()) for pupil_id, by_phone in found.items()}


def unasked(session: Session, case: AbsenceCase) -> tuple[int, list[Contact]]:
    """How many were asked, and who was not yet, in order; the order of contacts may have changed meanwhile."""
    asked = set(session.scalars(select(AbsenceStep.recipient).where(AbsenceStep.case_id == case.id)))
    people = contacts_of(session, [case.pupil_id]).get(case.pupil_id, [])
    return len(asked), [each for each in people if crypt.look_up(each.phone) not in asked]


def ask(session: Session, school: School, case: AbsenceCase, place: int, contact: Contact, now: datetime) -> None:
    """Ask one contact where the child is, and remember that it was asked."""
    step = AbsenceStep(school_id=school.id, case_id=case.id, n=place, guardian_id=contact.guardian_id, asked_at=now)
    step.recipient = crypt.look_up(contact.phone)
    session.add(step)
    pupil, time = session.get_one(Pupil, case.pupil_id), f"{clock.local(now, school.timezone):%H:%M}"
    said = _Said(ALERT, pupil.name, time, school.sign)
    outbox.enqueue(session, [_text(case, contact, ALERT, said, now)])


def take_back(session: Session, school: School, case: AbsenceCase, wording: str, at: datetime, now: datetime) -> None:
    """Tell everybody who was asked that the question has an answer; who has not got it yet is not asked any more."""
    asked = session.scalars(select(AbsenceStep).where(AbsenceStep.case_id == case.id)).all()
    spared = _cancelled(session, case, now)
    answered = {case.answered_by} if wording == "excused" else set()  # who asked for the leave knows of it
    told = {step.guardian_id for step in asked if step.recipient not in spared} - answered
    people = session.scalars(select(Guardian).where(Guardian.id.in_(told), Guardian.phone.is_not(None))).all()
    pupil, time = session.get_one(Pupil, case.pupil_id), f"{clock.local(at, school.timezone):%H:%M}"
    said = _Said(wording, pupil.name, time, school.sign)
    contacts = [Contact(guardian.id, guardian.phone or "", guardian.locale) for guardian in people]
    outbox.enqueue(session, [_text(case, contact, CORRECTION, said, now) for contact in contacts])


def _cancelled(session: Session, case: AbsenceCase, now: datetime) -> frozenset[str]:
    """Recipients whose question still waited in the queue: it leaves no more."""
    mine = (
        OutboxText.school_id == case.school_id,
        OutboxText.pupil_id == case.pupil_id,
        OutboxText.day == case.date,
        OutboxText.kind == ALERT,
        OutboxText.n == case.n,
    )
    waiting = update(OutboxText).where(*mine, OutboxText.state == TextState.QUEUED, OutboxText.attempts == 0)
    stopped = waiting.values(state=TextState.EXPIRED, changed_at=now, settled_at=now, error="overtaken")
    return frozenset(session.scalars(stopped.returning(OutboxText.recipient)))


@dataclass(frozen=True)
class _Said:
    """Which of our texts, about whom, at what time, by whom."""

    wording: str
    name: str
    time: str
    sign: str

    def body(self, locale: str) -> str:
        return rules.body(self.wording, name=self.name, time=self.time, sign=self.sign, locale=locale)


def _text(case: AbsenceCase, contact: Contact, kind: str, said: _Said, now: datetime) -> outbox.NewText:
    return outbox.NewText(
        school_id=case.school_id,
        pupil_id=case.pupil_id,
        guardian_id=contact.guardian_id,
        day=case.date,
        kind=kind,
        n=case.n,
        phone=contact.phone,
        lane=Lane.ALERT,
        wording=said.wording,
        body=said.body(contact.locale),
        event_at=now,
        expires_at=now + FRESH,
        values=rules.values(name=said.name, time=said.time),
    )


def states(session: Session, cases: Sequence[AbsenceCase]) -> Mapping[tuple[uuid.UUID, str], OutboxText]:
    """(case, recipient) -> its question in the outbox: whether the family has it."""
    found: dict[tuple[uuid.UUID, str], OutboxText] = {}
    by_key = {(case.pupil_id, case.date, case.n): case.id for case in cases}
    query = select(OutboxText).where(
        OutboxText.kind == ALERT,
        OutboxText.pupil_id.in_([case.pupil_id for case in cases]),
        OutboxText.day.in_({case.date for case in cases}),
    )
    for text in session.scalars(query):
        case_id = by_key.get((text.pupil_id, text.day, text.n))
        if case_id:
            found[case_id, text.recipient] = text
    return found
