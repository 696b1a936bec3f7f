"""What the Today page shows: who is where, how the gates are, and the newest taps, each by a handful of statements."""

import datetime as dt
import uuid
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Integer, Row, and_, cast, extract, func, or_, select

from server import clock
from server.accounts import service as accounts
from server.accounts.models import User
from server.attendance.models import PupilDay
from server.attendance.rules import Status
from server.calendar import rules as bells
from server.calendar import service as calendar
from server.cards.models import Card, CardState
from server.db import db
from server.gates import credentials, words
from server.gates import service as gate_service
from server.gates.models import Gateway, Silence
from server.overview import chart, texts
from server.people import service as people
from server.people.models import Pupil, SchoolClass
from server.rollcall.models import StaffMember
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
class Roll:
    """Who is where on a day, and when the first lessons begin: seconds after midnight and the timetable's name."""

    counts: Counts
    bells: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Gate:
    """One gate: working, back (silent until now), silent, offline (for now), resting, never heard, or revoked."""

    id: str
    name: str
    state: str
    taps: int
    heard_at: dt.datetime | None
    silences: tuple[Silence, ...] = ()  # of the day
    troubles: tuple[words.Words, ...] = ()  # of its readers, as it says itself
    certificate_ends: dt.datetime | None = None
    revoked_at: dt.datetime | None = None

    @property
    def short(self) -> str:
        """What staff call it."""
        return short_name(self.id, self.name)

    @property
    def since(self) -> dt.datetime | None:
        """When the newest silence began."""
        return self.silences[-1].starts if self.silences else None

    @property
    def until(self) -> dt.datetime | None:
        """When the newest silence ended; None while it lasts."""
        return self.silences[-1].ends if self.silences else None


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
    return roll(user, day).counts


def roll(user: User, day: dt.date) -> Roll:
    """How many of the visible pupils are where, and their first bells; a school without pupils has its usual bells."""
    query = people.visible_pupils(user).with_only_columns(SchoolClass.timetable, PupilDay.status, func.count())
    query = query.outerjoin(PupilDay, and_(PupilDay.pupil_id == Pupil.id, PupilDay.date == day))
    rows = db.session.execute(query.group_by(SchoolClass.timetable, PupilDay.status)).all()
    names = {timetable for timetable, _, _ in rows} or {bells.DEFAULT_TIMETABLE}
    lessons = calendar.timetables_on(user.school_id, names, day)
    found: Counter[str] = Counter()
    for timetable, status, count in rows:
        found[status or (Status.NOT_YET if lessons[timetable] else Status.OFF)] += count
    first = sorted((sessions[0].starts, name) for name, sessions in lessons.items() if sessions)
    return Roll(Counts(found), tuple(first))


def gates(school: School, day: dt.date, now: dt.datetime) -> list[Gate]:
    """All gates by name, each with its taps and silences of the day."""
    taps = select(Tap.gateway_id, func.count().label("count"), func.max(Tap.received_at).label("newest"))
    seen = taps.where(Tap.school_id == school.id, Tap.day == day).group_by(Tap.gateway_id).subquery()
    begins, ends = (clock.at_local(each, 0, school.timezone) for each in (day, day + dt.timedelta(days=1)))
    held = credentials.ends_of(school.id).subquery()
    query = (
        select(Gateway, seen.c.count, seen.c.newest, held.c.ends, Silence)
        .outerjoin(seen, seen.c.gateway_id == Gateway.id)
        .outerjoin(held, held.c.gateway_id == Gateway.id)
        .outerjoin(
            Silence,
            and_(
                Silence.school_id == Gateway.school_id,
                Silence.gateway_id == Gateway.id,
                Silence.starts < ends,
                or_(Silence.ends.is_(None), Silence.ends > begins),
            ),
        )
        .where(Gateway.school_id == school.id)
        .order_by(Gateway.name, Gateway.id, Silence.starts)
    )
    found: dict[str, list[Row]] = defaultdict(list)  # type: ignore[type-arg]
    for row in db.session.execute(query):
        found[row[0].id].append(row)
    return [_gate(rows, now) for rows in found.values()]


def _gate(rows: Sequence[Row], now: dt.datetime) -> Gate:  # type: ignore[type-arg]
    row, taps, newest, ends, _silence = rows[0]
    silences = tuple(silence for *_rest, silence in rows if silence is not None)
    heard = max(filter(None, (row.heard_at, newest)), default=None)
    given = gate_service.newest_state(row) if row.online else None
    troubles = tuple(words.of_readers(given.readers)) if given else ()
    state = _gate_state(row, silences, now)
    return Gate(row.id, row.name, state, taps or 0, heard, silences, troubles, ends, row.blocked_at)


