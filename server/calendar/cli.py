"""`gatebell calendar`: terms, days off, make-up days and bells from the command line."""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import IO

import click

from server import clock
from server.calendar import ical, proposals, rules, seeds, service, year
from server.cli import app_for
from server.db import db, transaction
from server.schools import service as schools
from server.schools.models import School

AS_WEEKDAY = click.Choice(service.WEEKDAYS, case_sensitive=False)


class Days(click.ParamType[list[date]]):
    """A date, or `first..last`."""

    name = "DATE[..DATE]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> list[date]:
        """Text -> every date of the span."""
        try:
            first, _, last = value.partition("..")
            span = date.fromisoformat(first), date.fromisoformat(last or first)
        except ValueError:
            self.fail(f"{value!r} is not a date; write 2027-02-15, or 2027-02-15..2027-02-23 for several days")
        if not 0 <= (span[1] - span[0]).days <= 400:
            self.fail(f"{value!r} must run forward, over at most 400 days")
        return list(_days(*span))


class Hours(click.ParamType[tuple[int, int]]):
    """Two times of the school's day."""

    name = "HH:MM-HH:MM"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Text -> seconds after midnight."""
        match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)", value)
        if not match:
            self.fail(f"{value!r} are not hours; write them as in 07:50-11:50")
        hours = [int(part) for part in match.groups()]
        return hours[0] * 3600 + hours[1] * 60, hours[2] * 3600 + hours[3] * 60


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=count) for count in range((last - first).days + 1))


@click.group()
@click.option("--school", help="The school's id; not needed when there is only one.")
@click.pass_context
def calendar(context: click.Context, school: str | None) -> None:
    """Terms, days off, make-up days and bells."""
    app_for(context)
    context.obj = schools.find(school)


@calendar.group()
def term() -> None:
    """Terms."""


@term.command("add")
@click.argument("name")
@click.argument("days", type=Days())
@click.pass_obj
def add_term(school: School, name: str, days: list[date]) -> None:
    """Open a term, as in: 2026-2027-1 2026-09-01..2027-01-29."""
    with transaction() as session:
        service.add_term(session, school.id, name=name, starts=days[0], ends=days[-1])
    click.echo(f"term {name}: {days[0]} to {days[-1]}")


@calendar.group()
def holiday() -> None:
    """Days off."""


@holiday.command("add")
@click.argument("days", type=Days())
@click.option("--label", default="", help="Why, as in 春节.")
@click.pass_obj
def add_holiday(school: School, days: list[date], label: str) -> None:
    """Make days of a term days off."""
    with transaction() as session:
        service.set_off(session, school.id, days=days, label=label)
    click.echo(f"{len(days)} day(s) off")


@calendar.group()
def makeup() -> None:
    """Make-up days (调休)."""


@makeup.command("add")
@click.argument("days", type=Days())
@click.option("--as", "weekday", required=True, type=AS_WEEKDAY, help="Whose lessons are given.")
@click.option("--label", default="")
@click.pass_obj
def add_makeup(school: School, days: list[date], weekday: str, label: str) -> None:
    """Give a weekday's lessons on a day that would be off."""
    with transaction() as session:
        for day in days:
            number = service.WEEKDAYS.index(weekday)
            service.set_make_up(session, school.id, day=day, as_weekday=number, label=label)
    click.echo(f"{len(days)} day(s) with the lessons of {weekday}")


@calendar.group()
def half() -> None:
    """Half days."""


@half.command("add")
@click.argument("days", type=Days())
@click.option("--until", required=True, help="Nothing begins from then on, as in 12:00.")
@click.option("--label", default="")
@click.pass_obj
def add_half(school: School, days: list[date], until: str, label: str) -> None:
    """Let days end early."""
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", until)
    if match is None:
        raise service.BadCalendar(f"{until!r} is no time; write it as in 12:00")
    with transaction() as session:
        for day in days:
            seconds = int(match[1]) * 3600 + int(match[2]) * 60
            service.set_half(session, school.id, day=day, until=seconds, label=label)
    click.echo(f"{len(days)} half day(s)")


