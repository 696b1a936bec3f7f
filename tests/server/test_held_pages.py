"""What limits keep back is seen: on Today while it matters, among the texts with its reason, in the pupil's day."""

import pytest
from sqlalchemy import select

from server import clock
from server.db import transaction
from server.outbox.models import OutboxText
from server.outbox.rules import Held, TextState
from tests.server.site import Site, Visitor
from tests.server.test_pages import plain


@pytest.fixture
def office(site: Site) -> Visitor:
    """Somebody who sees the whole school, in English."""
    visitor = site.visitor("wangmin")
    visitor.post("/language", locale="en")
    return visitor


def held(site: Site, why: Held, state: TextState) -> str:
    """The newest text is kept back; the id of its pupil."""
    with site.app.app_context(), transaction() as session:
        text = session.scalars(select(OutboxText).order_by(OutboxText.created_at.desc()).limit(1)).one()
        text.state, text.held, text.error = state, why, None
        text.settled_at = clock.now() if state is TextState.SUPPRESSED else None
        return str(text.pupil_id)


@pytest.mark.parametrize(("why", "today", "listed"), [
    (Held.MONEY, "The day's money for texts is spent 1 text waits. Texts from the gate", "Queued It waits: the day"),
    (Held.MONEY_HARD, "The day's money for texts is spent: nothing goes out 1 text waits.", "Queued It waits: the day"),
])  # fmt: skip
def test_today_says_that_the_money_is_spent(site: Site, office: Visitor, why: Held, today: str, listed: str) -> None:
    held(site, why, TextState.QUEUED)
    assert today in plain(office.text("/")).replace("&#39;", "'")
    assert listed in plain(office.text("/texts?state=queued"))


def test_a_stuck_reader_is_seen_today_and_in_the_pupils_day(site: Site, office: Visitor) -> None:
    pupil_id = held(site, Held.PUPIL, TextState.SUPPRESSED)
    assert "1 text was not sent: too many for one family" in plain(office.text("/"))
    reason = "Too many texts about this pupil within an hour. Look at the card and the reader."
    assert f"Not sent {reason}" in plain(office.text("/texts?state=held"))
    assert reason in plain(office.text(f"/pupils/{pupil_id}"))


@pytest.mark.parametrize("why", [Held.OVERTAKEN, Held.LATE])
def test_what_was_put_away_on_purpose_needs_nobody(site: Site, office: Visitor, why: Held) -> None:
    held(site, why, TextState.SUPPRESSED)
    words = plain(office.text("/"))
    assert "not sent: too many" not in words and "money" not in words
    assert "Not sent 1" in plain(office.text("/texts"))
