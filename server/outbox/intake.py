"""What providers bring, by callback or over a line that stays open: kept in one transaction, all or nothing."""

import uuid

from flask import Flask

from server import clock, db
from server.outbox import inbound, receipts
from server.outbox.providers.base import Brought, Report, Sink


def keep(provider: str, brought: Brought, about: uuid.UUID | None = None) -> None:
    """Keep receipts and replies; committed when it returns. `about` is the text of receipts that name none."""
    reports = [Report(report.news, report.text_id or about) for report in brought.reports]
    with db.transaction() as session:
        receipts.receive_all(session, provider, reports)
        for heard in brought.heard:
            inbound.take(session, provider, heard, clock.now())


def sink(app: Flask, provider: str) -> Sink:
    """Where a provider's own threads put what they hear. What it raises means: not kept, do not acknowledge."""

    def take(brought: Brought) -> None:
        with app.app_context():
            keep(provider, brought)

    return take
