"""The wire: golden payloads mean what they always meant, and everything else is refused with its place and reason."""

import re
import uuid
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import wire

HERE = Path(__file__).parent
KINDS = {"taps": wire.Kind.TAP, "stored": wire.Kind.STORED, "state": wire.Kind.STATE}
GOLDEN = sorted(HERE.glob("*.json"))


def kind_of(path: Path) -> wire.Kind:
    """Which topic a golden payload came over."""
    return KINDS.get(path.stem.split("-")[0], wire.Kind.COMMAND)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_payload_decodes_and_survives_a_round_trip(path: Path) -> None:
    message = wire.decode(kind_of(path), path.read_bytes())
    assert wire.decode(kind_of(path), wire.encode(message)) == message


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_payload_keeps_every_known_field(path: Path) -> None:
    raw = msgspec.json.decode(path.read_bytes())
    again = msgspec.json.decode(wire.encode(wire.decode(kind_of(path), path.read_bytes())))
    unknown = {"battery", "later_field"}
    assert _without(raw, unknown) == {key: value for key, value in again.items() if key in raw}


def _without(value: object, names: set[str]) -> object:
    if isinstance(value, dict):
        return {key: _without(inner, names) for key, inner in value.items() if key not in names}
    return [_without(inner, names) for inner in value] if isinstance(value, list) else value


def _taps() -> dict[str, object]:
    raw: dict[str, object] = msgspec.json.decode((HERE / "taps.json").read_bytes())
    return raw


def test_a_tap_says_what_the_golden_file_says() -> None:
    message = wire.decode(wire.Kind.TAP, (HERE / "taps.json").read_bytes())
    assert isinstance(message, wire.Taps)
    tap = message.taps[0]
    assert (tap.card, tap.direction, tap.clock) == ("em4100:67003B51C6", wire.Direction.IN, wire.ClockState.SYNCED)
    assert (tap.seq, tap.at, tap.ticks, tap.late) == (4711, 1795564326512, 86412345, False)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("card", "0003887558", r"\$\.taps\[0\]\.card"),
        ("card", "em4100:67003b51c6", r"\$\.taps\[0\]\.card"),
        ("card", "em4100:67003B51C6\n", r"\$\.taps\[0\]\.card"),
        ("card", "em4100:670", r"\$\.taps\[0\]\.card"),
        ("id", "not-a-uuid", r"\$\.taps\[0\]\.id"),
        ("id", "019ab4d8-7c3e-7a51-9d0e-5b1f2c3d4e5f\n", r"\$\.taps\[0\]\.id"),
        ("seq", 0, r"\$\.taps\[0\]\.seq"),
        ("seq", 2**63, r"\$\.taps\[0\]\.seq"),
        ("seq", 1.5, r"\$\.taps\[0\]\.seq"),
        ("at", -1, r"\$\.taps\[0\]\.at"),
        ("at", 10**18, r"\$\.taps\[0\]\.at"),
        ("at", None, r"\$\.taps\[0\]\.at"),
        ("direction", "sideways", r"\$\.taps\[0\]\.direction"),
        ("gateway", "gate.1", r"\$\.taps\[0\]\.gateway"),
        ("boot", "a\x00b", r"\$\.taps\[0\]\.boot"),
        ("boot", "x" * 65, r"\$\.taps\[0\]\.boot"),
    ],
)
def test_a_bad_field_is_named(field: str, value: object, says: str) -> None:
    raw = _taps()
    raw["taps"][0][field] = value  # type: ignore[index]
    with pytest.raises(wire.Malformed, match=says):
        wire.decode(wire.Kind.TAP, msgspec.json.encode(raw))


@pytest.mark.parametrize("payload", [b"", b"\xff\xfe", b"null", b"[]", b"{", b"NaN", b'{"taps":[]}', b"[" * 100_000])
@pytest.mark.parametrize("kind", list(wire.Kind))
def test_rubbish_is_malformed_and_nothing_else(kind: wire.Kind, payload: bytes) -> None:
    with pytest.raises(wire.Malformed, match=f"{kind} payload of {len(payload)} bytes"):
        wire.decode(kind, payload)


@given(st.binary(max_size=400), st.sampled_from(list(wire.Kind)))
def test_random_bytes_never_raise_anything_else(payload: bytes, kind: wire.Kind) -> None:
    try:
        wire.decode(kind, payload)
    except wire.Malformed:
        return


@pytest.mark.parametrize("count", [0, wire.MAX_TAPS + 1])
def test_a_message_carries_one_to_fifty_taps(count: int) -> None:
    raw = _taps()
    raw["taps"] = raw["taps"] * count  # type: ignore[operator]
    with pytest.raises(wire.Malformed, match=r"\$\.taps"):
        wire.decode(wire.Kind.TAP, msgspec.json.encode(raw))


@pytest.mark.parametrize(
    ("topic", "says"),
    [
        ("other/1/00/mingde/gate-1/tap", "is not gatebell/1"),
        ("gatebell/2/00/mingde/gate-1/tap", "wire version 2 is not known"),
        ("gatebell/1/00/mingde/gate-1/tap/x", "is not gatebell/1"),
        ("gatebell/1/00/mingde/gate-1/dance", "unknown kind 'dance'"),
        ("gatebell/1/00/Ming.de/gate-1/tap", "ids are a-z"),
        ("gatebell/1/00/mingde//tap", "ids are a-z"),
    ],
)
def test_a_strange_topic_is_malformed(topic: str, says: str) -> None:
    with pytest.raises(wire.Malformed, match=says):
        wire.address(topic)


def test_a_topic_names_shard_school_gateway_and_kind() -> None:
    topic = wire.topic("mingde", "gate-1", wire.Kind.STORED, shard=wire.shard("mingde", sharded=False))
    assert topic == "gatebell/1/00/mingde/gate-1/stored"
    assert wire.address(topic) == ("mingde", "gate-1", wire.Kind.STORED)


def test_a_district_spreads_its_schools_over_64_shards() -> None:
    shards = {wire.shard(f"school-{n}", sharded=True) for n in range(2000)}
    assert shards == {f"{n:02d}" for n in range(64)}
    assert wire.shard("mingde", sharded=True) == wire.shard("mingde", sharded=True)


def test_tap_ids_are_uuid7_in_time_order_and_random() -> None:
    first, second = wire.new_tap_id(1795564326512), wire.new_tap_id(1795564326513)
    parsed = uuid.UUID(first)
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.int >> 80 == 1795564326512
    assert first < second
    assert len({wire.new_tap_id(5) for _ in range(1000)}) == 1000
    assert re.fullmatch(r"[0-9a-f-]{36}", wire.new_tap_id())
