"""`gatebell check`: everything that would keep this configuration from working, each as a sentence."""

import ipaddress
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import msgspec
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import current_app
from paho.mqtt.client import Client
from paho.mqtt.reasoncodes import ReasonCode
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from server import clock, config, create_app, crypt, link
from server.absence import rules as absence
from server.calendar import service as calendar
from server.calendar.models import Term
from server.db import db
from server.gates import access, authority, credentials
from server.leavedesk import texts as leave_texts
from server.notify import caretakers
from server.notify import rules as gate_texts
from server.outbox import providers, robots
from server.rollcall import desk as visitors
from server.schools.models import School

ANSWER = 5.0  # seconds that a broker may take to answer
# What providers need templates for.
WORDINGS = sorted(
    gate_texts.wordings() | absence.WORDINGS | caretakers.WORDINGS | leave_texts.WORDINGS | visitors.WORDINGS
)
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
        yield from _gates(settings)


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


def _gates(settings: config.Config) -> Iterator[str]:
    """What the broker's files and the gates' certificates lack, where this installation has any."""
    if not access.in_use(settings):
        return
    yield from _authority(settings.broker)
    try:
        stale = access.stale(settings, credentials.wanted(db.session()))
        ending = [each.gateway for each in credentials.listed() if credentials.ends_soon(each, clock.now())]
    except SQLAlchemyError:
        return  # the database has been spoken of already
    if stale:
        folder = settings.broker.folder
        yield f"broker.folder {folder}: {', '.join(stale)} is not as it should be: gatebell broker setup"
    for gateway in ending:
        yield (
            f"the certificate of gate {gateway.school_id}/{gateway.id} ends soon: gatebell gate rotate"
            f" {gateway.school_id} {gateway.id}, and enrol the gate with the new file"
        )


def _authority(settings: config.Broker) -> Iterator[str]:
    for path in (settings.ca_file, settings.ca_key_file):
        if not Path(path).exists():
            yield f"broker: {path} is missing, so no gate can be added or renewed: bring it back from its copy"
    key = Path(settings.ca_key_file)
    if key.exists() and stat.S_IMODE(key.stat().st_mode) & 0o077:
        yield f"broker.ca_key_file {key} can be read by others; whoever has it can be any gate: chmod 600 {key}"
    known = authority.certificate_of(Path(settings.folder, "broker.crt"))
    if known is None:
        yield "the broker has no certificate: gatebell broker setup"
    elif known.not_valid_after_utc < clock.now() + credentials.SOON:
        yield f"the broker's certificate ends on {known.not_valid_after_utc:%Y-%m-%d}: gatebell broker setup --renew"


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
            found = (*provider.check(), *provider.lacks(WORDINGS))
            yield from (f"provider {provider.name}: {problem}" for problem in found)
        robots.opened(settings)
    except config.ConfigError as error:
        yield str(error)


def _broker(settings: config.Config) -> Iterator[str]:
    try:
        yield from _open_lines((*settings.mqtt.urls, *settings.broker.urls))
        with _own_identity(settings) as mqtt:
            client = link.new_client(mqtt, access.CHECKER, lasting=False)
            silent = [said for url in mqtt.urls if (said := _greeting(client, mqtt, url))]
    except (config.ConfigError, authority.NoAuthority, OSError) as error:
        yield str(error)
        return
    if len(silent) == len(settings.mqtt.urls):
        yield from silent


def _open_lines(urls: Iterable[str]) -> Iterator[str]:
    for url in dict.fromkeys(urls):
        parts = link.address(url)
        if parts.scheme == "mqtt" and not _is_loopback(parts.hostname or ""):
            yield f"{url} crosses a network without encryption: anyone on it can forge taps; use mqtts:// (operator.md)"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@contextmanager
def _own_identity(settings: config.Config) -> Iterator[config.Mqtt]:
    """A certificate for this check alone: under the worker's name it would throw out the worker and end its session."""
    if not (settings.mqtt.cert_file and access.in_use(settings)):
        yield settings.mqtt
        return
    with tempfile.TemporaryDirectory(prefix="gatebell-") as folder:
        proof, now = Path(folder, "proof.pem"), clock.now()
        signer = authority.load(settings.broker, now)
        authority.write_secret(proof, signer.client(access.CHECKER, now + timedelta(days=1)).pem)
        link.new_client(settings.mqtt, "", lasting=False)  # whether the worker's own files can be used
        yield msgspec.structs.replace(settings.mqtt, cert_file=str(proof), key_file="")


def _greeting(client: Client, settings: config.Mqtt, url: str) -> str | None:
    """Log in and out; what the broker had against it."""
    answers: list[ReasonCode] = []
    client.on_connect = lambda _client, _data, _flags, code, _more: answers.append(code)
    try:
        link.connect(client, settings, url, lasting=False)
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
