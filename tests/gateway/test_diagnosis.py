"""Which wire, speed or profile to check, from what a receiver makes of frames that nobody has looked at before."""

import random

import pytest

from gateway import readers, uart
from gateway.diagnosis import BAUDS, Setting, card, diagnose
from gateway.wire import Trouble
from tests.vectors import vectors

SPEAKERS = ["rdm6300", "id12la", "em18"]
TEXTS = [*SPEAKERS, "ascii-line", "ascii-hex6"]


def frames(profile: str, seed: int, count: int = 20) -> list[bytes]:
    """What a reader sends for cards that come at random."""
    protocol, chance = readers.load(profile), random.Random(f"{profile} {seed}")
    return [protocol.frame(card(profile, chance)) for _ in range(count)]


def heard(sent: list[bytes], ratio: float = 1.0, *, inverted: bool = False, stops: int = 1) -> bytes:
    """At least 200 bytes of it at the other end of a wire."""
    line = b"".join(uart.levels(frame, inverted=inverted, stops=stops) for frame in sent)
    return uart.received(line, ratio)[:256]


def test_a_wire_that_is_listened_to_rightly_says_what_was_sent() -> None:
    for profile in ("rdm6300", "m100", "pn532"):
        for frame in frames(profile, 1):
            assert uart.received(uart.levels(frame)) == frame


def test_the_inverted_wire_gives_the_bytes_that_were_seen_in_the_field() -> None:
    """The end of an ID-12LA's frame, CR LF ETX, at its D1: a capture from a hobbyist's forum, in the data file."""
    seen = next(each["hex"] for each in vectors("reader-frames.json") if each["id"] == "id12la-05")
    ours = [uart.received(uart.levels(frame, inverted=True, stops=2)) for frame in frames("id12la", 1, 100)]
    real = bytes.fromhex(seen)
    assert any(each.endswith(real[-4:]) and each[:2] == real[:2] for each in ours)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("stops", [1, 2])
@pytest.mark.parametrize("profile", SPEAKERS)
def test_an_inverted_wire_is_known(profile: str, stops: int, seed: int) -> None:
    verdict = diagnose(heard(frames(profile, seed), inverted=True, stops=stops), Setting(profile, 9600))
    assert verdict.word is Trouble.INVERTED, verdict
    assert ("D0 (TTL) output, not D1" in verdict.sentence) == (profile == "id12la")


def test_the_capture_itself_is_known_when_it_comes_again() -> None:
    seen = next(each["hex"] for each in vectors("reader-frames.json") if each["id"] == "id12la-05")
    assert diagnose(bytes.fromhex(seen) * 13, Setting("id12la", 9600)).word is Trouble.INVERTED


@pytest.mark.parametrize("baud", [baud for baud in BAUDS if baud != 9600])
@pytest.mark.parametrize("profile", TEXTS)
def test_a_wrong_speed_is_known_or_owned_to_be_unknown(profile: str, baud: int) -> None:
    """Never another speed than the right one; where a fast line leaves too little to see, it says so."""
    verdict = diagnose(heard(frames(profile, 7, 200), baud / 9600), Setting(profile, 9600))
    assert verdict.about in {str(baud), ""}, verdict
    if baud in {4800, 19200}:
        assert verdict.word is Trouble.BAUD and f"baud = {baud}" in verdict.sentence


@pytest.mark.parametrize(
    "profile", [name for name in readers.names() if readers.load(name).technology and name != "active"]
)
def test_a_reader_of_another_profile_is_named(profile: str) -> None:
    configured = "rdm6300" if profile != "rdm6300" else "id12la"
    verdict = diagnose(b"".join(frames(profile, 3, 20))[:256], Setting(configured, readers.load(profile).baud))
    assert verdict.word is Trouble.PROFILE, verdict
    same = {"r200": {"r200"}, "chafon288": {"chafon288", "chafon18"}, "chafon18": {"chafon288", "chafon18"}}
    assert verdict.about in same.get(profile, {profile}), verdict


def test_only_zeros_are_a_matter_of_levels() -> None:
    for noise in (bytes(256), b"\xff" * 256, b"\0\xff" * 128):
        assert diagnose(noise, Setting("rdm6300", 9600)).word is Trouble.LEVEL


def test_a_login_console_is_known_by_its_words() -> None:
    noise = b"\r\nDebian GNU/Linux 12 gate ttyS0\r\n\r\ngate login: \r\nPassword: " * 5
    assert diagnose(noise, Setting("rdm6300", 9600)).word is Trouble.CONSOLE


@pytest.mark.parametrize("profile", ["rdm6300", "id12la"])
def test_a_parity_bit_is_known(profile: str) -> None:
    even = bytes(byte | (byte.bit_count() % 2) << 7 for byte in b"".join(frames(profile, 5)))
    assert diagnose(even[:256], Setting(profile, 9600)).word is Trouble.PARITY


def test_a_sum_for_a_check_is_known() -> None:
    sent = b"".join(_with_sum(frame) for frame in frames("rdm6300", 2))
    verdict = diagnose(sent[:256], Setting("rdm6300", 9600))
    assert (verdict.word, verdict.about) == (Trouble.CHECK, "sum")


def _with_sum(frame: bytes) -> bytes:
    total = sum(bytes.fromhex(frame[1:11].decode())) & 0xFF
    return frame[:11] + f"{total:02X}".encode() + frame[13:]


def test_a_bad_cable_is_known_by_its_checks() -> None:
    chance = random.Random(4)
    sent = b"".join(
        frame[:4] + chance.choice(b"0123456789ABCDEF").to_bytes() + frame[5:] for frame in frames("rdm6300", 4)
    )
    assert diagnose(sent[:256], Setting("rdm6300", 9600)).word is Trouble.CHECK


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_not_explained(seed: int) -> None:
    """Nobody is sent to turn at a setting by bytes that mean nothing."""
    noise = random.Random(seed).randbytes(256)
    assert diagnose(noise, Setting("rdm6300", 9600)).word is Trouble.UNFRAMED
    assert diagnose(noise, Setting("m100", 115200)).word is Trouble.UNFRAMED


@pytest.mark.parametrize("profile", readers.names())
def test_no_verdict_holds_a_card(profile: str) -> None:
    protocol = readers.load(profile)
    if not protocol.technology:
        return
    sent = frames(profile, 9)
    verdict = diagnose(b"".join(sent)[:256], Setting("em18" if profile != "em18" else "rdm6300", 9600))
    assert len(f"{verdict.word} {verdict.about}") <= 64 and len(verdict.sentence) < 200
    assert not any(frame.hex() in verdict.sentence for frame in sent)
