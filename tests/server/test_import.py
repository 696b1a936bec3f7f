"""Rosters in: what spreadsheets do to numbers is caught, a dry run tells in words, a second run has nothing to do."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import func, select

from server import cli, config
from server.cards.models import Card, CardState
from server.db import db, transaction
from server.people.models import Guardian, Guardianship, Pupil, SchoolClass
from server.schools.models import School

HEADER = "班级,学号,姓名,座号,卡号,家长1姓名,家长1关系,家长1电话,家长2姓名,家长2关系,家长2电话\n"
ROWS = (
    "八（2）班,20260801,王小明,1,em4100:67003B51C6,王芳,母亲,13812340001,王强,父亲,13812340002\n"
    "八（2）班,20260802,李雷,2,em4100:67003B51C7,李梅,妈妈,138 1234 0003,,,\n"
    "七(1)班,20260701,王小红,1,,王芳,母亲,13812340001,,,\n"
)
Run = Callable[..., Result]


@pytest.fixture
def run(school: School, settings: config.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """`gatebell import roster` on the test's database, with a text or bytes as the file."""
    monkeypatch.setenv("GATEBELL_DATABASE__URL", settings.database.url)
    monkeypatch.setenv("GATEBELL_SECRETS__KEY_FILE", settings.secrets.key_file)
    file = tmp_path / "roster.csv"

    def invoke(content: str | bytes, *options: str) -> Result:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        db.session.rollback()
        result = CliRunner().invoke(cli.build(), ["import", "roster", str(file), *options])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    yield invoke


def counts() -> dict[str, int]:
    db.session.rollback()
    models = (SchoolClass, Pupil, Card, Guardian, Guardianship)
    return {model.__tablename__: db.session.scalar(select(func.count()).select_from(model)) or 0 for model in models}


WHOLE = {"school_class": 2, "pupil": 3, "card": 2, "guardian": 3, "guardianship": 4}
NOTHING = dict.fromkeys(WHOLE, 0)


def test_a_roster_comes_in_whole_with_siblings_sharing_a_guardian(run: Run) -> None:
    result = run(HEADER + ROWS)
    assert result.exit_code == 0, result.output
    assert counts() == WHOLE
    mother = db.session.scalars(select(Guardian).where(Guardian.name == "王芳")).one()
    assert (mother.phone, mother.verified_at) == ("+8613812340001", None)
    grades = {each.name: each.grade for each in db.session.scalars(select(SchoolClass))}
    assert grades == {"八（2）班": 8, "七(1)班": 7}
    assert "3 number(s) are not verified, nobody is texted there" in result.output


def test_a_second_run_has_nothing_to_do(run: Run) -> None:
    run(HEADER + ROWS)
    result = run(HEADER + ROWS)
    assert "0 new, 0 changed, 3 unchanged" in result.output and "nothing to do" in result.output
    assert counts() == WHOLE


def test_a_dry_run_says_it_in_words_and_writes_nothing(run: Run) -> None:
    result = run(HEADER + ROWS, "--dry-run")
    assert result.exit_code == 0
    assert (
        "+ 八（2）班 20260801 王小明: card: + em4100:67003B51C6; guardian: + 王芳 (mother) 138****0001" in result.output
    )
    assert "3 new, 0 changed, 0 unchanged" in result.output and "dry run" in result.output
    assert counts() == NOTHING


def test_changes_are_told_field_by_field_and_the_rest_stays(run: Run) -> None:
    run(HEADER + ROWS, "--numbers-verified")
    moved = (
        ROWS.replace("八（2）班,20260802,李雷,2", "八（3）班,20260802,李雷,9")
        .replace("138 1234 0003", "13812340009")
        .replace("七(1)班,20260701,王小红,1,,王芳,母亲,13812340001,,,\n", "")
    )
    result = run(HEADER + moved)
    assert "~ 八（3）班 20260802 李雷: seat: 2 → 9; class: → 八（3）班; 李梅: number → 138****0009" in result.output
    assert "0 new, 1 changed, 1 unchanged" in result.output
    assert "1 on record but not in the file, left as they are: 王小红 (20260701)" in result.output
    assert counts() == WHOLE | {"school_class": 3}
    verified = {g.name: g.verified_at is not None for g in db.session.scalars(select(Guardian))}
    assert verified == {"王芳": True, "王强": True, "李梅": False}  # nobody vouched for the new number


