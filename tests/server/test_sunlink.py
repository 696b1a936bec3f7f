"""URLs of cards in all their layouts, and keys of one card from a master key."""

import pytest

from server import crypt
from server.cards import personal, sun, sunkeys, sunlink
from server.cards.sunlink import Layout

ZERO = bytes(16)
A = "https://choose.url.com/ntag424?"
PICC, ENC, MAC = "FD91EC264309878BE6345CBE53BADF40", "CEE9A53E3E463EF1F459635736738962", "ECC1E7F6C6C73BF6"


def verified(url: str, mode: str = "AES") -> tuple[str, int]:
    """UID and counter of a message that is genuine under the factory's keys."""
    message = sunlink.parsed(url)
    plain = sun.opened(ZERO, message.picc) if message.picc else b"\xc7" + message.uid + message.counter
    assert sun.mac_of(mode, ZERO, plain[1:8], plain[8:11], message.covered) == message.mac
    return plain[1:8].hex().upper(), int.from_bytes(plain[8:11], "little")


URLS = {
    "AN12196 page 12": (f"{A}picc_data=EF963FF7828658A599F3041510671E88&cmac=94EED9EE65337086", "04DE5F1EACC040", 61),
    "short names": (f"{A}e=EF963FF7828658A599F3041510671E88&c=94EED9EE65337086", "04DE5F1EACC040", 61),
    "lower case": (f"{A}PICC_DATA=ef963ff7828658a599f3041510671e88&CMAC=94eed9ee65337086", "04DE5F1EACC040", 61),
    "with a file": (f"{A}picc_data={PICC}&enc={ENC}&cmac={MAC}", "04958CAA5C5E80", 8),
    "a file in lower case": (f"{A}picc_data={PICC.lower()}&enc={ENC.lower()}&cmac={MAC.lower()}", "04958CAA5C5E80", 8),
    "others beside": (f"{A}school=7&picc_data={PICC}&enc={ENC}&cmac={MAC}#top", "04958CAA5C5E80", 8),
    "in plain": (f"{A}uid=041E3C8A2D6B80&ctr=000006&cmac=4B00064004B0B3D3", "041E3C8A2D6B80", 6),
}
LRP = (
    f"{A}picc_data=1FCBE61B3E4CAD980CBFDD333E7A4AC4A579569BAFD22C5F&cmac=4231608BA7B02BA9",
    f"{A}picc_data=07D9CA2545881D4BFDD920BE1603268C0714420DD893A497&enc=D6E921C47DB4C17C56F979F81559BB83"
    "&cmac=F9481AC7D855BDB6",
)


@pytest.mark.parametrize("name", URLS)
def test_a_url_of_every_layout_is_read_as_its_card_wrote_it(name: str) -> None:
    url, uid, counter = URLS[name]
    assert verified(url) == (uid, counter)


@pytest.mark.parametrize("url", LRP)
def test_lrp_is_known_by_its_length(url: str) -> None:
    assert verified(url, "LRP") in {("04940E2A2F7080", 3), ("049B112A2F7080", 4)}


def test_data_in_one_parameter_are_covered_up_to_the_mac() -> None:
    message = sunlink.parsed(f"{A}e={PICC}{ENC}&c={MAC}")
    assert (message.picc.hex().upper(), message.covered, message.layout) == (PICC, f"{ENC}&c=".encode(), "picc_enc")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "no mac"),
        ("?", "no mac"),
        (f"?cmac={MAC}", "no uid"),
        (f"?picc_data={PICC}", "no mac"),
        (f"?picc_data={PICC}&cmac={MAC}&cmac={MAC}", "twice"),
        (f"?picc_data={PICC[:-1]}&cmac={MAC}", "pairs of hex"),
        (f"?picc_data={PICC[:-2]}&cmac={MAC}", "15 bytes"),
        (f"?picc_data={PICC}&cmac={MAC}00", "18 digits"),
        (f"?picc_data=&cmac={MAC}", "0 bytes"),
        (f"?picc_data={PICC}&enc={ENC[:-2]}&cmac={MAC}", "whole blocks"),
        (f"?picc_data={PICC}&cmac={MAC}&enc={ENC}", "before the MAC"),
        (f"?uid=04&ctr=000001&cmac={MAC}", "uid has 2 digits"),
        (f"?uid=041E3C8A2D6B80&ctr=1&cmac={MAC}", "pairs of hex"),
        ("?picc_data=zz&cmac=%00", "pairs of hex"),
    ],
)
def test_what_no_card_writes_is_refused_in_words(query: str, says: str) -> None:
    with pytest.raises(sun.Malformed, match=says):
        sunlink.parsed("https://gate.example/card" + query)


def test_a_key_of_one_card_is_the_one_that_the_application_note_prints() -> None:
    # NXP AN10922 2.2.1
    key = sun.diversified(
        bytes.fromhex("00112233445566778899AABBCCDDEEFF"),
        bytes.fromhex("04782E21801D80"),
        aid=bytes.fromhex("3042F5"),
        system=b"NXP Abu",
    )
    assert key.hex().upper() == "A8DD63A3B89D54B37CA802473FDA9175"


def test_too_short_or_too_long_a_context_is_refused_where_paddings_differ() -> None:
    for system in (b"", bytes(5), bytes(22)):
        with pytest.raises(ValueError, match="17 to 32"):
            sun.diversified(ZERO, bytes(7), aid=bytes(3), system=system)


def test_every_card_school_version_and_slot_has_keys_of_its_own() -> None:
    crypt.load(bytes(range(32)))
    one, other = bytes.fromhex("04DE5F1EACC040"), bytes.fromhex("04DE5F1EACC041")
    cards = [("mingde", one, 1), ("mingde", one, 2), ("mingde", other, 1), ("erzhong", one, 1)]
    found = [sunkeys.of_card(*card).slots for card in cards]
    own = [slots[slot] for slots in found for slot in (0, 2, 3, 4)]
    assert len(set(own)) == len(own) == 16
    assert {slots[1] for slots in found[:3]} == {sunkeys.meta_key("mingde")} != {found[3][1]}
    assert found == [sunkeys.of_card(*card).slots for card in cards]
    crypt.load(bytes(32))
    assert sunkeys.of_card("mingde", one, 1).slots != found[0]


def test_offsets_to_write_are_where_the_application_note_has_them() -> None:
    # AN12196 page 37: https://choose.url.com/ntag424?e=00...&c=00...: PICCDataOffset 20h, SDMMACOffset 43h
    setting = personal.Setting("AES", Layout.PICC, "https://choose.url.com")
    shift = len("card?picc_data=") - len("ntag424?e=")
    assert setting.offset("picc_data") == 0x20 + shift
    assert setting.offset("cmac") == 0x20 + shift + 32 + len("&cmac=")


@pytest.mark.parametrize("mode", ["AES", "LRP"])
@pytest.mark.parametrize("layout", Layout)
def test_the_url_to_write_is_one_that_is_read_as_that_layout(mode: str, layout: Layout) -> None:
    message = sunlink.parsed(personal.Setting(mode, layout, "https://gate.example").url)
    assert message.layout == layout
    assert len(message.picc) == (0 if layout.startswith("plain") else 24 if mode == "LRP" else 16)
