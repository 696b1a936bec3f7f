"""The cut itself, and the spool alone: what was on disk before a cut began stays, and what was not waited for goes.

These are many cuts in little time; test_power_cut has the whole line.
"""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.durability import line, writer
from tests.durability.full import FULL
from tests.durability.powerdisk import PowerDisk, obstacle
from tests.gateway.ends import until

pytestmark = pytest.mark.slow
CUTS = 100 if FULL else 6
Told = dict[str, int]  # what was written -> when, in nanoseconds of CLOCK_MONOTONIC


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[PowerDisk]:
    """A small one."""
    if reason := obstacle(tmp_path):
        pytest.skip(reason)
    with PowerDisk(tmp_path / "disk", mib=48) as disk:
        yield disk


def told(log: Path) -> Told:
    """What a writer said."""
    whole = [each.split() for each in log.read_text("ascii").splitlines(keepends=True) if each.endswith("\n")]
    return {what: int(when) for what, when in whole}


def cut_off(disk: PowerDisk, how: str, chance: random.Random) -> tuple[Told, int]:
    """A writer whose power goes after some hundred milliseconds; what it had said, and when the cut began."""
    log = disk.folder.with_name("told")
    log.write_bytes(b"")
    with line.Child(
        disk.folder.with_name("writer.log"), "tests.durability.writer", how, str(disk.folder), str(log)
    ) as child:
        until(lambda: log.stat().st_size > 0, seconds=60)
        time.sleep(chance.uniform(0.05, 0.5))
        began = disk.cut()
        child.kill()
    disk.reboot()
    return told(log), began


def lost(disk: PowerDisk, how: str, kept: Callable[[Path], set[str]]) -> int:
    """Over many cuts: what was written before one began and is gone after it."""
    chance, before, late, gone, late_gone = random.Random(1), 0, 0, 0, 0
    for _ in range(CUTS):
        said, began = cut_off(disk, how, chance)
        missing = said.keys() - kept(disk.folder)
        early = {what for what, when in said.items() if when < began}
        before, gone = before + len(early), gone + len(early & missing)
        late, late_gone = late + len(said) - len(early), late_gone + len(missing - early)
    print(f"{how}: {CUTS} cuts, {before} before, {gone} of them lost; {late} after one began, {late_gone} of them lost")
    assert before > CUTS
    return gone


def test_what_was_fsynced_before_a_cut_began_stays(disk: PowerDisk) -> None:
    assert lost(disk, "fsync", writer.appended) == 0


def test_what_was_not_fsynced_goes(disk: PowerDisk) -> None:
    assert lost(disk, "flush", writer.appended) > 0


def test_a_spool_keeps_what_it_took_before_a_cut_began(disk: PowerDisk) -> None:
    assert lost(disk, "spool", writer.spooled) == 0


def test_a_spool_that_does_not_wait_for_the_disk_loses_taps(disk: PowerDisk) -> None:
    assert lost(disk, "normal", writer.spooled) > 0
