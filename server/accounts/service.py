"""Users, passwords, login sessions and the brake on guessing."""

import hashlib
import secrets
from collections.abc import Collection, Iterable
from datetime import datetime
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from sqlalchemy import delete, select

from server import clock, crypt
from server.accounts import rules
from server.accounts.models import LoginFailure, LoginSession, Role, RoleGrant, User
from server.db import db, insert, table
from server.errors import Refused

_failures_table = table(LoginFailure)
hasher = PasswordHasher()  # argon2id; tests put the cheapest profile here

FAULTS = {
    "short": "The password needs at least {length} characters; a short sentence is good.",
    "common": "This password stands on every guesser's list; take a short sentence.",
    "login": "The password must not contain the login name.",
}


def create_user(school_id: str, login: str, name: str, password: str, grants: Iterable[rules.Grant]) -> User:
    """A new user with these roles. Raises Refused: login taken, or the password will not do."""
    fault = rules.password_fault(password, login)
    if fault:
        raise Refused(FAULTS[fault].format(length=rules.SHORTEST_PASSWORD))
    if db.session.scalar(select(User.id).where(User.login == login)):
        raise Refused(f"There is already a user with the login {login}; choose another.")
    user = User(
        school_id=school_id, login=login, name=name, password=hasher.hash(password), active=True, created_at=clock.now()
    )
    user.grants = [
        RoleGrant(school_id=school_id, role=Role(grant.role), grade=grant.grade, class_id=grant.class_id)
        for grant in grants
    ]
    db.session.add(user)
    db.session.flush()
    return user


def scope_of(user: User, roles: Collection[str] = tuple(Role)) -> rules.Scope:
    """Which classes this user may see; with `roles`, by these of the user's roles alone."""
    grants = (rules.Grant(grant.role, grant.grade, grant.class_id) for grant in user.grants)
    return rules.scope(grant for grant in grants if grant.role in roles)


def roles_of(user: User) -> frozenset[str]:
    """The roles this user holds, over whatever scope."""
    return frozenset(str(grant.role) for grant in user.grants)


def verified(login: str, password: str) -> User | None:
    """The user of this login and password. An unknown login costs the same work as a wrong password."""
    user = db.session.scalar(select(User).where(User.login == login, User.active))
    try:
        hasher.verify(user.password if user else _nobody(), password)
    except (VerifyMismatchError, InvalidHashError):
        return None
    return user


@cache
def _nobody() -> str:
    return hasher.hash(secrets.token_urlsafe())


def begin_try(login: str, address: str, now: datetime) -> int:
    """Seconds this login or address must still wait; 0 lets it try, and counts the try as failed until taken back.

    Counting first means that a hundred guesses at the same time are a hundred, not one.
    """
    keys = _failures(login, address, now)
    waits = [  # a clock that was set back makes nobody wait longer
        rules.wait_after(row.count, free=free, longest=longest) - max(0.0, clock.elapsed(row.last_at, now))
        for row, free, longest in ((keys[0], 5, 300), (keys[1], 30, 900))
    ]
    if max(waits) > 0:
        return int(max(waits)) + 1
    for row in keys:
        row.count += 1
        row.last_at = now
    return 0


def take_back(login: str, address: str, now: datetime) -> None:
    """The try was right: the login starts anew, the address is as it was before."""
    by_login, by_address = _failures(login, address, now)
    by_login.count = 0
    by_address.count = max(0, by_address.count - 1)


def _failures(login: str, address: str, now: datetime) -> tuple[LoginFailure, LoginFailure]:
    return _failure(f"login:{login.lower()}", now), _failure(f"address:{address}", now)


def _failure(subject: str, now: datetime) -> LoginFailure:
    """The row of a login or an address, locked: guesses at the same time are counted one after the other."""
    key = crypt.look_up(subject)
    db.session.execute(insert(_failures_table).values(key=key, count=0, last_at=now).on_conflict_do_nothing())
    row = db.session.scalars(select(LoginFailure).where(LoginFailure.key == key).with_for_update()).one()
    if clock.elapsed(row.last_at, now) > rules.FORGOTTEN_SECONDS:
        row.count = 0
    return row


def open_session(user: User, agent: str, now: datetime) -> str:
    """Log this user in; what is returned goes into the cookie and is stored nowhere else."""
    token = secrets.token_urlsafe(32)
    db.session.add(
        LoginSession(
            id_hash=_hashed(token),
            school_id=user.school_id,
            user_id=user.id,
            created_at=now,
            seen_at=now,
            agent=agent[:200],
        )
    )
    return token


def close_session(token: str) -> None:
    """Log out: a copy of the cookie is worth nothing from now on."""
    db.session.execute(delete(LoginSession).where(LoginSession.id_hash == _hashed(token)))


def session_of(token: str, now: datetime) -> tuple[LoginSession, User] | None:
    """The session and user of a cookie; None when unknown, logged out, idle too long, too old or switched off."""
    row = db.session.execute(
        select(LoginSession, User).join(User).where(LoginSession.id_hash == _hashed(token), User.active)
    ).first()
    if row is None:
        return None
    session, user = row
    idle, age = clock.elapsed(session.seen_at, now), clock.elapsed(session.created_at, now)
    return None if idle > rules.IDLE_SECONDS or age > rules.LONGEST_SECONDS else (session, user)


def touch(token: str, now: datetime) -> None:
    """This session was used just now."""
    session = db.session.get(LoginSession, _hashed(token))
    if session is not None:
        session.seen_at = now


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