def _gate_state(row: Gateway, silences: Sequence[Silence], now: dt.datetime) -> str:
    ends = silences[-1].ends if silences else now - JUST_BACK
    if row.blocked_at is not None:
        return "revoked"
    if row.heard_at is None or row.resting:
        return "resting" if row.resting else "never"
    if ends is None:
        return "silent"
    if ends > now - JUST_BACK:
        return "back"
    return "working" if row.online else "offline"


def gate_names(school_id: str) -> dict[str, str]:
    """Id -> what staff call it."""
    rows = db.session.execute(select(Gateway.id, Gateway.name).where(Gateway.school_id == school_id))
    return {gateway: short_name(gateway, name) for gateway, name in rows}


def short_name(gateway: str, name: str) -> str:
    """1号门 of 1号门 东门."""
    return next(iter(name.split()), gateway)


def feed(user: User, day: dt.date, names: dict[str, str], limit: int = FEED) -> list[FeedRow]:
    """The day's newest taps of visible pupils; whoever sees the whole school also sees cards that nobody holds.

    `names` are those of the gates. Badges of staff are not among them: that somebody works late is nobody's news.
    """
    badges = select(StaffMember.card).where(StaffMember.school_id == user.school_id, StaffMember.card.is_not(None))
    query = (
        select(Tap, Pupil, SchoolClass, PupilDay, Card.state)
        .outerjoin(Pupil, Pupil.id == Tap.pupil_id)
        .outerjoin(SchoolClass, SchoolClass.id == Pupil.class_id)
        .outerjoin(PupilDay, and_(PupilDay.pupil_id == Tap.pupil_id, PupilDay.date == Tap.day))
        .outerjoin(Card, and_(Card.school_id == Tap.school_id, Card.text == Tap.card))
        .where(Tap.school_id == user.school_id, Tap.day == day)
        .where(or_(Tap.pupil_id.is_not(None), Tap.card.not_in(badges)))
        .order_by(Tap.at.desc(), Tap.id.desc())
        .limit(limit)
    )
    if not accounts.scope_of(user).whole:
        query = query.where(people.in_scope(user))
    rows = db.session.execute(query).all()
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


def arrivals(user: User, school: School, day: dt.date) -> dict[dt.date, Counter[int]]:
    """When visible pupils first came in, on the day and on the newest earlier one: how many in each local minute."""
    minute = cast(extract("epoch", PupilDay.first_in), Integer) // 60
    came = (PupilDay.school_id == school.id, PupilDay.first_in.is_not(None))
    earlier = select(PupilDay.date).where(*came, PupilDay.date < day).order_by(PupilDay.date.desc()).limit(1)
    query = people.visible_pupils(user).with_only_columns(PupilDay.date, minute, func.count())
    query = query.join(PupilDay, PupilDay.pupil_id == Pupil.id)
    query = query.where(*came, PupilDay.date.in_([day, earlier.scalar_subquery()])).group_by(PupilDay.date, minute)
    found: dict[dt.date, Counter[int]] = defaultdict(Counter)
    for date, since_epoch, count in db.session.execute(query):
        at = clock.from_millis(since_epoch * 60_000)
        found[date][clock.local_seconds(at, date, school.timezone) // 60] += count
    return found


def morning(
    user: User, school: School, day: dt.date, now: dt.datetime, *, roll: Roll, gates: Sequence[Gate]
) -> chart.Morning:
    """What the chart of arrivals shows: the day against the newest earlier one, bells and silences."""
    found = arrivals(user, school, day)
    earlier = max((date for date in found if date < day), default=None)
    return chart.Morning(
        today=found.get(day, {}),
        before=found[earlier] if earlier else {},
        before_day=earlier,
        bells=roll.bells,
        silences=[_span(each, school, day, now) for gate in gates for each in gate.silences],
        now=clock.local_seconds(now, day, school.timezone) if day == today(school) else None,
    )


def _span(silence: Silence, school: School, day: dt.date, now: dt.datetime) -> tuple[int, int]:
    return (
        clock.local_seconds(silence.starts, day, school.timezone),
        clock.local_seconds(silence.ends or now, day, school.timezone),
    )
