"""What the gates say of themselves, and from when to when their taps may be missing."""

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import msgspec
from sqlalchemy import String, and_, bindparam, or_, select, update
from sqlalchemy.orm import Session

from gateway import wire
from server import clock
from server.db import db, insert, new_id, table
from server.gates import rules, selftests
from server.gates.models import GateFault, Gateway, Reader, Silence, SpoolGap
from server.schools.models import School

DAY = 86400
LOOK_BACK = timedelta(days=8)  # a day longer than gateways keep their taps

_gateway = table(Gateway)
_reader = table(Reader)
_gap = table(SpoolGap)

_silence = table(Silence)
_of_school = bindparam("school", type_=String)
_SILENCES = (
    select(_silence.c.id, _silence.c.school_id, _silence.c.starts, _silence.c.ends, _silence.c.covered)
    .where(or_(_silence.c.ends.is_(None), _silence.c.ends > bindparam("since")))
    .where(or_(_of_school.is_(None), _silence.c.school_id == _of_school))
)
_SPOOL_GAPS = (
    select(_gap.c.id, _gap.c.school_id, _gap.c.since, _gap.c.until, _gap.c.seen_at, _gap.c.closed_at, _gap.c.lost_at)
    .where(_gap.c.until > bindparam("since"))
    .where(or_(_of_school.is_(None), _gap.c.school_id == _of_school))
)


@dataclass(frozen=True)
class Hole:
    """Numbers of a spool that nobody has stored: first..last, between the times of the stored taps around them."""

    gateway_id: str
    spool: str
    first_seq: int
    last_seq: int
    since: datetime
    until: datetime


def heard(school_id: str, gateway_id: str, state: wire.State, now: datetime) -> bool:
    """Note the newest State of a gateway, and its readers; False when it is older news than what is known.

    A last will only says that the connection broke: it is no hearing of the gateway, and an older one says nothing.
    A birth in the future was told by a clock that was wrong; kept as it is, it would make all later ones old news.
    """
    session = db.session()
    at = (_gateway.c.school_id == school_id, _gateway.c.id == gateway_id)
    row = {"school_id": school_id, "id": gateway_id, "name": gateway_id, "online": False, "birth": 0, "state": {}}
    session.execute(insert(_gateway).values(row).on_conflict_do_nothing())
    known = session.execute(select(_gateway.c.birth, _gateway.c.heard_at).where(*at).with_for_update()).one()
    if state.birth < known.birth:
        return False
    if state.online:
        _note_readers(session, school_id, gateway_id, state.readers)
        if state.tested is not None:
            selftests.answered(school_id, gateway_id, state.tested, now)
        birth = min(state.birth, clock.to_millis(now))
        seen = {"state": msgspec.to_builtins(state), "heard_at": max(now, known.heard_at or now), "birth": birth}
    else:
        seen = {}
    session.execute(update(_gateway).where(*at).values(online=state.online, **seen))
    return True


def is_blocked(school_id: str, gateway_id: str) -> bool:
    """Whether this gate was revoked: nothing that it says counts."""
    query = select(_gateway.c.blocked_at).where(_gateway.c.school_id == school_id, _gateway.c.id == gateway_id)
    return db.session.scalar(query) is not None


def _note_readers(session: Session, school_id: str, gateway_id: str, readers: Iterable[wire.ReaderState]) -> None:
    rows = [
        {"school_id": school_id, "gateway_id": gateway_id, "id": each.reader, "name": each.reader} for each in readers
    ]
    if rows:
        session.execute(insert(_reader).on_conflict_do_nothing(), rows)


def newest_state(gateway: Gateway) -> wire.State | None:
    """The State that a gateway sent last; None when it was never heard."""
    return msgspec.convert(gateway.state, wire.State) if gateway.state else None


def has_turned(now: datetime) -> bool:
    """Whether a gate fell silent or spoke again since the last watch(): a cheap look without a lock."""
    return any(silent == (silence is None) for _, silent, silence in _gates(db.session(), now))


def watch(session: Session, now: datetime) -> None:
    """Open a Silence for every gate that has fallen silent, and end those of gates that are heard again."""
    for gateway, silent, silence in _gates(session, now):
        state = newest_state(gateway)
        if silent and silence is None:
            session.add(_new_silence(gateway, state))
        elif not silent and silence is not None:
            _end(silence, gateway, state)


def _gates(session: Session, now: datetime) -> list[tuple[Gateway, bool, Silence | None]]:
    """Every gateway in service (ever heard, not resting), whether it is silent now, and its open Silence."""
    open_ = {
        (each.school_id, each.gateway_id): each
        for each in session.scalars(select(Silence).where(Silence.ends.is_(None)))
    }
    gateways = session.scalars(select(Gateway).where(Gateway.heard_at.is_not(None), Gateway.resting.is_(False)))
    return [(each, _is_silent(each, now), open_.get((each.school_id, each.id))) for each in gateways]


