"""A gate with lists from a school: what its lights say, and that a tap is stored and sent whatever they say."""

import signal
import time
import urllib.request
from collections.abc import Callable

import pytest

from gateway import app, config, gatelist, wire
from gateway.app import Gateway
from gateway.wire import Kind, ListKind
from tests import services
from tests.gateway.conftest import Write
from tests.gateway.ends import CARD, OTHER, Cable, School, running, until
from tests.gateway.listing import packed, parts
from tests.gateway.test_gateway import is_listening


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the lights have shown."""
    seen: list[str] = []

    class Eyes(app.feedback.Silent):
        def accepted(self) -> None:
            seen.append("accepted")

        def again(self) -> None:
            seen.append("again")

        def strange(self) -> None:
            seen.append("strange")

        def no_pass(self) -> None:
            seen.append("no pass")

    monkeypatch.setattr(app.feedback, "load", lambda pins: Eyes())
    return seen


def tell(school: School, raw: dict[ListKind, bytes]) -> None:
    """The school sends lists, and hears that the gate has them."""
    for part in parts(raw):
        school.say(Kind.COMMAND, wire.encode(part))
    versions = {kind: gatelist.version(each) for kind, each in raw.items()}
    until(lambda: school.states[-1].lists == versions)


def test_a_strange_card_is_told_apart_and_its_tap_reaches_the_school(
    settings: config.Config, school: School, cable: Cable, shown: list[str]
) -> None:
    with running(Gateway(settings)):
        is_listening(school)
        assert school.states[-1].lists == {}
        cable.touch(OTHER)
        until(lambda: shown == ["accepted"])
        tell(school, packed([CARD], lost=[OTHER]))
        cable.touch(CARD)
        cable.touch("em4100:6700ABCDEF")
        until(lambda: shown == ["accepted", "accepted", "strange"])
        until(lambda: len(school.ids) == 3)


def test_a_card_shown_again_gets_the_same_answer_and_no_second_tap(
    settings: config.Config, school: School, cable: Cable, shown: list[str]
) -> None:
    with running(Gateway(settings)):
        is_listening(school)
        tell(school, packed([CARD]))
        for _ in range(2):
            cable.touch(OTHER)
            cable.touch(CARD)
            time.sleep(1.2)
        until(lambda: shown == ["strange", "accepted", "strange", "again"])
        assert len(school.ids) == 2


def test_an_exit_without_a_pass_is_shown_and_told(
    write: Write, mosquitto: services.Mosquitto, school: School, cable: Cable, shown: list[str]
) -> None:
    path = write(mosquitto.url)
    path.write_text(path.read_text().replace('direction = "in"', 'direction = "out"'))
    with running(Gateway(config.load(path, {}))) as gateway:
        is_listening(school)
        now = gateway.clock.now()
        tell(school, packed([CARD, OTHER], strict=True, days_from=now, free={"senior": [(now - 1000, now + 60_000)]}))
        cable.touch(CARD)
        cable.touch(OTHER)
        until(lambda: shown == ["no pass", "accepted"])
        until(lambda: len(school.ids) == 2)
    assert {tap.direction for tap in school.taps} == {wire.Direction.OUT}


def test_the_count_is_served_with_the_network_cut(
    write: Write, mosquitto: services.Mosquitto, school: School, cable: Cable, shown: list[str]
) -> None:
    port = services.free_port()
    path = write(mosquitto.url)
    path.write_text(path.read_text() + f'\n[evacuation]\nlisten = "127.0.0.1:{port}"\n')

    def page() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return str(answer.read().decode())

    with running(Gateway(config.load(path, {}))) as gateway:
        is_listening(school)
        tell(school, packed([CARD, OTHER], inside=[1], at=gateway.clock.now()))
        assert "<h1>1</h1>" in page() and "role=alert" not in page()
        mosquitto.stop(signal.SIGKILL)
        until(lambda: not gateway.uplink.online)
        cable.touch(CARD)
        cable.touch("em4100:6700ABCDEF")
        until(lambda: shown == ["accepted", "strange"])
        assert "<h1>2</h1>" in page() and "role=alert" in page()
    with pytest.raises(OSError):
        page()


def test_a_page_that_cannot_be_served_does_not_stop_the_gate(
    write: Write, mosquitto: services.Mosquitto, school: School, cable: Cable, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(mosquitto.url)
    path.write_text(path.read_text() + f'\n[evacuation]\nlisten = "127.0.0.1:{mosquitto.port}"\n')
    with running(Gateway(config.load(path, {}))):
        is_listening(school)
        cable.touch()
        until(lambda: school.taps)
    assert "the page is not served" in caplog.text


@pytest.mark.parametrize("order", [list, lambda messages: messages[::-1]], ids=["in order", "backwards"])
def test_lists_in_pieces_over_the_broker(
    settings: config.Config, school: School, cable: Cable, order: Callable[[list[wire.ListPart]], list[wire.ListPart]]
) -> None:
    """3,000 pupils; the gate goes on with its taps meanwhile."""
    cards = [f"em4100:67{number:08X}" for number in range(3_000)]
    with running(Gateway(settings)) as gateway:
        is_listening(school)
        for part in order(parts(packed([*cards, CARD], inside=range(1_500)))):
            school.say(Kind.COMMAND, wire.encode(part))
        cable.touch()
        until(lambda: school.taps)
        until(lambda: gateway.cards.lists and len(gateway.cards.lists.holders) == 3_001)
    assert gateway.cards.lists and len(gateway.cards.lists.inside.numbers()) == 1_500
