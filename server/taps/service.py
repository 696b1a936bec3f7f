"""Keeping taps, each once, and the payloads that were none."""

import hashlib
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import bindparam, func, select, tuple_
from sqlalchemy.orm import Session

from gateway import wire
from server import clock
from server.db import db, insert, insert_new, table
from server.gates import rules as numbers
from server.gates import service as gates
from server.gates.models import SpoolGap
from server.taps import rules
from server.taps.models import RefusedPayload, Tap

KEEP_BYTES = 16 * 1024
KEEP_REFUSED = 200  # different refused payloads that are kept for one topic; more are only counted
LONGEST_BOOT = 10 * 365 * 86400_000  # milliseconds; no machine runs longer, and beyond lie times that no date can hold
UNKNOWN_PAST = timedelta(days=1)  # how far back a gap may reach when no earlier tap of its spool is known

_tap = table(Tap)
_refused = table(RefusedPayload)

_OF_DAYS = select(_tap.c.pupil_id, _tap.c.day, _tap.c.at, _tap.c.direction, _tap.c.clock).where(
    _tap.c.school_id == bindparam("school"),
    _tap.c.day.in_(bindparam("days", expanding=True)),
    _tap.c.pupil_id.in_(bindparam("pupils", expanding=True)),
)
_NUMBERS = select(_tap.c.spool, _tap.c.seq).where(
    tuple_(_tap.c.spool, _tap.c.seq).in_(bindparam("numbers", expanding=True))
)


@dataclass(frozen=True)
class NewTap:
    """A row of the tap table."""

    id: uuid.UUID
    school_id: str
    gateway_id: str
    reader_id: str
    direction: str
    card: str
    pupil_id: uuid.UUID | None
    at: datetime
    day: date
    clock: str
    earliest: datetime | None
    latest: datetime | None
    spool: str
    seq: int
    boot: str
    ticks: int
    late: bool
    sent_at: datetime
    received_at: datetime

    @property
    def timed(self) -> bool:
        """Whether its time can be believed."""
        return self.clock != rules.UNSYNCED


@dataclass(frozen=True)
class Origin:
    """Where and when a message of taps came in, with the gateway's clock at the moment of sending."""

    school_id: str
    timezone: str
    gateway_id: str
    boot: str
    ticks: int
    received_at: datetime


def fact(
    tap: wire.Tap,
    origin: Origin,
    holders: Mapping[str, uuid.UUID | None],
    between: rules.Bounds = rules.UNBOUNDED,
) -> NewTap:
    """What a tap of the wire is in the tap table: with its holder, and filed under the school's date."""
    when = _when(tap, origin, between)
    at = clock.from_millis(when.at)
    return NewTap(
        id=uuid.UUID(tap.id),
        school_id=origin.school_id,
        gateway_id=origin.gateway_id,
        reader_id=tap.reader,
        direction=tap.direction.value,
        card=tap.card,
        pupil_id=holders.get(tap.card),
        at=at,
        day=clock.local_day(at, origin.timezone),
        clock=when.clock,
        earliest=_moment(when.bounds.earliest),
        latest=_moment(when.bounds.latest),
        spool=tap.spool,
        seq=tap.seq,
        boot=tap.boot,
        ticks=tap.ticks,
        late=tap.late,
        sent_at=clock.from_millis(tap.at),
        received_at=origin.received_at,
    )


def _when(tap: wire.Tap, origin: Origin, between: rules.Bounds) -> rules.Settled:
    guess = None
    if tap.boot == origin.boot and 0 <= origin.ticks - tap.ticks <= LONGEST_BOOT:
        guess = clock.to_millis(clock.before(origin.received_at, origin.ticks - tap.ticks))
    received = clock.to_millis(origin.received_at)
    said = rules.Bounds(tap.earliest or None, tap.latest or None)
    return rules.settled(tap.at, tap.clock.value, received=received, guess=guess, bounds=said.within(between))


def _moment(millis: int | None) -> datetime | None:
    return None if millis is None else clock.from_millis(millis)


