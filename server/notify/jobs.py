"""Telling the caretaker of gates that failed their self-test."""

from server import clock
from server.db import transaction
from server.gates import selftests
from server.jobs import every
from server.notify import caretakers


@every(seconds=3)
def tell_caretakers() -> None:
    """Queue what nobody was told yet: one text for a fault and a day, one when it is mended."""
    if not selftests.untold(clock.now()):
        return
    with transaction() as session:
        for school_id, faults in selftests.untold(clock.now()).items():
            caretakers.tell(session, school_id, faults, clock.now())
