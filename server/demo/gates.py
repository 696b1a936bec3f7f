"""The demo's two gates: which readers stand there and which of a card's two chips each of them sees."""

from dataclasses import dataclass

GATEWAYS = {"gate-1": "1号门 东门", "gate-2": "2号门 南门"}


@dataclass(frozen=True)
class Reader:
    """One reader: its gateway, its name, what it is, which way it lets through, and the chip it can read."""

    gateway: str
    id: str
    name: str
    profile: str
    direction: str
    chip: int


READERS = (
    Reader("gate-1", "east-in", "东门 进", "rdm6300", "in", 0),
    Reader("gate-1", "east-out", "东门 出", "id12la", "out", 0),
    Reader("gate-2", "south-in", "南门 进", "pn532", "in", 1),
    Reader("gate-2", "south-out", "南门 出", "pn532", "out", 1),
)
BY_ID = {reader.id: reader for reader in READERS}


def at(gate: str, direction: str) -> Reader:
    """The reader of a gate (`east`, `south`) for one direction."""
    return BY_ID[f"{gate}-{direction}"]
