"""What readers tell of a tag beside its number: strength, antenna, battery; and how several antennas are asked."""

import pytest

from gateway import readers
from gateway.readers import _chafon, _checks, _identity
from gateway.readers.base import Card, Fault
from tests.gateway.readers.frames import heard

TAG = "epc:E28068940000400A9D22ACFF"
MEMORY = _identity.memory_of(TAG)


def told(name: str, line: bytes | str) -> tuple[str, float | None, int | None]:
    (value,) = heard(readers.load(name)(), bytes.fromhex(line) if isinstance(line, str) else line)
    assert isinstance(value, Card)
    return value.text.partition(":")[2], value.rssi, value.antenna


PUBLISHED = [
    ("m100", "bb02220011c43000e200001d7315016521408fc6b83ec27e", -60, None),
    ("m100", "bb02220011cb3400e200471bb0006013044509d09582d47e", -53, None),
    ("r200", "aa02220011c73000e28068900000500e88c6a4a7119b29dd", -57, None),
    ("cf-m", "cf0000011200fd8a01000ce280691500004020ed9648b35057", -63.0, 1),
    ("cf-m", "cf0000011200fdbc01000cda20230000000000225191ca2492", -58.0, 1),
    ("chafon288", "1500010304010c49440000000000000a0003346425c0", 100 - 129, 3),
    ("chafon288", "1500010301010c3039606303c74380001a055940f93e", 64 - 129, 1),
    ("chafon288-realtime", "1400ee00010ce28068940000400a9d22acff600cac", 96 - 129, 1),
    ("chafon18", "13000103010c0000000000000000000003133f39", None, None),
    ("r2000-a0", "a0130189043000e200301666130121155074ef45bf", 69 - 129, 1),
    ("r2000-a0", "a0130189d43000e2004074850a0103169067dd2f7d", 47 - 129, 1),
    ("chainway", "a55a0019833000e200001b66040082172034d500d401b00d0a", -44, 1),
    (
        "thingmagic",
        "ff2822000010001b01ff0101c4110e16400000012700000500000f00803000000000000000000000001545e94a561d",
        -60,
        1,
    ),
]


@pytest.mark.parametrize(("name", "line", "rssi", "antenna"), PUBLISHED)
def test_strength_and_antenna_of_published_frames(name, line, rssi, antenna):
    assert told(name, line)[1:] == (rssi, antenna)


def a0(body: bytes) -> bytes:
    frame = bytes([0xA0, len(body) + 1]) + body
    return frame + bytes([-sum(frame) & 0xFF])


@pytest.mark.parametrize(
    ("code", "antenna_byte", "tail", "rssi", "antenna"),
    [
        (0x89, 0x06, "45", -60, 3),
        (0x8A, 0xFF, "45", -60, 4),
        (0x89, 0x05, "C5", -60, 6),
        (0x8B, 0x04, "451234", -60, 1),
        (0x8B, 0x04, "45", -60, 1),
    ],
)
def test_an_r2000_tells_its_antenna_and_maybe_a_phase(code, antenna_byte, tail, rssi, antenna):
    line = a0(bytes([1, code, antenna_byte]) + MEMORY[:-2] + bytes.fromhex(tail))
    assert told("r2000-a0", line) == (TAG[4:], rssi, antenna)


def test_a_phase_that_was_not_asked_for_is_another_length():
    line = a0(bytes([1, 0x89, 4]) + MEMORY[:-2] + bytes.fromhex("451234"))
    assert [value.kind for value in heard(readers.load("r2000-a0")(), line) if isinstance(value, Fault)] == ["length"]


@pytest.mark.parametrize(
    "line", ["a0040189228e", "a005018a012283", "a00a018a00000100000064fa" + "", "a00401741" + "0d7"]
)
def test_errors_round_ends_and_set_up_of_an_r2000_are_no_tags(line):
    frame = bytearray.fromhex(line)
    frame[-1] = -sum(frame[:-1]) & 0xFF
    assert heard(readers.load("r2000-a0")(), bytes(frame)) == []


@pytest.mark.parametrize(("raw", "rssi"), [("FDA8", -60.0), ("00D4", -44), ("FFFF", -0.1), ("00C4", -60)])
def test_both_ways_of_a_chainway_to_tell_strength(raw, rssi):
    body = (8 + len(MEMORY) + 1).to_bytes(2) + b"\x83" + MEMORY[:-2] + bytes.fromhex(raw) + b"\x02"
    line = b"\xa5\x5a" + body + bytes([_checks.xor(body)]) + b"\r\n"
    assert told("chainway", line) == (TAG[4:], rssi, 2)


RECORDS = [  # flags, what stands before the memory, strength, antenna
    (0x0000, "", None, None),
    (0x0002, "C4", -60, None),
    (0x0004, "22", None, 2),
    (0x0007, "05 C9 21", -55, 1),
    (0x0016, "BF 11 00000127", -65, 1),
    (0x0086, "C4 12 0010 ABCD", -60, 2),
    (0x01FF, "01 C4 11 0E1640 00000127 0000 05 0020 01020304 0F", -60, 1),
]


@pytest.mark.parametrize(("flags", "before", "rssi", "antenna"), RECORDS)
def test_a_thingmagic_tells_what_it_was_asked_to_tell(flags, before, rssi, antenna):
    record = b"\x10\x00\x1b" + flags.to_bytes(2) + b"\x01" + bytes.fromhex(before)
    record += (8 * len(MEMORY)).to_bytes(2) + MEMORY
    body = bytes([len(record), 0x22, 0, 0]) + record
    line = b"\xff" + body + _checks.thingmagic(body).to_bytes(2)
    assert told("thingmagic", line) == (TAG[4:], rssi, antenna)


