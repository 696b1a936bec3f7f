"""The `gatebell` command: the three processes, the database, and whatever commands the features bring."""

import importlib
import importlib.util
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click
from flask import Flask
from flask_migrate import upgrade as migrate
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

from server import FEATURES, check, config, create_app, crypt, errors, ingest, jobs, link, part, webserver
from server.db import db as tables
from server.supervisor import KeepsDying, Supervisor, stop_on_signals

# What a person can put right: shown as a sentence, without a traceback.
SENTENCES = (config.ConfigError, crypt.KeyMissing, errors.Refused, link.Refused, webserver.PortBusy, KeepsDying)
PROCESSES = ("web", "ingest", "jobs")


class Gatebell(click.Group):
    """Turns errors that a person can put right into one sentence and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # ./run's way through the imports
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return super().invoke(ctx)
        except SENTENCES as error:
            raise click.ClickException(str(error)) from None
        except (OperationalError, ProgrammingError) as error:
            raise click.ClickException(database_sentence(error)) from None


@click.group(cls=Gatebell)
@click.option("--config", "file", type=click.Path(path_type=Path), envvar="GATEBELL_CONFIG", metavar="FILE",
              help="Default: ./gatebell.toml when there is one, else all settings have their defaults.")  # fmt: skip
@click.pass_context
def cli(context: click.Context, file: Path | None) -> None:
    """Gatebell: a card at the school gate becomes a text on the right parent's phone."""
    usual = Path("gatebell.toml")
    context.obj = file or (usual if usual.exists() else None)


def settings_for(context: click.Context) -> config.Config:
    """The configuration that this command was started with. Raises ConfigError."""
    return config.load(context.find_root().obj)


def app_for(context: click.Context) -> Flask:
    """The application, with its context pushed until the command ends. Raises ConfigError."""
    app, root = create_app(settings_for(context)), context.find_root()
    root.with_resource(app.app_context())
    root.call_on_close(tables.engine.dispose)
    root.call_on_close(tables.session.remove)
    return app


@cli.command()
@click.pass_context
def web(context: click.Context) -> None:
    """Serve the pages."""
    talk()
    webserver.serve(create_app(settings_for(context)))


@cli.command("ingest")
@click.pass_context
def take_in(context: click.Context) -> None:
    """Take taps from the broker: store, judge, queue the texts, answer the gates."""
    talk()
    ingest.run(create_app(settings_for(context)))


@cli.command("jobs")
@click.pass_context
def work(context: click.Context) -> None:
    """Send the texts, and do what time alone asks for."""
    talk()
    jobs.run(create_app(settings_for(context)))


@cli.command("all")
@click.pass_context
def everything(context: click.Context) -> None:
    """Run web, ingest and jobs together, and start again whichever dies."""
    settings = settings_for(context)
    webserver.claim(settings.web.host, settings.web.port).close()
    stop, file = stop_on_signals(), context.find_root().obj
    with Supervisor(Path(settings.run_dir), click.echo) as family:
        for name in PROCESSES:
            family.start(name, [sys.executable, "-m", "server", *(["--config", str(file)] if file else []), name])
        click.echo(f"gatebell runs on {settings.web.url}; logs: {settings.run_dir}/<process>.log")
        family.watch(stop)


@cli.command("check")
@click.pass_context
def check_all(context: click.Context) -> None:
    """Look for everything that would keep Gatebell from working, and say it all at once."""
    settings, file = settings_for(context), context.find_root().obj
    click.echo(f"configuration: {file or 'none, so defaults; give one with --config or GATEBELL_CONFIG'}")
    found = list(check.problems(settings))
    for problem in found:
        click.echo(f"✗ {problem}", err=True)
    if found:
        click.echo(f"{len(found)} thing(s) to put right", err=True)
        context.exit(1)
    click.echo("all is well")


@cli.group()
def db() -> None:
    """The database."""


@db.command()
@click.pass_context
def upgrade(context: click.Context) -> None:
    """Bring the tables to this version; safe to repeat."""
    app_for(context)
    migrate()
    click.echo(f"the database is at version {check.head()}")


def talk() -> None:
    """Log to standard error, where systemd and the supervisor keep it."""
    level = os.environ.get("GATEBELL_LOG", "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        raise config.ConfigError(f"GATEBELL_LOG={level}: write DEBUG, INFO, WARNING or ERROR")
    logging.getLogger("urllib3").setLevel(logging.INFO)  # its DEBUG writes addresses whole: number, text and password
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def database_sentence(error: DBAPIError) -> str:
    """What an operator can do about an error of the database."""
    said = str(error.orig).strip().splitlines()[0]
    if "no such table" in said or "does not exist" in said:
        return f"the database has no tables of this version ({said}); run: gatebell db upgrade"
    return f"the database cannot be used: {said}; look at database.url"


def build() -> click.Group:
    """The command with all that the features and the demo bring."""
    for feature in FEATURES:
        _attach(part(feature, "cli"))
    if importlib.util.find_spec("server.demo.cli"):
        _attach(importlib.import_module("server.demo.cli"))
    return cli


def _attach(hook: Any) -> None:
    for command in hook.commands if hook else ():
        cli.add_command(command)


def main() -> None:
    """Entry point of `gatebell`."""
    build()(prog_name="gatebell")
