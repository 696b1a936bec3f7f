"""Many reads of a tag, one tap: how many reads, how strong, how long silent, and which way."""

import math
import random
import tracemalloc
from collections.abc import Iterator

import pytest

from gateway import walkthrough
from gateway.readers.base import Card
from gateway.walkthrough import Passed, Rules, Side, Walkthrough
from gateway.wire import Direction

TAG = "epc:E28068940000400A9D22ACFF"
ANTENNAS = {("gate", 1): Side.OUTSIDE, ("gate", 2): Side.INSIDE}
READERS = {("east-out", None): Side.OUTSIDE, ("east-in", None): Side.INSIDE}
IN, OUT, BOTH = Direction.IN, Direction.OUT, Direction.BOTH
ONE, TWO_SIDES = Rules(), Rules(sides=ANTENNAS)

Sight = tuple[int, int, float | None]  # ticks, antenna, RSSI


def taps(sights: list[Sight] | Iterator[Sight], rules: Rules = TWO_SIDES, *, wait: int = 60_000) -> list[Passed]:
    """All taps of one tag's reads at reader `gate`, looked after ten times a second until `wait` after the last."""
    walk, found, now = Walkthrough(rules), list[Passed](), 0
    for ticks, antenna, rssi in sights:
        while now < ticks:
            found += walk.due(now)
            now += 100
        found += walk.see(Card(TAG, rssi=rssi, antenna=antenna), "gate", ticks)
    for later in range(now, now + wait, 100):
        found += walk.due(later)
    return found


def reads(*times: int, antenna: int = 1, rssi: float | None = None) -> list[Sight]:
    return [(at, antenna, rssi) for at in times]


def test_the_third_read_makes_the_tap_at_the_time_of_the_first():
    walk = Walkthrough(ONE)
    assert walk.see(Card(TAG), "gate", 1_000) == []
    assert walk.see(Card(TAG), "gate", 1_100) == []
    (passed,) = walk.see(Card(TAG), "gate", 1_200)
    assert (passed.card.text, passed.reader, passed.ticks, passed.reads) == (TAG, "gate", 1_000, 3)
    assert passed.direction is None


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_count_is_the_operator_s(count):
    assert len(taps(reads(*range(0, 100 * count, 100)), Rules(count=count))) == 1
    assert taps(reads(*range(0, 100 * (count - 1), 100)), Rules(count=count)) == []


def test_reads_far_apart_are_nobody_at_the_gate():
    assert taps(reads(*range(0, 600_000, 11_000)), ONE) == []
    assert len(taps(reads(0, 4_900, 9_800), ONE)) == 1


def test_a_tag_heard_only_weakly_is_no_tap_until_one_read_is_strong():
    rules = Rules(rssi_dbm=-60)
    weak = [(at, 1, -71.0) for at in range(0, 5_000, 100)]
    assert taps(weak, rules) == []
    (passed,) = taps([*weak, (5_000, 1, -60.0)], rules)
    assert passed.peak == -60
    assert len(taps([(at, 1, None) for at in range(0, 500, 100)], rules)) == 1  # a reader that does not tell


def test_who_stood_near_for_long_comes_when_coming_near():
    rules = Rules(rssi_dbm=-60)
    near = [(at, 1, -70.0) for at in range(0, 600_000, 500)]
    (passed,) = taps([*near, (600_000, 1, -50.0)], rules)
    assert 590_000 <= passed.ticks <= 600_000


def test_a_day_beside_the_gate_is_one_tap():
    assert len(taps(((at, 1, None) for at in range(0, 8 * 3_600_000, 5_000)), Rules(count=2))) == 1


def test_the_next_tap_comes_after_the_silence():
    walk = reads(0, 100, 200)
    assert len(taps([*walk, *reads(30_100, 30_150, 30_190)], ONE)) == 1
    assert len(taps([*walk, *reads(30_300, 30_400, 30_500)], ONE)) == 2
    assert len(taps([*walk, *reads(2_300, 2_400, 2_500)], Rules(silence_ms=2_000))) == 2


