"""`gatebell gate` and `gatebell broker`: who may speak to the broker, from a gate's first day to its theft."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from server import clock
from server.cli import app_for, settings_for
from server.config import Config
from server.db import db, transaction
from server.errors import Refused
from server.gates import access, authority, credentials, enrolment
from server.gates.authority import Authority
from server.gates.enrolment import Gate
from server.gates.expel import expel
from server.gates.models import Credential, Gateway
from server.schools import service as schools

PASSWORD_BYTES = 32


@dataclass(frozen=True)
class Desk:
    """What every command here works with."""

    settings: Config
    authority: Authority
    now: datetime


def _desk(context: click.Context) -> Desk:
    settings, now = settings_for(context), clock.now()
    app_for(context)
    return Desk(settings, authority.load(settings.broker, now), now)


def _names(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> tuple[str | None, str]:
    """GATEWAY, or SCHOOL and GATEWAY."""
    if len(given) not in {1, 2}:
        raise click.UsageError("give the gate's id, and the school's before it where there are several")
    return (None if len(given) == 1 else given[0]), given[-1]


def _takes_gate(command: Callable[..., None]) -> Callable[..., None]:
    return click.argument("names", nargs=-1, required=True, metavar="[SCHOOL] GATEWAY", callback=_names)(command)


def _takes_file(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--out", metavar="FILE", help="Where the enrolment file goes; - prints it. [SCHOOL-GATEWAY.gatebell]"
        ),
        click.option("--password", is_flag=True, help="For a device that cannot hold a certificate."),
    ):
        command = option(command)
    return command


@click.group("gate")
def gate() -> None:
    """Gates: enrol, renew, revoke."""


@gate.command()
@_takes_gate
@_takes_file
@click.option("--name", default="", help="What staff call it, as in '1号门 东门'.")
@click.pass_context
def add(context: click.Context, names: tuple[str | None, str], name: str, out: str | None, password: bool) -> None:
    """Take a gate into service and write its enrolment file, a secret.

    A gate that was revoked comes back with this too; what it was revoked with never opens anything again.
    """
    desk = _desk(context)
    school_id = schools.find(names[0]).id
    with transaction() as session:
        row = credentials.admit(session, school_id, names[1], name)
        blocked = row.blocked_at is not None
        if credentials.in_force(session, school_id, row.id):
            raise Refused(
                f"{school_id}/{row.id} is enrolled already: gatebell gate rotate, or gatebell gate revoke first"
            )
    if blocked:
        _publish(desk)
        expel(desk.settings, desk.authority, (school_id, row.id), desk.now)  # while it is still denied
    with transaction() as session:
        row = credentials.find(session, school_id, row.id)
        row.blocked_at = None
        _write_enrolment(context, desk, row, out=out, password=password)
    _publish(desk)


@gate.command()
@_takes_gate
@_takes_file
@click.pass_context
def rotate(context: click.Context, names: tuple[str | None, str], out: str | None, password: bool) -> None:
    """Give a gate new credentials; the old certificate holds until the new one was seen in use, or some weeks.

    A device has one password only: with --password the old one ends now. For a gate that was stolen or whose file was
    seen, this is too slow: revoke it.
    """
    desk = _desk(context)
    school_id = schools.find(names[0]).id
    with transaction() as session:
        row = credentials.find(session, school_id, names[1])
        if row.blocked_at is not None:
            raise Refused(f"{school_id}/{row.id} is revoked: to take it back into service, gatebell gate add")
        _write_enrolment(context, desk, row, out=out, password=password)
    _publish(desk)


@gate.command()
@_takes_gate
@click.pass_context
def revoke(context: click.Context, names: tuple[str | None, str]) -> None:
    """A gate was stolen: from now on nothing of it is heard, not even on a connection that is open.

    Safe to repeat. Ends with exit code 1 unless the broker was seen to refuse the gate.
    """
    desk = _desk(context)
    school_id = schools.find(names[0]).id
    with transaction() as session:
        credentials.block(session, credentials.find(session, school_id, names[1]), desk.now)
    click.echo(f"{school_id}/{names[1]} is revoked: the server takes nothing from it any more")
    _written(desk)
    access.tell(desk.settings.broker)  # also when this is the second try and nothing was left to write
    if any(url.startswith("mqtts:") for url in (*desk.settings.mqtt.urls, *desk.settings.broker.urls)):
        expel(desk.settings, desk.authority, (school_id, names[1]), desk.now)
        click.echo("the broker has ended its connection and was seen to refuse its messages")
    else:
        click.echo("no broker.urls with mqtts://: this broker asks nobody for a certificate, only the server refuses")


@gate.command("list")
@click.option("--school", "school_id", help="Needed only where there are several.")
@click.pass_context
def list_all(context: click.Context, school_id: str | None) -> None:
    """All gates: enrolled or not, until when, heard last."""
    app_for(context)
    for each in credentials.listed(schools.find(school_id).id):
        heard = each.gateway.heard_at.strftime("%Y-%m-%d %H:%M UTC") if each.gateway.heard_at else "never"
        click.echo("\t".join((each.gateway.id, each.gateway.name, _state_of(each), f"heard {heard}")))


def _state_of(each: credentials.Listed) -> str:
    if each.gateway.blocked_at is not None:
        return f"REVOKED {each.gateway.blocked_at:%Y-%m-%d}"
    if not each.credentials:
        return "without credentials"
    newest = each.credentials[-1]
    if newest.expires_at is None:
        return "password"
    used = each.gateway.state.get("credential") == newest.print
    return f"certificate until {newest.expires_at:%Y-%m-%d}" + ("" if used else ", not seen in use yet")


def _write_enrolment(context: click.Context, desk: Desk, row: Gateway, *, out: str | None, password: bool) -> None:
    """The credential into the database, its file onto the disk; neither without the other."""
    who = Gate(row.school_id, row.id)
    session, made = db.session(), Credential(school_id=row.school_id, gateway_id=row.id, made_at=desk.now)
    if password:
        secret = secrets.token_urlsafe(PASSWORD_BYTES)
        credentials.retire(credentials.in_force(session, row.school_id, row.id), desk.now)
        made.secret = access.password_hash(secret)
        text = enrolment.with_password(desk.settings, desk.authority, who, secret)
    else:
        until = desk.now + timedelta(days=desk.settings.broker.gate_days)
        issued = desk.authority.client(access.identity(row.school_id, row.id), until)
        made.serial, made.print, made.expires_at = issued.serial, issued.print, issued.certificate.not_valid_after_utc
        text = enrolment.with_certificate(desk.settings, desk.authority, who, issued)
    session.add(made)
    for url in enrolment.urls(desk.settings):
        if not url.startswith("mqtts:"):
            click.echo(f"warning: the file sends the gate to {url}, without encryption: set broker.urls", err=True)
    _hand_out(text, Path(out or f"{row.school_id}-{row.id}.gatebell"))


def _hand_out(text: str, path: Path) -> None:
    if str(path) == "-":
        click.echo(text, nl=False)
        return
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Refused(f"{path} is there already; destroy it, or name another with --out") from None
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror}") from None
    click.echo(
        f"{path} is a SECRET: carry it to the gate, sudo gatebell-gateway enrol {path.name} there, then destroy it"
    )


def _publish(desk: Desk) -> None:
    if _written(desk):
        access.tell(desk.settings.broker)


def _written(desk: Desk) -> bool:
    """Bring the broker's files up to date; whether anything had changed."""
    with _writable(), access.turn(desk.settings.broker):
        return access.write(desk.settings, desk.authority, credentials.wanted(db.session()), desk.now)