def test_all_tags_of_one_chafon_frame_have_its_antenna_and_their_own_strength():
    tags = [("epc:11112222", 70), ("epc:" + "AB" * 32, 90), ("epc:3333", 41)]
    block = b"".join(_chafon.counted(tag) + bytes([rssi]) for tag, rssi in tags)
    values = heard(readers.load("chafon288")(), _chafon.framed(bytes([0, 1, 3, 8, len(tags)]) + block))
    assert [(v.text, v.rssi, v.antenna) for v in values if isinstance(v, Card)] == [
        (tag, rssi - 129, 4) for tag, rssi in tags
    ]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("chafon18", "050001fbf23d"),
        ("chafon288", "0500 01 f8"),
        ("chafon288", "0700 01 02 01 00"),
        ("chafon288", "0a00 01 26 01 0010 00000020"),
        ("chafon288-realtime", "0500 ee 28"),
        ("chafon288-realtime", "0500 76 00"),
    ],
)
def test_a_chafon_that_only_tells_its_state_names_no_tag(name, line):
    body = bytes.fromhex(line)[1:]
    body = body[: -2 if name == "chafon18" else None]
    assert heard(readers.load(name)(), _chafon.framed(body)) == []


@pytest.mark.parametrize(
    ("state", "low"),
    [("00", False), ("80", True), ("40", False), ("C0", True)],
)
def test_a_tzone_tag_tells_its_battery(state, low):
    frame = bytearray.fromhex(f"7e0d12345662160179{state}0e1000ec4f0003")
    frame[-2] = sum(frame[:-2]) & 0xFF
    (card,) = heard(readers.load("active-tzone")(), bytes(frame))
    assert isinstance(card, Card) and (card.text, card.low_battery) == ("active:62160179", low)


def test_a_newer_tzone_frame_has_one_byte_more():
    frame = bytearray.fromhex("7e0e123456621601790000" + "1000ec4f41" + "0003")
    frame[1] = len(frame) - 4
    frame[-2] = sum(frame[:-2]) & 0xFF
    assert heard(readers.load("active-tzone")(), bytes(frame)) == [Card("active:62160179")]


@pytest.mark.parametrize(("status", "low"), [("38", False), ("30", False), ("2F", True), ("00", True)])
def test_a_bioenable_tag_tells_its_battery(status, low):
    frame = bytearray.fromhex(f"2f5010000200000ba8{status}171410180707002e")
    frame[-2] = _checks.xor(bytes(frame[1:-2]))
    (card,) = heard(readers.load("active-bioenable")(), bytes(frame))
    assert isinstance(card, Card) and (card.text, card.low_battery) == ("active:0BA8", low)


def test_where_a_battery_shows_is_the_operator_s_to_say():
    active = readers.load("active")
    low, good = bytes.fromhex("40010216032375"), bytes.fromhex("40000216032374")
    found = [value.low_battery for value in heard(active(low="1&01"), low + good) if isinstance(value, Card)]
    assert found == [True, False]
    found = [value.low_battery for value in heard(active(low="1<01"), low + good) if isinstance(value, Card)]
    assert found == [False, True]
    with pytest.raises(ValueError, match="its bit in hex"):
        active(low="bit 7")


@pytest.mark.parametrize("name", ["active", "active-0x40", "active-bioenable", "active-tzone"])
def test_a_simulated_tag_has_a_good_battery(name):
    protocol = readers.load(name)
    (card,) = heard(protocol(), protocol.frame("active:0BA8" if name == "active-bioenable" else "active:02160323"))
    assert isinstance(card, Card) and not card.low_battery


def test_the_antennas_of_an_r2000_are_asked_in_turn():
    reader, asked = readers.load("r2000-a0")(antennas=3), []
    assert reader.start().hex() == "a004017400e7"
    for _ in range(4):
        asked.append(reader.poll())
        reader._answered = True
    assert [line[4] for line in asked] == [0, 1, 2, 0]
    assert all(line[3] == 0x74 and line.endswith(bytes.fromhex("a004018901d1")) for line in asked)
    assert heard(reader, asked[1]) == []  # each a sound frame
    with pytest.raises(ValueError, match="1 to 8"):
        readers.load("r2000-a0")(antennas=9)


def test_the_antennas_of_a_chafon_are_asked_in_turn():
    reader, asked = readers.load("chafon288")(antennas=2), []
    for _ in range(3):
        asked.append(reader.poll())
        reader._answered = True
    assert [(line[10], line[11]) for line in asked] == [(0x80, 2), (0x81, 2), (0x80, 2)]
    assert all(heard(readers.load("chafon-host")(), line) == [] for line in asked)
    with pytest.raises(ValueError, match="1 to 4"):
        readers.load("chafon288")(antennas=0)


def test_a_fonkan_line_that_lost_its_end_costs_no_other():
    one, two = (readers.load("fonkan").frame(f"epc:{n:024X}") for n in (7, 8))
    assert heard(readers.load("fonkan")(), one[:-1] + two) == [Card(f"epc:{7:024X}"), Card(f"epc:{8:024X}")]
    assert heard(readers.load("fonkan")(), b"\nX\r\n" + one) == [Card(f"epc:{7:024X}")]


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_any_line_end_ends_six_digits(end):
    assert heard(readers.load("ascii-hex6")(), b"293D48" + end + b"016273" + end) == [
        Card("w26:293D48"),
        Card("w26:016273"),
    ]