def _is_silent(gateway: Gateway, now: datetime) -> bool:
    if gateway.blocked_at is not None:
        return False  # nobody waits for a gate that was taken out of service
    state, oldest = newest_state(gateway), _oldest(gateway)
    seen = gateway.heard_at or now
    readers = state.readers if state else []
    return rules.is_silent(
        rules.Heard(
            ago=clock.elapsed(seen, now),
            online=gateway.online,
            waiting=clock.elapsed(oldest, seen) if oldest else 0.0,
            readers_up=not readers or any(each.health == wire.ReaderHealth.UP for each in readers),
        )
    )


def _oldest(gateway: Gateway) -> datetime | None:
    """Time of the oldest tap that the gateway still holds back, as far as its clock can be trusted."""
    state = newest_state(gateway)
    if state is None or state.oldest is None or state.clock == wire.ClockState.UNSYNCED:
        return None
    return clock.from_millis(state.oldest)


def _new_silence(gateway: Gateway, state: wire.State | None) -> Silence:
    seen = gateway.heard_at or clock.now()
    return Silence(
        school_id=gateway.school_id,
        gateway_id=gateway.id,
        boot=state.boot if state else "",
        starts=min(seen, _oldest(gateway) or seen),
    )


def _end(silence: Silence, gateway: Gateway, state: wire.State | None) -> None:
    """It ends where nothing is held back any more; the same boot was awake all along and has sent everything."""
    if gateway.blocked_at is not None:
        silence.ends = max(silence.starts, gateway.blocked_at)
        return
    awake = state is not None and state.boot != "" and state.boot == silence.boot
    silence.ends = max(silence.starts, (_oldest(gateway) if awake else None) or gateway.heard_at or silence.starts)
    silence.covered = awake


def noticed_gaps(school_id: str, holes: Sequence[Hole], now: datetime) -> None:
    """Note missing numbers; it counts as a gap only when they have not come after rules.SETTLE seconds."""
    if not holes:
        return
    session = db.session()
    spools = sorted({hole.spool for hole in holes})
    waits_or_lost = or_(SpoolGap.closed_at.is_(None), SpoolGap.lost_at.is_not(None))
    known = session.scalars(select(SpoolGap).where(SpoolGap.spool.in_(spools), waits_or_lost)).all()
    new = [hole for hole in holes if not any(_lies_in(hole, gap) for gap in known)]
    if new:
        session.execute(insert(_gap), [_gap_row(school_id, hole, now) for hole in new])


def _lies_in(hole: Hole, gap: SpoolGap) -> bool:
    return gap.spool == hole.spool and gap.first_seq <= hole.last_seq <= gap.last_seq


def _gap_row(school_id: str, hole: Hole, seen_at: datetime) -> dict[str, object]:
    return {"id": new_id(), "school_id": school_id, "seen_at": seen_at, **vars(hole)}


def open_gaps(now: datetime) -> list[SpoolGap]:
    """Gaps that might still be filled, settled or not."""
    query = select(SpoolGap).where(SpoolGap.closed_at.is_(None), SpoolGap.seen_at > now - LOOK_BACK)
    return list(db.session.scalars(query.order_by(SpoolGap.id)))


def open_gaps_of(session: Session, school_id: str, gateway_id: str, spool: str) -> list[SpoolGap]:
    """What is missing of one spool of one gateway."""
    query = select(SpoolGap).where(SpoolGap.school_id == school_id, SpoolGap.gateway_id == gateway_id)
    return list(session.scalars(query.where(SpoolGap.spool == spool, SpoolGap.closed_at.is_(None))))


def filled(session: Session, gap: SpoolGap, rest: Sequence[Hole], now: datetime) -> None:
    """Some numbers of a gap have come: what remains of it is `rest`."""
    if not rest and clock.elapsed(gap.seen_at, now) < rules.SETTLE:
        session.delete(gap)
    elif not rest:
        gap.closed_at = now
    else:
        gap.first_seq, gap.last_seq, gap.since, gap.until = (
            rest[0].first_seq,
            rest[0].last_seq,
            rest[0].since,
            rest[0].until,
        )
        for hole in rest[1:]:
            session.execute(insert(_gap), [_gap_row(gap.school_id, hole, gap.seen_at) | {"asked_at": gap.asked_at}])


def lost(session: Session, gap: SpoolGap, gone: wire.Gone, now: datetime) -> None:
    """The gateway does not have these numbers any more: that part of the gap is closed as lost, the rest stays open."""
    first, last = max(gap.first_seq, gone.first), min(gap.last_seq, gone.last)
    if first > last:
        return
    for start, end in ((gap.first_seq, first - 1), (last + 1, gap.last_seq)):
        if start <= end:
            rest = Hole(gap.gateway_id, gap.spool, start, end, gap.since, gap.until)
            session.execute(insert(_gap), [_gap_row(gap.school_id, rest, gap.seen_at) | {"asked_at": gap.asked_at}])
    gap.first_seq, gap.last_seq, gap.closed_at, gap.lost_at = first, last, now, now


def too_old(session: Session, now: datetime) -> list[SpoolGap]:
    """Open gaps of which no gateway can have kept anything."""
    query = select(SpoolGap).where(SpoolGap.closed_at.is_(None), SpoolGap.seen_at <= now - LOOK_BACK)
    return list(session.scalars(query.order_by(SpoolGap.id)))


