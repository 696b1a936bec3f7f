"""Which guardian is told what of a child at the gate, in which words, and until when. No clock, no database."""

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from server.attendance.news import Event, Kind
from server.outbox.rules import DELAYED

LONGEST = 70  # characters of one message, the sign included: Chinese operators bill the 71st as a second one
ELLIPSIS = "…"

# The words of gate texts, one table a language: child, time, what happened, gate, in that order.
ARRIVED, LATE, LEFT, LEFT_EARLY, UNSURE = "arrived", "late", "left", "left_early", "unsure"

ZH = {
    ARRIVED: "{name} {time} 已到校{gate}。",
    LATE: "{name} {time} 到校（迟到 {minutes} 分钟）{gate}。",
    LEFT: "{name} {time} 已离校{gate}。",
    LEFT_EARLY: "{name} {time} 离校（早退 {minutes} 分钟）{gate}。",
    UNSURE: "{name} 已到校{gate}，刷卡时间待核实。",
    "gate": "（{gate}）",
    "guard": "门卫登记",
    "gate_after_minutes": "，{gate}",
    "delayed": "[系统延迟补发]",
}
EN = {
    ARRIVED: "{name} {time} arrived at school{gate}.",
    LATE: "{name} {time} arrived {minutes} min late{gate}.",
    LEFT: "{name} {time} left school{gate}.",
    LEFT_EARLY: "{name} {time} left school {minutes} min early{gate}.",
    UNSURE: "{name} arrived at school{gate}; time not confirmed.",
    "gate": " ({gate})",
    "guard": "recorded by the guard",
    "gate_after_minutes": " ({gate})",
    "delayed": " [sent late]",
}
LANGUAGES = {"zh": ZH, "en": EN}


@dataclass(frozen=True)
class GatePolicy:
    """Which texts families get; minutes after which one says that it comes late, and after which it is no news."""

    arrivals: bool = True
    departures: bool = True
    late_texts: bool = True  # what is not fresh any more is still told, and says so
    fresh_minutes: int = field(default=10, metadata={"least": 1, "most": 120})
    max_age_minutes: int = field(default=120, metadata={"least": 5, "most": 720})


@dataclass(frozen=True)
class Happening:
    """An event with its moment on the school's wall clock (None: not known) and its gate (None: not certain).

    `by_guard`: no card was read, a person at the gate wrote it down.
    `since`: when an event without a moment can have been at the earliest.
    """

    event: Event
    at: dt.datetime | None
    gate: str | None
    by_guard: bool = False
    since: dt.datetime | None = None


@dataclass(frozen=True)
class Contact:
    """A guardian who wants gate texts, with a verified number."""

    guardian_id: uuid.UUID
    phone: str
    locale: str


@dataclass(frozen=True)
class Notice:
    """One text to be sent; `event_at` is the time of the event, or of the telling where that is not known.

    From `late_at` on it is sent as `late_body`, or (None) not at all.
    """

    contact: Contact
    event: Event
    wording: str
    body: str
    event_at: dt.datetime
    expires_at: dt.datetime
    values: Mapping[str, str] = field(default_factory=dict)
    late_at: dt.datetime | None = None
    late_body: str | None = None


@dataclass(frozen=True)
class Words:
    """What all texts about one child have in common."""

    pupil: str
    sign: str
    policy: GatePolicy

    def body(self, happening: Happening, locale: str, *, delayed: bool) -> str:
        """The words of one text."""
        return body(happening, pupil=self.pupil, sign=self.sign, locale=locale, delayed=delayed)


def plan(
    happenings: Iterable[Happening],
    *,
    pupil: str,
    sign: str,
    contacts: Sequence[Contact],
    policy: GatePolicy,
    now: dt.datetime,
) -> list[Notice]:
    """The texts that events deserve: one a number, none for what is too old to be news."""
    once = {contact.phone: contact for contact in reversed(contacts)}  # the first of the order of contacts stays
    news = [happening for happening in happenings if is_news(happening, policy, now)]
    words = Words(pupil, sign, policy)
    return [_notice(happening, contact, words, now) for happening in news for contact in reversed(once.values())]


