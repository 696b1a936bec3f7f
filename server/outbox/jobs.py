"""What the outbox does by itself beside sending: receipts that found no text look again."""

from server import clock, db, jobs
from server.outbox import receipts


@jobs.every(seconds=20)
def match_receipts() -> None:
    """Receipts whose number was not yet written down when they came."""
    with db.transaction() as session:
        receipts.match_again(session, clock.now())
