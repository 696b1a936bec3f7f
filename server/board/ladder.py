"""The ladder of one case as it is drawn: who was asked, who comes next and when, and at its end a person."""

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select

from server.absence.models import AbsenceCase, AbsenceStep
from server.absence.rules import AbsencePolicy, CaseState
from server.db import db
from server.outbox.models import OutboxText
from server.outbox.rules import SHOWN, TextState
from server.people import rules as numbers
from server.people.models import Guardian, Guardianship

NO_MOBILE, UNVERIFIED = "no_mobile", "unverified"
WAITS = (CaseState.ASKING,)


@dataclass(frozen=True)
class Person:
    """A guardian in the order of contacts."""

    guardian_id: uuid.UUID
    ship_id: uuid.UUID
    relation: str
    phone: str
    verified: bool

    @property
    def gap(self) -> str:
        """Why no text can go there, or nothing."""
        if not self.phone or not numbers.takes_texts(self.phone):
            return NO_MOBILE
        return "" if self.verified else UNVERIFIED


@dataclass(frozen=True)
class Rung:
    """One circle: `past`, `now`, `answered`, `call` (a person telephones) or `future`."""

    look: str
    relation: str  # empty: the school
    state: str = ""  # of the text, or why there is none
    at: dt.datetime | None = None  # asked, or planned


@dataclass(frozen=True)
class Ladder:
    """All circles, and what the page says of them in words."""

    rungs: tuple[Rung, ...]
    asked: int
    reached: int  # texts that are delivered
    following: str = ""  # the relation of who is asked next
    reachable: bool = True  # somebody can be texted
    to_call: Person | None = None


def people_of(pupils: Collection[uuid.UUID]) -> Mapping[uuid.UUID, list[Person]]:
    """The guardians who may know of each pupil, in order."""
    query = (
        select(Guardianship, Guardian)
        .join(Guardian, Guardian.id == Guardianship.guardian_id)
        .where(Guardianship.pupil_id.in_(pupils), Guardianship.barred.is_(False))
        .order_by(Guardianship.rank, Guardianship.id)
    )
    found: dict[uuid.UUID, list[Person]] = defaultdict(list)
    for ship, guardian in db.session.execute(query):
        person = Person(
            guardian.id, ship.id, str(ship.relation), guardian.phone or "", guardian.verified_at is not None
        )
        found[ship.pupil_id].append(person)
    return found


def steps_of(cases: Sequence[AbsenceCase]) -> Mapping[uuid.UUID, list[AbsenceStep]]:
    """Who was asked in each case, in order."""
    query = select(AbsenceStep).where(AbsenceStep.case_id.in_([case.id for case in cases])).order_by(AbsenceStep.n)
    found: dict[uuid.UUID, list[AbsenceStep]] = defaultdict(list)
    for step in db.session.scalars(query):
        found[step.case_id].append(step)
    return found


def draw(
    case: AbsenceCase,
    people: Sequence[Person],
    steps: Sequence[AbsenceStep],
    texts: Mapping[tuple[uuid.UUID, str], OutboxText],
    policy: AbsencePolicy,
) -> Ladder:
    """One case's ladder from its steps, the contacts that are left, and the outbox."""
    by_id = {person.guardian_id: person for person in people}
    asked = {step.guardian_id for step in steps}
    numbers_asked = {by_id[each].phone for each in asked if each in by_id}
    left = _unasked(people, asked, numbers_asked)[: max(0, policy.most_contacts - len(steps))]
    done = {step.guardian_id: _asked(case, step, by_id, texts, last=step is steps[-1]) for step in steps}
    plan = _planned(case, policy, len(left) + 1)
    future = {
        person.guardian_id: Rung("future", person.relation, at=at) for person, at in zip(left, plan, strict=False)
    }
    gaps = {person.guardian_id: Rung("past", person.relation, person.gap) for person in people if person.gap}
    gone = [rung for guardian_id, rung in done.items() if guardian_id not in by_id]  # no contact any more
    known = future | gaps | done
    in_order = [known[person.guardian_id] for person in people if person.guardian_id in known]
    end = Rung("call" if case.state == CaseState.PERSON else "future", "", at=plan[len(left)])
    return Ladder(
        rungs=(*gone, *in_order, end),
        asked=len(steps),
        reached=sum(rung.state == "delivered" for rung in done.values()),
        following=left[0].relation if left else "",
        reachable=bool(steps or left),
        to_call=next((person for person in people if person.phone), None),
    )


def _unasked(people: Sequence[Person], asked: set[uuid.UUID], numbers_asked: set[str]) -> list[Person]:
    found: dict[str, Person] = {}
    for person in people:
        if not person.gap and person.guardian_id not in asked and person.phone not in numbers_asked:
            found.setdefault(person.phone, person)
    return list(found.values())


def _asked(
    case: AbsenceCase,
    step: AbsenceStep,
    by_id: Mapping[uuid.UUID, Person],
    texts: Mapping[tuple[uuid.UUID, str], OutboxText],
    *,
    last: bool,
) -> Rung:
    text = texts.get((case.id, step.recipient))
    state = SHOWN[TextState(text.state)] if text else ""
    person = by_id.get(step.guardian_id)
    look = "answered" if step.answered_at else "now" if last and case.state in WAITS else "past"
    return Rung(look, person.relation if person else "other", state, step.asked_at)


def _planned(case: AbsenceCase, policy: AbsencePolicy, count: int) -> list[dt.datetime | None]:
    """When the next contacts are asked, and when the school calls, if nobody answers."""
    if case.state not in WAITS or case.next_at is None:
        return [None] * count
    return [case.next_at + timedelta(minutes=policy.wait_minutes) * n for n in range(count)]
