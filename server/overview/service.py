"""What the Today page shows: who is where, how the gates are, and the newest taps, each by a handful of statements."""

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Row, and_, func, or_, select

from server import clock
from server.accounts import service as accounts
from server.accounts.models import User
from server.attendance.models import PupilDay
from server.attendance.rules import Status
from server.calendar import service as calendar
from server.cards.models import Card, CardState
from server.db import db
from server.gates.models import Gateway, Silence
from server.overview import chart, texts
from server.people import service as people
from server.people.models import Pupil, SchoolClass
from server.schools.models import School
from server.taps.models import Tap

JUST_BACK = dt.timedelta(minutes=30)
FEED = 8


@dataclass(frozen=True)
class Counts:
    """How many pupils are where; `off` are those of whom nothing is expected today."""

    of: Counter[str]

    @property
    def inside(self) -> int:
        """In school, the late ones too."""
        return self.of[Status.IN_SCHOOL] + self.of[Status.LATE]

    @property
    def missing(self) -> int:
        """Not seen, for whatever reason that is not known."""
        return self.of[Status.NOT_YET] + self.of[Status.UNEXPLAINED] + self.of[Status.UNCONFIRMED]

    @property
    def total(self) -> int:
        """All of whom something is expected or known today."""
        return sum(self.of.values()) - self.of[Status.OFF]


@dataclass(frozen=True)
class Gate:
    """One gate: `working`, `back` (silent until just now), `silent`, `offline` (for a moment) or `never` heard."""

    id: str
    name: str
    state: str
    taps: int
    heard_at: dt.datetime | None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


@dataclass(frozen=True)
class Seen:
    """The taps of one gate on a day, and when the newest came in."""

    taps: int = 0
    newest: dt.datetime | None = None


@dataclass(frozen=True)
class FeedRow:
    """One tap: `late`, `in`, `left`, `unknown` (nobody's card) or `lost` (a card reported lost)."""

    id: uuid.UUID
    at: dt.datetime
    gate: str
    direction: str
    state: str
    certain: bool  # false: the gateway's clock was not set
    card_end: str
    pupil: Pupil | None
    school_class: SchoolClass | None
    text: texts.Summary | None


def today(school: School) -> dt.date:
    """The school's date now."""
    return clock.local_day(clock.now(), school.timezone)


def status_of(row: PupilDay | None, *, expected: bool) -> str:
    """The word for a pupil's day; without a verdict yet it is `not yet` or, with no lessons, `off`."""
    if row is not None:
        return row.status
    return Status.NOT_YET if expected else Status.OFF


def expected_on(school_id: str, timetables: Collection[str], day: dt.date) -> dict[str, bool]:
    """Which timetables have lessons on a day."""
    return {name: bool(sessions) for name, sessions in calendar.timetables_on(school_id, timetables, day).items()}


def counts(user: User, day: dt.date) -> Counts:
    """How many of the visible pupils are where."""
    query = people.visible_pupils(user).with_only_columns(SchoolClass.timetable, PupilDay.status, func.count())
    query = query.outerjoin(PupilDay, and_(PupilDay.pupil_id == Pupil.id, PupilDay.date == day))
    rows = db.session.execute(query.group_by(SchoolClass.timetable, PupilDay.status)).all()
    expected = expected_on(user.school_id, {timetable for timetable, _, _ in rows}, day)
    found: Counter[str] = Counter()
    for timetable, status, count in rows:
        found[status or (Status.NOT_YET if expected[timetable] else Status.OFF)] += count
    return Counts(found)


def gates(school_id: str, day: dt.date, now: dt.datetime) -> list[Gate]:
    """All gates by name, with their taps of the day and their newest silence."""
    rows = db.session.scalars(select(Gateway).where(Gateway.school_id == school_id).order_by(Gateway.name)).all()
    taps = select(Tap.gateway_id, func.count(), func.max(Tap.received_at))
    of_day = taps.where(Tap.school_id == school_id, Tap.day == day).group_by(Tap.gateway_id)
    by_gate = {gateway: Seen(count, newest) for gateway, count, newest in db.session.execute(of_day)}
    recent = select(Silence).where(Silence.school_id == school_id, _ends_after(now - JUST_BACK))
    silences = {silence.gateway_id: silence for silence in db.session.scalars(recent.order_by(Silence.starts))}
    return [_gate(row, by_gate.get(row.id, Seen()), silences.get(row.id)) for row in rows]


def _ends_after(moment: dt.datetime) -> ColumnElement[bool]:
    return or_(Silence.ends.is_(None), Silence.ends > moment)


def _gate(row: Gateway, seen: Seen, silence: Silence | None) -> Gate:
    taps, heard = seen.taps, max(filter(None, (row.heard_at, seen.newest)), default=None)
    if row.heard_at is None:
        return Gate(row.id, row.name, "never", taps, heard)
    if silence is not None:
        state = "silent" if silence.ends is None else "back"
        return Gate(row.id, row.name, state, taps, heard, silence.starts, silence.ends)
    return Gate(row.id, row.name, "working" if row.online else "offline", taps, heard)


