"""The demo's school days before the morning: taps with their own old times, taken by the product's own pipeline."""

import random
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import msgspec

from gateway import wire
from server import clock, pipeline
from server.attendance import service as attendance
from server.db import transaction
from server.demo import gates, morning
from server.demo.roster import Pupil, Roster
from server.schools.models import School

SEED = 20261127
PRESENT, LATE, FAITHFUL = 0.965, 0.02, 0.95
HOME_SENIOR, HOME_JUNIOR = 17 * 3600 + 5 * 60, 17 * 3600 + 15 * 60
BATCH = 400  # taps that go into one transaction
BOOT = "demo-history"


def school_days(today: date) -> list[date]:
    """The month's weekdays before today."""
    month = [today.replace(day=day) for day in range(1, today.day)]
    return [day for day in month if day.weekday() < 5]


def write(school: School, people: Roster, today: date) -> Iterator[tuple[date, int]]:
    """Live through each day; gives the date and how many taps it had, as it goes."""
    chance = random.Random(SEED)
    spools = {gateway: _Spool(school, gateway, f"{place:016x}") for place, gateway in enumerate(gates.GATEWAYS, 1)}
    for day in school_days(today):
        taps = sorted(_taps(school, people, day, chance), key=lambda tap: tap.at)
        for start in range(0, len(taps), BATCH):
            part = taps[start : start + BATCH]
            pipeline.handle([one for spool in spools.values() for one in spool.deliveries(part)], clock.now())
        _close(school, day)
        yield day, len(taps)


class _Spool:
    """Numbers the taps of one gateway without a gap, as its real spool would, and packs them into messages."""

    def __init__(self, school: School, gateway: str, spool: str) -> None:
        self.school = school
        self.gateway = gateway
        self.spool = spool
        self.used = 0

    def deliveries(self, taps: Sequence[wire.Tap]) -> Iterator[pipeline.Delivery]:
        """Messages with those of these taps that are of this gateway."""
        mine = [self._numbered(tap) for tap in taps if tap.gateway == self.gateway]
        topic = wire.topic(self.school.id, self.gateway, wire.Kind.TAP)
        for start in range(0, len(mine), wire.MAX_TAPS):
            part = mine[start : start + wire.MAX_TAPS]
            message = wire.Taps(sent=part[-1].at, boot=BOOT, ticks=part[-1].at, taps=part)
            received = clock.from_millis(part[-1].at) + timedelta(seconds=0.1)
            yield pipeline.Delivery(topic, self.school.id, self.gateway, message, received)

    def _numbered(self, tap: wire.Tap) -> wire.Tap:
        self.used += 1
        return msgspec.structs.replace(tap, spool=self.spool, seq=self.used)


def _close(school: School, day: date) -> None:
    """Judge those too who did not come: without a tap nobody has looked at their day yet."""
    with transaction():
        attendance.apply(school, {(pupil, day) for pupil in attendance.pupils_of(school.id)}, clock.now())


def _taps(school: School, people: Roster, day: date, chance: random.Random) -> Iterator[wire.Tap]:
    for pupil in people.pupils:
        if chance.random() < PRESENT:
            gate = pupil.gate if chance.random() < FAITHFUL else "east"
            yield _tap(school, pupil, day, _arrives(pupil, chance), gates.at(gate, "in"))
            home = HOME_SENIOR if pupil.senior else HOME_JUNIOR
            yield _tap(school, pupil, day, home + chance.uniform(60, 20 * 60), gates.at(gate, "out"))


def _arrives(pupil: Pupil, chance: random.Random) -> float:
    bell = morning.bell_of(pupil)
    if chance.random() < LATE:
        return bell + chance.uniform(7, 25) * 60
    habit = random.Random(pupil.number).triangular(2, 32, 10)  # minutes before the bell, this child's usual
    return bell - 60 * max(1.0, chance.gauss(habit, 2.5))


def _tap(school: School, pupil: Pupil, day: date, second: float, reader: gates.Reader) -> wire.Tap:
    at = clock.to_millis(clock.at_local(day, 0, school.timezone)) + round(second * 1000)
    return wire.Tap(
        id=wire.new_tap_id(at),
        spool="0" * 16,  # it gets its spool and number when it is packed
        seq=1,
        gateway=reader.gateway,
        reader=reader.id,
        direction=wire.Direction(reader.direction),
        card=pupil.chips[reader.chip],
        at=at,
        clock=wire.ClockState.SYNCED,
        boot=BOOT,
        ticks=at,
    )
