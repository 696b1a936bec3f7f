"""What is published and when again: live taps first, bounded flights, until Stored."""

import itertools

import msgspec
import pytest

from gateway.clock import Clock
from gateway.spool import Spool, Touch
from gateway.uplink import Uplink
from gateway.wire import ClockState, Direction, Tap, Taps
from tests.gateway.conftest import Time
from tests.gateway.test_spool import put


class Sent:
    """What was published, decoded."""

    def __init__(self) -> None:
        self.messages: list[Taps] = []

    def __call__(self, payload: bytes) -> None:
        self.messages.append(msgspec.json.decode(payload, type=Taps))

    def take(self) -> list[list[int]]:
        """Numbers of the taps in each message since the last call."""
        numbers = [[tap.seq for tap in message.taps] for message in self.messages]
        self.messages.clear()
        return numbers


@pytest.fixture
def sent() -> Sent:
    """Nothing yet."""
    return Sent()


@pytest.fixture
def uplink(spool: Spool, clock: Clock, sent: Sent) -> Uplink:
    """Not connected."""
    return Uplink(spool, clock, sent)


def ids(taps: list[Tap]) -> list[str]:
    """Their ids."""
    return [tap.id for tap in taps]


def test_nothing_is_sent_without_a_connection(uplink: Uplink, spool: Spool, sent: Sent) -> None:
    uplink.live(put(spool, 2), 0)
    uplink.send_due(0)
    assert sent.take() == []
    uplink.connected(None)
    uplink.send_due(1)
    assert sent.take() == [[1, 2]]


def test_a_live_tap_is_sent_at_once_and_once(uplink: Uplink, spool: Spool, sent: Sent) -> None:
    uplink.connected(None)
    uplink.live(put(spool, 1), 0)
    assert sent.take() == [[1]]
    uplink.send_due(0.1)
    assert sent.take() == []


def test_a_backlog_goes_out_in_four_messages_of_fifty_and_a_live_tap_passes_it(
    uplink: Uplink, spool: Spool, sent: Sent
) -> None:
    old = put(spool, 500)
    uplink.connected(None)
    uplink.send_due(0)
    assert [len(numbers) for numbers in sent.take()] == [50] * 4
    uplink.live(put(spool, 1), 0.1)
    assert sent.take() == [[501]]
    uplink.stored(ids(old[:50]), 0.2)
    uplink.send_due(0.2)
    assert sent.take() == [list(range(201, 251))]


def test_everything_arrives_once_when_all_is_answered(uplink: Uplink, spool: Spool, sent: Sent) -> None:
    put(spool, 330)
    uplink.connected(None)
    heard: list[str] = []
    for now in range(20):
        uplink.send_due(now / 10)
        messages, sent.messages = sent.messages, []
        heard += [tap.id for message in messages for tap in message.taps]
        uplink.stored([tap.id for message in messages for tap in message.taps], now / 10)
    assert len(heard) == len(set(heard)) == 330 and spool.depth() == 0


def test_an_unanswered_message_is_sent_again_ever_more_slowly(uplink: Uplink, spool: Spool, sent: Sent) -> None:
    uplink.connected(None)
    uplink.live(put(spool, 1), 0)
    times = []
    for now in (step / 10 for step in range(6_000)):
        uplink.send_due(now)
        times += [now] * len(sent.take())
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert 3 <= waits[0] <= 4 and 3 <= waits[1] <= 4 and 6 <= waits[2] <= 8 and 12 <= waits[3] <= 16
    assert all(60 <= wait <= 78.2 for wait in waits[6:]) and len(waits) > 8


def test_only_what_was_not_named_is_sent_again(uplink: Uplink, spool: Spool, sent: Sent) -> None:
    uplink.connected(None)
    taps = put(spool, 3)
    uplink.live(taps, 0)
    uplink.stored([taps[1].id, "00000000-0000-7000-8000-000000000000"], 1)
    sent.take()
    uplink.send_due(5)
    assert sent.take() == [[1, 3]]
    uplink.stored(ids(taps), 6)
    uplink.send_due(100)
    assert sent.take() == [] and uplink.next_due() is None


