"""The script of the demo's Wednesday morning, and what it implies for each telephone, apart from the product's rules.

No arrival comes within 90 seconds of a border between two verdicts, so a fast demo decides as a slow one does.
"""

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from server.demo import gates
from server.demo.roster import Pupil, Roster

SEED = 20261126
SENIOR_BELL = 7 * 3600 + 20 * 60
JUNIOR_BELL = 7 * 3600 + 45 * 60
GRACE = 5 * 60  # later than this after the bell is late
STARTS = 6 * 3600 + 40 * 60
ENDS = 8 * 3600 + 20 * 60
UNKNOWN_CARD = "em4100:45DEADBEEF"
PHANTOM = b"\x02000000078F88\x03"  # a sound frame that an RDM6300 gives with no card near

EARLY, ABSENT, LATE_SENIOR, LATE_JUNIOR, DOUBLE, OTHER_GATE, FORGOT, LEAVE = 8, 40, 8, 12, 25, 6, 2, 5


@dataclass(frozen=True)
class Moment:
    """What happens at one reader, in seconds after midnight: somebody's or nobody's card, or bytes that are no card."""

    second: float
    reader: str
    card: str = ""
    noise: bytes = b""
    pupil: Pupil | None = None


@dataclass(frozen=True)
class Text:
    """One text that must arrive: at this number, of this pupil, of this event of the day, worded so."""

    phone: str
    pupil: str
    kind: str
    n: int
    wording: str
    minute: str


def moments(people: Roster) -> list[Moment]:
    """All that happens between 06:40 and 08:20, in order; the same on every machine."""
    return sorted(_Morning(people).all(), key=lambda moment: moment.second)


def script(happening: Iterable[Moment], midnight_ms: int) -> str:
    """The simulator's script (JSON lines) of a day that began at `midnight_ms`."""
    lines = [json.dumps({"reader": reader.id, "profile": reader.profile}) for reader in gates.READERS]
    for moment in happening:
        line: dict[str, object] = {"at": midnight_ms + round(moment.second * 1000), "reader": moment.reader}
        lines.append(json.dumps(line | ({"card": moment.card} if moment.card else {"noise": moment.noise.hex()})))
    return "\n".join(lines) + "\n"


def texts(happening: Iterable[Moment]) -> list[Text]:
    """Every text that these moments imply: each entry from outside and each exit from inside, to each number once."""
    inside: dict[str, bool] = {}
    counted: dict[tuple[str, str], int] = {}
    found = []
    for moment in happening:
        pupil, direction = moment.pupil, gates.BY_ID[moment.reader].direction
        if pupil is None or inside.get(pupil.number, False) == (direction == "in"):
            continue
        inside[pupil.number] = direction == "in"
        n = counted[pupil.number, direction] = counted.get((pupil.number, direction), 0) + 1
        wording = _wording(pupil, direction, moment.second, n)
        minute = f"{int(moment.second) // 3600:02d}:{int(moment.second) % 3600 // 60:02d}"
        found += [Text(phone, pupil.name, direction, n, wording, minute) for phone in sorted(pupil.numbers)]
    return found


def bell_of(pupil: Pupil) -> int:
    """When the pupil's first lesson begins."""
    return SENIOR_BELL if pupil.senior else JUNIOR_BELL


def _wording(pupil: Pupil, direction: str, second: float, n: int) -> str:
    if direction == "out":
        return "left_early" if second > bell_of(pupil) else "left"
    return "late" if n == 1 and second > bell_of(pupil) + GRACE else "arrived"


