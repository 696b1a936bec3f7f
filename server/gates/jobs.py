"""Watching for gates that fall silent, and having them test themselves before the bell."""

from server import clock
from server.db import transaction
from server.gates import selftests, service
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