def test_a_server_that_is_back_hears_the_rest_soon(uplink: Uplink, spool: Spool, sent: Sent) -> None:
    uplink.connected(None)
    first, second = put(spool, 2)
    uplink.live([first], 0)
    uplink.live([second], 0)
    for now in range(200):
        uplink.send_due(now)
    sent.take()
    uplink.stored([first.id], 200)
    uplink.send_due(203.1)
    assert sent.take() == [[2]]


def test_a_new_connection_sends_all_that_is_not_stored(uplink: Uplink, spool: Spool, sent: Sent) -> None:
    uplink.connected(None)
    taps = put(spool, 3)
    uplink.live(taps, 0)
    uplink.stored([taps[0].id], 0)
    uplink.lost()
    uplink.send_due(60)
    sent.take()
    uplink.connected(None)
    uplink.send_due(60)
    assert sent.take() == [[2, 3]]


def test_too_many_live_taps_wait_in_the_spool_and_are_not_forgotten(uplink: Uplink, spool: Spool, sent: Sent) -> None:
    uplink.connected(None)
    taps = [put(spool, 1)[0] for _ in range(300)]
    for tap in taps:
        uplink.live([tap], 0)
        uplink.send_due(0)
    heard = {number for numbers in sent.take() for number in numbers}
    assert 50 < len(heard) <= 250
    for _ in range(10):
        uplink.stored([tap.id for tap in taps if tap.seq in heard], 1)
        uplink.send_due(1)
        heard |= {number for numbers in sent.take() for number in numbers}
    assert len(heard) == 300


def test_a_live_tap_does_not_wait_for_unanswered_ones(uplink: Uplink, spool: Spool, sent: Sent) -> None:
    uplink.connected(None)
    for tap in put(spool, 60):
        uplink.live([tap], 0)
    for now in (0, 4):
        uplink.send_due(now)
    in_flight = [len(numbers) for numbers in sent.take()]
    assert in_flight == [1] * 50 + [10] + [10, 50]  # each once by itself, then all of them together
    uplink.live(put(spool, 1), 4.1)
    assert sent.take() == [[61]]
    for now in range(5, 1_000):
        uplink.send_due(now)
    assert {number for numbers in sent.take() for number in numbers} == set(range(1, 62))


def test_a_resync_sends_stored_taps_too(uplink: Uplink, spool: Spool, sent: Sent) -> None:
    uplink.connected(None)
    taps = put(spool, 4)
    uplink.live(taps, 0)
    uplink.stored(ids(taps), 0)
    sent.take()
    spool.resend(3)
    uplink.again()
    uplink.send_due(1)
    assert sent.take() == [[3, 4]]


def test_messages_fit_the_brokers_limit(uplink: Uplink, spool: Spool, sent: Sent) -> None:
    put(spool, 200)
    uplink.connected(8192)
    sizes: list[int] = []
    uplink.publish = lambda payload: sizes.append(len(payload))
    uplink.send_due(0)
    assert sizes and max(sizes) <= 8192


def test_a_tap_is_late_a_minute_after_it_was_made(uplink: Uplink, spool: Spool, sent: Sent, time: Time) -> None:
    time.ticks = 30_000
    put(spool, 1)
    uplink.connected(None)
    uplink.send_due(0)
    time.ticks = 60_001
    uplink.send_due(10)
    assert [tap.late for message in sent.messages for tap in message.taps] == [False, True]


def test_the_time_is_mended_on_the_way_out(spool: Spool, sent: Sent, time: Time) -> None:
    # 50 s ago by the ticks, when the clock showed 1970
    spool.put([Touch("east", Direction.IN, "em4100:67003B51C6", 7_000, ClockState.UNSYNCED, 950_000)])
    clock = Clock(boot="b1", synced=lambda: True, ticks=lambda: time.ticks)
    uplink = Uplink(spool, clock, sent)
    uplink.connected(None)
    uplink.send_due(0)
    (tap,) = sent.messages[0].taps
    assert tap.clock is ClockState.SYNCED and abs(clock.now() - tap.at - 50_000) < 2_000
    assert spool.unsent(limit=1)[0].clock is ClockState.UNSYNCED
