"""What a guardian is told about a leave: asked, decided, changed, withdrawn, each in the guardian's language."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from babel.dates import format_date
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server import clock
from server.leave.models import Leave, LeaveKind, LeaveState, LeaveWish
from server.outbox import service as outbox
from server.outbox.models import OutboxText
from server.outbox.rules import Lane
from server.people import rules as numbers
from server.people.models import Guardian, Guardianship, Pupil
from server.schools.models import School

KIND = "leave"  # of texts
FRESH = timedelta(hours=24)
DAY = 86_400

ZH = {
    "approved": "{name} {span} {kind}已批准。",
    "declined": "{name} {span} {kind}没有批准，请联系班主任。",
    "withdrawn": "{name} {span} {kind}已撤销。",
    "changed": "{name} {kind}改为 {span}。",
    "asked": "{name} {span} {kind}已收到，请等老师批准。",
    "sure": "{name} {span} {kind}，对吗？请回复“是”或“否”。",
    "dropped": "{name} 没有登记请假。需要时请联系班主任。",
    "link": "{name} 请假请打开 {link}",
}
EN = {
    "approved": "{name} {span}: {kind} is approved.",
    "declined": "{name} {span}: {kind} is not approved. Please call the class teacher.",
    "withdrawn": "{name} {span}: {kind} is withdrawn.",
    "changed": "{name}: {kind} is now {span}.",
    "asked": "{name} {span}: request for {kind} received. A teacher decides.",
    "sure": "{name} {span}: {kind}. Is that right? Reply YES or NO.",
    "dropped": "{name}: no leave is noted. Call the class teacher if you need one.",
    "link": "{name}: to report an absence open {link}",
}
WORDINGS = frozenset(f"leave_{each}" for each in ZH)
KINDS_ZH = {LeaveKind.SICK: "病假", LeaveKind.PERSONAL: "事假", LeaveKind.OFFICIAL: "公假", LeaveKind.TRIP: "外出活动"}
KINDS_EN = {
    LeaveKind.SICK: "sick leave",
    LeaveKind.PERSONAL: "personal leave",
    LeaveKind.OFFICIAL: "official leave",
    LeaveKind.TRIP: "school trip",
}


@dataclass(frozen=True)
class Span:
    """When a leave is, on the school's wall clock: dates, and the time of day where it is not whole."""

    first: date
    last: date
    starts: int
    ends: int  # seconds of the last date, 86400 when that is whole


def span_of(school: School, starts: datetime, ends: datetime) -> Span:
    """The span between two moments."""
    first = clock.local_day(starts, school.timezone)
    last = clock.local_day(ends - timedelta(microseconds=1), school.timezone)
    seconds = (clock.local_seconds(at, day, school.timezone) for at, day in ((starts, first), (ends, last)))
    return Span(first, last, *seconds)


def span_words(span: Span, *, chinese: bool) -> str:
    """11月26日 / 11月26日至28日 / 11月26日13:00-16:00; Thu 26 Nov ... in English."""
    first, last = _day(span.first, chinese=chinese), _day(span.last, chinese=chinese)
    whole = span.starts == 0 and span.ends == DAY
    if span.first == span.last:
        return first if whole else f"{first} {_time(span.starts)}-{_time(span.ends)}"
    to = "至" if chinese else " – "
    return f"{first}{to}{last}" if whole else f"{first} {_time(span.starts)}{to}{last} {_time(span.ends)}"


def _day(day: date, *, chinese: bool) -> str:
    return format_date(day, "M月d日" if chinese else "EEE d MMM", locale="zh_Hans_CN" if chinese else "en")


def _time(second: int) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}"


@dataclass(frozen=True)
class Said:
    """What one text says: its wording, and what stands in it."""

    wording: str
    span: Span | None = None
    kind: str = LeaveKind.SICK
    link: str = ""