def test_a_tap_that_could_not_be_kept_is_made_again():
    walk = Walkthrough(ONE)
    for at in range(3):
        found = walk.see(Card(TAG), "gate", at)
    assert len(found) == 1
    walk.forget(TAG)
    assert [len(walk.see(Card(TAG), "gate", at)) for at in range(10, 14)] == [0, 0, 1, 0]


def test_tags_do_not_mix():
    walk, found = Walkthrough(ONE), list[Passed]()
    for at in range(3):
        for tag in range(500):
            found += walk.see(Card(f"epc:{tag:024X}"), "gate", at)
    assert len({passed.card.text for passed in found}) == len(found) == 500


def test_memory_is_bounded_and_does_not_grow_with_reads():
    walk, cards = Walkthrough(Rules(sides=ANTENNAS)), [Card(f"epc:{n:024X}", -60.0, 1 + n % 2) for n in range(12_000)]
    for at, card in enumerate(cards):
        walk.see(card, "gate", at)
    assert len(walk._visits) <= walkthrough.MOST_TAGS and len(walk._watched) <= walkthrough.MOST_TAGS
    few = cards[:20]
    walk.due(1_000_000)
    for round in range(500):
        for card in few:
            walk.see(card, "gate", 1_000_000 + 100 * round)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for round in range(2_000):
        for card in few:
            walk.see(card, "gate", 1_050_000 + 100 * round)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20_000


def test_heard_and_never_tapped_is_counted_with_its_reader():
    walk = Walkthrough(ONE)
    walk.see(Card(TAG), "gate", 0)
    walk.see(Card(TAG), "gate", 100)
    walk.due(31_000)
    assert walk.unconfirmed == {"gate": 1}


# which way


@pytest.mark.parametrize(
    ("antennas", "way"),
    [
        ("111222", IN),
        ("222111", OUT),
        ("1112122122222", IN),
        ("111", BOTH),
        ("2222222", BOTH),
        ("11122", BOTH),
        ("121212", BOTH),
        ("111222111", BOTH),
        ("222111222", BOTH),
        ("1121222111121211", BOTH),
    ],
)
def test_the_order_of_the_sides_is_the_way(antennas, way):
    sights = [(200 * n, int(antenna), None) for n, antenna in enumerate(antennas)]
    assert [passed.direction for passed in taps(sights)] == [way]


def test_strong_reads_outvote_weak_ones():
    # at the outer antenna the inner one already hears the tag, far away; and the other way round
    sights = [(100 * n, 1 + n % 2, -45.0 if (n < 10) == (n % 2 == 0) else -72.0) for n in range(20)]
    assert [passed.direction for passed in taps(sights)] == [IN]
    assert [passed.direction for passed in taps([(at, 3 - side, rssi) for at, side, rssi in sights])] == [OUT]


def test_two_readers_are_two_sides():
    walk, found = Walkthrough(Rules(sides=READERS)), list[Passed]()
    for at, reader in enumerate(["east-in"] * 3 + ["east-out"] * 3):
        found += walk.see(Card(TAG, rssi=-60), reader, 300 * at)
    found += walk.due(10_000)
    assert [(passed.reader, passed.direction, passed.ticks) for passed in found] == [("east-in", OUT, 0)]


def test_an_antenna_that_no_side_names_counts_but_does_not_vote():
    sights = [(100 * n, int(antenna), None) for n, antenna in enumerate("41142424")]
    (passed,) = taps([*sights, (900, 2, None)])
    assert (passed.direction, passed.reads) == (BOTH, 9)
    (passed,) = taps([(-50, 1, None), *sights, (900, 2, None)])
    assert (passed.direction, passed.reads) == (IN, 10)