def between(session: Session, taps: Sequence[wire.Tap]) -> dict[str, rules.Bounds]:
    """For taps whose gateway does not know their bounds: the trusted taps of the same spool around them."""
    lost = [tap for tap in taps if tap.clock == wire.ClockState.UNSYNCED and not (tap.earliest and tap.latest)]
    return {tap.id: rules.Bounds(_trusted(session, tap, -1), _trusted(session, tap, +1)) for tap in lost}


def _trusted(session: Session, tap: wire.Tap, step: int) -> int | None:
    """Time of the next trusted tap of a spool, before (-1) or after (+1) this one."""
    known = select(_tap.c.at).where(_tap.c.spool == tap.spool, _tap.c.clock == wire.ClockState.SYNCED.value)
    if step < 0:
        query = known.where(_tap.c.seq < tap.seq).order_by(_tap.c.seq.desc())
    else:
        query = known.where(_tap.c.seq > tap.seq).order_by(_tap.c.seq)
    at = session.scalar(query.limit(1))
    return at and clock.to_millis(at)


def store(session: Session, taps: Sequence[NewTap]) -> list[NewTap]:
    """Insert them in one statement; the answer is those that were not known yet, each once."""
    each = {tap.id: tap for tap in taps}
    if not each:
        return []
    rows = [vars(each[tap_id]) for tap_id in sorted(each)]  # sorted: two workers cannot wait for each other
    new = session.scalars(insert_new(_tap, _tap.c.id), rows).all()
    return [each[tap_id] for tap_id in new]


def of_days(
    session: Session, school_id: str, pupils: Collection[uuid.UUID], days: Collection[date]
) -> dict[tuple[uuid.UUID, date], list[tuple[datetime, str, str]]]:
    """Moment, direction and clock of every tap of these pupils on these days."""
    given = {"school": school_id, "days": sorted(days), "pupils": sorted(pupils)}
    found: dict[tuple[uuid.UUID, date], list[tuple[datetime, str, str]]] = {}
    for pupil_id, day, at, direction, trust in session.execute(_OF_DAYS, given):
        found.setdefault((pupil_id, day), []).append((at, direction, trust))
    return found


def holes(session: Session, new: Collection[NewTap]) -> list[gates.Hole]:
    """Numbers missing before taps that were just stored; one look-up for the batch while none is missing."""
    spools: dict[str, dict[int, NewTap]] = {}
    for tap in new:
        spools.setdefault(tap.spool, {})[tap.seq] = tap
    before = {(spool, n) for spool, taps in spools.items() for n in numbers.before_runs(taps)}
    if not before:
        return []
    known = session.execute(_NUMBERS, {"numbers": sorted(before)})
    missing = before - {(spool, seq) for spool, seq in known}
    return [_hole(session, spools[spool][n + 1], n) for spool, n in sorted(missing)]


def _hole(session: Session, after: NewTap, last: int) -> gates.Hole:
    first, since = _newest(session, after.spool, last) or (0, after.at - UNKNOWN_PAST)
    return gates.Hole(after.gateway_id, after.spool, first + 1, last, since, after.at)


def _newest(session: Session, spool: str, up_to: int) -> tuple[int, datetime] | None:
    """Number and time of the last stored tap of a spool."""
    query = select(_tap.c.seq, _tap.c.at).where(_tap.c.spool == spool, _tap.c.seq <= up_to)
    row = session.execute(query.order_by(_tap.c.seq.desc()).limit(1)).first()
    return (row.seq, row.at) if row else None


def lost_tail(session: Session, gateway_id: str, state: wire.State, now: datetime) -> list[gates.Hole]:
    """What a gateway that holds nothing back has handed over, and we do not have: this database was set back."""
    if not state.online or state.spool is None or state.depth or state.next_seq <= 1:
        return []
    last, since = _newest(session, state.spool, state.next_seq) or (0, now - UNKNOWN_PAST)
    return (
        [gates.Hole(gateway_id, state.spool, last + 1, state.next_seq - 1, since, now)]
        if last < state.next_seq - 1
        else []
    )


