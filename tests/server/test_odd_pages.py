"""The page of odd uses: in words, to those whom they concern, and who has looked into one."""

import uuid

import pytest
from sqlalchemy import select

from server.audit.models import AuditEntry
from server.cards.models import Card
from server.db import db, transaction
from server.oddities.models import OddUse
from tests import sample
from tests.server.site import Site, Visitor
from tests.server.test_pages import plain, pupil


@pytest.fixture
def office(site: Site) -> Visitor:
    """Somebody who sees the whole school, in English."""
    visitor = site.visitor("wangmin")
    visitor.post("/language", locale="en")
    return visitor


def test_odd_uses_are_listed_in_words_and_one_that_was_seen_says_by_whom(site: Site, office: Visitor) -> None:
    words = plain(office.text("/odd-uses"))
    assert "One card at two gates Wed 25 Nov 07:40 · 1号门 · before that 07:39 at 2号门" in words
    assert "Two cards in one second" in words and "on 3 days" in words
    assert "A card that is not genuine" in words and "3 times" in words and "No pupil's card." in words
    with site.app.app_context():
        odd = {row.kind: row.id for row in db.session.scalars(select(OddUse))}
    for kind, left in (("together", "2"), ("two_gates", "1")):
        assert office.post(f"/odd-uses/{odd[kind]}/seen").status_code == 200
        assert f"New {left} Once, may be chance 0" in plain(office.text("/odd-uses"))
    seen = plain(office.text("/odd-uses?show=seen"))
    assert "Seen by 王敏, Wed 25 Nov 07:52" in seen and seen.count("Seen by") == 2
    assert "1 odd use of a card" in plain(office.text("/"))
    with site.app.app_context():
        acts = [entry.action for entry in db.session.scalars(select(AuditEntry))]
    assert acts.count("odd_use.seen") == 2 and acts.count("odd_uses.viewed") == 1


def test_a_pair_that_was_seen_once_may_be_chance_and_does_not_stand_on_today(site: Site, office: Visitor) -> None:
    with site.app.app_context(), transaction() as session:
        rows = list(session.scalars(select(OddUse).where(OddUse.kind == "together").order_by(OddUse.at)))
        for row in rows[:2]:
            session.delete(row)
    assert "2 odd uses of cards" in plain(office.text("/"))
    assert "Two cards" not in plain(office.text("/odd-uses"))
    assert "Two cards in one second" in plain(office.text("/odd-uses?show=chance"))


def test_a_class_teacher_sees_odd_uses_of_the_own_class_and_no_name_of_another(site: Site) -> None:
    visitor = site.visitor("lijing")  # of the second class: the second pupil is hers, the third is not
    visitor.post("/language", locale="en")
    words = plain(visitor.text("/odd-uses"))
    assert pupil(site, 1)[1] in words and "a pupil of another class" in words
    assert "not genuine" not in words and "two gates" not in words


def test_a_card_that_must_prove_itself_is_no_unknown_card(site: Site, office: Visitor) -> None:
    before = plain(office.text("/")).count("Unknown card at")
    with site.app.app_context(), transaction() as session:
        held = Card(school_id="mingde", text="iso14443a:04DE5F1EACC040", pupil_id=uuid.UUID(site.pupils[0][0]))
        held.since = sample.moment(6, 0)
        session.add_all([held, sample.tap(sample.moment(7, 51), card=held.text, seq=9100)])
    assert plain(office.text("/")).count("Unknown card at") == before > 0
