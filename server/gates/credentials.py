"""What gates prove themselves with, in the database: given, rotated, retired, revoked."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from server.db import UtcDateTime, db
from server.errors import Refused
from server.gates import access
from server.gates.access import Access
from server.gates.models import Credential, Gateway

SOON = timedelta(days=45)  # before a certificate ends, staff are told to rotate it
WIRE_NAME = r"[a-z0-9][a-z0-9-]{0,31}"
LONGEST_IDENTITY = 64  # a subject's name in X.509


class NoSuchGate(Refused):
    """No such gate, or one that cannot be added; the text says what to write instead."""


@dataclass(frozen=True)
class Listed:
    """One gate as `gatebell gate list` shows it."""

    gateway: Gateway
    credentials: tuple[Credential, ...]  # in force, oldest first


def find(session: Session, school_id: str, gateway_id: str) -> Gateway:
    """The gate of that name. Raises NoSuchGate naming those there are."""
    found = session.get(Gateway, (school_id, gateway_id))
    if found is None:
        names = ", ".join(
            session.scalars(select(Gateway.id).where(Gateway.school_id == school_id).order_by(Gateway.id))
        )
        raise NoSuchGate(f"school {school_id} has no gate {gateway_id!r}; there are: {names or 'none yet'}")
    return found


def admit(session: Session, school_id: str, gateway_id: str, name: str) -> Gateway:
    """The gate's row, made when it is new. Raises NoSuchGate for a name too long to be certified."""
    if not re.fullmatch(WIRE_NAME, gateway_id):
        raise NoSuchGate(f"{gateway_id!r} cannot be a gate's id: use a-z, 0-9 and '-', at most 32, as in east-gate")
    if len(access.identity(school_id, gateway_id)) > LONGEST_IDENTITY:
        raise NoSuchGate(
            f"{school_id}/{gateway_id} is too long: both ids together may have {LONGEST_IDENTITY - 1} letters"
        )
    found = session.get(Gateway, (school_id, gateway_id))
    if found is None:
        found = Gateway(school_id=school_id, id=gateway_id, name=name or gateway_id, state={})
        session.add(found)
        session.flush()
    elif name:
        found.name = name
    return found


def in_force(session: Session, school_id: str, gateway_id: str) -> list[Credential]:
    """What the gate may use now, oldest first."""
    query = select(Credential).where(Credential.school_id == school_id, Credential.gateway_id == gateway_id)
    return list(session.scalars(query.where(Credential.revoked_at.is_(None)).order_by(Credential.made_at)))


def block(session: Session, gateway: Gateway, now: datetime) -> None:
    """From now on nothing is taken from this gate, and nothing that it holds opens a door."""
    gateway.blocked_at = gateway.blocked_at or now
    gateway.online = False
    retire(in_force(session, gateway.school_id, gateway.id), now)


def retire(credentials: Sequence[Credential], now: datetime) -> None:
    """These are not to be used any more."""
    for each in credentials:
        each.revoked_at = now


def outlived(session: Session, now: datetime, grace: timedelta) -> list[Credential]:
    """Old credentials whose successor was seen in use, or was made longer ago than `grace`."""
    return [old for each in _all(session) for old in _outlived(each, now, grace)]


def _outlived(gate: Listed, now: datetime, grace: timedelta) -> Sequence[Credential]:
    if len(gate.credentials) < 2:
        return ()
    newest = gate.credentials[-1]
    used = gate.gateway.state.get("credential") == newest.print
    return gate.credentials[:-1] if used or newest.made_at + grace < now else ()


def listed(school_id: str | None = None) -> list[Listed]:
    """The gates of a school, or of all, with what they hold."""
    return [each for each in _all(db.session()) if school_id in (None, each.gateway.school_id)]


def ends_soon(gate: Listed, now: datetime) -> bool:
    """Whether the newest certificate of a gate in service ends before long."""
    if gate.gateway.blocked_at is not None or not gate.credentials:
        return False
    ends = gate.credentials[-1].expires_at
    return ends is not None and ends < now + SOON


def ends_of(school_id: str) -> Select[str, datetime | None]:
    """For each gate of a school (`gateway_id`) when its last certificate `ends`."""
    ends = func.max(Credential.expires_at, type_=UtcDateTime).label("ends")
    query = select(Credential.gateway_id, ends).where(Credential.school_id == school_id)
    return query.where(Credential.revoked_at.is_(None)).group_by(Credential.gateway_id)


def _all(session: Session) -> list[Listed]:
    held: dict[tuple[str, str], list[Credential]] = {}
    query = select(Credential).where(Credential.revoked_at.is_(None)).order_by(Credential.made_at)
    for each in session.scalars(query):
        held.setdefault((each.school_id, each.gateway_id), []).append(each)
    gateways = session.scalars(select(Gateway).order_by(Gateway.school_id, Gateway.id))
    return [Listed(each, tuple(held.get((each.school_id, each.id), ()))) for each in gateways]


def wanted(session: Session) -> Access:
    """What the broker must know now."""
    blocked = select(Gateway.school_id, Gateway.id).where(Gateway.blocked_at.is_not(None))
    revoked = select(Credential.serial).where(Credential.revoked_at.is_not(None), Credential.serial != "")
    return Access(
        blocked=tuple(sorted((school, gateway) for school, gateway in session.execute(blocked))),
        revoked=frozenset(int(serial, 16) for serial in session.scalars(revoked)),
        passwords=tuple(sorted(_passwords(session).items())),
    )


def _passwords(session: Session) -> dict[str, str]:
    query = select(Credential).where(Credential.revoked_at.is_(None), Credential.secret != "")
    newest = session.scalars(query.order_by(Credential.made_at))
    return {access.identity(each.school_id, each.gateway_id): each.secret for each in newest}