def test_a_number_is_verified_only_when_the_school_vouches_and_it_takes_texts(run: Run) -> None:
    landline = "八（2）班,20260803,韩梅,3,,韩刚,父亲,010-62345678,,,\n"
    run(HEADER + ROWS + landline)
    result = run(HEADER + ROWS + landline, "--numbers-verified")
    assert "王芳: number is vouched for" in result.output and "1 number(s) are not verified" in result.output
    db.session.rollback()
    names = db.session.scalars(select(Guardian.name).where(Guardian.verified_at.is_not(None)))
    assert set(names) == {"王芳", "王强", "李梅"}


def test_mother_and_father_with_one_number_are_two_people(run: Run) -> None:
    run(HEADER + ROWS.replace("13812340002", "13812340001"))
    assert counts() == WHOLE


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_encodings_and_separators_of_spreadsheets_are_read(run: Run, encoding: str, delimiter: str) -> None:
    content = (HEADER + ROWS).replace(",", delimiter).replace("\n", "\r\n").encode(encoding)
    assert "3 new" in run(content, "--dry-run").output


def test_english_headers_in_any_order_and_case_are_read(run: Run) -> None:
    header = "Guardian 1 Phone,NAME,Student_Number,guardian1 name,Class,Shoe size\n"
    result = run(header + "+8613812340001,Tom Li,7,Ann Li,Year 8,39\n")
    assert "columns that are not used: Shoe size" in result.output and "1 new" in result.output


@pytest.mark.parametrize(
    ("row", "place", "says"),
    [
        ("八（2）班,1,王,1,,王芳,母亲,1.38E+10,,,", "row 2, column 家长1电话: '1.38E+10'", "a spreadsheet has cut"),
        ("八（2）班,1,王,1,,王芳,母亲,1381234000,,,", "row 2, column 家长1电话", "a digit is missing"),
        ("八（2）班,2.0261E+11,王,1,,,,,,,", "row 2, column 学号", "a spreadsheet has cut"),
        ("八（2）班,,王,1,,,,,,,", "row 2, column 学号", "is empty"),
        ("八（2）班,1,王,前排,,,,,,,", "row 2, column 座号: '前排'", "not a seat number"),
        ("八（2）班,1,王,1,0006762840,,,,,,", "row 2, column 卡号: '0006762840'", "touch the card at the gate"),
        ("八（2）班,1,王,1,67003B51C6,,,,,,", "row 2, column 卡号", "em4100:67003B51C6"),
        ("火箭班,1,王,1,,,,,,,", "row 2, column 班级: '火箭班'", "add a column `grade`"),
        ("八（2）班,1,王,1,,,,,,,,多了", "row 2", "more cells than the header"),
        ("八（2）班,1," + "王" * 81 + ",1,,,,,,,", "row 2, column 姓名", "longer than 80"),
    ],
)
def test_a_bad_cell_is_named_with_its_place_and_nothing_is_written(run: Run, row: str, place: str, says: str) -> None:
    result = run(HEADER + row + "\n" + ROWS)
    assert result.exit_code == 1
    assert place in result.stderr and says in result.stderr
    assert "nothing was written" in result.stderr
    assert counts() == NOTHING


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("班级,姓名,学好\n八（1）班,王,1\n", "missing columns: number (number, student number"),
        ("班级,姓名,学好\n八（1）班,王,1\n", "Found: 班级, 姓名, 学好. is '学好' meant to be '学号'?"),
        ("clas,nmae,number\n8,x,1\n", "is 'clas' meant to be 'class'?"),
        ("班级,班级,姓名,学号\n1,1,1,1\n", "say the same"),
        ("班级,姓名,学号\n", "holds no pupils"),
        ("", "holds no pupils"),
        (b"PK\x03\x04\x14\x00", "Excel workbook"),
        (b"\xff\xff\xff\x00\x81", "letters cannot be read"),
        ('班级,姓名,学号\n"八（1）班,王,1\n', "not a table"),
    ],
)
def test_a_file_that_is_no_roster_is_refused_with_what_to_do(run: Run, content: str | bytes, says: str) -> None:
    result = run(content)
    assert result.exit_code == 1
    assert says in result.output and "Traceback" not in result.output