@contextmanager
def _writable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(f"{error.filename} cannot be written: {error.strerror}; is this the user gatebell?") from None


@click.group("broker")
def broker() -> None:
    """The broker's certificates and access rules."""


@broker.command()
@click.option("--renew", is_flag=True, help="Make the broker's and this worker's certificate anew.")
@click.pass_context
def setup(context: click.Context, renew: bool) -> None:
    """Write all that a broker needs to let in our gates and nobody else; safe to repeat.

    Makes the installation's own certificate authority at the first time, a certificate for the broker under the names
    in broker.urls, one for this worker (mqtt.cert_file), the access rules and the list of revoked certificates.
    """
    desk = _desk(context)
    with _writable():
        _certify_broker(desk, renew=renew)
        _certify_worker(desk, renew=renew)
    _written(desk)
    click.echo(f"{Path(desk.settings.broker.folder).absolute()} holds what the broker reads")
    click.echo(f"{desk.settings.broker.ca_key_file} can make a key for any gate: keep a copy of it in a safe place")
    access.tell(desk.settings.broker)


def _certify_broker(desk: Desk, *, renew: bool) -> None:
    hosts = sorted({urlsplit(url).hostname or "" for url in (*desk.settings.broker.urls, *desk.settings.mqtt.urls)})
    folder = Path(desk.settings.broker.folder)
    if not renew and _names_all(folder / "broker.crt", hosts, desk):
        return
    issued = desk.authority.broker(hosts, desk.now)
    access.replace(folder / "broker.key", issued.key_pem)
    access.replace(folder / "broker.crt", issued.certificate_pem)
    click.echo(f"the broker has a certificate for {', '.join(hosts)}")


def _names_all(path: Path, hosts: list[str], desk: Desk) -> bool:
    """Whether the broker's certificate is of this authority and names these hosts."""
    found = authority.certificate_of(path)
    return (
        found is not None and found.issuer == desk.authority.certificate.subject and authority.hosts_of(found) == hosts
    )


def _certify_worker(desk: Desk, *, renew: bool) -> None:
    mqtt, name = desk.settings.mqtt, desk.settings.ingest.client_id
    if not mqtt.cert_file:
        click.echo("mqtt.cert_file is not set: no certificate for this worker was made")
        return
    found = authority.certificate_of(Path(mqtt.cert_file))
    if not renew and found is not None and found.issuer == desk.authority.certificate.subject:
        return
    issued = desk.authority.client(name, desk.authority.ends)
    if mqtt.key_file:
        authority.write_secret(Path(mqtt.key_file), issued.key_pem)
    authority.write_secret(Path(mqtt.cert_file), issued.certificate_pem if mqtt.key_file else issued.pem)
    if mqtt.ca_file and not Path(mqtt.ca_file).exists():
        shutil.copyfile(desk.settings.broker.ca_file, mqtt.ca_file)
    click.echo(f"worker {name} has a certificate: {mqtt.cert_file}")


commands: list[Any] = [gate, broker]