def asked_numbers(session: Session, numbers: Collection[tuple[str, int]]) -> set[tuple[str, int]]:
    """Which of these (spool, number) a gateway was asked to send again, because they were missing here."""
    spools = sorted({spool for spool, _ in numbers})
    asked = select(_gap.c.spool, _gap.c.first_seq, _gap.c.last_seq).where(
        _gap.c.spool.in_(spools), _gap.c.closed_at.is_(None), _gap.c.asked_at.is_not(None)
    )
    gaps = session.execute(asked).all()
    return {(s, n) for s, n in numbers if any(g.spool == s and g.first_seq <= n <= g.last_seq for g in gaps)}


def is_settled(gap: SpoolGap, now: datetime) -> bool:
    """Whether the numbers have been missing long enough to be an incident."""
    return gap.closed_at is None and clock.elapsed(gap.seen_at, now) >= rules.SETTLE


def to_ask_for(session: Session, now: datetime) -> list[SpoolGap]:
    """Settled gaps whose gateway is there and was not asked to send them again within rules.ASK_AGAIN."""
    there = and_(Gateway.school_id == SpoolGap.school_id, Gateway.id == SpoolGap.gateway_id, Gateway.online.is_(True))
    query = (
        select(SpoolGap).join(Gateway, there).where(SpoolGap.closed_at.is_(None), SpoolGap.seen_at > now - LOOK_BACK)
    )
    return [gap for gap in session.scalars(query) if is_settled(gap, now) and _may_be_asked(gap, now)]


def _may_be_asked(gap: SpoolGap, now: datetime) -> bool:
    return gap.asked_at is None or clock.elapsed(gap.asked_at, now) >= rules.ASK_AGAIN


@dataclass(frozen=True)
class Trouble:
    """A time in which taps may be missing; `until` is empty while it lasts, `counts` is false once it is mended."""

    cause: uuid.UUID
    since: datetime
    until: datetime | None
    counts: bool


def troubles(since: datetime, now: datetime, school_id: str | None = None) -> dict[str, frozenset[Trouble]]:
    """Per school, what has happened since then; with `school_id`, of that school only."""
    given = {"since": since, "school": school_id}
    found: dict[str, set[Trouble]] = {}
    for row in db.session.execute(_SILENCES, given):
        found.setdefault(row.school_id, set()).add(Trouble(row.id, row.starts, row.ends, not row.covered))
    for gap in db.session.execute(_SPOOL_GAPS, given):
        waits = gap.closed_at is None and clock.elapsed(gap.seen_at, now) >= rules.SETTLE
        counts = waits or gap.lost_at is not None
        found.setdefault(gap.school_id, set()).add(Trouble(gap.id, gap.since, gap.until, counts))
    return {school: frozenset(those) for school, those in found.items()}


def gaps_on(school_id: str, day: date) -> list[rules.Gap]:
    """The times of a school's day in which taps may be missing."""
    zone = db.session.get_one(School, school_id).timezone
    starts, ends = (clock.at_local(day, seconds, zone) for seconds in (0, DAY))
    those = troubles(starts, clock.now(), school_id).get(school_id, frozenset())
    spans = [(each.since, each.until or ends) for each in those if each.counts and each.since < ends]
    return sorted(rules.Gap(_second(since, day, zone), _second(until, day, zone)) for since, until in spans)


def _second(moment: datetime, day: date, timezone: str) -> int:
    return max(0, min(DAY, clock.local_seconds(moment, day, timezone)))


@dataclass(frozen=True)
class Doubt:
    """Why one gate's word was not to be trusted on a day: a part that failed its self-test, or `signal` for silence.

    `until` is empty while it lasts; `loses_taps` is false for what only makes a time unsure.
    """

    gateway_id: str
    part: str
    found: str
    since: datetime
    until: datetime | None
    loses_taps: bool


def doubts(school_id: str, day: date) -> list[Doubt]:
    """The gates in use whose self-test failed on a day, or that were silent on it: no pupil is absent by them alone."""
    found = [_doubt(fault) for fault in selftests.faults_on(school_id, day)]
    zone = db.session.get_one(School, school_id).timezone
    starts, ends = (clock.at_local(each, 0, zone) for each in (day, day + timedelta(days=1)))
    same = and_(Gateway.school_id == Silence.school_id, Gateway.id == Silence.gateway_id, Gateway.resting.is_(False))
    of_day = (Silence.school_id == school_id, Silence.starts < ends, Silence.covered.is_(False))
    query = select(Silence).join(Gateway, same).where(*of_day, or_(Silence.ends.is_(None), Silence.ends > starts))
    for silence in db.session.scalars(query.order_by(Silence.starts, Silence.id)):
        found.append(Doubt(silence.gateway_id, "signal", "silent", silence.starts, silence.ends, loses_taps=True))
    return sorted(found, key=lambda doubt: (doubt.gateway_id, doubt.since))


def _doubt(fault: GateFault) -> Doubt:
    loses = fault.part not in rules.HARMLESS
    return Doubt(fault.gateway_id, fault.part, fault.found, fault.seen_at, fault.mended_at, loses_taps=loses)
