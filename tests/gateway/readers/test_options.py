"""What the operator may choose for a reader, and what is said to a wrong choice."""

import pytest

from gateway import readers
from gateway.readers.base import Card, Fault
from gateway.readers.rdm6300 import Rdm6300
from tests.gateway.readers.frames import heard

SUM_CARD = bytes.fromhex("324530304146304543394234")  # a clone that adds instead of XORing


@pytest.mark.parametrize("name", ["rdm6300", "em18"])
def test_a_clone_that_adds_its_bytes_is_read_only_when_asked_for(name):
    protocol = readers.load(name)
    line = b"\x02" + SUM_CARD + b"\x03" if name == "rdm6300" else SUM_CARD
    assert heard(protocol(), line) == [Fault("checksum")]
    assert heard(protocol(checksum="sum"), line) == [Card("em4100:2E00AF0EC9")]
    with pytest.raises(ValueError, match="xor or sum"):
        protocol(checksum="crc")


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="chekcsum"):
        Rdm6300(chekcsum="sum")


def test_an_unknown_reader_lists_the_known():
    with pytest.raises(readers.UnknownReader, match=r"'rdm63'; known: .*em18.*rdm6300"):
        readers.load("rdm63")


def test_parts_shared_by_readers_are_no_readers():
    assert not [name for name in readers.names() if name.startswith(("_", "-")) or name == "base"]
