"""Looking after gaps: whether missing taps have come since."""

from server import clock
from server.db import db, transaction
from server.gates import service as gates
from server.jobs import every
from server.taps import service


@every(seconds=5)
def settle_gaps() -> None:
    """Shrink or close gaps whose taps have arrived, in whatever order and through whichever worker."""
    reader = db.session()
    if not any(service.rest_of(reader, gap) is not None for gap in gates.open_gaps(clock.now())):
        return
    with transaction() as session:
        for gap in gates.open_gaps(clock.now()):
            rest = service.rest_of(session, gap)
            if rest is not None:
                gates.filled(session, gap, rest, clock.now())


@every(seconds=600)
def forget() -> None:
    """Gaps that nobody can fill any more are lost; they are shown as such."""
    if gates.too_old(db.session(), clock.now()):
        with transaction() as session:
            service.forget(session, clock.now())
