"""The stream of an open page: told of what is new, never too often, and only while the login stands."""

import threading
import time
from collections.abc import Iterator

import msgspec
import pytest
from sqlalchemy import delete

from server import clock, config
from server.accounts.models import LoginSession
from server.db import transaction
from server.live import service
from server.live.service import Hub, Stream
from tests import sample
from tests.server.site import Site


@pytest.fixture
def hub(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub whose poller is quick; all streams end with the test."""
    for name, seconds in (("POLL", 0.02), ("BEAT", 0.1), ("LOGIN_EVERY", 0.05)):
        monkeypatch.setattr(service, name, seconds)
    monkeypatch.setattr(Hub, "pace", lambda _self: 0.0)
    hub = Hub(site.app, threads=service.KEPT_FREE + 2)
    yield hub
    poller = hub.poller
    for stream in tuple(hub.streams):
        hub.leave(stream)
    if poller is not None:
        poller.join(5)
        assert not poller.is_alive()


def joined(site: Site, hub: Hub) -> tuple[Stream, str]:
    """A stream of somebody who is logged in, and the mark of what the page showed."""
    cookie = site.visitor("wangmin").client.get_cookie("gatebell")
    assert cookie is not None
    stream = hub.join("mingde", sample.ZONE, cookie.value)
    assert stream is not None
    with site.app.app_context():
        return stream, service.newest("mingde")


def until(events: Iterator[str], name: str, most: int = 100) -> None:
    """Read on to an event of this name; the beats keep it from waiting for ever."""
    for _ in range(most):
        if f"event: {name}\n" in next(events):
            return
    raise AssertionError(f"no event {name} among {most}")


def tap_now(site: Site, seq: int) -> None:
    """Somebody touches a card."""
    with site.app.app_context(), transaction() as session:
        session.add(sample.tap(clock.now(), seq=seq))


def test_a_page_is_told_of_a_tap_and_hears_beats_while_nothing_happens(site: Site, hub: Hub) -> None:
    stream, mark = joined(site, hub)
    events = hub.events(stream, mark)
    assert all(next(events).startswith("event: beat\ndata: 07:52:") for _ in range(3))
    tap_now(site, 501)
    until(events, "changed")


def test_what_happened_between_page_and_stream_is_not_missed(site: Site, hub: Hub) -> None:
    stream, mark = joined(site, hub)
    tap_now(site, 502)
    until(hub.events(stream, mark), "changed")


def test_many_changes_become_one_when_the_pace_says_so(site: Site, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, mark = joined(site, hub)
    events = hub.events(stream, mark)
    next(events)
    monkeypatch.setattr(Hub, "pace", lambda _self: 0.5)
    began = time.monotonic()
    for seq in range(510, 515):
        tap_now(site, seq)
    until(events, "changed")
    assert time.monotonic() - began >= 0.3
    assert "event: beat" in next(events)


def test_a_stream_ends_with_the_login(site: Site, hub: Hub) -> None:
    stream, mark = joined(site, hub)
    events = hub.events(stream, mark)
    next(events)
    with site.app.app_context(), transaction() as session:
        session.execute(delete(LoginSession))
    assert len(list(zip(range(200), events, strict=False))) < 200
    assert stream not in hub.streams


def test_no_more_streams_than_threads_that_may_be_spared(site: Site, hub: Hub) -> None:
    first, second = hub.join("mingde", sample.ZONE, "a"), hub.join("mingde", sample.ZONE, "b")
    assert first and second and hub.join("mingde", sample.ZONE, "c") is None
    hub.leave(first)
    hub.leave(first)
    assert hub.join("mingde", sample.ZONE, "d") is not None


def test_too_many_pages_are_told_to_come_back_later(settings: config.Config, morning: None) -> None:
    web = msgspec.structs.replace(settings.web, threads=service.KEPT_FREE + 1)
    site = Site(msgspec.structs.replace(settings, web=web), pupils=2)
    visitor = site.visitor("wangmin")
    opened = visitor.client.get("/live")
    busy = visitor.client.get("/live")
    assert opened.headers["X-Accel-Buffering"] == "no" and opened.mimetype == "text/event-stream"
    assert (busy.status_code, busy.headers["Retry-After"]) == (503, "30")
    opened.close()
    again = visitor.client.get("/live")
    assert again.status_code == 200
    again.close()
    wait_for_no_poller()
    site.close()


def wait_for_no_poller() -> None:
    """The poller's thread ends with the last stream."""
    for thread in threading.enumerate():
        if thread.name == "live":
            thread.join(5)
            assert not thread.is_alive()


def test_a_database_that_is_away_for_a_moment_does_not_end_the_streams(
    site: Site, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = service.newest, [3]
    with site.app.app_context():
        mark = real("mingde")

    def failing(school_id: str) -> str:
        if failures[0]:
            failures[0] -= 1
            raise service.SQLAlchemyError("away")
        return real(school_id)

    monkeypatch.setattr(service, "newest", failing)
    tap_now(site, 520)
    stream = hub.join("mingde", sample.ZONE, "a cookie")
    assert stream is not None
    monkeypatch.setattr(service, "LOGIN_EVERY", 60)
    until(hub.events(stream, mark), "changed")
    assert failures == [0]
