"""Watching for silent gates, having them test themselves before the bell, ending certificates that were replaced."""

from datetime import timedelta

from flask import current_app

from server import clock
from server.config import Config
from server.db import db, transaction
from server.gates import access, authority, credentials, selftests, service
from server.jobs import every


@every(seconds=5)
def watch() -> None:
    """Open and end silences; the lock is taken only when there is something to write."""
    if service.has_turned(clock.now()):
        with transaction() as session:
            service.watch(session, clock.now())


@every(seconds=15)
def want_tests() -> None:
    """Have self-tests asked for that are due: before the first bell, and again where something is wrong."""
    if wanted := selftests.due(clock.now()):
        with transaction() as session:
            selftests.ask(session, wanted, clock.now())


@every(seconds=3)
def judge_tests() -> None:
    """Judge the self-tests that are answered, or should have been by now."""
    if tests := selftests.to_judge(clock.now()):
        with transaction() as session:
            selftests.judge(session, tests, clock.now())


@every(seconds=60)
def end_replaced_certificates() -> None:
    """After a rotation the old certificate ends once the new one was seen, or its grace is over."""
    settings: Config = current_app.extensions["gatebell"]
    now, grace = clock.now(), timedelta(days=settings.broker.rotate_days)
    if credentials.outlived(db.session(), now, grace):
        with transaction() as session:
            credentials.retire(credentials.outlived(session, now, grace), now)
    if access.in_use(settings) and access.stale(settings, credentials.wanted(db.session())):
        _bring_up_to_date(settings)


def _bring_up_to_date(settings: Config) -> None:
    """Also what a command left undone that was killed between its commit and its last file."""
    now = clock.now()
    with access.turn(settings.broker):
        access.write(settings, authority.load(settings.broker, now), credentials.wanted(db.session()), now)
    access.tell(settings.broker)
