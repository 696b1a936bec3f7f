"""A roster as a school keeps it in a spreadsheet -> entries, and what is wrong by row and column. No database.

Rows are counted as the spreadsheet shows them: the header is row 1.
"""

import csv
import difflib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from server.cards import rules as cards
from server.people import rules as people

REQUIRED = ("class", "number", "name")
HEADERS = {
    "class": "class|class name|form|班级|班|行政班",
    "grade": "grade|year|grade level|年级",
    "number": "number|student number|pupil number|student id|pupil id|学号|学生编号",
    "name": "name|full name|student name|pupil name|姓名|学生姓名|学生",
    "seat": "seat|seat number|座号|座位号|座位",
    "card": "card|card number|card id|卡号|卡|一卡通号",
}
PERSON = re.compile(r"(?:guardian|parent|contact|监护人|家长|联系人)([123一二三]?)的?(\D+?)([123]?)")
PERSON_PARTS = {
    "name": "name|full name|姓名|名字",
    "relation": "relation|relationship|关系|与学生关系|称谓",
    "phone": "phone|mobile|tel|telephone|phone number|mobile number|电话|手机|手机号|手机号码|联系电话|电话号码",
}
RANKS = {"1": 1, "2": 2, "3": 3, "一": 1, "二": 2, "三": 3}
Value = TypeVar("Value")
SHOWN = 50  # letters of a cell in a sentence
LONGEST = {"class": 40, "number": 40, "name": 80}


class BadRoster(ValueError):
    """The file as a whole cannot be used; the text says why and what to do."""


@dataclass(frozen=True)
class Problem:
    """One thing to put right, in one cell."""

    row: int
    column: str  # as the file calls it
    text: str


@dataclass(frozen=True)
class Person:
    """A guardian of one pupil as the file says it; `phone` is E.164."""

    rank: int
    name: str
    relation: str | None
    phone: str | None


@dataclass(frozen=True)
class Entry:
    """One pupil as the file says it; None where the file says nothing."""

    row: int
    class_name: str
    grade: int | None
    number: str
    name: str
    seat: int | None = None
    card: str | None = None
    guardians: tuple[Person, ...] = ()


@dataclass(frozen=True)
class Sheet:
    """Cells as text; `columns` maps what we know to the place of its column."""

    header: tuple[str, ...]
    columns: dict[str, int]
    rows: tuple[tuple[int, tuple[str, ...]], ...]

    @property
    def ignored(self) -> list[str]:
        """Columns that mean nothing to us."""
        used = set(self.columns.values())
        return [name for place, name in enumerate(self.header) if place not in used and name]

    def called(self, column: str) -> str:
        """What the file calls one of our columns."""
        return self.header[self.columns[column]] if column in self.columns else column


def opened(raw: bytes) -> Sheet:
    """Bytes of a CSV file -> cells. Raises BadRoster."""
    text = _decoded(raw)
    lines = text.split("\n", 1)
    if lines[0].lower().startswith("sep="):
        text = lines[1] if len(lines) > 1 else ""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    try:
        records = list(reader)
    except csv.Error as error:
        where = f"row {reader.line_num}: this is not a table with separated columns"
        raise BadRoster(f"{where}: {error}; save it as CSV again") from None
    numbered = [
        (row, tuple(map(str.strip, cells))) for row, cells in enumerate(records, 1) if any(map(str.strip, cells))
    ]
    if len(numbered) < 2:
        raise BadRoster("the file holds no pupils: it needs a row of column names and a row for each pupil")
    header = numbered[0][1]
    return Sheet(header, _columns(header), tuple(numbered[1:]))


def _decoded(raw: bytes) -> str:
    if raw.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise BadRoster("this is an Excel workbook; open it and save the sheet as `CSV UTF-8`")
    marked = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    encodings = ["utf-16"] if marked else ["utf-8-sig", "gb18030"]  # utf-8-sig reads utf-8 too
    for encoding in encodings:
        try:
            return _without_nul(raw.decode(encoding))
        except UnicodeDecodeError:
            continue
    raise BadRoster("the letters cannot be read; save the sheet as `CSV UTF-8`")


def _without_nul(text: str) -> str:
    before, nul, _after = text.partition("\0")
    if nul:  # PostgreSQL's texts hold none, and no spreadsheet writes one
        raise BadRoster(f"row {before.count(chr(10)) + 1} holds signs that are no text; save it as CSV again")
    return text


