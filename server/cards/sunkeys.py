"""Keys of cards that prove themselves: one of its own for each card, derived when it is needed and stored nowhere.

The secret of `secrets.key_file` gives each school a master key (HKDF), and that gives each card its keys (NXP AN10922),
each for one slot of the card and one version. Whoever opens one card learns nothing of any other. Only the key that
hides UID and counter on their way (slot 1) is one for the whole school: the server must open it to learn who is there.
"""

from dataclasses import dataclass

from server import crypt
from server.cards import sun

AID = bytes.fromhex("D2760000850101")  # the application of an NTAG 424 DNA
SYSTEM = b"GATEBELL"
MASTER, META, FILE_READ = 0, 1, 2  # slots of a card; 3 and 4 are not used, and must not keep the factory's zeros
SLOTS = range(5)


@dataclass(frozen=True)
class CardKeys:
    """What is written into the slots of one card."""

    slots: tuple[bytes, ...]


def meta_key(school_id: str) -> bytes:
    """Opens the PICC data of every card of a school."""
    return crypt.derived(f"sun meta 1 {school_id}")


def file_key(school_id: str, uid: bytes, version: int) -> bytes:
    """Makes the MACs of one card."""
    return _slot(crypt.derived(f"sun master 1 {school_id}"), uid, FILE_READ, version)


def of_card(school_id: str, uid: bytes, version: int) -> CardKeys:
    """All keys of one card."""
    master = crypt.derived(f"sun master 1 {school_id}")
    own = [_slot(master, uid, slot, version) for slot in SLOTS]
    own[META] = meta_key(school_id)
    return CardKeys(tuple(own))


def _slot(master: bytes, uid: bytes, slot: int, version: int) -> bytes:
    return sun.diversified(master, uid, aid=AID, system=SYSTEM + bytes([slot, version]))
