"""How many are inside: the server's word and the gate's own taps since, with every doubt said aloud."""

import re
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import evacuation
from gateway.__main__ import main
from gateway.cards import Cards, Lists, joined
from gateway.clock import Clock
from gateway.evacuation import Count, Doubt
from gateway.evacuationpage import CannotListen, Page, page
from gateway.spool import Spool, Touch
from gateway.wire import ClockState, Direction, Tap, new_tap_id
from tests.gateway.conftest import Write
from tests.gateway.ends import GATE
from tests.gateway.listing import MORNING, many, packed, parts

ADA, BEN, CID, EVE = many(4)
PUPILS = [ADA, BEN, CID]


def lists(*, inside: list[int], at: int = MORNING) -> Lists:
    """Three pupils, the first and third juniors."""
    found = joined(packed(PUPILS, inside=inside, lost=["em4100:62E3086CED"], at=at))
    assert found is not None
    return found


def tap(card: str, direction: str, seq: int = 1) -> Tap:
    """One tap of this gate."""
    return Tap(
        id=new_tap_id(), spool="0" * 16, seq=seq, gateway=GATE, reader="east", direction=Direction(direction),
        card=card, at=MORNING, clock=ClockState.SYNCED, boot="b", ticks=seq,
    )  # fmt: skip


def test_the_servers_word_and_own_taps_since() -> None:
    found = evacuation.count(lists(inside=[0, 1]), [tap(CID, "in"), tap(ADA, "out"), tap(CID, "in")], MORNING)
    assert (found.inside, found.by_group) == (2, (("七（1）班", 1), ("十（2）班", 1)))
    assert (found.entered, found.left, found.strangers, found.word_at, found.doubts) == (2, 1, 0, MORNING, ())


def test_a_class_with_nobody_inside_is_named_too() -> None:
    assert evacuation.count(lists(inside=[0]), [], MORNING).by_group == (("七（1）班", 1), ("十（2）班", 0))


@pytest.mark.parametrize(
    ("taps", "late", "doubts"),
    [
        ([], 0, []),
        ([], evacuation.FRESH_MS + 1, [Doubt.NO_WORD]),
        ([tap(EVE, "in")], 0, [Doubt.STRANGERS]),
        ([tap("em4100:62E3086CED", "out")], 0, [Doubt.STRANGERS]),
        ([tap(ADA, "both")], 0, [Doubt.BOTH_WAYS]),
    ],
)
def test_doubts_are_said(taps: list[Tap], late: int, doubts: list[Doubt]) -> None:
    assert list(evacuation.count(lists(inside=[1]), taps, MORNING + late).doubts) == doubts


def test_without_a_list_and_without_a_clock_own_taps_are_counted_and_doubted() -> None:
    found = evacuation.count(None, [tap(ADA, "in"), tap(BEN, "in"), tap(ADA, "out")], None)
    assert (found.inside, found.word_at, list(found.doubts)) == (1, None, [Doubt.NO_LIST, Doubt.NO_CLOCK])


@given(
    st.sets(st.integers(0, 2)),
    st.lists(st.tuples(st.sampled_from([*PUPILS, EVE]), st.sampled_from(["in", "out"])), max_size=30),
)
def test_each_pupil_is_where_the_last_tap_says(inside: set[int], moves: list[tuple[str, str]]) -> None:
    found = evacuation.count(lists(inside=sorted(inside)), [tap(*move) for move in moves], MORNING)
    last = {card: way for card, way in moves}
    expected = sum(last.get(card, "in" if n in inside else "out") == "in" for n, card in enumerate(PUPILS))
    assert found.inside == expected == sum(number for _, number in found.by_group)


def touch(card: str, direction: Direction) -> Touch:
    """A card at a reader."""
    return Touch("east", direction, card, MORNING, ClockState.SYNCED, 1)