def _delimiter(text: str) -> str:
    """The sign that stands most often in the first line."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;\t", key=first.count)


def _key(header: str) -> str:
    return re.sub(r"[_\-./:*()]", "", people.same_name(header))


def _known(words: str) -> set[str]:
    return {_key(word) for word in words.split("|")}


def _column(header: str) -> str | None:
    """`家长2手机号`, `guardian_phone_2` -> guardian2 phone."""
    key = _key(header)
    person = PERSON.fullmatch(key)
    if person is None:
        return next((column for column, words in HEADERS.items() if key in _known(words)), None)
    first, words, last = person.groups()
    part = next((part for part, known in PERSON_PARTS.items() if words in _known(known)), None)
    rank = RANKS.get(first or last, 1)
    return f"guardian{rank} {part}" if part else None


def _columns(header: Sequence[str]) -> dict[str, int]:
    columns: dict[str, int] = {}
    for place, name in enumerate(header):
        column = _column(name)
        if column in columns:
            raise BadRoster(f"columns {header[columns[column]]!r} and {name!r} say the same; leave one of them out")
        if column:
            columns[column] = place
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        raise BadRoster(_wrong_columns(missing, [name for name in header if name and not _column(name)], header))
    return columns


def _wrong_columns(missing: Iterable[str], unknown: Sequence[str], header: Sequence[str]) -> str:
    found = ", ".join(name for name in header if name) or "none"
    hints = []
    for column in missing:
        names = {_key(word): word for word in HEADERS[column].split("|")}
        close = [(name, names[match[0]]) for name in unknown if (match := _close(_key(name), names))]
        hints += [f"is {name!r} meant to be {word!r}?" for name, word in close]
    wanted = "; ".join(f"{column} ({HEADERS[column].replace('|', ', ')})" for column in missing)
    return " ".join([f"missing columns: {wanted}. Found: {found}.", *hints])


def _close(key: str, names: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(key, list(names), 1, cutoff=0.5)


@dataclass
class _Row:
    """One row being read: hands out cells and collects what is wrong with them."""

    sheet: Sheet
    row: int
    cells: tuple[str, ...]
    problems: list[Problem] = field(default_factory=list)

    def cell(self, column: str) -> str:
        """Text of a cell, empty when the file has no such column or the row ends before it."""
        place = self.sheet.columns.get(column, len(self.cells))
        return self.cells[place] if place < len(self.cells) else ""

    def wrong(self, column: str, text: str) -> None:
        """Note a problem of a cell."""
        shown = self.cell(column)[:SHOWN]
        self.problems.append(Problem(self.row, self.sheet.called(column), f"{shown!r}: {text}" if shown else text))

    def taken(self, column: str, reads: Callable[[str], Value]) -> Value | None:
        """What a cell means; None when it is empty or wrong."""
        if not self.cell(column):
            return None
        try:
            return reads(self.cell(column))
        except ValueError as error:
            self.wrong(column, str(error))
            return None


def entries(sheet: Sheet, *, region: str) -> Iterator[tuple[Entry, list[Problem]]]:
    """Each row as an entry with its problems; `region` (CN) is where telephone numbers without a country are."""
    for number, cells in sheet.rows:
        row = _Row(sheet, number, cells)
        yield _entry(row, region), row.problems


def repeated(found: Sequence[Entry], sheet: Sheet) -> Iterator[Problem]:
    """Numbers and cards that stand in two rows, each with both places."""
    for column in ("number", "card"):
        first: dict[str, int] = {}
        for entry in found:
            value = getattr(entry, column)
            if value and first.setdefault(value, entry.row) != entry.row:
                text = f"{value!r} stands in row {first[value]} too; a {column} belongs to one pupil"
                yield Problem(entry.row, sheet.called(column), text)


def _entry(row: _Row, region: str) -> Entry:
    for column in REQUIRED:
        if not row.cell(column):
            row.wrong(column, "is empty; every pupil needs one")
    for column, most in LONGEST.items():
        if len(row.cell(column)) > most:
            row.wrong(column, f"is longer than {most} letters")
    extra = [cell for cell in row.cells[len(row.sheet.header) :] if cell]
    if extra:
        row.wrong("", f"the row has more cells than the header has names, the first is {extra[0]!r}")
    return Entry(
        row=row.row,
        class_name=row.cell("class"),
        grade=_grade(row),
        number=row.taken("number", _number) or "",
        name=row.cell("name"),
        seat=row.taken("seat", _seat),
        card=row.taken("card", cards.canonical),
        guardians=tuple(_people(row, region)),
    )


def _grade(row: _Row) -> int | None:
    written = row.cell("grade")
    found = people.grade(written) if written else None
    if written and found is None:
        row.wrong("grade", "is not a grade from 1 to 12")
    return found


def _number(text: str) -> str:
    number = people.plain(text)
    if people.DAMAGED.fullmatch(number):
        raise ValueError("a spreadsheet has cut this number; format the column as text and fill it in again")
    return number


def _seat(text: str) -> int:
    if not re.fullmatch(r"\d{1,4}", people.plain(text)):
        raise ValueError("is not a seat number")
    return int(people.plain(text))


def _people(row: _Row, region: str) -> Iterator[Person]:
    for rank in (1, 2, 3):
        name = row.cell(f"guardian{rank} name")
        phone = row.taken(f"guardian{rank} phone", lambda text: people.e164(text, region=region))
        if len(name) > LONGEST["name"]:
            row.wrong(f"guardian{rank} name", f"is longer than {LONGEST['name']} letters")
        if name or phone:
            relation = row.cell(f"guardian{rank} relation")
            yield Person(rank, name, people.relation(relation) if relation else None, phone)
