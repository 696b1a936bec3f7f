"""Writes as fast as it can, to be cut off: `python -m tests.durability.writer <how> <folder> <log>`.

`how` is `fsync` or `flush` (an appended file), `spool` (the product's) or `normal` (its mutant that does not wait for
the disk). After each write `<what> <when>` goes to the log, which is no file of the disk that is cut; `when` is
CLOCK_MONOTONIC in nanoseconds.
"""

import os
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from gateway.clock import Clock
from gateway.spool import Spool, Touch
from gateway.wire import ClockState, Direction
from tests.durability import mutants

NAME = "spool.db"


def lines(folder: Path, *, synced: bool) -> Iterator[str]:
    """Lines of 16 digits at the end of a file; each is given when it is written."""
    begin = len(appended(folder))
    with (folder / "lines").open("ab", buffering=0) as file:
        for n in count(begin):
            file.write(f"{n:016}\n".encode())
            if synced:
                os.fsync(file.fileno())
            yield f"{n:016}"


def appended(folder: Path) -> set[str]:
    """What stands in that file."""
    file = folder / "lines"
    return set(file.read_text("ascii", "replace").split()) if file.exists() else set()


def opened(folder: Path, mutant: str = "") -> Spool:
    """The spool of this folder."""
    spool = mutants.choose_spool(mutant)(folder / NAME, gateway="gate-1", clock=Clock(trusted=True))
    spool.open()
    return spool


def taps(folder: Path, mutant: str) -> Iterator[str]:
    """Ids of taps; the server stores them some time later, and the file is tidied as in a gateway."""
    spool = opened(folder, mutant)
    for n in count():
        touch = Touch("east", Direction.IN, f"em4100:{n:010X}", spool.clock.now(), ClockState.SYNCED, n)
        yield from (tap.id for tap in spool.put([touch]))
        if n % 20 == 19:
            spool.done([tap.id for tap in spool.unsent(limit=10)])
        spool.settle(time.monotonic() + (10 if n % 200 == 199 else 0))  # the WAL is moved into the file


def spooled(folder: Path) -> set[str]:
    """Ids in a spool, after a start of the product."""
    spool = opened(folder)
    try:
        return {id for (id,) in spool._db.execute("SELECT id FROM tap")}
    finally:
        spool.close()


def main(how: str, folder: str, log: str) -> None:
    """Until somebody ends it, or the disk fails."""
    if how in {"fsync", "flush"}:
        written = lines(Path(folder), synced=how == "fsync")
    else:
        written = taps(Path(folder), "normal" if how == "normal" else "")
    with open(log, "ab", buffering=0) as told:
        for each in written:
            told.write(f"{each} {time.monotonic_ns()}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
