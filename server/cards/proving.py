"""Whether taps prove their cards: messages verified, counters that only grow, each used once, at whatever gate.

Runs inside the transaction that stores the taps. The rows of the cards stay locked until it ends, so of two workers
with one message only one can accept it; a tap that is delivered again finds its own verdict and is no replay.
"""

import hmac
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from server import settings
from server.cards import rules, sun, sunkeys, sunlink
from server.cards.models import Card, ProvingCard, SunReading
from server.cards.rules import Claim, Verdict
from server.cards.service import Held
from server.db import insert, table
from server.people.models import Pupil

_proving, _reading = table(ProvingCard), table(SunReading)
_LOCK = (
    select(Card.id, Card.text, Card.state, Card.pupil_id, Pupil.active)
    .add_columns(_proving.c.must, _proving.c.mode, _proving.c.layout, _proving.c.version, _proving.c.last_counter)
    .join(_proving, _proving.c.card_id == Card.id)
    .outerjoin(Pupil, Pupil.id == Card.pupil_id)
    .where(Card.school_id == bindparam("school"), Card.text.in_(bindparam("cards", expanding=True)))
    .order_by(Card.id)
    .with_for_update(of=_proving)
)
_OF_TAPS = select(_reading.c.tap_id, _reading.c.verdict).where(_reading.c.tap_id.in_(bindparam("taps", expanding=True)))
_USED = (
    select(_reading.c.card_id, _reading.c.counter, _reading.c.at, _reading.c.timed)
    .where(_reading.c.card_id.in_(bindparam("cards", expanding=True)))
    .where(_reading.c.counter >= bindparam("least"))
)
_RAISE = (
    update(_proving)
    .where(_proving.c.card_id == bindparam("of_card"), _proving.c.last_counter < bindparam("counter"))
    .values(last_counter=bindparam("counter"))
)


@dataclass(frozen=True)
class Shown:
    """A tap, and the message that came with it (empty: none)."""

    tap_id: uuid.UUID
    card: str
    message: str
    at: datetime
    timed: bool


@dataclass(frozen=True)
class Proof:
    """What a tap proved; `card` is the one that the message names if the reader can have seen it, else the touched."""

    shown: Shown
    verdict: Verdict
    card: Held | None
    counter: int | None = None  # used by this tap
    holder: uuid.UUID | None = None


@dataclass(frozen=True)
class _Named:
    """A message whose sender has been read and not yet believed."""

    shown: Shown
    message: sunlink.Message
    uid: bytes
    counter: bytes

    @property
    def text(self) -> str:
        """The card as gateways name it."""
        return f"iso14443a:{self.uid.hex().upper()}"

    @property
    def agrees(self) -> bool:
        """Whether the reader can have seen this card: its number, or one that is another at each reading."""
        return self.shown.card == self.text or rules.RANDOM.fullmatch(self.shown.card) is not None

    @property
    def claim(self) -> Claim:
        """Its counter as a number."""
        return Claim(int.from_bytes(self.counter, "little"), self.shown.at, self.shown.timed)


def judged(session: Session, school_id: str, taps: Iterable[Shown], held: Mapping[str, Held]) -> dict[uuid.UUID, Proof]:
    """Tap -> what it proved, for taps whose card can prove itself or that came with a message; others are left out."""
    found, named = {}, []
    for tap in {tap.tap_id: tap for tap in taps if _is_concerned(tap, held.get(tap.card))}.values():
        read = _read(school_id, tap) if tap.message else Verdict.PLAIN
        if isinstance(read, Verdict):
            found[tap.tap_id] = Proof(tap, read, held.get(tap.card))
        else:
            named.append(read)
    return found | _verified(session, school_id, named, held)


def _is_concerned(tap: Shown, touched: Held | None) -> bool:
    """An ordinary card of the school stays one whatever is written on it."""
    if touched is None:
        return bool(tap.message)
    return touched.must is not None and (bool(tap.message) or touched.must)


def _read(school_id: str, tap: Shown) -> _Named | Verdict:
    try:
        message = sunlink.parsed(tap.message)
        if message.picc:
            plain = sun.opened(sunkeys.meta_key(school_id), message.picc)
            named = _Named(tap, message, plain[1:8], plain[8:11])
        else:
            named = _Named(tap, message, message.uid, message.counter)
    except sun.Malformed:
        return Verdict.MALFORMED
    except sun.WrongMac:
        return Verdict.MAC
    return named