class _Morning:
    """Deals the parts of the morning out to the pupils."""

    def __init__(self, people: Roster) -> None:
        self.people = people
        self.chance = random.Random(SEED)
        deck = list(people.pupils)
        self.chance.shuffle(deck)
        special = [pupil for pupil in deck if pupil.lost_chips]
        self.deck = [pupil for pupil in deck if not pupil.lost_chips]
        self.lost = special[0]

    def all(self) -> Iterator[Moment]:
        """Everything, in no order."""
        self._deal(ABSENT)
        yield from self._late()
        yield from self._early()
        crowd = self._crowd()
        yield from crowd
        usual = [moment for moment in crowd if moment.pupil and len(moment.pupil.numbers) > 0]
        self.chance.shuffle(usual)
        yield from self._again(usual[:DOUBLE], seconds=1)
        yield from self._through_the_other_gate(usual[DOUBLE:][:OTHER_GATE])
        yield from self._leaving(usual[DOUBLE + OTHER_GATE :])
        yield from self._strange_cards()
        yield from self._noise(crowd)

    def _deal(self, count: int) -> list[Pupil]:
        dealt, self.deck = self.deck[:count], self.deck[count:]
        return dealt

    def _deal_of(self, count: int, *, senior: bool) -> list[Pupil]:
        dealt = [pupil for pupil in self.deck if pupil.senior == senior][:count]
        self.deck = [pupil for pupil in self.deck if pupil not in dealt]
        return dealt

    def _tap(self, pupil: Pupil, second: float, gate: str, direction: str = "in") -> Moment:
        reader = gates.at(gate, direction)
        return Moment(second, reader.id, card=pupil.chips[reader.chip], pupil=pupil)

    def _late(self) -> Iterator[Moment]:
        for count, senior in ((LATE_SENIOR, True), (LATE_JUNIOR, False)):
            for pupil in self._deal_of(count, senior=senior):
                first, last = bell_of(pupil) + GRACE + 120, bell_of(pupil) + 27 * 60
                yield self._tap(pupil, self.chance.uniform(first, last), pupil.gate)

    def _early(self) -> Iterator[Moment]:
        for place, pupil in enumerate(self._deal(EARLY)):
            yield self._tap(pupil, STARTS + 50 + 75 * place, pupil.gate)

    def _crowd(self) -> list[Moment]:
        found = [self._tap(pupil, self._arrives(pupil), pupil.gate) for pupil in self.deck]
        return [*found, self._tap(self.lost, SENIOR_BELL + 7 * 60 if not self.lost.senior else 7 * 3600, "east")]

    def _arrives(self, pupil: Pupil) -> float:
        last = bell_of(pupil) - 100
        return self.chance.triangular(last - 30 * 60, last, last - 8 * 60)

    def _again(self, taps: Iterable[Moment], *, seconds: float) -> Iterator[Moment]:
        for tap in taps:
            yield Moment(tap.second + seconds, tap.reader, card=tap.card, pupil=tap.pupil)

    def _through_the_other_gate(self, taps: Iterable[Moment]) -> Iterator[Moment]:
        for tap in taps:
            assert tap.pupil is not None
            gate = "south" if tap.reader.startswith("east") else "east"
            yield self._tap(tap.pupil, tap.second + 240, gate)

    def _leaving(self, taps: list[Moment]) -> Iterator[Moment]:
        # Juniors who came early enough to fetch what they forgot and be back before their bell.
        soon = [tap for tap in taps if tap.pupil and not tap.pupil.senior and tap.second < JUNIOR_BELL - 20 * 60]
        for tap in soon[:FORGOT]:
            assert tap.pupil is not None
            yield self._tap(tap.pupil, tap.second + 6 * 60, "east", "out")
            yield self._tap(tap.pupil, tap.second + 16 * 60, "east")
        for place, tap in enumerate(soon[FORGOT:][:LEAVE]):
            assert tap.pupil is not None
            yield self._tap(tap.pupil, 7 * 3600 + (52 + 4 * place) * 60, ("south", "east")[place % 2], "out")

    def _strange_cards(self) -> Iterator[Moment]:
        yield Moment(7 * 3600 + 5 * 60, "east-in", card=self.lost.lost_chips[0])
        yield Moment(7 * 3600 + 9 * 60, "east-in", card=UNKNOWN_CARD)

    def _noise(self, crowd: list[Moment]) -> Iterator[Moment]:
        yield Moment(6 * 3600 + 55 * 60, "east-in", noise=PHANTOM * 3)
        yield Moment(7 * 3600 + 2 * 60, "east-in", noise=self.chance.randbytes(10_000))
        east = [tap for tap in crowd if tap.reader == "east-in" and tap.second > 7 * 3600 + 3 * 60]
        for tap in east[:12]:
            yield Moment(tap.second - 0.001, "east-in", noise=self.chance.randbytes(self.chance.randint(3, 60)))
        for tap in east[12:24]:  # the same card's frame, bent on the way, right before the good ones
            yield Moment(tap.second - 0.001, "east-in", noise=_bent(tap.card, self.chance.randint(0, 9)))


def _bent(card: str, digit: int) -> bytes:
    text = card.partition(":")[2]
    check = 0
    for byte in bytes.fromhex(text):
        check ^= byte
    other = "0123456789ABCDEF"[(int(text[digit], 16) + 1) % 16]
    return b"\x02" + (text[:digit] + other + text[digit + 1 :] + f"{check:02X}").encode() + b"\x03"
