"""Cards that prove themselves, from the wire to the day: accepted once, at one gate; all else is kept, and nobody."""

import threading
import uuid
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from flask import Flask

from gateway import wire
from server import cli, config, pipeline, settings
from server.attendance.models import PupilDay
from server.cards import rules, service, sun, sunkeys, sunlink
from server.cards.models import Card, CardState, ProvingCard, SunReading
from server.cards.sunlink import Layout
from server.db import db, transaction
from server.oddities.models import OddUse
from server.oddities.rules import OF_PUPILS
from server.outbox.models import OutboxText
from server.taps.models import Tap
from tests.server import gate, ntag
from tests.server.ntag import Ntag

RANDOM = "iso14443a:08A1B2C3"


@pytest.fixture
def pupils(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[uuid.UUID]]:
    """Three pupils of a school, at 07:45."""
    gate.set_clock(monkeypatch, gate.at("07:45"))
    yield gate.add_school()[1]


@pytest.fixture
def card(pupils: list[uuid.UUID]) -> Ntag:
    """The first pupil's card, which must prove itself."""
    return enrolled(pupils[0])


def enrolled(pupil_id: uuid.UUID, *, mode: str = "AES", layout: Layout = Layout.PICC, must: bool = True) -> Ntag:
    card = ntag.of_school("mingde", mode=mode)
    with transaction() as session:
        session.add(Card(school_id="mingde", text=card.text, pupil_id=pupil_id, since=gate.at("06:00")))
        session.flush()
        proving = service.give_keys(
            session, "mingde", card.text, mode=mode, layout=layout, anew=False, now=gate.at("06:00")
        )
        proving.must = must
    return card


def tapped(seq: int, when: str, card: Ntag, url: str | None, *, at_gate: str = "gate-1", **changes: object) -> wire.Tap:
    given = {} if url is None else {"sun": url}
    return gate.tap(seq, gate.at(when), card=str(changes.pop("number", card.text)), gateway=at_gate, **given, **changes)


def take(*taps: wire.Tap) -> None:
    for tap in taps:
        pipeline.handle([gate.delivery([tap], gate.at("07:45"), gateway=tap.gateway)], gate.at("07:45"))


def holders() -> list[uuid.UUID | None]:
    return [holder for _, holder in gate.rows(Tap, "at", "pupil_id")]


def odd() -> list[str]:
    """What staff are shown of messages and cards; the same pupil entering again and again is not the point here."""
    return [kind for kind in gate.rows(OddUse, "kind") if kind not in OF_PUPILS]


def last_counter() -> int:
    [found] = gate.rows(ProvingCard, "last_counter")
    return int(found)


@pytest.mark.parametrize("mode", ["AES", "LRP"])
@pytest.mark.parametrize(("layout", "how"), [
    (Layout.PICC, {}),
    (Layout.PICC_ENC, {"enc": bytes(range(16))}),
    (Layout.PLAIN, {"plain": True}),
    (Layout.PLAIN_ENC, {"plain": True, "enc": bytes(32)}),
])  # fmt: skip
def test_a_card_that_proves_itself_is_its_pupil_in_every_mode_and_layout(pupils, mode, layout, how) -> None:
    card = enrolled(pupils[0], mode=mode, layout=layout)
    take(tapped(1, "07:41", card, card.url(**how)))
    assert holders() == [pupils[0]]
    assert gate.rows(PupilDay, "pupil_id", "status") == [(pupils[0], "in_school")]
    assert gate.rows(OutboxText, "pupil_id", "kind") == [(pupils[0], "in")]
    assert (last_counter(), odd()) == (1, [])


def test_a_card_whose_number_is_another_at_each_reading_is_known_by_its_message(pupils, card) -> None:
    take(tapped(1, "07:41", card, card.url(), number=RANDOM))
    assert gate.rows(Tap, "card", "pupil_id") == [(RANDOM, pupils[0])]


def refused(card: Ntag) -> dict[str, tuple[str | None, str, str]]:
    """Message, number that the reader saw, what staff are told."""
    good, foreign = card.url(5), ntag.of_school("mingde", bytes.fromhex("04111111111180"))
    return {
        "a changed MAC": (good[:-1] + ("0" if good[-1] != "0" else "1"), card.text, "mac"),
        "another school's keys": (ntag.of_school("erzhong").url(5), card.text, "mac"),
        "last year's keys": (ntag.of_school("mingde", version=2).url(5), card.text, "mac"),
        "no message at all": ("https://gate.example/card?hello", card.text, "malformed"),
        "another layout": (card.url(5, plain=True), card.text, "malformed"),
        "another mode": (ntag.of_school("mingde", mode="LRP").url(5), card.text, "malformed"),
        "the message on another card": (good, "iso14443a:04222222222280", "other"),
        "a card without keys": (foreign.url(5), foreign.text, "unknown"),
        "a copied number": (None, card.text, "plain"),
    }