def silences_on(school: School, day: dt.date) -> list[Silence]:
    """Times of the day in which a gate was not heard."""
    begins, ends = (clock.at_local(d, 0, school.timezone) for d in (day, day + dt.timedelta(days=1)))
    query = select(Silence).where(Silence.school_id == school.id, Silence.starts < ends, _ends_after(begins))
    return list(db.session.scalars(query.order_by(Silence.starts)))


def gate_names(school_id: str) -> dict[str, str]:
    """Id -> what staff call it, its short form (1号门 of 1号门 东门)."""
    rows = db.session.execute(select(Gateway.id, Gateway.name).where(Gateway.school_id == school_id))
    return {gateway: name.split()[0] if name.split() else gateway for gateway, name in rows}


def feed(user: User, day: dt.date, limit: int = FEED) -> list[FeedRow]:
    """The day's newest taps of visible pupils; whoever sees the whole school also sees cards that nobody holds."""
    query = (
        select(Tap, Pupil, SchoolClass, PupilDay, Card.state)
        .outerjoin(Pupil, Pupil.id == Tap.pupil_id)
        .outerjoin(SchoolClass, SchoolClass.id == Pupil.class_id)
        .outerjoin(PupilDay, and_(PupilDay.pupil_id == Tap.pupil_id, PupilDay.date == Tap.day))
        .outerjoin(Card, and_(Card.school_id == Tap.school_id, Card.text == Tap.card))
        .where(Tap.school_id == user.school_id, Tap.day == day)
        .order_by(Tap.at.desc(), Tap.id.desc())
        .limit(limit)
    )
    if not accounts.scope_of(user).whole:
        query = query.where(people.in_scope(user))
    rows = db.session.execute(query).all()
    names = gate_names(user.school_id)
    by_tap = texts.of_taps([row[0] for row in rows])
    return [_feed_row(row, names, by_tap) for row in rows]


def _feed_row(row: Row, names: dict[str, str], by_tap: dict[uuid.UUID, texts.Summary]) -> FeedRow:  # type: ignore[type-arg]
    tap, pupil, school_class, day, card_state = row
    return FeedRow(
        id=tap.id,
        at=tap.at,
        gate=names.get(tap.gateway_id, tap.gateway_id),
        direction=tap.direction,
        state=_tap_state(tap, day, card_state),
        certain=tap.clock != "unsynced",
        card_end=tap.card[-4:].upper(),
        pupil=pupil,
        school_class=school_class,
        text=by_tap.get(tap.id),
    )


def _tap_state(tap: Tap, day: PupilDay | None, card_state: str | None) -> str:
    if tap.pupil_id is None:
        return "lost" if card_state in {CardState.LOST, CardState.BLOCKED} else "unknown"
    if tap.direction == "out":
        return "left"
    return "late" if is_late(day, tap) else "in"


def is_late(day: PupilDay | None, tap: Tap) -> bool:
    """Whether this tap is the late arrival of the day. Verdicts count in whole seconds, taps in milliseconds."""
    first = day.first_in if day is not None and day.late_minutes > 0 else None
    return first is not None and int(first.timestamp()) == int(tap.at.timestamp())


def taps_on(school_id: str, day: dt.date) -> int:
    """How many taps a day has."""
    return db.session.scalar(select(func.count()).where(Tap.school_id == school_id, Tap.day == day)) or 0


def arrivals(user: User, day: dt.date) -> Sequence[dt.datetime]:
    """When visible pupils first came in on a day."""
    query = people.visible_pupils(user).with_only_columns(PupilDay.first_in)
    query = query.join(PupilDay, and_(PupilDay.pupil_id == Pupil.id, PupilDay.date == day))
    return [at for at in db.session.scalars(query) if at is not None]


def day_before(school_id: str, day: dt.date) -> dt.date | None:
    """The newest earlier day on which anybody came, to compare with."""
    earlier = select(func.max(PupilDay.date)).where(PupilDay.school_id == school_id, PupilDay.date < day)
    return db.session.scalar(earlier.where(PupilDay.first_in.is_not(None)))


def morning(user: User, school: School, day: dt.date, now: dt.datetime) -> chart.Morning:
    """What the chart of arrivals shows: the day against the newest earlier one, bells and silences."""
    earlier = day_before(school.id, day)
    return chart.Morning(
        today=_seconds(arrivals(user, day), school),
        before=_seconds(arrivals(user, earlier), school) if earlier else (),
        before_day=earlier,
        bells=first_bells(user, day),
        silences=[_span(silence, school, now) for silence in silences_on(school, day)],
        now=chart.local_seconds(clock.local(now, school.timezone)) if day == today(school) else None,
    )


def first_bells(user: User, day: dt.date) -> list[tuple[int, str]]:
    """When the first lessons of the visible classes begin: seconds after midnight and the timetable's name."""
    names = {school_class.timetable for school_class in people.visible_classes(user)}
    starts = calendar.timetables_on(user.school_id, names, day)
    return sorted((sessions[0].starts, name) for name, sessions in starts.items() if sessions)


def _seconds(moments: Sequence[dt.datetime], school: School) -> list[int]:
    return [chart.local_seconds(clock.local(moment, school.timezone)) for moment in moments]


def _span(silence: Silence, school: School, now: dt.datetime) -> tuple[int, int]:
    begins, ends = _seconds((silence.starts, silence.ends or now), school)
    return begins, ends