def locked_away(session: Session, gateway_id: str, state: wire.State, now: datetime) -> list[gates.Hole]:
    """What lies at a gateway in spools that it cannot open, because their disk was in another machine."""
    holes = []
    for each in state.locked:
        unknown = (each.next_seq - each.depth - 1, now - UNKNOWN_PAST)
        last, since = _newest(session, each.spool, each.next_seq) or unknown
        if each.depth and last < each.next_seq - 1:
            holes.append(gates.Hole(gateway_id, each.spool, last + 1, each.next_seq - 1, since, now))
    return holes


def rest_of(session: Session, gap: SpoolGap) -> list[gates.Hole] | None:
    """What is still missing of a gap; None when nothing of it has come."""
    query = select(_tap.c.seq, _tap.c.at).where(_tap.c.spool == gap.spool)
    rows = session.execute(query.where(_tap.c.seq.between(gap.first_seq, gap.last_seq))).all()
    if not rows:
        return None
    times = {row.seq: row.at for row in rows}
    return [
        _rest(gap, first, last, since=times.get(first - 1, gap.since), until=times.get(last + 1, gap.until))
        for first, last in numbers.missing(gap.first_seq, gap.last_seq, times)
    ]


def _rest(gap: SpoolGap, first: int, last: int, *, since: datetime, until: datetime) -> gates.Hole:
    """Its begin was only assumed when no tap before it was known."""
    return gates.Hole(gap.gateway_id, gap.spool, first, last, min(since, until), until)


def gone(session: Session, school_id: str, gateway_id: str, lost: Sequence[wire.Gone], now: datetime) -> None:
    """What a gateway was asked for and does not have is lost, unless it has come meanwhile."""
    for each in lost:
        _shrink(session, gates.open_gaps_of(session, school_id, gateway_id, each.spool), now)
        for gap in gates.open_gaps_of(session, school_id, gateway_id, each.spool):
            gates.lost(session, gap, each, now)


def forget(session: Session, now: datetime) -> None:
    """What is missing for longer than any gateway keeps its taps is lost, unless it has come meanwhile."""
    _shrink(session, gates.too_old(session, now), now)
    for gap in gates.too_old(session, now):
        gates.lost(session, gap, wire.Gone(spool=gap.spool, first=gap.first_seq, last=gap.last_seq), now)


def _shrink(session: Session, open_gaps: Sequence[SpoolGap], now: datetime) -> None:
    for gap in open_gaps:
        if (rest := rest_of(session, gap)) is not None:
            gates.filled(session, gap, rest, now)
    session.flush()


def refuse(topic: str, payload: bytes, reason: str, *, key: str = "") -> None:
    """Keep a payload that cannot be taken, raw and once, and count it when it comes again.

    `key` names what is the same thing in different bytes: a gateway sends a tap again with another time of sending.
    """
    session, topic = db.session(), _plain(topic)
    digest = hashlib.sha256(f"{topic}\n".encode() + (key.encode() or payload)).hexdigest()
    if _is_flooded(session, topic, digest):
        digest = hashlib.sha256(f"{topic}\nmore".encode()).hexdigest()
        payload, reason = b"", f"more than {KEEP_REFUSED} different payloads of this topic were refused; only counted"
    now = clock.now()
    row = {"digest": digest, "topic": topic[:255], "payload": payload[:KEEP_BYTES], "size": len(payload)}
    row |= {"reason": _plain(reason)[:400], "count": 1, "first_at": now, "last_at": now}
    again = {"count": _refused.c.count + 1, "last_at": now}
    session.execute(insert(_refused).values(row).on_conflict_do_update(index_elements=["digest"], set_=again))


def _is_flooded(session: Session, topic: str, digest: str) -> bool:
    if session.scalar(select(_refused.c.digest).where(_refused.c.digest == digest)):
        return False
    kept = session.scalar(select(func.count()).select_from(_refused).where(_refused.c.topic == topic[:255]))
    return (kept or 0) >= KEEP_REFUSED


def _plain(text: str) -> str:
    """PostgreSQL takes no NUL in a text."""
    return text.replace("\0", "\\0")
