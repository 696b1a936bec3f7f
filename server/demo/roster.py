"""Who belongs to the demo school, the same on every machine: classes, pupils, their cards and their families."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from server.demo.names import Names

SEED = 20261125
GRADES = {7: "七", 8: "八", 9: "九", 10: "十", 11: "十一", 12: "十二"}
CLASSES = 3
PUPILS = 786
SIBLINGS = 24  # pairs in two grades who share one mother, and so one number
SHARED_NUMBERS = 8  # couples who gave the same number twice
BARRED = 3  # fathers with a number who may learn nothing
ABROAD = 5  # mothers who read English
EAST = 0.65  # of the pupils come from the east
LOST = 1  # pupils whose first card was lost


@dataclass(frozen=True)
class Guardian:
    """A person who answers for pupils; a number counts only when it is verified."""

    key: int
    name: str
    phone: str | None
    verified: bool = True
    locale: str = "zh_Hans_CN"


@dataclass(frozen=True)
class Care:
    """One guardian of one pupil."""

    guardian: Guardian
    relation: str
    rank: int
    gate_texts: bool = True
    barred: bool = False

    @property
    def number(self) -> str | None:
        """Where texts about this pupil go, None for nowhere."""
        told = self.guardian.verified and self.gate_texts and not self.barred
        return self.guardian.phone if told else None


@dataclass(frozen=True)
class Pupil:
    """A child. The card has two chips, 125 kHz for the east gate and 13.56 MHz for the south gate; `gate` is nearer."""

    number: str
    name: str
    grade: int
    class_name: str
    seat: int
    chips: tuple[str, str]
    gate: str
    care: tuple[Care, ...] = ()
    lost_chips: tuple[str, ...] = ()

    @property
    def senior(self) -> bool:
        """Grades 10 to 12, whose lessons begin earlier."""
        return self.grade >= 10

    @property
    def numbers(self) -> frozenset[str]:
        """The numbers that must get this pupil's gate texts, each once."""
        return frozenset(care.number for care in self.care if care.number)


@dataclass(frozen=True)
class SchoolClass:
    """A class and the bell times it keeps."""

    name: str
    grade: int
    timetable: str


@dataclass(frozen=True)
class Roster:
    """The whole school."""

    classes: tuple[SchoolClass, ...]
    pupils: tuple[Pupil, ...]


def build() -> Roster:
    """The demo school; calling it again gives an equal one."""
    chance = random.Random(SEED)
    classes = tuple(
        SchoolClass(f"{word}（{n}）班", grade, "senior" if grade >= 10 else "junior")
        for grade, word in GRADES.items()
        for n in range(1, CLASSES + 1)
    )
    return Roster(classes, tuple(_Families(chance).pupils(classes)))


def sizes(classes: tuple[SchoolClass, ...]) -> list[int]:
    """Pupils of each class: 八（2）班 has 45, the others 43 or 44."""
    largest = [one.name for one in classes].index("八（2）班")
    found = [45 if place == largest else 44 for place in range(len(classes))]
    for place in range(len(classes)):
        if sum(found) > PUPILS and place != largest and place % 2 == 0:
            found[place] -= 1
    return found


class _Families:
    """Draws children and the people who answer for them."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.names = Names(chance)
        self._guardians = 0
        self._used: set[str] = set()

    def pupils(self, classes: tuple[SchoolClass, ...]) -> Iterator[Pupil]:
        """All pupils, class by class, with their families."""
        places = [(one, seat) for one, size in zip(classes, sizes(classes), strict=True) for seat in range(1, size + 1)]
        everyone = [self._child(one, seat) for one, seat in places]
        special = self.chance.sample(range(len(everyone)), 2 * SIBLINGS + SHARED_NUMBERS + BARRED + ABROAD + LOST)
        draw = iter(special)
        for _ in range(SIBLINGS):
            self._make_siblings(everyone, next(draw), next(draw))
        families = (
            [self._one_number_for_two] * SHARED_NUMBERS + [self._barred_father] * BARRED + [self._abroad] * ABROAD
        )
        for family in families:
            place = next(draw)
            everyone[place] = replace(everyone[place], care=family(everyone[place].name[0]))
        for place in draw:
            everyone[place] = replace(everyone[place], lost_chips=everyone[place].chips, chips=self._chips())
        yield from everyone

    def _child(self, one: SchoolClass, seat: int) -> Pupil:
        surname = self.names.surname()
        number = f"{2026 - (one.grade - 7)}{one.name[-3]}{seat:02d}"
        name = self.names.pupil(surname)
        gate = "east" if self.chance.random() < EAST else "south"
        return Pupil(number, name, one.grade, one.name, seat, self._chips(), gate, self._family(name[0]))

    def _chips(self) -> tuple[str, str]:
        while True:
            low, high = self.chance.getrandbits(32), self.chance.getrandbits(40)
            chips = (f"em4100:45{low:08X}", f"iso14443a:04{high:010X}80")
            if not self._used & set(chips):
                self._used |= set(chips)
                return chips

    def _family(self, surname: str) -> tuple[Care, ...]:
        drawn = self.chance.random()
        if drawn < 0.06:
            return (Care(self._guardian(self.names.elder(self.names.surname())), "grandmother", 1),)
        if drawn < 0.10:
            return (Care(self._guardian(self._mother(), phone=False), "mother", 1),)
        if drawn < 0.13:
            return (Care(self._guardian(self._mother(), verified=False), "mother", 1),)
        wants = self.chance.random() >= 0.03
        mother = Care(self._guardian(self._mother()), "mother", 1, gate_texts=wants)
        if self.chance.random() < 0.3:
            return (mother, self._father(surname))
        return (mother,)

    def _mother(self) -> str:
        return self.names.mother(self.names.surname())

    def _father(self, surname: str) -> Care:
        return Care(self._guardian(self.names.father(surname)), "father", 2)

    def _guardian(self, name: str, *, phone: bool = True, verified: bool = True) -> Guardian:
        self._guardians += 1
        # 138 0000 xxxx looks like a mobile number; the demo has no provider that could reach one.
        number = f"+86138{self._guardians:08d}" if phone else None
        return Guardian(self._guardians, name, number, verified and phone)

    def _make_siblings(self, everyone: list[Pupil], elder: int, younger: int) -> None:
        name = everyone[elder].name
        while name == everyone[elder].name:
            name = self.names.pupil(name[0])
        care = (Care(self._guardian(self._mother()), "mother", 1),)
        everyone[elder] = replace(everyone[elder], care=care)
        everyone[younger] = replace(everyone[younger], name=name, care=care)

    def _one_number_for_two(self, surname: str) -> tuple[Care, ...]:
        mother, father = Care(self._guardian(self._mother()), "mother", 1), self._father(surname)
        return mother, replace(father, guardian=replace(father.guardian, phone=mother.guardian.phone))

    def _barred_father(self, surname: str) -> tuple[Care, ...]:
        return Care(self._guardian(self._mother()), "mother", 1), replace(self._father(surname), barred=True)

    def _abroad(self, _surname: str) -> tuple[Care, ...]:
        return (Care(replace(self._guardian(self._mother()), locale="en"), "mother", 1),)
