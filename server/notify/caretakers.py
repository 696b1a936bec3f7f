"""Tell the caretaker which gate failed its self-test, what to do, and once when it works again."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from flask_babel import force_locale
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from server import clock
from server.gates import rules, selftests, words
from server.gates.models import Caretaker, GateFault
from server.outbox import service as outbox
from server.outbox.rules import Lane
from server.schools.models import School

FAULT, MENDED = "gate_fault", "gate_mended"
WORDINGS = frozenset((FAULT, MENDED))
LASTS = timedelta(hours=3)  # after that a text about a gate is no news any more


def tell(session: Session, school_id: str, faults: Sequence[GateFault], now: datetime) -> int:
    """Queue the texts about these faults and note that they were told; how many texts were new."""
    school, names = session.get_one(School, school_id), _names(school_id)
    people, texts = selftests.caretakers(school_id), list[outbox.NewText]()
    for (mended, _part, _found), those in groupby(sorted(faults, key=_cause), key=_cause):
        group = list(those)
        gates = [names[fault.gateway_id] for fault in group]
        every = len(gates) > 1 and len(gates) == _in_use(school_id)
        texts += [_text(school, person, group[0], gates=gates, every=every, now=now) for person in people]
        for fault in group:
            fault.told_at = fault.told_at or now
            fault.mended_told_at = now if mended else None
    return outbox.enqueue(session, texts)


def _cause(fault: GateFault) -> tuple[bool, str, str]:
    """Gates with the same fault share a text."""
    return fault.mended_at is not None, fault.part, fault.found


def _names(school_id: str) -> dict[str, str]:
    """What staff call a gate: 1号门 of 1号门 东门."""
    return {gate.id: next(iter(gate.name.split()), gate.id) for gate in selftests.gates_of(school_id)}


def _in_use(school_id: str) -> int:
    return sum(not gate.resting and gate.heard_at is not None for gate in selftests.gates_of(school_id))


def _text(
    school: School, person: Caretaker, fault: GateFault, *, gates: Sequence[str], every: bool, now: datetime
) -> outbox.NewText:
    kind = FAULT if fault.mended_at is None else MENDED
    return outbox.NewText(
        school_id=school.id,
        pupil_id=fault.id,  # what the text is about, and to whom: of a gate here, not of a child
        guardian_id=person.id,
        day=fault.day,
        kind=kind,
        n=1,
        phone=person.phone,
        lane=Lane.ALERT,
        wording=kind,
        body=body(school, person.locale, fault, gates=gates, every=every),
        event_at=fault.mended_at or fault.seen_at,
        expires_at=now + LASTS,
        values=values(school, person.locale, fault, gates=gates, every=every),
    )


def values(school: School, locale: str, fault: GateFault, *, gates: Iterable[str], every: bool) -> dict[str, str]:
    """The placeholders in the caretaker's language: gate, fault, remedy; since when it works again."""
    with force_locale(locale):
        said = words.of_fault(fault.part, fault.found)
        if fault.part == rules.ANSWER and every:
            said = words.of_fault(fault.part, rules.UNASKED)
        at = f"{clock.local(fault.mended_at, school.timezone):%H:%M}" if fault.mended_at else ""
        named = _("All gates") if every else _(", ").join(gates)
        return {"gate": named, "fault": said.fault, "remedy": words.sentence(said.remedy), "time": at}


def body(school: School, locale: str, fault: GateFault, *, gates: Iterable[str], every: bool) -> str:
    """The text in the caretaker's language: gate, fault and remedy, or that it works again and since when."""
    filled = values(school, locale, fault, gates=gates, every=every)
    with force_locale(locale):
        if fault.mended_at is None:
            told = _("%(gate)s, self-test: %(fault)s. %(remedy)s.", **filled)
        else:
            told = _("%(gate)s works again since %(time)s (was: %(fault)s).", **filled)
    plain = " ".join(told.replace("【", " ").replace("】", " ").split())  # operators find the sign by these brackets
    return f"【{school.sign}】{plain}"
