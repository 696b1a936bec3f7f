"""`gatebell import`: rosters in, with a dry run that says in words what would change."""

from collections.abc import Sequence
from pathlib import Path

import click

from server.cli import app_for
from server.db import db, transaction
from server.schools import service as schools
from server.schools.models import School
from server.transfer import rules, service
from server.transfer.compare import Comparison, Difference
from server.transfer.rules import Entry, Problem, Sheet

SHOWN = 20  # lines of each kind


@click.group("import")
def take_in() -> None:
    """Bring pupils in from files."""


@take_in.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--school", "school_id", help="The school's id; not needed when there is only one.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--numbers-verified", is_flag=True, help="The school vouches for these telephone numbers.")
@click.pass_context
def roster(context: click.Context, file: Path, school_id: str | None, dry_run: bool, numbers_verified: bool) -> None:
    """Take pupils, classes, cards and guardians from a CSV file: all of it, or nothing when anything is wrong.

    Columns: class 班级, number 学号, name 姓名; grade 年级, seat 座号, card 卡号; guardian1 name, relation and phone
    家长1姓名 关系 电话, and the same for 2 and 3. A repeated import changes only what has changed.
    """
    app_for(context)
    school = schools.find(school_id)
    try:
        sheet = rules.opened(file.read_bytes())
    except rules.BadRoster as error:
        raise click.ClickException(f"{file.name}: {error}") from None
    entries, problems = _read(sheet, school)
    if dry_run:
        found = service.compare(db.session(), school, sheet, entries, vouched=numbers_verified)
    else:
        found = _imported(school, sheet, entries, stop=bool(problems), vouched=numbers_verified)
    problems += found.problems
    if problems:
        _say_problems(file.name, problems)
        context.exit(1)
    _say(school, sheet, found, dry_run=dry_run, vouched=numbers_verified)


def _read(sheet: Sheet, school: School) -> tuple[list[Entry], list[Problem]]:
    entries: list[Entry] = []
    problems: list[Problem] = []
    rows = rules.entries(sheet, region=service.region_of(school))
    with click.progressbar(rows, length=len(sheet.rows), label="reading") as bar:
        for entry, wrong in bar:
            entries.append(entry)
            problems += wrong
    return entries, problems + list(rules.repeated(entries, sheet))


def _imported(school: School, sheet: Sheet, entries: Sequence[Entry], *, stop: bool, vouched: bool) -> Comparison:
    """Compare and write in one transaction; with any problem, write nothing."""
    with transaction() as session:
        found = service.compare(session, school, sheet, entries, vouched=vouched)
        if stop or found.problems:
            return found
        with click.progressbar(length=found.writes.size, label="writing") as bar:
            for written in service.carry_out(session, found.writes):
                bar.update(written)
    return found


def _say_problems(file: str, problems: Sequence[Problem]) -> None:
    for problem in sorted(problems, key=lambda problem: problem.row)[:SHOWN]:
        column = f", column {problem.column}" if problem.column else ""
        click.echo(f"row {problem.row}{column}: {problem.text}", err=True)
    if len(problems) > SHOWN:
        click.echo(f"... and {len(problems) - SHOWN} more", err=True)
    click.echo(f"{file}: {len(problems)} thing(s) to put right; nothing was written", err=True)


def _say(school: School, sheet: Sheet, found: Comparison, *, dry_run: bool, vouched: bool) -> None:
    if sheet.ignored:
        click.echo(f"columns that are not used: {', '.join(sheet.ignored)}")
    for made in found.new_classes.values():
        click.echo(f"+ class {made.name} in grade {made.grade}")
    _say_lines([_line(each) for each in found.differences if each.new])
    _say_lines([_line(each) for each in found.differences if not each.new])
    _say_lines(found.notes)
    added, touched = sum(each.new for each in found.differences), len(found.differences)
    same = len(sheet.rows) - touched
    click.echo(f"{school.name}: {added} new, {touched - added} changed, {same} unchanged")
    if found.gone:
        names = ", ".join(f"{row.name} ({row.number})" for row in found.gone[:5])
        click.echo(f"{len(found.gone)} on record but not in the file, left as they are: {names} ...")
    if found.unverified:
        hint = "" if vouched else "; if the school vouches for them, add --numbers-verified"
        click.echo(f"{found.unverified} number(s) are not verified, nobody is texted there{hint}")
    click.echo(_outcome(found, dry_run=dry_run))


def _outcome(found: Comparison, *, dry_run: bool) -> str:
    if not found.writes.size:
        return "nothing to do"
    return "dry run: nothing was written; leave --dry-run out to do it" if dry_run else "done"


def _line(each: Difference) -> str:
    return f"{'+' if each.new else '~'} {each.class_name} {each.number} {each.name}: {'; '.join(each.words) or 'new'}"


def _say_lines(lines: Sequence[str]) -> None:
    for line in lines[:SHOWN]:
        click.echo(line)
    if len(lines) > SHOWN:
        click.echo(f"  ... and {len(lines) - SHOWN} more like these")


commands: list[click.Command] = [take_in]