def _verified(
    session: Session, school_id: str, named: Sequence[_Named], held: Mapping[str, Held]
) -> dict[uuid.UUID, Proof]:
    if not named:
        return {}
    found = session.execute(_LOCK, {"school": school_id, "cards": sorted({each.text for each in named})})
    cards = {row.text: row for row in found}
    before_now = session.execute(_OF_TAPS, {"taps": [each.shown.tap_id for each in named]})
    known = {tap_id: verdict for tap_id, verdict in before_now}
    proofs, genuine = {}, []
    for each in named:
        row, before = cards.get(each.text), known.get(each.shown.tap_id)
        verdict = Verdict(before) if before else _fault(school_id, each, row)
        if verdict is None:
            genuine.append(each)
        else:
            card = _held(row) if row and each.agrees else held.get(each.shown.card)
            proofs[each.shown.tap_id] = Proof(each.shown, verdict, card)
    return proofs | _counted(session, school_id, genuine, cards)


def _held(row: Any) -> Held:
    return Held(row.id, row.text, row.state, row.pupil_id, bool(row.active), row.must)


def _fault(school_id: str, named: _Named, row: Any) -> Verdict | None:
    """Why it is not this card's message; None when it is.

    What another key hid opens by chance, once in 256 times, to some UID: a name means nothing before its MAC is right.
    """
    if row is None:
        return Verdict.UNKNOWN if named.agrees else Verdict.MAC
    message = named.message
    by_lrp = len(message.picc) == sun.PICC_LRP
    if message.layout != row.layout or (message.picc and by_lrp != (row.mode == "LRP")):
        return Verdict.MALFORMED
    key = sunkeys.file_key(school_id, named.uid, row.version)
    mac = sun.mac_of(row.mode, key, named.uid, named.counter, message.covered)
    if not hmac.compare_digest(mac, message.mac):
        return Verdict.MAC
    return None if named.agrees else Verdict.OTHER


def _counted(
    session: Session, school_id: str, genuine: Sequence[_Named], cards: Mapping[str, Any]
) -> dict[uuid.UUID, Proof]:
    """The lowest counter first, so that taps of one batch do not stand in each other's way."""
    last = {text: row.last_counter for text, row in cards.items()}
    used = _used(session, genuine, cards)
    proofs = {}
    for each in sorted(genuine, key=lambda each: (each.text, each.claim.counter, each.shown.at)):
        claim, row = each.claim, cards[each.text]
        verdict = rules.claimed(claim, last[each.text], used.get(row.id, []))
        if verdict is not Verdict.REPLAY:
            used.setdefault(row.id, []).append(claim)
            last[each.text] = max(last[each.text], claim.counter)
        counter = None if verdict is Verdict.REPLAY else claim.counter
        counts = verdict is Verdict.PROVEN or (verdict is Verdict.LATE and _late_counts(school_id, claim))
        card = _held(row)
        proofs[each.shown.tap_id] = Proof(each.shown, verdict, card, counter, card.holder if counts else None)
    return proofs


def _used(session: Session, genuine: Sequence[_Named], cards: Mapping[str, Any]) -> dict[uuid.UUID, list[Claim]]:
    """Counters in use from the lowest on that came too late; in the usual case none did, and nothing is asked."""
    behind = [each for each in genuine if each.claim.counter <= cards[each.text].last_counter]
    found: dict[uuid.UUID, list[Claim]] = {}
    if behind:
        least = min(each.claim.counter for each in behind)
        given = {"cards": sorted({cards[each.text].id for each in behind}), "least": least}
        for card_id, counter, at, timed in session.execute(_USED, given):
            found.setdefault(card_id, []).append(Claim(counter, at, timed))
    return found


def _late_counts(school_id: str, claim: Claim) -> bool:
    return claim.timed and settings.policy(school_id, rules.Policy).count_late


def keep(session: Session, school_id: str, proofs: Iterable[Proof]) -> None:
    """Write down what taps proved that were stored just now, and how far the counters have come."""
    shown = [proof for proof in proofs if proof.shown.message]
    if not shown:
        return
    rows = [_row(school_id, proof) for proof in sorted(shown, key=lambda proof: proof.shown.tap_id)]
    session.execute(insert(_reading), rows)
    raised = [{"of_card": row["card_id"], "counter": row["counter"]} for row in rows if row["counter"] is not None]
    if raised:
        session.execute(_RAISE, sorted(raised, key=lambda each: (each["of_card"], each["counter"])))


def _row(school_id: str, proof: Proof) -> dict[str, Any]:
    shown = proof.shown
    return {
        "tap_id": shown.tap_id,
        "school_id": school_id,
        "card_id": proof.card.id if proof.card else None,
        "counter": proof.counter,
        "verdict": proof.verdict.value,
        "at": shown.at,
        "timed": shown.timed,
        "message": "" if proof.counter is not None else shown.message,
    }
