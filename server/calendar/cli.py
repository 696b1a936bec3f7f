"""`gatebell calendar`: terms, days off, make-up days and bells from the command line."""

import re
from collections.abc import Iterator
from datetime import date, timedelta

import click

from server import clock
from server.calendar import rules, service
from server.cli import app_for
from server.db import transaction
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