def values(said: Said, *, name: str, locale: str) -> dict[str, str]:
    """What stands in the placeholders, in the guardian's language."""
    chinese = not locale.lower().startswith("en")
    return {
        "name": " ".join(name.replace("【", " ").replace("】", " ").split()),
        "span": span_words(said.span, chinese=chinese) if said.span else "",
        "kind": (KINDS_ZH if chinese else KINDS_EN)[LeaveKind(said.kind)],
        "link": said.link,
    }


def body(said: Said, *, sign: str, name: str, locale: str) -> str:
    """One text with its sign."""
    words = EN if locale.lower().startswith("en") else ZH
    return f"【{sign}】{words[said.wording].format(**values(said, name=name, locale=locale))}"


def tell(session: Session, school: School, leave: Leave, wording: str, now: datetime) -> bool:
    """Tell the guardian who asked or confirmed; whether a text could be queued."""
    guardian = may_be_texted(session, leave.pupil_id, leave.guardian_id)
    if guardian is None:
        return False
    span = span_of(school, leave.starts_at, leave.ends_at)
    return send(session, school, guardian, leave.pupil_id, Said(wording, span, leave.kind), now)


def tell_state(session: Session, school: School, leave: Leave, now: datetime) -> bool:
    """Tell what a leave is now."""
    words = {LeaveState.APPROVED: "approved", LeaveState.DECLINED: "declined", LeaveState.WITHDRAWN: "withdrawn"}
    return tell(session, school, leave, words.get(LeaveState(leave.state), "asked"), now)


def ask_sure(session: Session, school: School, wish: LeaveWish, now: datetime) -> bool:
    """Ask whether a text was understood rightly."""
    guardian = may_be_texted(session, wish.pupil_id, wish.guardian_id)
    if guardian is None:
        return False
    span = span_of(school, wish.starts_at, wish.ends_at)
    return send(session, school, guardian, wish.pupil_id, Said("sure", span, wish.kind), now)


def may_be_texted(session: Session, pupil_id: uuid.UUID, guardian_id: uuid.UUID | None) -> Guardian | None:
    """The guardian, when a text may go there: a verified mobile, and not barred from this pupil."""
    query = (
        select(Guardian)
        .join(Guardianship, Guardianship.guardian_id == Guardian.id)
        .where(Guardian.id == guardian_id, Guardianship.pupil_id == pupil_id, Guardianship.barred.is_(False))
        .where(Guardian.phone.is_not(None), Guardian.verified_at.is_not(None))
    )
    found = session.scalars(query).first()
    return found if found is not None and numbers.takes_texts(found.phone or "") else None


def send(session: Session, school: School, guardian: Guardian, pupil_id: uuid.UUID, said: Said, now: datetime) -> bool:
    """Queue one text; the pupil is locked by the caller, so that its number of the day is its own."""
    name = session.get_one(Pupil, pupil_id).name
    day = clock.local_day(now, school.timezone)
    words = body(said, sign=school.sign, name=name, locale=guardian.locale)
    text = outbox.NewText(
        school_id=school.id,
        pupil_id=pupil_id,
        guardian_id=guardian.id,
        day=day,
        kind=KIND,
        n=_next(session, school.id, pupil_id, day),
        phone=guardian.phone or "",
        lane=Lane.DIRECT,
        wording=f"leave_{said.wording}",
        body=words,
        values={key: each for key, each in values(said, name=name, locale=guardian.locale).items() if each},
        event_at=now,
        expires_at=now + FRESH,
    )
    return bool(outbox.enqueue(session, [text]))


def _next(session: Session, school_id: str, pupil_id: uuid.UUID, day: date) -> int:
    mine = (OutboxText.school_id == school_id, OutboxText.pupil_id == pupil_id, OutboxText.day == day)
    newest = select(func.max(OutboxText.n)).where(*mine, OutboxText.kind == KIND)
    return (session.scalar(newest) or 0) + 1