def _notice(happening: Happening, contact: Contact, words: Words, now: dt.datetime) -> Notice:
    policy, delayed = words.policy, is_old(happening, words.policy, now)
    late_body = words.body(happening, contact.locale, delayed=True) if happening.at and policy.late_texts else None
    fresh = happening.at is not None and not delayed
    return Notice(
        contact=contact,
        event=happening.event,
        wording=word_for(happening.event) + (DELAYED if delayed else ""),
        body=words.body(happening, contact.locale, delayed=delayed),
        event_at=happening.at or now,
        expires_at=(happening.at or now) + dt.timedelta(minutes=policy.max_age_minutes),
        values=values(happening, pupil=words.pupil),
        late_at=happening.at + dt.timedelta(minutes=policy.fresh_minutes) if happening.at and fresh else None,
        late_body=late_body if fresh else None,
    )


def is_news(happening: Happening, policy: GatePolicy, now: dt.datetime) -> bool:
    """Whether a family is still told: wanted by the school, and not older than the policy allows."""
    wanted = policy.departures if happening.event.kind is Kind.OUT else policy.arrivals
    if not policy.late_texts and is_old(happening, policy, now):
        return False
    since = happening.at or happening.since
    return wanted and (since is None or now - since < dt.timedelta(minutes=policy.max_age_minutes))


def is_old(happening: Happening, policy: GatePolicy, now: dt.datetime) -> bool:
    """Whether the text must say that the system was late."""
    return happening.at is not None and now - happening.at > dt.timedelta(minutes=policy.fresh_minutes)


def word_for(event: Event) -> str:
    """Which wording an event gets."""
    if event.kind is Kind.UNSURE:
        return UNSURE
    if event.kind is Kind.OUT:
        return LEFT_EARLY if event.early else LEFT
    return LATE if event.late else ARRIVED


def wordings() -> frozenset[str]:
    """Every wording that a gate text can have."""
    timed = (ARRIVED, LATE, LEFT, LEFT_EARLY)
    return frozenset((*timed, UNSURE, *(f"{each}{DELAYED}" for each in timed)))


def values(happening: Happening, *, pupil: str) -> dict[str, str]:
    """What stands in the placeholders: for providers that send approved templates instead of our words."""
    minutes = happening.event.late or happening.event.early
    known = {
        "name": _plain(pupil),
        "time": f"{happening.at:%H:%M}" if happening.at else "",
        "minutes": str(minutes) if minutes else "",
        "gate": _plain(happening.gate or ""),
    }
    return {name: words for name, words in known.items() if words}


def body(happening: Happening, *, pupil: str, sign: str, locale: str, delayed: bool) -> str:
    """The text with its sign, in one message: a gate that does not fit is left out, a name is cut."""
    gate = language(locale)["guard"] if happening.by_guard else happening.gate and _plain(happening.gate)
    pupil = _plain(pupil)
    for name, place in ((pupil, gate), (pupil, None)):
        text = _filled(happening, name=name, gate=place, sign=sign, locale=locale, delayed=delayed)
        if len(text) <= LONGEST:
            return text
    name = pupil[: max(1, len(pupil) - (len(text) - LONGEST) - len(ELLIPSIS))].rstrip() + ELLIPSIS
    return _filled(happening, name=name, gate=None, sign=sign, locale=locale, delayed=delayed)


def language(locale: str) -> dict[str, str]:
    """The table for a guardian's locale (`zh_Hans_CN`, `en`); Chinese where we have no better."""
    return LANGUAGES.get(locale.replace("-", "_").split("_")[0].lower(), ZH)


def _filled(happening: Happening, *, name: str, gate: str | None, sign: str, locale: str, delayed: bool) -> str:
    words, event = language(locale), happening.event
    kind = word_for(event)
    place = words["gate_after_minutes" if event.late or event.early else "gate"].format(gate=gate) if gate else ""
    text = words[kind].format(
        name=name,
        time=f"{happening.at:%H:%M}" if happening.at else "",
        minutes=event.late or event.early,
        gate=place,
    )
    return f"【{sign}】{text}{words['delayed'] if delayed else ''}"


def _plain(text: str) -> str:
    """One line without the brackets by which operators find the sign."""
    return " ".join(text.replace("【", " ").replace("】", " ").split())
