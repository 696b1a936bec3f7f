"""The seal: opens on the machine that closed it and nowhere else, and any wrong bit is seen."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import machine
from gateway.machine import PRODUCT, SERIAL, identify
from gateway.seal import Foreign, Seal

Make = Callable[..., Seal]


def seal_of(folder: Path, key: bytes = b"one machine") -> Seal:
    """The seal of a machine whose key lies on another medium."""
    folder.mkdir(exist_ok=True)
    (folder / "key").write_bytes(key)
    (folder / "data").mkdir(exist_ok=True)
    return Seal(folder / "data", str(folder / "key"))


@pytest.fixture(scope="module")
def seal(tmp_path_factory: pytest.TempPathFactory) -> Seal:
    """One machine's."""
    return seal_of(tmp_path_factory.mktemp("machine"))


@settings(deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=40))
def test_what_is_sealed_can_be_opened_and_shows_nothing(seal: Seal, text: bytes, about: bytes) -> None:
    sealed = seal.seal(text, about)
    assert seal.open(sealed, about) == text
    assert len(text) < 4 or text not in sealed
    assert len(sealed) == len(text) + 24


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_wrong_bit_and_another_place_are_refused(seal: Seal, text: bytes, data: st.DataObject) -> None:
    sealed = seal.seal(text, b"tap 1")
    with pytest.raises(Foreign):
        seal.open(sealed, b"tap 2")
    at, bit = data.draw(st.integers(8, len(sealed) - 1)), data.draw(st.integers(0, 7))  # the salt has its own test
    with pytest.raises(Foreign):
        seal.open(sealed[:at] + bytes([sealed[at] ^ 1 << bit]) + sealed[at + 1 :], b"tap 1")
    with pytest.raises(Foreign):
        seal.open(sealed[: data.draw(st.integers(0, len(sealed) - 1))][:23], b"tap 1")


def test_a_wrong_salt_is_refused(seal: Seal) -> None:
    sealed = seal.seal(b"card", b"tap")
    with pytest.raises(Foreign):
        seal.open(bytes([sealed[0] ^ 1]) + sealed[1:], b"tap")


def test_equal_cards_look_different_in_each_tap(seal: Seal) -> None:
    assert len({seal.seal_text("em4100:67003B51C6", f"tap {number}") for number in range(100)}) == 100


@pytest.mark.parametrize("text", ["", "!!!", "AAAA", "em4100:67003B51C6", "ÄÖ", "A" * 39])
def test_what_is_no_seal_is_foreign_and_no_other_error(seal: Seal, text: str) -> None:
    with pytest.raises(Foreign):
        seal.open_text(text, "tap")


def test_another_machine_opens_nothing_with_the_same_disk(tmp_path: Path) -> None:
    first, second = seal_of(tmp_path / "one"), seal_of(tmp_path / "two", b"another machine")
    (tmp_path / "two" / "data" / "seal.salt").write_bytes(first.salt)
    sealed = first.seal(b"card", b"tap")
    assert second.salt == first.salt
    with pytest.raises(Foreign):
        second.open(sealed, b"tap")


def test_a_lost_salt_is_no_loss(tmp_path: Path) -> None:
    sealed = seal_of(tmp_path).seal(b"card", b"tap")
    (tmp_path / "data" / "seal.salt").unlink()
    again = seal_of(tmp_path)
    assert again.seal(b"card", b"tap") != sealed and again.open(sealed, b"tap") == b"card"


def test_a_disk_that_takes_no_salt_does_not_keep_us_from_sealing(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"one machine")
    there_is_none = Seal(tmp_path / "nowhere", str(tmp_path / "key"))
    assert seal_of(tmp_path).open(there_is_none.seal(b"card", b"tap"), b"tap") == b"card"


def board(root: Path, **files: bytes) -> Path:
    """A machine's file tree."""
    for name, content in files.items():
        path = root / {"serial": SERIAL, "product": PRODUCT}[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def test_a_pi_is_known_by_its_serial_number_and_a_pc_by_its_product(tmp_path: Path) -> None:
    pi = identify("", board(tmp_path / "pi", serial=b"10000000abcdef01\0"))
    pc = identify("", board(tmp_path / "pc", product=b"4c4c4544-0042\n"))
    assert (pi.identity, pi.source, pi.is_secret) == (b"10000000abcdef01\0", "its serial number", True)
    assert (pc.identity, pc.source, pc.is_secret) == (b"4c4c4544-0042\n", "its product id", True)


def test_a_key_file_goes_before_the_machines_own_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = board(tmp_path / "pi", serial=b"10000000abcdef01\0")
    (tmp_path / "stick").write_bytes(b"k" * 32)
    assert identify(str(tmp_path / "stick"), root).identity == b"k" * 32
    (tmp_path / "stick").unlink()
    assert identify(str(tmp_path / "stick"), root).source == "its serial number"
    assert "machine_key_file" in caplog.text and "cannot be read" in caplog.text


def test_the_pis_own_key_goes_before_its_serial_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mailbox as the firmware answers it; there is none on a machine that tests run on."""
    root = board(tmp_path, serial=b"10000000abcdef01\0")
    (root / "dev").mkdir()
    (root / machine.MAILBOX).write_bytes(b"")
    asked: list[bytes] = []
    rows = bytearray(range(32))

    def mailbox(_line: object, request: int, message: bytearray) -> None:
        asked.append(bytes(message))
        assert request == 0xC0086400
        message[4:8], message[28:60] = (0x80000000).to_bytes(4, "little"), rows

    monkeypatch.setattr(machine.fcntl, "ioctl", mailbox)
    assert identify("", root).identity == bytes(range(32))
    assert asked[0][8:12] == (0x30081).to_bytes(4, "little") and len(asked[0]) == 64
    rows[:] = bytes(32)  # never written
    assert identify("", root).source == "its serial number"


def test_a_machine_without_a_number_is_told_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seal = Seal(tmp_path)
    seal.__dict__["machine"] = identify("", tmp_path)  # whatever this machine has
    assert not seal.machine.is_secret
    nameless = Seal(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "identify", lambda key_file: identify(key_file, tmp_path))
        with caplog.at_level(logging.WARNING):
            nameless.seal(b"card", b"tap")
    assert "can be read by whoever takes it" in caplog.text
