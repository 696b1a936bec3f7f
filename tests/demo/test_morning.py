"""The morning's script: complete, the same everywhere, and never near a border that a fast clock could cross."""

from collections import Counter
from pathlib import Path

import pytest

from gateway import readers, simscript
from gateway.readers.base import Card, Fault
from server.demo import gates, morning, roster
from server.demo.morning import Moment


@pytest.fixture(scope="module")
def happening() -> list[Moment]:
    return morning.moments(roster.build())


def arrivals(happening: list[Moment]) -> dict[str, Moment]:
    """The first entry of each pupil."""
    found: dict[str, Moment] = {}
    for moment in happening:
        if moment.pupil is not None:
            found.setdefault(moment.pupil.number, moment)
    return found


def test_the_morning_is_the_same_every_time(happening: list[Moment]) -> None:
    assert happening == morning.moments(roster.build())


def test_everyone_comes_but_the_absent_and_the_late_are_late(happening: list[Moment]) -> None:
    came = arrivals(happening)
    assert len(came) == roster.PUPILS - morning.ABSENT
    late = [m for m in came.values() if m.pupil and m.second > morning.bell_of(m.pupil) + morning.GRACE]
    assert len(late) == morning.LATE_SENIOR + morning.LATE_JUNIOR


def test_no_arrival_is_near_a_border_between_two_verdicts(happening: list[Moment]) -> None:
    for moment in arrivals(happening).values():
        assert moment.pupil is not None
        bell = morning.bell_of(moment.pupil)
        for border in (bell, bell + morning.GRACE, bell + 30 * 60):
            assert abs(moment.second - border) >= 90, moment
    assert all(morning.STARTS < moment.second < morning.ENDS - 60 for moment in happening)


def test_the_usual_disorder_is_in_it(happening: list[Moment]) -> None:
    people = roster.build()
    lost = {chip for pupil in people.pupils for chip in pupil.lost_chips}
    known = {chip for pupil in people.pupils for chip in pupil.chips}
    cards = [moment.card for moment in happening if moment.card]
    assert sum(card in lost for card in cards) == 1
    assert sum(card not in known | lost for card in cards) == 1
    assert max(len(moment.noise) for moment in happening) == 10_000
    shown = {(m.card, m.reader, m.second) for m in happening}
    assert sum((card, reader, second + 1) in shown for card, reader, second in shown if card) == morning.DOUBLE
    both = Counter(m.pupil.number for m in happening if m.pupil and m.reader in {"east-in", "south-in"})
    assert sum(count > 1 for count in both.values()) == morning.DOUBLE + morning.FORGOT + morning.OTHER_GATE
    assert sum(m.reader.endswith("out") for m in happening) == morning.FORGOT + morning.LEAVE


def test_each_reader_is_shown_only_the_chip_it_can_read(happening: list[Moment]) -> None:
    technology = {"rdm6300": "em4100", "id12la": "em4100", "pn532": "iso14443a"}
    for moment in happening:
        if moment.card:
            assert moment.card.startswith(technology[gates.BY_ID[moment.reader].profile] + ":")


def test_noise_never_holds_a_pupils_frame(happening: list[Moment]) -> None:
    for moment in happening:
        if moment.noise:
            reader = readers.load("rdm6300")()
            values = [*reader.feed(moment.noise), *reader.flush()]
            assert not any(isinstance(value, Card) for value in values)
            assert any(isinstance(value, Fault) for value in values)


def test_the_simulator_can_read_the_script(happening: list[Moment], tmp_path: Path) -> None:
    path = tmp_path / "script.jsonl"
    path.write_text(morning.script(happening, 1_795_536_000_000))
    read = simscript.read(path)
    assert len(read.events) == len(happening)
    assert read.readers == {reader.id: reader.profile for reader in gates.READERS}


def a_pupil(*numbers: str) -> roster.Pupil:
    care = tuple(roster.Care(roster.Guardian(k, "", number), "mother", 1) for k, number in enumerate(numbers))
    return roster.Pupil(
        "1", "何俊杰", 8, "八（2）班", 1, ("em4100:4500000001", "iso14443a:04000000000180"), "east", care
    )


def test_expected_texts_of_a_day_worked_out_by_hand() -> None:
    pupil = a_pupil("+1", "+2", "+1")
    day = [("east-in", 7, 0), ("south-in", 7, 4), ("east-out", 7, 10), ("east-out", 7, 11), ("east-in", 7, 20)]
    happening = [Moment(h * 3600 + m * 60, reader, card="x", pupil=pupil) for reader, h, m in day]
    happening += [Moment(8 * 3600, "east-in", card=morning.UNKNOWN_CARD), Moment(8 * 3600, "east-in", noise=b"?")]
    expected = [("in", 1, "arrived", "07:00"), ("out", 1, "left", "07:10"), ("in", 2, "arrived", "07:20")]
    assert morning.texts(happening) == [
        morning.Text(phone, "何俊杰", *event[:3], event[3]) for event in expected for phone in ("+1", "+2")
    ]


def test_who_comes_after_bell_and_grace_is_expected_late() -> None:
    moment = Moment(7 * 3600 + 53 * 60, "east-in", card="x", pupil=a_pupil("+1"))
    assert [text.wording for text in morning.texts([moment])] == ["late"]


def test_families_that_must_not_be_texted_are_on_the_way_this_morning(happening: list[Moment]) -> None:
    came = [moment.pupil for moment in arrivals(happening).values() if moment.pupil]
    assert any(care.barred for pupil in came for care in pupil.care)
    assert any(not care.gate_texts for pupil in came for care in pupil.care)
    assert any(not care.guardian.verified and care.guardian.phone for pupil in came for care in pupil.care)
    assert any(care.guardian.phone is None for pupil in came for care in pupil.care)
    told = {text.phone for text in morning.texts(happening)}
    barred = {care.guardian.phone for pupil in came for care in pupil.care if care.barred}
    assert not told & barred