def test_taps_that_the_server_has_had_long_ago_are_not_counted_twice(spool: Spool, clock: Clock) -> None:
    """Ada has left by another gate since her tap was stored; Ben's is still on its way."""
    (first,) = spool.put([touch(ADA, Direction.IN)])
    spool.done([first.id])
    (second,) = spool.put([touch(BEN, Direction.IN)])
    spool.settle(1e9)
    long_after = clock.now() + 2 * evacuation.OVERLAP_MS
    assert evacuation.taps_since(spool.path, spool.seal, long_after) == [second]
    assert evacuation.taps_since(spool.path, spool.seal, clock.now()) == [first, second]


@pytest.fixture
def configured(write: Write, tmp_path: Path, clock: Clock) -> Path:
    """A gate that has heard of three pupils, one inside, and has a tap of another; nobody runs it."""
    path = write()
    folder = tmp_path / "data"
    spool = Spool(folder / "spool.db", gateway=GATE, clock=clock)
    spool.open()
    spool.put([touch(BEN, Direction.IN)])
    held = Cards(folder, spool.seal)
    for part in parts(packed(PUPILS, inside=[0], at=clock.now())):
        held.take(part)
    spool.close()
    return path


def test_the_command_counts_with_nobody_to_ask(configured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inside", "--config", str(configured)]) == 0
    said = capsys.readouterr().out
    assert "校内 inside: 2" in said and "七（1）班: 1" in said and "进 in 1, 出 out 0" in said and "!" not in said
    assert ADA not in said and ADA[-10:] not in said


def test_a_gate_that_has_no_spool_says_what_to_do(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inside", "--config", str(write())]) == 1
    assert "run it as the gateway's own user" in capsys.readouterr().err


@pytest.fixture
def serve() -> Callable[[Callable[[], Count]], str]:
    """Serves a count; gives its address."""
    pages: list[Page] = []

    def start(counted: Callable[[], Count]) -> str:
        pages.append(Page("127.0.0.1:0", GATE, counted))
        return f"http://127.0.0.1:{pages[-1].start()}"

    yield start  # type: ignore[misc]
    for each in pages:
        each.stop()


def counted() -> Count:
    """Two inside."""
    return evacuation.count(lists(inside=[0, 1]), [tap(EVE, "in")], MORNING)


def test_the_page_shows_the_number_and_its_doubts_in_both_languages(serve: Callable[..., str]) -> None:
    with urllib.request.urlopen(serve(counted) + "/") as answer:
        text, headers = answer.read().decode(), answer.headers
    assert "<h1>2</h1>" in text and "校内人数" in text and "Inside now" in text
    assert str(Doubt.STRANGERS) in text and "role=alert" in text and "<td>十（2）班</td><td>1</td>" in text
    assert headers["Cache-Control"] == "no-store" and "default-src 'none'" in headers["Content-Security-Policy"]
    assert EVE[-10:] not in text


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/x", 404), ("POST", "/", 501), ("DELETE", "/", 501)])
def test_the_page_takes_nothing(serve: Callable[..., str], method: str, path: str, status: int) -> None:
    asked = urllib.request.Request(serve(counted) + path, method=method, data=b"x" if method == "POST" else None)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked)
    assert refused.value.code == status
    refused.value.close()


def test_a_visitor_who_says_nothing_does_not_keep_the_others_out(
    serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.evacuationpage.PATIENCE_S", 0.3)
    url = serve(counted)
    silent = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
    with silent, urllib.request.urlopen(url + "/", timeout=5) as answer:
        assert answer.status == 200


def test_an_address_in_use_is_named(serve: Callable[..., str]) -> None:
    port = serve(counted).rpartition(":")[2]
    with pytest.raises(CannotListen, match=rf"listen = '127.0.0.1:{port}'.*the page is not served"):
        Page(f"127.0.0.1:{port}", GATE, counted).start()


def test_names_of_classes_are_text_and_no_markup() -> None:
    text = page(GATE, Count(1, (("<b>&", 1),), None, 0, 0, 0, ()))
    assert "<b>" not in text and re.search("<td>&lt;b&gt;&amp;</td>", text)
