"""What the gateway says of itself: the content of the birth, the heartbeat and the last will."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import msgspec

from gateway import __version__
from gateway.clock import Clock
from gateway.config import ReaderSection
from gateway.readers.base import Fault
from gateway.spool import Spool
from gateway.wire import LAST_SEQ, MAX_GONE, Gone, ReaderHealth, ReaderState, State, Tested

REFUSED = {"two-cards", "random-uid"}  # faults that a pupil causes and can mend
HWMON = Path("/sys/class/hwmon")


def undervoltage(hwmon: Path = HWMON) -> bool | None:
    """Whether the Pi's supply is too weak now; None where the kernel has no sensor for it."""
    for alarm in sorted(hwmon.glob("hwmon*/in0_lcrit_alarm")):
        if (alarm.parent / "name").read_text("ascii").strip() == "rpi_volt":
            return alarm.read_text("ascii").strip() != "0"
    return None


@dataclass
class Record:
    """What happened at one reader since the start."""

    section: ReaderSection
    health: ReaderHealth = ReaderHealth.DOWN
    cards: int = 0
    last_card: int | None = None
    faults: Counter[str] = field(default_factory=Counter)
    why: str = ""  # a word of wire.Trouble and what it is about, unless all is well
    _minutes: Counter[int] = field(default_factory=Counter)  # faults by minute of the monotonic clock, the newest two

    def count(self, fault: Fault) -> None:
        """One more fault of its kind."""
        self.faults[fault.kind] += 1
        minute = int(time.monotonic() // 60)
        if minute not in self._minutes:
            self._minutes = Counter({minute - 1: self._minutes[minute - 1]})
        self._minutes[minute] += fault.kind not in REFUSED

    def lately(self) -> int:
        """Faults of the line, not of a pupil, in the last minute or two."""
        minute = int(time.monotonic() // 60)
        return self._minutes[minute] + self._minutes[minute - 1]

    def touched(self, at: int) -> None:
        """One more tap."""
        self.cards += 1
        self.last_card = at

    def state(self) -> ReaderState:
        """For the wire."""
        return ReaderState(
            reader=self.section.id,
            health=self.health,
            profile=self.section.profile,
            cards=self.cards,
            faults=dict(self.faults),
            last_card=self.last_card,
            why=self.why or msgspec.UNSET,
        )


def absent(spool: Spool, wanted: str, start: int) -> list[Gone]:
    """Which numbers of the spool `wanted` from `start` on are not here: never were, or are not kept any more."""
    if spool.id != wanted:
        return [Gone(spool=wanted, first=start, last=LAST_SEQ)]
    ends = [start - 1, *spool.kept(start), spool.next_seq]
    holes = [(before + 1, after - 1) for before, after in pairwise(ends) if after > before + 1]
    return [Gone(spool=wanted, first=first, last=last) for first, last in holes[:MAX_GONE]]


def last_will(birth: int) -> State:
    """What the broker says when the connection with this birth breaks."""
    return State(online=False, birth=birth, at=birth, version=__version__)


def heartbeat(
    birth: int,
    *,
    clock: Clock,
    spool: Spool,
    records: Iterable[Record],
    full: bool,
    tested: Tested | None = None,
    lists: Mapping[str, str] | None = None,
) -> State:
    """Everything the server wants to know every 20 seconds. `full`: the last tap found no room."""
    return State(
        online=True,
        birth=birth,
        at=clock.now(),
        spool=spool.id,
        next_seq=spool.next_seq,
        depth=spool.depth(),
        oldest=spool.oldest(),
        boot=clock.boot,
        ticks=clock.ticks(),
        clock=clock.state(),
        undervoltage=undervoltage(),
        spool_full=full or spool.is_full(),
        version=__version__,
        readers=[record.state() for record in records],
        tested=tested,
        lists=None if lists is None else dict(lists),
        locked=spool.locked,
    )