def test_a_card_or_number_in_two_rows_is_named_with_both_places(run: Run) -> None:
    doubled = ROWS.replace("67003B51C7", "67003b51c6").replace("20260701", "20260801")
    result = run(HEADER + doubled)
    assert "row 3, column 卡号: 'em4100:67003B51C6' stands in row 2 too" in result.stderr
    assert "row 4, column 学号: '20260801' stands in row 2 too" in result.stderr
    assert counts() == NOTHING


def test_another_pupils_card_is_named_with_its_holder(run: Run) -> None:
    run(HEADER + ROWS)
    result = run(HEADER + "七(1)班,20260702,赵四,2,em4100:67003B51C7,,,,,,\n")
    assert result.exit_code == 1
    assert "row 2, column 卡号: em4100:67003B51C7 is the card of 李雷 (20260802); take it" in result.stderr
    assert counts() == WHOLE


def test_a_lost_card_stays_lost_and_a_card_of_nobody_is_taken(run: Run) -> None:
    run(HEADER + ROWS)
    with transaction() as session:
        card = session.scalars(select(Card).where(Card.text == "em4100:67003B51C6")).one()
        card.state = CardState.LOST
        session.add(Card(school_id="mingde", text="em4100:67003B51C8", since=card.since))
    result = run(HEADER + ROWS.replace("王小红,1,,", "王小红,1,em4100:67003B51C8,"))
    assert "the card of 王小明 stays lost" in result.output
    assert "card: + em4100:67003B51C8, which nobody held" in result.output


def test_a_second_card_is_added_and_said(run: Run) -> None:
    run(HEADER + ROWS)
    result = run(HEADER + ROWS.replace("67003B51C6", "67003B51C8"))
    assert "row 2: 王小明 has another active card; if it is lost, mark it so" in result.output
    assert counts()["card"] == 3


def test_zeros_that_a_spreadsheet_ate_do_not_make_a_second_pupil(run: Run) -> None:
    run(HEADER + ROWS.replace("20260801", "00801"))
    result = run(HEADER + ROWS.replace("20260801", "801"))
    assert "row 2, column 学号: '801': 王小明 is on record as '00801'" in result.stderr
    assert counts() == WHOLE


def test_one_person_cannot_have_two_numbers_in_one_file(run: Run) -> None:
    run(HEADER + ROWS)
    result = run(HEADER + ROWS.replace("王小红,1,,王芳,母亲,13812340001", "王小红,1,,王芳,母亲,13812340008"))
    assert "row 4, column 家长1电话: 王芳 is one person on record, and row 2 gives another number" in result.stderr


def test_a_changed_number_reaches_all_siblings(run: Run) -> None:
    run(HEADER + ROWS)
    changed = HEADER + ROWS.replace("13812340001", "13812340008")
    assert "2 unchanged" in run(changed).output
    assert "nothing to do" in run(changed).output
    assert counts() == WHOLE


