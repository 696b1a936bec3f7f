"""What a person writes into an NTAG 424 DNA so that it proves itself: keys, URL and where the card fills it in. Pure.

Offsets count from the begin of the NDEF file, as the card's file settings do (NXP AN12196, section 4): before the URL
stand its length x2, D1 01, the payload's length, 55 and one byte for `https://` or `http://`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from server.cards.sunkeys import FILE_READ, META, CardKeys
from server.cards.sunlink import Layout

BEFORE = 7
ENC = "0" * 32  # one block of the file
SLOT_WORDS = {
    0: "master key",
    META: "SDMMetaRead, the same in all cards of the school",
    FILE_READ: "SDMFileRead, SDMCtrRet",
    3: "not used; the factory's zeros must not stay",
    4: "not used; the factory's zeros must not stay",
}


@dataclass(frozen=True)
class Setting:
    """How a card is to write, and the address that its URL begins with."""

    mode: str
    layout: Layout
    address: str

    @property
    def url(self) -> str:
        """With zeros where the card fills in."""
        encrypted = self.layout in {Layout.PICC, Layout.PICC_ENC}
        head = f"picc_data={'0' * (48 if self.mode == 'LRP' else 32)}" if encrypted else f"uid={'0' * 14}&ctr={'0' * 6}"
        enc = f"&enc={ENC}" if self.layout in {Layout.PICC_ENC, Layout.PLAIN_ENC} else ""
        return f"{self.address.rstrip('/')}/card?{head}{enc}&cmac={'0' * 16}"

    def offset(self, parameter: str) -> int:
        """Where the digits of a parameter begin."""
        told = self.url.partition("://")[2]
        return BEFORE + told.index(f"{parameter}=") + len(parameter) + 1


def lines(uid: bytes, version: int, keys: CardKeys, setting: Setting) -> Iterator[str]:
    """All that is written into one card, for a person to read."""
    yield f"card        {uid.hex().upper()}   mode {setting.mode}   keys {version}"
    for slot, key in enumerate(keys.slots):
        yield f"key {slot}       {key.hex().upper()}   {SLOT_WORDS[slot]}"
    yield f"URL         {setting.url}"
    names = {"picc_data": "PICCDataOffset", "uid": "UIDOffset", "ctr": "SDMReadCtrOffset", "enc": "SDMENCOffset"}
    for parameter, name in names.items():
        if f"{parameter}=" in setting.url:
            yield f"{name:<18}{setting.offset(parameter)}"
    covers = "enc" if "enc=" in setting.url else "cmac"
    yield f"{'SDMMACInputOffset':<18}{setting.offset(covers)}"
    yield f"{'SDMMACOffset':<18}{setting.offset('cmac')}"
    yield "Mirror UID and counter; SDMMetaRead = key 1, or free where they stand in plain; no read counter limit."