REFUSED = ["a changed MAC", "another school's keys", "last year's keys", "no message at all", "another layout"]
REFUSED += ["another mode", "the message on another card", "a card without keys", "a copied number"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_kept_and_shown_and_nobody(pupils, card, name) -> None:
    url, number, kind = refused(card)[name]
    take(tapped(1, "07:41", card, url, number=number))
    assert holders() == [None]
    assert (gate.rows(PupilDay, "pupil_id"), gate.rows(OutboxText, "id")) == ([], [])
    assert (odd(), last_counter()) == ([kind], -1)
    take(tapped(2, "07:42", card, card.url(6)))  # and the card itself is as good as before
    assert holders() == [None, pupils[0]]


@pytest.mark.parametrize("mode", ["AES", "LRP"])
def test_what_foreign_keys_hid_is_a_wrong_mac_whoever_it_seems_to_name(pupils, mode) -> None:
    card, foreign = enrolled(pupils[0], mode=mode), ntag.of_school("erzhong", mode=mode)
    seeming = next(url for url in iter(foreign.url, "") if seems_to_name(url))  # one in 256
    take(tapped(1, "07:41", card, seeming), *(tapped(2 + n, "07:42", card, foreign.url()) for n in range(300)))
    assert (set(gate.rows(SunReading, "verdict")), set(odd())) == ({"mac"}, {"mac"})
    assert set(gate.rows(SunReading, "card_id")) == set(gate.rows(ProvingCard, "card_id"))  # the touched card's affair
    assert (set(holders()), last_counter()) == ({None}, -1)


def seems_to_name(url: str) -> bool:
    """Whether it opens, with the keys of the school that it is not for, to what looks like a UID."""
    try:
        return bool(sun.opened(sunkeys.meta_key("mingde"), sunlink.parsed(url).picc))
    except sun.WrongMac:
        return False


def test_a_message_is_good_once_at_whatever_gate(pupils, card) -> None:
    url = card.url()
    take(tapped(1, "07:40", card, url), tapped(1, "07:41", card, url, at_gate="gate-2", spool="ff" * 8))
    assert holders() == [pupils[0], None]
    assert (odd(), last_counter()) == (["replay"], 1)
    assert gate.rows(OutboxText, "kind") == ["in"]


def test_a_counter_that_is_lower_and_was_never_seen_is_a_copy_when_it_was_shown_later(pupils, card) -> None:
    kept, newer = card.url(3), card.url(4)
    take(tapped(1, "07:40", card, newer), tapped(2, "07:44", card, kept))
    assert (holders(), odd()) == ([pupils[0], None], ["replay"])


def test_a_tap_that_comes_again_is_no_replay(pupils, card) -> None:
    tap = tapped(1, "07:40", card, card.url())
    take(tap, tap, tap)
    assert (holders(), odd(), last_counter()) == ([pupils[0]], [], 1)
    refused_tap = tapped(2, "07:41", card, None)
    take(refused_tap, refused_tap)
    assert gate.rows(OddUse, "kind", "times") == [("plain", 1)]


def test_the_same_tap_twice_in_one_batch_is_no_replay(pupils, card) -> None:
    tap = tapped(1, "07:40", card, card.url())
    pipeline.handle([gate.delivery([tap], gate.at("07:45")), gate.delivery([tap], gate.at("07:45"))], gate.at("07:45"))
    assert (holders(), odd()) == ([pupils[0]], [])


def test_what_an_offline_gate_sends_late_is_kept_and_shown_and_not_announced(pupils, card) -> None:
    early, later = card.url(5), card.url(7)
    take(tapped(1, "07:44", card, later, at_gate="gate-2", spool="ff" * 8), tapped(1, "07:20", card, early))
    assert (holders(), odd(), last_counter()) == ([None, pupils[0]], ["late"], 7)
    assert gate.rows(OutboxText, "kind") == ["in"]
    take(tapped(2, "07:21", card, early))  # and even that one is used up
    assert odd() == ["late", "replay"]


def test_a_school_may_count_what_came_late(pupils, card) -> None:
    with transaction() as session:
        settings.set_policy(session, "mingde", rules.Policy, count_late=True)
    early, later = card.url(5), card.url(7)
    take(tapped(1, "07:44", card, later, at_gate="gate-2", spool="ff" * 8), tapped(1, "07:20", card, early))
    assert (holders(), odd()) == ([pupils[0], pupils[0]], ["late"])


def test_taps_of_one_batch_do_not_stand_in_each_others_way(pupils, card) -> None:
    taps = [tapped(n, f"07:{20 + n}", card, card.url(n)) for n in (3, 1, 2)]
    pipeline.handle([gate.delivery(taps, gate.at("07:45"))], gate.at("07:45"))
    assert (holders(), odd(), last_counter()) == ([pupils[0]] * 3, [], 3)


def test_a_lost_card_proves_itself_and_still_nobody(pupils, card) -> None:
    with transaction() as session:
        session.query(Card).filter_by(text=card.text).update({"state": CardState.LOST})
    take(tapped(1, "07:41", card, card.url()))
    assert (holders(), odd(), last_counter()) == ([None], ["lost"], 1)


def test_until_it_must_a_card_counts_by_its_number_and_a_wrong_message_does_not(pupils) -> None:
    card = enrolled(pupils[0], must=False)
    take(tapped(1, "07:40", card, None), tapped(2, "07:41", card, card.url()))
    assert (holders(), odd()) == ([pupils[0]] * 2, [])
    take(tapped(3, "07:42", card, ntag.of_school("erzhong").url(9)))
    assert (holders(), odd()) == ([pupils[0], pupils[0], None], ["mac"])


def test_an_ordinary_card_of_that_make_stays_an_ordinary_card(pupils) -> None:
    card = ntag.of_school("mingde")
    with transaction() as session:
        session.add(Card(school_id="mingde", text=card.text, pupil_id=pupils[1], since=gate.at("06:00")))
    take(tapped(1, "07:40", card, "https://nxp.example/"))
    assert (holders(), odd(), gate.rows(SunReading, "tap_id")) == ([pupils[1]], [], [])


def test_a_tap_that_cannot_be_judged_uses_its_message_up_all_the_same(pupils, card, monkeypatch) -> None:
    url = card.url()
    monkeypatch.setattr(pipeline.attendance, "apply", lambda *_: {}["a rule's bug"])
    take(tapped(1, "07:40", card, url))
    monkeypatch.undo()
    take(tapped(2, "07:41", card, url))
    assert (holders(), last_counter()) == ([pupils[0], None], 1)


def test_of_two_workers_with_one_message_one_accepts_it(app: Flask, pupils, card) -> None:
    rounds = 12
    urls = [card.url() for _ in range(rounds)]
    start = threading.Barrier(2)

    def work(where: str, spool: str) -> None:
        with app.app_context():
            for n, url in enumerate(urls, 1):
                tap = tapped(n, f"07:{10 + n}", card, url, at_gate=where, spool=spool)
                start.wait(30)
                take(tap)

    workers = [threading.Thread(target=work, args=(f"gate-{n}", f"{n}" * 16)) for n in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert sorted(map(str, holders())) == sorted([str(pupils[0])] * rounds + ["None"] * rounds)
    used = [counter for counter in gate.rows(SunReading, "counter") if counter is not None]
    assert (sorted(used), last_counter()) == (list(range(1, rounds + 1)), rounds)


def test_no_key_and_no_good_message_stands_in_the_database(pupils, card) -> None:
    url = card.url()
    take(tapped(1, "07:40", card, url))
    found = " ".join(
        str(row) for table in db.metadata.sorted_tables for row in db.session.execute(db.select(table)).all()
    )
    for secret in (card.meta, card.file):
        assert secret.hex() not in found.lower() and repr(secret)[2:-1] not in found
    assert url not in found


@pytest.fixture
def run(app: Flask, settings: config.Config, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """`gatebell cards ...` on the test's database."""
    monkeypatch.setenv("GATEBELL_DATABASE__URL", settings.database.url)
    monkeypatch.setenv("GATEBELL_SECRETS__KEY_FILE", settings.secrets.key_file)

    def invoke(*words: str):  # type: ignore[no-untyped-def]
        db.session.rollback()
        return CliRunner().invoke(cli.build(), ["cards", *words])

    return invoke


def test_the_printed_keys_are_those_that_a_card_proves_itself_with(pupils, run) -> None:
    card = ntag.of_school("mingde")
    assert "no card" in run("sun-keys", card.text).output
    with transaction() as session:
        session.add(Card(school_id="mingde", text=card.text, pupil_id=pupils[0], since=gate.at("06:00")))
    printed = run("sun-keys", card.text.lower())
    assert printed.exit_code == 0 and "These keys are secret" in printed.output
    assert card.meta.hex().upper() in printed.output and card.file.hex().upper() in printed.output
    assert "never proved itself" in run("must-prove", card.text).output
    take(tapped(1, "07:40", card, card.url()))
    assert run("must-prove", card.text).exit_code == 0
    take(tapped(2, "07:41", card, None))
    assert holders() == [pupils[0], None]
    assert run("must-prove", "--no", card.text).exit_code == 0
    take(tapped(3, "07:42", card, None))
    assert holders() == [pupils[0], None, pupils[0]]


def test_a_card_that_is_written_anew_has_other_keys_and_counts_from_its_beginning(pupils, card, run) -> None:
    take(tapped(1, "07:40", card, card.url(40)))
    again = run("sun-keys", card.text)
    assert card.file.hex().upper() in again.output and last_counter() == 40
    assert card.file.hex().upper() not in run("sun-keys", "--anew", card.text).output
    new = ntag.of_school("mingde", version=2)
    take(tapped(2, "07:41", card, new.url(1)), tapped(3, "07:42", card, card.url(41)))
    assert (holders(), odd(), last_counter()) == ([pupils[0], pupils[0], None], ["mac"], 1)


@pytest.mark.parametrize("number", ["em4100:67003B51C6", "iso14443a:04A1B2C3", "0006762840"])
def test_other_cards_cannot_be_given_keys(pupils, run, number: str) -> None:
    assert run("sun-keys", number).exit_code == 1
