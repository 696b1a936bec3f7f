"""`gatebell check`: everything that would keep this configuration from working, each as a sentence."""

import stat
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import current_app
from paho.mqtt.client import Client
from paho.mqtt.reasoncodes import ReasonCode
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from server import clock, config, create_app, crypt, link
from server.calendar import service as calendar
from server.calendar.models import Term
from server.db import db
from server.outbox import providers
from server.schools.models import School

ANSWER = 5.0  # seconds that a broker may take to answer
HORIZON = timedelta(days=14)  # a school without a school day in it has no term, or no bells


def problems(settings: config.Config) -> Iterator[str]:
    """What is wrong, one sentence each; nothing when all is well. Makes a missing key file, as any start does."""
    yield from _key(Path(settings.secrets.key_file))
    yield from _broker(settings)
    yield from _providers(settings)
    try:
        app = create_app(settings)
    except (crypt.KeyMissing, config.ConfigError) as error:
        yield str(error)
        return
    with app.app_context():
        yield from _database()


def head() -> str:
    """The newest version that the tables of this program have."""
    folder = current_app.extensions["migrate"].directory
    return ScriptDirectory(folder).get_current_head() or ""


def _key(path: Path) -> Iterator[str]:
    if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield f"secrets.key_file {path} can be read by others; whoever has it can read every number: chmod 600 {path}"


def _database() -> Iterator[str]:
    try:
        with db.engine.connect() as connection:
            version = MigrationContext.configure(connection).get_current_revision()
    except SQLAlchemyError as error:
        yield f"database.url: {str(getattr(error, 'orig', None) or error).strip().splitlines()[0]}"
        return
    if version != head():
        yield f"the database is at version {version or 'none'}, this program needs {head()}: gatebell db upgrade"
        return
    yield from _schools()


def _schools() -> Iterator[str]:
    schools = db.session.scalars(select(School).order_by(School.id)).all()
    if not schools:
        yield "there is no school yet: gatebell school add"
    for school in schools:
        today = clock.local_day(clock.now(), school.timezone)
        terms = db.session.scalars(select(Term).where(Term.school_id == school.id)).all()
        if terms and max(term.ends for term in terms) < today:
            yield f"school {school.id}: its last term ended on {max(term.ends for term in terms)}; add the next term"
        elif not any(calendar.is_school_day(school.id, today + timedelta(n)) for n in range(HORIZON.days)):
            yield f"school {school.id} has no school day in the next {HORIZON.days} days; look at its terms and bells"


def _providers(settings: config.Config) -> Iterator[str]:
    if not settings.outbox.providers:
        yield 'outbox.providers is empty: no family gets a text; name a provider, as in ["kannel"]'
    try:
        for provider in providers.opened(settings):
            yield from (f"provider {provider.name}: {problem}" for problem in provider.check())
    except config.ConfigError as error:
        yield str(error)


def _broker(settings: config.Config) -> Iterator[str]:
    try:
        client = link.new_client(settings.mqtt, "", lasting=False)
        silent = [said for url in settings.mqtt.urls if (said := _greeting(client, settings, url))]
    except (config.ConfigError, OSError) as error:
        yield str(error)
        return
    if len(silent) == len(settings.mqtt.urls):
        yield from silent


def _greeting(client: Client, settings: config.Config, url: str) -> str | None:
    """Log in and out; what the broker had against it."""
    answers: list[ReasonCode] = []
    client.on_connect = lambda _client, _data, _flags, code, _more: answers.append(code)
    try:
        link.connect(client, settings.mqtt, url, lasting=False)
    except OSError as error:
        return f"mqtt.urls: broker {url} cannot be reached: {error.strerror or error}"
    until = time.monotonic() + ANSWER
    while not answers and time.monotonic() < until:
        client.loop(0.1)
    client.disconnect()
    if not answers:
        return f"mqtt.urls: {url} does not answer as a broker"
    if answers[0].is_failure:
        return f"mqtt.urls: broker {url} says: {answers[0]}; look at mqtt.username and mqtt.password_file"
    return None
