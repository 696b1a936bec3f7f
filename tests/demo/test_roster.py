"""The demo school is the same everywhere and holds every kind of family that a text could go wrong with."""

import hashlib

import phonenumbers
import pytest

from gateway import wire
from server.demo import roster


@pytest.fixture(scope="module")
def people() -> roster.Roster:
    return roster.build()


def test_the_roster_is_the_same_on_every_machine(people: roster.Roster) -> None:
    assert people == roster.build()
    digest = hashlib.sha256(repr([(p.number, p.name, p.chips) for p in people.pupils[::50]]).encode()).hexdigest()
    assert digest[:16] == "29d19aa14e6dd24d"


def test_786_pupils_in_18_classes_and_no_two_alike(people: roster.Roster) -> None:
    assert len(people.pupils) == 786
    assert len(people.classes) == 18
    for what in ("number", "name", "chips"):
        assert len({getattr(pupil, what) for pupil in people.pupils}) == 786
    sizes = [sum(pupil.class_name == one.name for pupil in people.pupils) for one in people.classes]
    assert set(sizes) == {43, 44, 45}


def test_every_number_is_a_number_and_no_two_families_share_one_by_chance(people: roster.Roster) -> None:
    guardians = {care.guardian.key: care.guardian for pupil in people.pupils for care in pupil.care}
    numbers = [guardian.phone for guardian in guardians.values() if guardian.phone]
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(number)) for number in numbers)
    assert len(numbers) - len(set(numbers)) == roster.SHARED_NUMBERS


def test_every_kind_of_family_is_there(people: roster.Roster) -> None:
    cares = [care for pupil in people.pupils for care in pupil.care]
    families = [{care.guardian.key for care in pupil.care} for pupil in people.pupils]
    assert sum(any(a & b for b in families if b is not a) for a in families) == 2 * roster.SIBLINGS
    assert sum(care.barred and care.guardian.phone is not None for care in cares) == roster.BARRED
    assert sum(care.guardian.locale == "en" for care in cares) == roster.ABROAD
    assert any(care.guardian.phone is None for care in cares)
    assert any(care.guardian.phone and not care.guardian.verified for care in cares)
    assert any(care.guardian.phone and not care.gate_texts for care in cares)
    assert any({care.relation for care in pupil.care} == {"grandmother"} for pupil in people.pupils)
    fathers = sum(care.relation == "father" for care in cares)
    assert 0.2 < fathers / 786 < 0.4


def test_a_number_that_must_not_be_told_is_not_among_the_numbers(people: roster.Roster) -> None:
    for pupil in people.pupils:
        for care in pupil.care:
            if care.barred or not care.gate_texts or not care.guardian.verified:
                assert care.number is None


def test_every_chip_is_a_canonical_card(people: roster.Roster) -> None:
    for pupil in people.pupils:
        for chip in (*pupil.chips, *pupil.lost_chips):
            tap = {"id": wire.new_tap_id(), "spool": "0" * 16, "seq": 1, "gateway": "g", "reader": "r", "card": chip}
            tap |= {"direction": "in", "at": 0, "clock": "synced", "boot": "", "ticks": 0}
            wire.decode(wire.Kind.TAP, wire._encoder.encode({"sent": 0, "boot": "", "ticks": 0, "taps": [tap]}))


def test_siblings_have_names_of_their_own() -> None:
    pairs: dict[int, list[str]] = {}
    for pupil in roster.build().pupils:
        for care in pupil.care:
            pairs.setdefault(care.guardian.key, []).append(pupil.name)
    siblings = [names for names in pairs.values() if len(names) > 1]
    assert len(siblings) == roster.SIBLINGS
    assert all(len(set(names)) == len(names) for names in siblings)
