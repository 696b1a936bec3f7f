"""A pupil's day as a list of events, and the month as a grid of days."""

import calendar
import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import select

from server import clock
from server.accounts.models import User
from server.attendance.models import ManualPassage, PupilDay, TeacherMark
from server.attendance.rules import Status
from server.db import db
from server.outbox.models import Attempt, OutboxText, Receipt
from server.outbox.rules import FINAL, TextState
from server.overview.service import gate_names, is_late
from server.people import service as people
from server.people.models import Pupil
from server.taps.models import Tap

Row = TypeVar("Row", Attempt, Receipt)


@dataclass(frozen=True)
class Event:
    """One line of the timeline; the template has the words for each `kind`."""

    at: dt.datetime
    kind: str  # in, late, out, guard_in, guard_out, mark, text, attempt, attempt_failed, delivered ...
    order: int = 0  # between events of the same moment
    gate: str = ""
    minutes: int = 0
    certain: bool = True
    relation: str = ""
    body: str = ""
    detail: str = ""
    n: int = 0
    seconds: float | None = None  # after the tap


@dataclass(frozen=True)
class Cell:
    """One day of the month."""

    day: dt.date
    state: str  # in, late, excused, unexplained, unconfirmed, not_yet, off, future
    at: dt.datetime | None = None


@dataclass(frozen=True)
class Month:
    """Weeks from Monday; None is a day of another month."""

    first: dt.date
    weeks: tuple[tuple[Cell | None, ...], ...]
    came: int
    late: int


def day_of(pupil_id: uuid.UUID, day: dt.date) -> PupilDay | None:
    """The verdict on a day."""
    return db.session.get(PupilDay, (pupil_id, day))


def events(pupil: Pupil, day: dt.date) -> list[Event]:
    """Taps, texts, attempts and receipts of a day in the order in which they happened."""
    taps = db.session.scalars(
        select(Tap).where(Tap.school_id == pupil.school_id, Tap.pupil_id == pupil.id, Tap.day == day).order_by(Tap.at)
    ).all()
    texts = db.session.scalars(select(OutboxText).where(OutboxText.pupil_id == pupil.id, OutboxText.day == day)).all()
    found = list(_tap_events(pupil, taps, day_of(pupil.id, day)))
    found += _written_events(pupil, day)
    found += _text_events(texts, people.relations([pupil.id]), _exact(taps))
    return sorted(found, key=lambda event: (event.at, event.order))


def _tap_events(pupil: Pupil, taps: Sequence[Tap], verdict: PupilDay | None) -> Iterator[Event]:
    names = gate_names(pupil.school_id)
    for tap in taps:
        late = verdict.late_minutes if verdict and tap.direction == "in" and is_late(verdict, tap) else 0
        kind = "out" if tap.direction == "out" else "late" if late else "in"
        gate = names.get(tap.gateway_id, tap.gateway_id)
        yield Event(tap.at, kind, 0, gate=gate, minutes=late, certain=tap.clock != "unsynced")


def _written_events(pupil: Pupil, day: dt.date) -> Iterator[Event]:
    """What people saw: the guard's book, and what teachers said."""
    written = select(ManualPassage).where(ManualPassage.pupil_id == pupil.id, ManualPassage.day == day)
    for passage in db.session.scalars(written):
        yield Event(passage.at, f"guard_{passage.direction}", 0, detail=passage.reason)
    said = select(TeacherMark, User.name).outerjoin(User, User.id == TeacherMark.made_by)
    for mark, name in db.session.execute(said.where(TeacherMark.pupil_id == pupil.id, TeacherMark.date == day)):
        undone = mark.undone_at is not None
        yield Event(
            mark.made_at, "mark", 1, gate=name or "?", detail=mark.mark, minutes=mark.minutes, certain=not undone
        )


def _exact(taps: Sequence[Tap]) -> dict[int, dt.datetime]:
    return {int(tap.at.timestamp()): tap.at for tap in taps}


def _text_events(
    texts: Sequence[OutboxText], relations: dict[tuple[uuid.UUID, uuid.UUID], str], exact: dict[int, dt.datetime]
) -> Iterator[Event]:
    attempts, receipts = _by_text(Attempt, texts), _by_text(Receipt, texts)
    for text in texts:
        relation = relations.get((text.pupil_id, text.guardian_id), "other")
        since = exact.get(int(text.event_at.timestamp()), text.event_at)
        yield Event(text.created_at, "text", 1, relation=relation, body=text.body)
        for attempt in attempts[text.id]:
            yield _attempt(attempt, relation, since)
        yield from _end(text, receipts[text.id], relation, since)


def _by_text(table: type[Row], texts: Sequence[OutboxText]) -> dict[uuid.UUID | None, list[Row]]:
    found: dict[uuid.UUID | None, list[Row]] = defaultdict(list)
    if texts:
        for row in db.session.scalars(select(table).where(table.text_id.in_([text.id for text in texts]))):
            found[row.text_id].append(row)
    return found


def _attempt(attempt: Attempt, relation: str, since: dt.datetime) -> Event:
    at = attempt.ended_at or attempt.started_at
    kind = "attempt" if attempt.outcome == "accepted" else "attempt_failed"
    seconds = max(0.0, clock.elapsed(since, at))
    return Event(at, kind, 2, relation=relation, detail=f"{attempt.provider}", n=attempt.n, seconds=seconds)


def _end(text: OutboxText, receipts: Sequence[Receipt], relation: str, since: dt.datetime) -> Iterator[Event]:
    if TextState(text.state) not in FINAL:
        return
    at = text.settled_at or max((receipt.received_at for receipt in receipts), default=text.changed_at)
    detail, seconds = text.held or text.error or "", max(0.0, clock.elapsed(since, at))
    yield Event(at, text.state, 3, relation=relation, detail=detail, seconds=seconds)


def month(pupil: Pupil, first: dt.date, today: dt.date) -> Month:
    """The month that begins on `first`."""
    last = first.replace(day=calendar.monthrange(first.year, first.month)[1])
    query = select(PupilDay).where(PupilDay.pupil_id == pupil.id, PupilDay.date.between(first, last))
    days = {row.date: row for row in db.session.scalars(query)}
    grid = calendar.Calendar().monthdatescalendar(first.year, first.month)
    weeks = tuple(
        tuple(_cell(day, days.get(day), today) if day.month == first.month else None for day in week) for week in grid
    )
    states = [cell.state for week in weeks for cell in week if cell]
    late = states.count("late")
    return Month(first, weeks, states.count("in") + late, late)


def _cell(day: dt.date, row: PupilDay | None, today: dt.date) -> Cell:
    if row is None:
        return Cell(day, "future" if day > today and day.weekday() < 5 else "off")
    if row.first_in is not None or row.status in {Status.IN_SCHOOL, Status.LATE, Status.LEFT}:
        return Cell(day, "late" if row.late_minutes else "in", row.first_in)
    return Cell(day, str(row.status))