@calendar.command()
@click.argument("number", metavar="YEAR", type=int)
@click.option("--country", default=seeds.CHINA, show_default=True, help="Two letters.")
@click.pass_obj
def seed(school: School, number: int, country: str) -> None:
    """Propose a year's public holidays and make-up days; nothing counts until they are taken."""
    found = seeds.seeded(number, country=country.upper(), locale=school.locale)
    with transaction() as session:
        news = proposals.keep(session, school.id, found)
    click.echo(
        f"{len(found)} day(s) found, {news} proposed; take them on the page Calendar, or: gatebell calendar take"
    )
    if country.upper() == seeds.CHINA and not seeds.make_ups_known(number):
        click.echo(f"make-up days of {number} not yet published: add them by hand when they are", err=True)


@calendar.command("import")
@click.argument("file", type=click.File("rb"))
@click.pass_obj
def import_ics(school: School, file: IO[bytes]) -> None:
    """Propose the days of an iCalendar FILE; nothing counts until they are taken."""
    found = ical.read(file.read(), timezone=school.timezone)
    with transaction() as session:
        news = proposals.keep(session, school.id, found.days)
    click.echo(f"{len(found.days)} day(s) found, {news} proposed")
    for title in found.repeating:
        click.echo(f"repeats, so only its first date was read: {title}", err=True)
    for title in found.unread:
        click.echo(f"has no dates, or runs longer than a year: {title}", err=True)


@calendar.command()
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.pass_obj
def take(school: School, dry_run: bool) -> None:
    """Make everything count that is proposed."""
    for each in proposals.waiting(db.session(), school.id):
        lessons = f", lessons of {service.WEEKDAYS[each.as_weekday]}" if each.as_weekday is not None else ""
        click.echo(f"{each.date}: {each.kind}{lessons} {each.label}".rstrip())
    if dry_run:
        return
    with transaction() as session:
        chosen = {each.date: each.as_weekday for each in proposals.waiting(session, school.id)}
        proposals.take(session, school.id, chosen)
    click.echo(f"{len(chosen)} day(s) taken")


@calendar.command()
@click.argument("file", type=click.File("wb"))
@click.pass_obj
def export(school: School, file: IO[bytes]) -> None:
    """Write the calendar as iCalendar to FILE (`-` for standard output)."""
    days = proposals.set_days(db.session(), school.id, date.min, date.max)
    file.write(ical.written(school.name, days, year.terms_of(school.id), school_id=school.id))


@calendar.group()
def bells() -> None:
    """Bell times."""


@bells.command("set")
@click.argument("session_name", metavar="SESSION")
@click.argument("hours", type=Hours())
@click.option("--timetable", default=rules.DEFAULT_TIMETABLE, show_default=True)
@click.option("--since", type=Days(), help="First date on which these hours count; default: today.")
@click.option("--weekday", "weekdays", multiple=True, type=AS_WEEKDAY, help="Repeat; default: Monday to Friday.")
@click.pass_obj
def set_bells(
    school: School,
    session_name: str,
    hours: tuple[int, int],
    timetable: str,
    since: list[date] | None,
    weekdays: tuple[str, ...],
) -> None:
    """Set when a session (am, pm, eve ...) begins and ends, as in: am 07:50-11:50."""
    mask = sum(1 << service.WEEKDAYS.index(name) for name in set(weekdays)) or rules.MONDAY_TO_FRIDAY
    first = since[0] if since else clock.local_day(clock.now(), school.timezone)
    bell = rules.Bell(rules.Session(session_name, *hours), first, mask)
    with transaction() as session:
        service.set_bell(session, school.id, timetable=timetable, bell=bell)
    click.echo(f"{timetable}: {session_name} from {first} on")


@calendar.command()
@click.argument("days", type=Days())
@click.option("--timetable", default=rules.DEFAULT_TIMETABLE, show_default=True)
@click.pass_obj
def show(school: School, days: list[date], timetable: str) -> None:
    """Print which sessions each date has."""
    for day in days:
        found = service.sessions_on(school.id, timetable, day)
        words = ", ".join(f"{each.name} {_time(each.starts)}-{_time(each.ends)}" for each in found) or "off"
        click.echo(f"{day} {service.WEEKDAYS[day.weekday()]}: {words}")


def _time(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds % 3600 // 60:02}"


commands: list[click.Command] = [calendar]