def test_the_way_is_waited_for_but_not_long():
    walk = Walkthrough(Rules(sides=ANTENNAS))
    found, at = list[Passed](), 0
    while not found and at < 60_000:
        found = walk.see(Card(TAG, antenna=1), "gate", at)
        at += 200
    assert at <= 400 + walkthrough.WATCH_MS + 400 and found[0].ticks == 0
    assert not walk.waiting
    walk = Walkthrough(Rules(sides=ANTENNAS))
    for at in (0, 100, 200):
        walk.see(Card(TAG, antenna=1), "gate", at)
    assert walk.waiting and walk.due(1_600) == [] and len(walk.due(1_700)) == 1


def test_who_turns_back_within_the_silence_is_seen_leaving():
    inward = [(200 * n, 1 if n < 5 else 2, -60.0) for n in range(10)]
    outward = [(12_000 + 200 * n, 2 if n < 5 else 1, -60.0) for n in range(10)]
    assert [passed.direction for passed in taps([*inward, *outward])] == [IN, OUT]
    again = [(at + 12_000, side, rssi) for at, side, rssi in inward]
    assert [passed.direction for passed in taps([*inward, *again])] == [IN]


# A model of a gate: two panel antennas, one looks at the street and one at the yard, deaf by 15 dB behind themselves;
# they hear 5 m far, walkers go at 0.8 to 3 m/s, bodies and walls fade a tag by 4 dB.


def heard(chance: random.Random, place: float, antenna: int, at: int) -> Iterator[Sight]:
    before = -0.3 - place if antenna == 1 else place - 0.3
    away = math.hypot(before, 1.2)
    rssi = -48 - 25 * math.log10(away / 1.2) - (15 if before < 0 else 0) + chance.gauss(0, 4)
    if away < 5 and rssi > -75 and chance.random() < 0.7:
        yield at, antenna, round(rssi)


def walker(chance: random.Random, turns_at: float = 9.0) -> list[Sight]:
    """From the street (-6 m) to the yard (6 m), or back from where it turns; the antennas hear in turn."""
    place, speed, way, at, found = -6.0, chance.uniform(0.8, 3), 1, 0, list[Sight]()
    while -6 <= place <= 6:
        found += heard(chance, place, 1 + at // 100 % 2, at)
        way = -1 if place > turns_at else way
        place += speed * way * 0.1
        at += 100
    return found


def test_of_a_thousand_who_walk_through_none_is_seen_going_the_other_way():
    chance, ways = random.Random(5), list[Direction]()
    for _ in range(500):
        inward = walker(chance)
        ways += [passed.direction or BOTH for passed in taps(inward, wait=3_000)]
        outward = [(at, 3 - antenna, rssi) for at, antenna, rssi in walker(chance)]
        ways += [{IN: OUT, OUT: IN}.get(p.direction or BOTH, BOTH) for p in taps(outward, wait=3_000)]
    assert len(ways) >= 995  # who runs between two polls is not heard by any reader
    assert OUT not in ways and ways.count(BOTH) <= 30


def test_who_turns_round_in_the_gate_is_not_said_to_have_gone_through():
    chance = random.Random(6)
    ways = [passed.direction for _ in range(500) for passed in taps(walker(chance, turns_at=1.5), wait=3_000)]
    assert len(ways) >= 495 and ways.count(BOTH) >= 0.98 * len(ways)


def test_an_hour_between_the_antennas_is_one_tap():
    chance = random.Random(7)
    for place in (-2.0, -0.5, 0.0, 0.7):
        sights = [
            sight
            for at in range(0, 3_600_000, 400)
            if at // 60_000 % 3  # and away from their ears now and then
            for sight in heard(chance, place + chance.uniform(-0.8, 0.8), 1 + at // 400 % 2, at)
        ]
        found = taps(sights, Rules(sides=ANTENNAS, silence_ms=90_000))
        assert [passed.direction for passed in found] == [BOTH], place