def test_a_sheet_of_which_one_column_was_sorted_alone_is_refused(run: Run) -> None:
    names = [f"学生{n:02}" for n in range(20)]
    straight = "班级,学号,姓名\n" + "".join(f"八（1）班,{n:03},{name}\n" for n, name in enumerate(names))
    turned = "班级,学号,姓名\n" + "".join(f"八（1）班,{n:03},{name}\n" for n, name in enumerate(names[::-1]))
    run(straight)
    result = run(turned)
    assert result.exit_code == 1 and "20 of 20 pupils on record would get another name" in result.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (HEADER + ROWS.replace("王小明", "王\0明"), "row 2 holds signs that are no text"),
        ("\0" * 1000, "row 1 holds signs that are no text"),
        (HEADER + '"八（2）班,1,王\n', "row 2: this is not a table"),
        (HEADER + ROWS + "x" * 1_000_000, "row 5: this is not a table"),
        (HEADER + ROWS.replace("20260801", "9" * 2000), "row 2, column 学号: '" + "9" * 50 + "'"),
        ((HEADER + ROWS).encode("utf-16")[:-1], "the letters cannot be read"),
    ],
)
def test_rubbish_is_refused_with_its_place(run: Run, content: str | bytes, says: str) -> None:
    result = run(content)
    assert result.exit_code == 1 and says in result.output and len(result.output) < 1000
    assert counts() == NOTHING


def test_formulas_are_only_text(run: Run) -> None:
    result = run(HEADER + '八（2）班,="00801",=HYPERLINK("x"),1,,,,="13812340001",,,\n'.replace('"x"', "x"))
    assert result.exit_code == 0, result.output
    assert db.session.scalars(select(Pupil.name)).one() == "=HYPERLINK(x)"
    assert db.session.scalars(select(Pupil.number)).one() == "00801"


def test_a_barred_guardian_stays_barred(run: Run) -> None:
    run(HEADER + ROWS)
    with transaction() as session:
        for ship in session.scalars(select(Guardianship)):
            ship.barred, ship.gate_texts = True, False
    run(HEADER + ROWS.replace("13812340001", "13812340008"), "--numbers-verified")
    db.session.rollback()
    assert {(ship.barred, ship.gate_texts) for ship in db.session.scalars(select(Guardianship))} == {(True, False)}


def test_three_thousand_pupils_come_in(run: Run) -> None:
    rows = "".join(
        f"{grade}（{n % 15 + 1}）班,{n},学生{n},{n % 50},em4100:{n + 1:010X},家长{n},母亲,{13800000000 + n},,,\n"
        for n in range(3000)
        for grade in ["七八九"[n % 3]]
    )
    result = run(HEADER + rows)
    assert "3000 new" in result.output and "... and 2980 more like these" in result.output
    assert counts()["pupil"] == 3000


def test_a_missing_school_is_named(run: Run) -> None:
    assert "there is no school 'nowhere'; there are: mingde" in run(HEADER + ROWS, "--school", "nowhere").output


def test_cards_that_a_24_bit_reader_takes_for_each_other_are_warned_of(run: Run) -> None:
    alike = ROWS.replace("em4100:67003B51C7", "em4100:12003B51C6")
    pair = "em4100:12003B51C6 (李雷), em4100:67003B51C6 (王小明)"
    for option in (["--dry-run"], [], []):  # said again until it is mended
        result = run(HEADER + alike, *option)
        assert result.exit_code == 0 and f"warning: one card to a 24-bit (Wiegand 26) reader: {pair};" in result.output
    assert counts() == WHOLE


def test_a_new_card_is_compared_with_the_cards_that_are_in_use_at_the_school(run: Run) -> None:
    assert "warning" not in run(HEADER + ROWS).output
    row = "八（2）班,20260803,韩梅,3,w26:3B51C6,,,,,,\n"
    assert "em4100:67003B51C6 (王小明), w26:3B51C6 (韩梅)" in run(HEADER + row, "--dry-run").output
    with transaction() as session:
        session.scalars(select(Card).where(Card.text == "em4100:67003B51C6")).one().state = CardState.LOST
    assert "warning" not in run(HEADER + row, "--dry-run").output
