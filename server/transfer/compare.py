"""Entry by entry: what a roster would change, in words and as rows to write."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from server import crypt
from server.cards import rules as cards
from server.cards.models import Card, CardState
from server.db import new_id
from server.people import rules as people
from server.people.models import Guardian, Guardianship, Pupil, Relation, SchoolClass
from server.people.service import masked
from server.schools.models import School
from server.transfer.records import Known, Records, Writes
from server.transfer.rules import Entry, Person, Problem, Sheet

SHARE_OF_NEW_NAMES = 0.1  # of the known pupils in a file: more look like a sheet of which one column was sorted alone


@dataclass(frozen=True)
class Difference:
    """One pupil that is new or changed, in words."""

    new: bool
    class_name: str
    number: str
    name: str
    words: tuple[str, ...]


class Comparison:
    """Takes the entries of one file and collects differences, writes, problems and counts."""

    def __init__(self, school: School, records: Records, sheet: Sheet, *, vouched: bool, now: datetime) -> None:
        self.school = school
        self.records = records
        self.sheet = sheet
        self.vouched = vouched
        self.now = now
        self.writes = Writes()
        self.differences: list[Difference] = []
        self.problems: list[Problem] = []
        self.new_classes: dict[str, SchoolClass] = {}
        self.notes: list[str] = []
        self.seen: set[str] = set()
        self.named: dict[uuid.UUID, Known] = {}  # guardians to whom the file gives a number
        self.carried: dict[str, str] = {}  # card -> name, as the file has it
        self.renamed = 0

    def take(self, entry: Entry) -> None:
        """Compare one pupil."""
        self.seen.add(entry.number)
        words: list[str] = []
        pupil_id = self._pupil(entry, words)
        self._card(entry, pupil_id, words)
        taken: set[uuid.UUID] = set()
        for person in entry.guardians:
            self._guardian(entry, person, pupil_id, taken, words)
        new = entry.number not in self.records.pupils
        if new or words:
            self.differences.append(Difference(new, entry.class_name, entry.number, entry.name, tuple(words)))

    def finish(self) -> None:
        """Look at what only the file as a whole shows."""
        known = len(self.seen & self.records.pupils.keys())
        if self.renamed > 5 and self.renamed > known * SHARE_OF_NEW_NAMES:
            text = (
                f"{self.renamed} of {known} pupils on record would get another name: was one column sorted by itself?"
                " Put names and numbers together again; nothing of this file is taken"
            )
            self.problems.append(Problem(1, self.sheet.called("name"), text))
        self.notes += self._alike()

    def _alike(self) -> Iterator[str]:
        """Cards that a 24-bit reader would take for each other, of the school and not only of the file."""
        names = {row.id: row.name for row in self.records.pupils.values() if row.active}
        active = [card for card in self.records.cards.values() if card.state == CardState.ACTIVE]
        held = {card.text: names[card.pupil_id] for card in active if card.pupil_id in names} | self.carried
        for group in cards.colliding(held):
            named = ", ".join(f"{card} ({held[card]})" for card in group)
            yield f"warning: one card to a 24-bit (Wiegand 26) reader: {named}; change one of them if a gate has such"

    @property
    def gone(self) -> list[Any]:
        """Pupils on record that the file does not hold; they are left as they are."""
        return [row for number, row in self.records.pupils.items() if row.active and number not in self.seen]

    def _wrong(self, entry: Entry, column: str, text: str) -> None:
        self.problems.append(Problem(entry.row, self.sheet.called(column), text))

    def _pupil(self, entry: Entry, words: list[str]) -> uuid.UUID:
        class_id = self._class(entry)
        known = self.records.pupils.get(entry.number)
        if known is None:
            return self._new_pupil(entry, class_id)
        wanted: dict[str, Any] = {"name": entry.name, "class_id": class_id, "active": True}
        if entry.seat is not None:
            wanted["seat"] = entry.seat
        changed = {name: value for name, value in wanted.items() if getattr(known, name) != value}
        if changed:
            self.writes.change(Pupil, known.id, **changed)
        self.renamed += "name" in changed
        words += [f"{name}: {getattr(known, name)} → {changed[name]}" for name in ("name", "seat") if name in changed]
        words += [f"class: → {entry.class_name}"] if "class_id" in changed else []
        words += ["is at the school again"] if "active" in changed else []
        return known.id  # type: ignore[no-any-return]

    def _new_pupil(self, entry: Entry, class_id: uuid.UUID) -> uuid.UUID:
        alike = self.records.short.get(entry.number.lstrip("0"))
        if alike is not None and alike.name == entry.name:
            text = f"{entry.number!r}: {entry.name} is on record as {alike.number!r}; has a spreadsheet eaten zeros?"
            self._wrong(entry, "number", text)
        pupil_id = new_id()
        row = {"id": pupil_id, "school_id": self.school.id, "class_id": class_id, "created_at": self.now}
        row |= {"number": entry.number, "name": entry.name, "seat": entry.seat or 0, "active": True}
        self.writes.inserts[Pupil].append(row)
        return pupil_id

    def _class(self, entry: Entry) -> uuid.UUID:
        key = people.same_name(entry.class_name)
        known = self.records.classes.get(key) or self.new_classes.get(key)
        if known is None:
            return self._new_class(entry, key).id
        if entry.grade is not None and entry.grade != known.grade:
            text = f"class {entry.class_name} is in grade {known.grade}, not {entry.grade}"
            self._wrong(entry, "grade", f"{text}; make them equal, or change the class on its page first")
        return known.id

    def _new_class(self, entry: Entry, key: str) -> SchoolClass:
        grade = entry.grade or people.grade(entry.class_name)
        if grade is None:
            self._wrong(entry, "class", f"{entry.class_name!r} does not tell the grade; add a column `grade`")
        made = SchoolClass(id=new_id(), school_id=self.school.id, name=entry.class_name, grade=grade or 0)
        self.new_classes[key] = made
        row = {"id": made.id, "school_id": made.school_id, "name": made.name, "grade": made.grade}
        self.writes.inserts[SchoolClass].append(row | {"timetable": "default"})
        return made

    def _card(self, entry: Entry, pupil_id: uuid.UUID, words: list[str]) -> None:
        if entry.card is None:
            return
        self.carried[entry.card] = entry.name
        card = self.records.cards.get(entry.card)
        if card is None:
            row = {"id": new_id(), "school_id": self.school.id, "text": entry.card, "pupil_id": pupil_id}
            self.writes.inserts[Card].append(row | {"state": CardState.ACTIVE, "since": self.now})
            words.append(f"card: + {entry.card}")
            if pupil_id in self.records.holders:
                self.notes.append(f"row {entry.row}: {entry.name} has another active card; if it is lost, mark it so")
        elif card.pupil_id is None:
            self.writes.change(Card, card.id, pupil_id=pupil_id, state=CardState.ACTIVE, since=self.now)
            words.append(f"card: + {entry.card}, which nobody held")
        elif card.pupil_id != pupil_id:
            text = f"{entry.card} is the card of {self._holder(card.pupil_id)}; take it from that pupil first"
            self._wrong(entry, "card", f"{text}, or correct this row")
        elif card.state != CardState.ACTIVE:
            self.notes.append(f"row {entry.row}: the card of {entry.name} stays {card.state}, as it is on record")

    def _holder(self, pupil_id: uuid.UUID) -> str:
        held = next(row for row in self.records.pupils.values() if row.id == pupil_id)
        return f"{held.name} ({held.number})"

    def _guardian(
        self, entry: Entry, person: Person, pupil_id: uuid.UUID, taken: set[uuid.UUID], words: list[str]
    ) -> None:
        phone = crypt.look_up(person.phone) if person.phone else None
        guardian = self._found(pupil_id, person, phone) or self._new_guardian(entry, person, phone)
        if guardian.id in taken:
            return  # named twice in one row
        taken.add(guardian.id)
        if person.phone:
            self._number(entry, person, guardian, words)
        self._care(person, pupil_id, guardian, words)

    def _found(self, pupil_id: uuid.UUID, person: Person, phone: str | None) -> Known | None:
        """The guardian that a row means: the same number and name, or the name within the family, or the number."""
        name = people.same_name(person.name)
        family = [known for known, _ in self.records.families.get(pupil_id, {}).values()]
        if phone and not name:
            return next((known for known in family if known.phone == phone), self.records.numbers.get(phone))
        exact = self.records.guardians.get((phone, name)) if phone else None
        return exact or next((known for known in family if people.same_name(known.name) == name), None)

    def _new_guardian(self, entry: Entry, person: Person, phone: str | None) -> Known:
        nameless = f"{entry.name}的家长" if self.school.locale.startswith("zh") else f"parent of {entry.name}"
        known = Known(new_id(), person.name or nameless, phone, self._vouched(person))
        row = {"id": known.id, "school_id": self.school.id, "name": known.name, "locale": self.school.locale}
        row |= {"phone": person.phone, "phone_hash": phone, "verified_at": self.now if known.verified else None}
        self.writes.inserts[Guardian].append(row)
        if phone:
            self.records.guardians[phone, people.same_name(person.name)] = known
            self.records.numbers.setdefault(phone, known)
        return known

    def _vouched(self, person: Person) -> bool:
        """A landline takes no texts, so nobody can vouch that they arrive."""
        return self.vouched and person.phone is not None and people.takes_texts(person.phone)

    def _number(self, entry: Entry, person: Person, guardian: Known, words: list[str]) -> None:
        phone = crypt.look_up(person.phone or "")
        if guardian.phone != phone and guardian.claim:
            text = f"{guardian.name} is one person on record, and row {guardian.claim} gives another number"
            self._wrong(entry, f"guardian{person.rank} phone", f"{text}; make them equal")
            return
        guardian.claim = entry.row
        self.named[guardian.id] = guardian
        if guardian.phone != phone:
            self.records.guardians[phone, people.same_name(guardian.name)] = guardian
            guardian.phone, guardian.verified = phone, self._vouched(person)
            verified_at = self.now if guardian.verified else None
            self.writes.change(Guardian, guardian.id, phone=person.phone, phone_hash=phone, verified_at=verified_at)
            words.append(f"{guardian.name}: number → {masked(person.phone or '')}")
        elif not guardian.verified and self._vouched(person):
            guardian.verified = True
            self.writes.change(Guardian, guardian.id, verified_at=self.now)
            words.append(f"{guardian.name}: number is vouched for")

    def _care(self, person: Person, pupil_id: uuid.UUID, guardian: Known, words: list[str]) -> None:
        known = self.records.families.get(pupil_id, {}).get(guardian.id)
        if known is None:
            relation = Relation(person.relation or Relation.OTHER)
            row = {"id": new_id(), "school_id": self.school.id, "pupil_id": pupil_id, "guardian_id": guardian.id}
            row |= {"relation": relation, "rank": person.rank, "gate_texts": True, "barred": False}
            self.writes.inserts[Guardianship].append(row)
            words.append(f"guardian: + {guardian.name} ({relation}) {masked(person.phone or '')}".rstrip())
            return
        ship = known[1]
        wanted = {"rank": person.rank, "relation": person.relation or ship.relation}
        changed = {name: value for name, value in wanted.items() if getattr(ship, name) != value}
        if changed:
            self.writes.change(Guardianship, ship.id, **changed)
            words += [f"{guardian.name}: {name} {getattr(ship, name)} → {value}" for name, value in changed.items()]

    @property
    def unverified(self) -> int:
        """Numbers in this file at which nobody is texted yet."""
        return sum(not guardian.verified for guardian in self.named.values())
