"""Counts the texts on the demo's phones against those that its script implies: missing, twice, or gone astray.

Texts of the gate have their minute in the script. When a family is asked where its child is depends on the ladder, so
of questions it is said who may be asked, in which order, and who must have been.
"""

from collections import Counter
from pathlib import Path

from sqlalchemy import func, select

from server import clock, config, create_app
from server.db import db
from server.demo import morning, roster
from server.demo.morning import Text
from server.outbox.models import OutboxText, PhoneText
from server.outbox.rules import DELAYED, TextState
from server.people.models import Pupil

TIMEZONE = "Asia/Shanghai"
GATE = {"in", "out", "unsure"}  # kinds of texts


def expected() -> Counter[Text]:
    """What the script implies."""
    return Counter(morning.texts(morning.moments(roster.build())))


def ladders() -> dict[str, list[str]]:
    """Of each pupil who never comes the numbers that may be asked, in order, each once."""
    people = roster.build()
    came = {moment.pupil.number for moment in morning.moments(people) if moment.pupil}
    return {
        pupil.name: list(dict.fromkeys(care.guardian.phone for care in _ranked(pupil) if care.guardian.phone))
        for pupil in people.pupils
        if pupil.number not in came
    }


def _ranked(pupil: roster.Pupil) -> list[roster.Care]:
    return sorted(
        (care for care in pupil.care if care.guardian.verified and not care.barred), key=lambda care: care.rank
    )


def wrong_questions(asked: list[Text], *, everybody: bool) -> list[str]:
    """Each question that should not have been asked, or not so; with `everybody`, each that is missing too."""
    wanted, found = ladders(), dict[str, list[str]]()
    for text in sorted(asked, key=lambda text: text.minute):
        found.setdefault(text.pupil, []).append(text.phone)
    lines = [f"false    {name} asked about at {phones}" for name, phones in found.items() if name not in wanted]
    for name, phones in wanted.items():
        got = found.get(name, [])
        if sorted(got) != sorted(phones[: len(got)]):
            lines.append(f"astray   {name} asked at {got}, the order is {phones}")
        elif everybody and phones and not got:
            lines.append(f"missing  {name} was not asked about at {phones[0]}")
    return lines


def arrived(config_file: Path) -> Counter[Text]:
    """What the phones have received from the gates."""
    return Counter({text: n for text, n in received(config_file).items() if text.kind in GATE})


def received(config_file: Path) -> Counter[Text]:
    """Everything on the phones: every copy, with the number and words it really came with."""
    app = create_app(config.load(config_file, {}))
    with app.app_context():
        query = (
            select(PhoneText.phone, PhoneText.body, Pupil.name, OutboxText)
            .join(OutboxText, OutboxText.id == PhoneText.text_id)
            .join(Pupil, Pupil.id == OutboxText.pupil_id)
        )
        found = Counter(_text(*row) for row in db.session.execute(query))
        db.session.remove()
        db.engine.dispose()
    return found


def _text(phone: str, body: str, name: str, text: OutboxText) -> Text:
    minute = f"{clock.local(text.event_at, TIMEZONE):%H:%M}"
    assert name in body, f"{body!r} does not name {name}"
    assert minute in body, f"{body!r} does not say {minute}"
    return Text(phone, name, text.kind, text.n, text.wording.removesuffix(DELAYED), minute)


def unsettled(config_file: Path) -> int:
    """Texts that may still go out."""
    app = create_app(config.load(config_file, {}))
    waiting = (TextState.QUEUED, TextState.CLAIMED, TextState.UNKNOWN)
    with app.app_context():
        query = select(func.count()).select_from(OutboxText).where(OutboxText.state.in_(waiting))
        found = db.session.scalar(query) or 0
        db.session.remove()
        db.engine.dispose()
    return found


def differences(wanted: Counter[Text], got: Counter[Text], *, lag: int = 1) -> list[str]:
    """One line for each text that is missing, doubled, or that nobody should have got.

    A crowd in front of one reader may make a tap `lag` minutes later than its script; never earlier.
    """
    wanted_minutes = _minutes(wanted)
    got_minutes = _minutes(got)
    lines = []
    for key in sorted(wanted_minutes.keys() | got_minutes.keys()):
        want, have = wanted_minutes.get(key, []), got_minutes.get(key, [])
        if not have:
            lines.append(f"missing  {key} at {want[0]}")
        elif not want:
            lines.append(f"astray   {key} at {have[0]}")
        elif len(have) > 1:
            lines.append(f"twice    {key} at {have}")
        elif not 0 <= _number(have[0]) - _number(want[0]) <= lag:
            lines.append(f"wrong time {key}: {have[0]}, the script says {want[0]}")
    return lines


def _minutes(texts: Counter[Text]) -> dict[tuple[str, str, str, int, str], list[str]]:
    found: dict[tuple[str, str, str, int, str], list[str]] = {}
    for text in texts.elements():
        found.setdefault((text.phone, text.pupil, text.kind, text.n, text.wording), []).append(text.minute)
    return found


def _number(minute: str) -> int:
    return int(minute[:2]) * 60 + int(minute[3:])
