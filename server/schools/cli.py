"""`gatebell school`: opening a school."""

import click

from server.cli import app_for
from server.db import transaction
from server.schools import service


@click.group()
def school() -> None:
    """Schools."""


@school.command()
@click.argument("school_id", metavar="ID")
@click.option("--name", required=True, help="Full name, as in 明德实验学校.")
@click.option("--sign", help="What stands in 【】 before every text; default: the name.")
@click.option("--timezone", default="Asia/Shanghai", show_default=True)
@click.option("--locale", default="zh_Hans_CN", show_default=True, type=click.Choice(service.LOCALES))
@click.pass_context
def add(context: click.Context, school_id: str, name: str, sign: str | None, timezone: str, locale: str) -> None:
    """Open a school; ID is its short name in topics and addresses (a-z, 0-9, '-')."""
    app_for(context)
    with transaction() as session:
        service.add(session, school_id, name=name, sign=sign or name, timezone=timezone, locale=locale)
    click.echo(f"school {school_id} is open; next: gatebell user add, gatebell import roster")


commands: list[click.Command] = [school]
