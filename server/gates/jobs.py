"""Watching for gates that fall silent."""

from server import clock
from server.db import transaction
from server.gates import service
from server.jobs import every


@every(seconds=5)
def watch() -> None:
    """Open and end silences; the lock is taken only when there is something to write."""
    if service.has_turned(clock.now()):
        with transaction() as session:
            service.watch(session, clock.now())
