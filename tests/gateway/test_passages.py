"""Ways through a gate: what a configuration may say of them, and taps from real bytes on pseudo-terminals."""

import re
import time
from pathlib import Path

import msgspec
import pytest

from gateway import config, passages, readers, simdevices, wire
from gateway.app import Gateway
from gateway.readers import _bracket, _chafon, _identity, m100
from gateway.readers.base import Card
from gateway.wire import Direction, Kind, ReaderHealth
from tests import services
from tests.gateway.conftest import Write
from tests.gateway.ends import Cable, School, running, until
from tests.gateway.readers.frames import heard

EXAMPLE = Path(__file__).parents[2] / "firmware-config" / "gateway.toml.example"
TAG, OTHER = "epc:E28068940000400A9D22ACFF", "epc:300833B2DDD9014000000001"
HEAD = 'school = "mingde"\ngateway = "gate-1"\ndata_dir = "/tmp"\n'


def reader(id: str, profile: str, more: str = "", *, direction: str = "both") -> str:
    return f'[[reader]]\nid = "{id}"\nprofile = "{profile}"\nport = "loop://"\ndirection = "{direction}"\n{more}\n'


PAIR = reader("street", "m100") + reader("yard", "m100")


def problems(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "gateway.toml"
    path.write_text(HEAD + text)
    return [problem.removeprefix(f"{path}: ") for problem in config.check(path, {}).problems]


GOOD = {
    "no word of it": reader("a", "m100", direction="in"),
    "a threshold": reader("a", "r2000-a0", "walk = { rssi_dbm = -65.0, count = 5 }", direction="in"),
    "two antennas": reader("a", "chafon288", "walk = { outside = [1], inside = [2] }\noptions = { antennas = 2 }"),
    "four antennas": reader("a", "cf-m", "walk = { outside = [1, 2], inside = [3, 4] }"),
    "two readers": PAIR + '[[passage]]\noutside = "street"\ninside = "yard"\nwalk = { count = 4, rssi_dbm = -60.0 }',
    "tags of their own voice": reader("a", "active-tzone", "walk = { count = 2, within_s = 60.0 }", direction="in"),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_may_be_said_of_a_way(name: str, tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD[name]) == []


def passage(outside: str = "street", inside: str = "yard", more: str = "") -> str:
    return f'[[passage]]\noutside = "{outside}"\ninside = "{inside}"\n{more}\n'


BAD = {
    "a walk at a card reader": (reader("a", "rdm6300", "walk = { count = 2 }"), ["reader[1].walk: cards are held"]),
    "confirm": (
        reader("a", "m100", "options = { confirm = 2 }"),
        ["reader[1].options.confirm: a m100 reads from afar; write walk = { count = ... }"],
    ),
    "one side": (reader("a", "cf-m", "walk = { outside = [1] }"), ["reader[1].walk: name the antennas of both"]),
    "an antenna on both sides": (
        reader("a", "cf-m", "walk = { outside = [1], inside = [1, 2] }"),
        ["reader[1].walk: antenna 1 cannot stand outside and inside"],
    ),
    "no antennas told": (
        reader("a", "m100", "walk = { outside = [1], inside = [2] }"),
        ["reader[1].walk: a m100 does not tell its antenna"],
    ),
    "a way and antennas": (
        reader("a", "cf-m", "walk = { outside = [1], inside = [2] }", direction="in"),
        ['reader[1].direction: the antennas tell the way; write "both"'],
    ),
    "no strength told": (
        reader("a", "chafon18", "walk = { rssi_dbm = -60.0 }"),
        ["reader[1].walk.rssi_dbm: a chafon18 does not tell how strongly"],
    ),
    "a misspelt key": (
        reader("a", "m100", "walk = { cuont = 3 }"),
        ["reader[1].walk.cuont: unknown key; did you mean"],
    ),
    "a count of none": (reader("a", "m100", "walk = { count = 0 }"), ["reader[1].walk.count: Expected `int` >= 1"]),
    "a positive strength": (reader("a", "m100", "walk = { rssi_dbm = 65.0 }"), ["reader[1].walk.rssi_dbm: Expected"]),
    "a reader that is none": (PAIR + passage(inside="yrad"), ["passage[1].inside: there is no reader 'yrad'; did you"]),
    "one reader twice": (PAIR + passage(inside="street"), ["passage[1].inside: two sides need two readers"]),
    "antennas in a passage": (
        PAIR + passage(more="walk = { outside = [1], inside = [2] }"),
        ["passage[1].walk: antennas belong into a reader's own walk"],
    ),
    "a card reader in a passage": (
        reader("street", "pn532") + reader("yard", "m100") + passage(),
        ["passage[1].outside: 'street' is a pn532; only readers from afar"],
    ),
    "a reader's own walk": (
        reader("street", "m100", "walk = { count = 4 }") + reader("yard", "m100") + passage(),
        ["passage[1].outside: 'street' has a walk of its own"],
    ),
    "a passage's reader with a way": (
        reader("street", "m100", direction="in") + reader("yard", "m100") + passage(),
        ["passage[1].outside: the passage tells the way; 'street' has direction = \"both\""],
    ),
    "two passages": (
        PAIR + reader("third", "m100") + passage() + passage(inside="third"),
        ["passage[2]: reader 'street' stands in passage[1] already"],
    ),
    "no strength in a passage": (
        reader("street", "fonkan") + reader("yard", "m100") + passage(more="walk = { rssi_dbm = -60.0 }"),
        ["passage[1].walk.rssi_dbm: a fonkan does not tell"],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_may_not_be_said_of_a_way(name: str, tmp_path: Path) -> None:
    text, expected = BAD[name]
    found = problems(tmp_path, text)
    assert len(found) == len(expected), found
    assert all(problem.startswith(line) for problem, line in zip(found, expected, strict=True)), found


def test_every_key_of_a_way_is_explained_in_the_example() -> None:
    text = EXAMPLE.read_text()
    for section in (passages.Walk, passages.Passage):
        for field in msgspec.structs.fields(section):
            assert re.search(rf"^# +{field.name}\b", text, re.M), field.name


@pytest.mark.parametrize("name", readers.names())
def test_a_reader_tells_of_a_tag_what_it_says_it_tells(name: str) -> None:
    protocol = readers.load(name)
    if protocol.technology in passages.FROM_AFAR:
        card = TAG if protocol.technology == "epc" else {"active-bioenable": "active:0BA8"}.get(name, "active:62160179")
        (read,) = heard(protocol(), protocol.frame(card))
        assert isinstance(read, Card) and read.text == card
        assert (read.rssi is not None, read.antenna is not None) == (protocol.tells_rssi, protocol.tells_antenna)
        assert read.rssi is None or -100 < read.rssi < -20


# the whole way


def notice(rssi: int, tag: str = TAG) -> bytes:
    """An M100's word on a tag."""
    parameters = rssi.to_bytes(1, signed=True) + _identity.memory_of(tag)
    return _bracket.framed(m100.M100.layout, kind=2, code=0x22, parameters=parameters)


def are_up(school: School, count: int = 1) -> None:
    until(lambda: [s for s in school.states if [r.health for r in s.readers] == [ReaderHealth.UP] * count])


def test_a_walk_through_is_one_tap_with_the_time_of_its_first_read(
    write: Write, mosquitto: services.Mosquitto, school: School, cable: Cable
) -> None:
    path = write(mosquitto.url, profile="m100", extra="walk = { rssi_dbm = -60.0 }")
    with running(Gateway(config.load(path, {}))) as gateway:
        are_up(school)
        for _ in range(5):
            cable.write(notice(-71, OTHER))
        first = gateway.clock.now()
        cable.write(notice(-71))
        time.sleep(0.6)
        for _ in range(20):
            cable.write(notice(-55))
        (tap,) = until(lambda: school.taps)
        time.sleep(0.3)
    assert [tap.card for tap in school.taps] == [TAG]
    assert tap.direction is Direction.IN and abs(tap.at - first) < 400


def test_two_readers_tell_the_way(write: Write, mosquitto: services.Mosquitto, school: School, cable: Cable) -> None:
    far = Cable(cable.name.with_name("far"))
    far.plug()
    extra = f'[[reader]]\nid = "yard"\nprofile = "m100"\nport = "{far.name}"\ndirection = "both"\n'
    path = write(mosquitto.url, profile="m100", extra=extra + '[[passage]]\noutside = "east"\ninside = "yard"\n')
    path.write_text(path.read_text().replace('direction = "in"', 'direction = "both"'))
    with running(Gateway(config.load(path, {}))):
        are_up(school, 2)
        for side in (far, cable):
            for _ in range(5):
                side.write(notice(-55))
                time.sleep(0.06)
        (tap,) = until(lambda: school.taps)
        cable.write(notice(-55, OTHER) * 3)
        (_, lost) = until(lambda: school.taps[1:] and school.taps)
    far.unplug()
    assert (tap.card, tap.direction, tap.reader) == (TAG, Direction.OUT, "yard")
    assert (lost.card, lost.direction, lost.reader) == (OTHER, Direction.BOTH, "east")


def test_two_antennas_of_a_reader_tell_the_way(
    write: Write, mosquitto: services.Mosquitto, school: School, cable: Cable
) -> None:
    def report(mask: int) -> bytes:
        return _chafon.framed(bytes([0, 1, 1, mask, 1]) + _chafon.counted(TAG) + b"\x46")

    path = write(mosquitto.url, profile="chafon288", extra="walk = { outside = [1], inside = [2] }")
    path.write_text(path.read_text().replace('direction = "in"', 'direction = "both"'))
    with running(Gateway(config.load(path, {}))):
        are_up(school)
        for mask in (1, 1, 1, 2, 2, 2):
            cable.write(report(mask))
            time.sleep(0.08)
        (tap,) = until(lambda: school.taps)
    assert (tap.card, tap.direction, tap.reader) == (TAG, Direction.IN, "east")


def test_a_tag_with_a_low_battery_passes_and_is_counted_once_a_tap(
    write: Write, mosquitto: services.Mosquitto, school: School, cable: Cable
) -> None:
    low = bytearray.fromhex("7e0d12345662160179800e1000ec4f0003")
    low[-2] = sum(low[:-2]) & 0xFF
    with running(Gateway(config.load(write(mosquitto.url, profile="active-tzone"), {}))):
        are_up(school)
        cable.write(bytes(low) * 6)
        (tap,) = until(lambda: school.taps)
        school.say(Kind.COMMAND, wire.encode(wire.Announce()))
        counted = until(lambda: [s for s in school.states if s.readers[0].faults])[-1]
    assert tap.card == "active:62160179" and counted.readers[0].faults == {"low-battery": 1}


@pytest.mark.parametrize("profile", ["m100", "active-tzone"])
def test_a_simulated_walk_is_read_often_enough_for_a_tap(profile: str) -> None:
    module = simdevices.device(profile, readers.load(profile), 1)
    module.present(TAG if profile == "m100" else "active:62160179", 0)
    said = b"".join(module.speak(at / 100) for at in range(200))
    assert len(heard(readers.load(profile)(), said)) > passages.Walk().count
