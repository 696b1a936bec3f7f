"""`gatebell selftest`: have the gates test themselves, let one rest, and say who is told when one fails."""

import time

import click
from babel.core import get_global
from flask_babel import force_locale

from server import clock
from server.cli import app_for
from server.db import db, transaction
from server.gates import rules, selftests, words
from server.gates.models import GateTest
from server.people.rules import BadPhone, e164
from server.schools import service as schools
from server.schools.models import School

WAIT_S = 70.0


@click.group()
@click.option("--school", help="The school's id; not needed when there is only one.")
@click.pass_context
def selftest(context: click.Context, school: str | None) -> None:
    """Self-tests of the gates."""
    app_for(context)
    context.obj = schools.find(school)


@selftest.command()
@click.argument("gates", nargs=-1)
@click.pass_obj
def run(school: School, gates: tuple[str, ...]) -> None:
    """Have these gates, or all that are in use, test themselves now, and wait for their answers."""
    wanted = gates or tuple(gate.id for gate in selftests.gates_of(school.id) if gate.heard_at and not gate.resting)
    with transaction() as session:
        for gate in wanted:
            selftests.by_hand(session, school, gate, clock.now())
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end and not _all_there(school.id, wanted):
        time.sleep(0.5)
    _tell(school, wanted)


def _all_there(school_id: str, gates: tuple[str, ...]) -> bool:
    db.session.rollback()
    tests = selftests.newest_tests(school_id)
    return all(tests[gate].answered_at for gate in gates)


@selftest.command()
@click.pass_obj
def show(school: School) -> None:
    """The newest self-test of each gate."""
    _tell(school, tuple(gate.id for gate in selftests.gates_of(school.id)))


@selftest.command()
@click.argument("gate")
@click.pass_obj
def rest(school: School, gate: str) -> None:
    """A gate is switched off on purpose: it is not tested and nobody is told of it."""
    with transaction() as session:
        selftests.rest(session, school.id, gate, clock.now())
    click.echo(f"{gate} rests; put it into use again with: gatebell selftest use {gate}")


@selftest.command()
@click.argument("gate")
@click.pass_obj
def use(school: School, gate: str) -> None:
    """A gate is in use again."""
    with transaction():
        selftests.use(school.id, gate)
    click.echo(f"{gate} is in use: it tests itself before the next first bell")


@selftest.group()
def caretaker() -> None:
    """Who is told when a gate fails."""


@caretaker.command("add")
@click.argument("name")
@click.argument("phone")
@click.pass_obj
def add_caretaker(school: School, name: str, phone: str) -> None:
    """Tell this number, as in: 王师傅 13800001111."""
    try:
        number = e164(phone, region=str(get_global("zone_territories").get(school.timezone, "CN")))
    except BadPhone as error:
        raise click.ClickException(str(error)) from None
    with transaction() as session:
        selftests.add_caretaker(session, school, name=name, phone=number, locale=school.locale)
    click.echo(f"{name} is told when a gate fails its self-test")


def _tell(school: School, gates: tuple[str, ...]) -> None:
    tests = selftests.newest_tests(school.id)
    with force_locale("en"):
        for gate in gates:
            click.echo(f"{gate}: {_outcome(tests.get(gate))}")


def _outcome(test: GateTest | None) -> str:
    if test is None:
        return "no self-test yet"
    if test.answered_at is None:
        return "no answer" if test.sent_at else "not asked: gatebell ingest does not run, or has no broker"
    faults = [words.of_fault(part, found) for part, found in rules.faults_of(test.checks).items()]
    return "; ".join(f"{each.fault}: {each.remedy}" for each in faults) or "all well"


commands = [selftest]
