"""What the family knows: texts summed up for a tap or a pupil, and the list of all texts."""

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Select, and_, func, or_, select

from server import clock
from server.accounts.models import User
from server.db import db
from server.outbox.models import OutboxText
from server.outbox.rules import SHOWN, TextState
from server.people import service as people
from server.people.models import Pupil, SchoolClass
from server.taps.models import Tap

# Which of the words that pages show stands for several texts: what needs a person first, then what is least far.
ORDER = ("failed", "expired", "held", "waiting", "queued", "sent", "delivered", "off")
FILTERS = {
    "queued": (TextState.QUEUED, TextState.CLAIMED),
    "sent": (TextState.SENT,),
    "delivered": (TextState.DELIVERED,),
    "waiting": (TextState.UNKNOWN,),
    "failed": (TextState.FAILED, TextState.EXPIRED),
    "held": (TextState.SUPPRESSED,),
}
PAGE = 50


@dataclass(frozen=True)
class Summary:
    """The texts of one cause in one word; `off` when no guardian gets texts, `seconds` after the tap."""

    state: str
    relations: tuple[str, ...] = ()
    seconds: float | None = None
    error: str = ""
    held: str = ""  # outbox.rules.Held: why it waits, or was not sent


@dataclass(frozen=True)
class Line:
    """One row of the texts page."""

    text: OutboxText
    state: str
    pupil: Pupil
    school_class: SchoolClass
    relation: str
    number: str


def of_taps(taps: Sequence[Tap]) -> dict[uuid.UUID, Summary]:
    """Tap -> its texts in one word. A text has the second of its tap, entry or exit."""
    pupils = {tap.pupil_id for tap in taps if tap.pupil_id}
    if not pupils:
        return {}
    wanted = select(OutboxText).where(OutboxText.pupil_id.in_(pupils), OutboxText.day.in_({tap.day for tap in taps}))
    by_event: dict[tuple[uuid.UUID | None, bool, int], list[OutboxText]] = defaultdict(list)
    for text in db.session.scalars(wanted):
        by_event[text.pupil_id, text.kind == "out", int(text.event_at.timestamp())].append(text)
    families = people.families(pupils)
    found = {tap.id: Summary("off") for tap in taps if tap.pupil_id and tap.pupil_id not in families.told}
    for tap in taps:
        texts = by_event.get((tap.pupil_id, tap.direction == "out", int(tap.at.timestamp())))
        if texts:
            found[tap.id] = summed(texts, families.relations, tap.at)
    return found


def summed(
    texts: Iterable[OutboxText], relations: dict[tuple[uuid.UUID, uuid.UUID], str], since: dt.datetime
) -> Summary:
    """Several texts of one cause in one word, with the seconds until the slowest was there."""
    texts = tuple(texts)
    state = min((SHOWN[TextState(text.state)] for text in texts), key=ORDER.index)
    ends = [text.settled_at if state == "delivered" else text.sent_at for text in texts]
    known = [end for end in ends if end is not None]
    return Summary(
        state=state,
        relations=tuple(dict.fromkeys(relations.get((text.pupil_id, text.guardian_id), "other") for text in texts)),
        seconds=max(0.0, clock.elapsed(since, max(known))) if known else None,
        error=next((text.error for text in texts if text.error), None) or "",
        held=next((text.held for text in texts if text.held), None) or "",
    )


def of_pupils(pupils: Collection[uuid.UUID], day: dt.date) -> dict[uuid.UUID, Summary]:
    """Pupil -> the texts of the newest event of a day, in one word."""
    wanted = select(OutboxText).where(OutboxText.pupil_id.in_(pupils), OutboxText.day == day)
    by_pupil: dict[uuid.UUID, list[OutboxText]] = defaultdict(list)
    for text in db.session.scalars(wanted):
        by_pupil[text.pupil_id].append(text)
    families = people.families(pupils)
    found = {pupil: Summary("off") for pupil in pupils if pupil not in families.told}
    for pupil, texts in by_pupil.items():
        newest = max(text.event_at for text in texts)
        found[pupil] = summed((text for text in texts if text.event_at == newest), families.relations, newest)
    return found


def states_on(user: User, day: dt.date) -> dict[str, int]:
    """How many texts of a day are in each shown state."""
    query = _visible(user, day).with_only_columns(OutboxText.state, func.count())
    found: dict[str, int] = dict.fromkeys(FILTERS, 0)
    for state, count in db.session.execute(query.order_by(None).group_by(OutboxText.state)):
        found[next(name for name, states in FILTERS.items() if state in states)] += count
    return found


def page(
    user: User, day: dt.date, *, state: str = "", words: str = "", before: tuple[dt.datetime, uuid.UUID] | None = None
) -> tuple[list[Line], bool]:
    """One page of a day's texts, the newest first, and whether there are older ones."""
    query = _visible(user, day)
    if state in FILTERS:
        query = query.where(OutboxText.state.in_(FILTERS[state]))
    if words:
        query = query.where(Pupil.id.in_(people.matching(user, words).with_only_columns(Pupil.id)))
    if before:
        at, text_id = before
        older = and_(OutboxText.created_at == at, OutboxText.id < text_id)
        query = query.where(or_(OutboxText.created_at < at, older))
    rows = db.session.execute(query.limit(PAGE + 1)).all()
    relations = people.relations({text.pupil_id for text, _, _ in rows})
    lines = [_line(text, pupil, school_class, relations) for text, pupil, school_class in rows[:PAGE]]
    return lines, len(rows) > PAGE


def _visible(user: User, day: dt.date) -> Select[OutboxText, Pupil, SchoolClass]:
    return (
        select(OutboxText, Pupil, SchoolClass)
        .join(Pupil, Pupil.id == OutboxText.pupil_id)
        .join(SchoolClass, SchoolClass.id == Pupil.class_id)
        .where(OutboxText.school_id == user.school_id, OutboxText.day == day, people.in_scope(user))
        .order_by(OutboxText.created_at.desc(), OutboxText.id.desc())
    )


def _line(
    text: OutboxText, pupil: Pupil, school_class: SchoolClass, relations: dict[tuple[uuid.UUID, uuid.UUID], str]
) -> Line:
    return Line(
        text=text,
        state=SHOWN[TextState(text.state)],
        pupil=pupil,
        school_class=school_class,
        relation=relations.get((pupil.id, text.guardian_id), "other"),
        number=people.masked(text.phone),
    )
