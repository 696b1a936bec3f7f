"""`gatebell user`: people who log in, with their roles over classes and grades."""

from pathlib import Path

import click
from sqlalchemy import select

from server.accounts import service
from server.accounts.models import Role
from server.accounts.rules import Grant
from server.cli import app_for
from server.db import db, transaction
from server.errors import Refused
from server.people.models import SchoolClass
from server.schools.models import School


@click.group()
def user() -> None:
    """People who log in."""


@user.command()
@click.argument("login")
@click.option("--name", required=True, help="As pages show it, for example 王敏.")
@click.option("--role", "roles", multiple=True, required=True, metavar="ROLE[:SCOPE]",
              help="office, head, guard, grade_head:8, class_teacher:八（2）班; may be given again.")  # fmt: skip
@click.option("--school", "school_id", help="Which school; not needed where there is one.")
@click.option("--password-file", type=click.Path(exists=True, path_type=Path), help="Else it is asked for.")
@click.pass_context
def add(
    context: click.Context,
    login: str,
    name: str,
    roles: tuple[str, ...],
    school_id: str | None,
    password_file: Path | None,
) -> None:
    """Give somebody a login; passwords have at least 8 characters."""
    app_for(context)
    school = school_id or the_only_school()
    password = password_file.read_text("utf-8").strip() if password_file else _asked()
    with transaction():
        service.create_user(school, login, name, password, [grant(school, role) for role in roles])
    click.echo(f"{name} can log in as {login}")


def _asked() -> str:
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


def the_only_school() -> str:
    """The id of the one school. Raises Refused when there are none or several."""
    ids = db.session.scalars(select(School.id).limit(2)).all()
    if len(ids) == 1:
        return ids[0]
    raise Refused("there is no school yet; run: gatebell school add" if not ids else "say which school with --school")


def grant(school_id: str, text: str) -> Grant:
    """`class_teacher:八（2）班` -> the grant. Raises Refused with what is known instead."""
    role, _, scope = text.partition(":")
    if role not in set(Role):
        raise Refused(f"there is no role {role}; there are: {', '.join(Role)}")
    if not scope:
        return Grant(role)
    if scope.isdigit():
        return Grant(role, grade=int(scope))
    classes = {
        name: class_id
        for name, class_id in db.session.execute(
            select(SchoolClass.name, SchoolClass.id).where(SchoolClass.school_id == school_id)
        )
    }
    if scope not in classes:
        known = ", ".join(sorted(classes)) or "none, import them first"
        raise Refused(f"there is no class {scope}; there are: {known}")
    return Grant(role, class_id=classes[scope])


commands: list[click.Command] = [user]
