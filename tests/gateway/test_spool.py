"""The spool: on disk before anything else, left only by name, in bounds, one owner."""

import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gateway import spool as module
from gateway.clock import Clock
from gateway.spool import Limits, NotStored, Spool, SpoolFull, SpoolUnusable, Touch
from gateway.wire import ClockState, Direction, Tap
from tests.gateway.conftest import Time
from tests.gateway.ends import GATE

DAY = 86_400_000


def touch(number: int = 0) -> Touch:
    """The `number`th card of a morning."""
    return Touch("east", Direction.IN, f"em4100:{number:010X}", 1_795_000_000_000 + number, ClockState.SYNCED, number)


def put(spool: Spool, count: int) -> list[Tap]:
    """So many taps."""
    return spool.put([touch(number) for number in range(count)])


def on_disk(path: Path) -> list[str]:
    """Ids that another process sees."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as other:
        return [id for (id,) in other.execute("SELECT id FROM tap WHERE stored_at IS NULL ORDER BY seq")]


def reopened(spool: Spool) -> Spool:
    """The same file after a restart."""
    spool.close()
    spool.open()
    return spool


def test_a_tap_is_on_disk_when_put_returns(spool: Spool) -> None:
    taps = put(spool, 3)
    assert on_disk(spool.path) == [tap.id for tap in taps]
    assert [tap.seq for tap in taps] == [1, 2, 3] and {tap.spool for tap in taps} == {spool.id}


def test_the_spool_is_durable_against_a_pulled_plug(spool: Spool) -> None:
    assert spool._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert spool._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_restart_keeps_taps_numbers_and_spool_id(spool: Spool) -> None:
    taps, id = put(spool, 2), spool.id
    assert reopened(spool).unsent(limit=10) == taps
    assert spool.id == id and put(spool, 1)[0].seq == 3


def test_a_tap_leaves_only_by_its_id(spool: Spool) -> None:
    first, second, third = put(spool, 3)
    spool.done([second.id, "00000000-0000-7000-8000-000000000000"])
    assert spool.unsent(limit=10) == [first, third]
    assert spool.depth() == 2 and spool.oldest() == first.at
    assert [tap.id for tap in reopened(spool).unsent(limit=10)] == [first.id, third.id]


def test_unsent_goes_on_behind_a_number(spool: Spool) -> None:
    taps = put(spool, 5)
    assert spool.unsent(limit=2) == taps[:2]
    assert spool.unsent(limit=2, after=taps[1].seq) == taps[2:4]


def test_marks_reach_the_disk_within_a_second_or_so(spool: Spool) -> None:
    (tap,) = put(spool, 1)
    spool.settle(module.time.monotonic())
    spool.done([tap.id])
    spool.settle(module.time.monotonic())
    assert on_disk(spool.path) == [tap.id]
    spool.settle(module.time.monotonic() + module.SETTLE_S + 0.1)
    assert on_disk(spool.path) == []


def test_a_crash_before_that_only_sends_again(spool: Spool, tmp_path: Path, clock: Clock) -> None:
    (tap,) = put(spool, 1)
    spool.done([tap.id])
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for file in (spool.path, Path(f"{spool.path}-wal")):
        shutil.copy(file, crashed)
    other = Spool(crashed / "spool.db", gateway=GATE, clock=clock)
    other.open()
    assert other.unsent(limit=10) == [tap]
    other.close()


def test_a_number_is_never_used_twice(spool: Spool, time: Time) -> None:
    spool.done([tap.id for tap in put(spool, 3)])
    time.ticks += 8 * DAY
    with_clock = Clock(boot="b1", ticks=lambda: time.ticks)
    spool.clock = with_clock
    spool._db.execute("DELETE FROM tap")
    assert put(reopened(spool), 1)[0].seq == 4


def test_stored_taps_are_kept_for_a_resync_and_then_forgotten(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    taps = put(spool, 3)
    spool.done([tap.id for tap in taps[:2]])
    now = module.time.monotonic()
    spool.settle(now + 1_000)
    assert spool.resend(2) == 1 and spool.unsent(limit=9) == taps[1:]
    spool.done([taps[1].id])
    later = Clock(boot="b1").now() + 8 * DAY
    monkeypatch.setattr(Clock, "now", lambda _: later)
    spool.settle(now + 2_000)
    assert spool.resend(1) == 0 and spool.unsent(limit=9) == taps[2:]


def small(tmp_path: Path, clock: Clock, *, reserve: int = 1) -> Spool:
    """A spool of 256 kB."""
    spool = Spool(tmp_path / "small.db", gateway=GATE, clock=clock, limits=Limits(256 << 10, reserve))
    spool.open()
    return spool


def fill(spool: Spool) -> int:
    """Put taps until the spool refuses; gives how many it took."""
    taken = 0
    with pytest.raises(SpoolFull, match="not stored"):
        while taken < 10_000:
            spool.put([touch(taken)])
            taken += 1
    return taken


def test_a_full_spool_refuses_and_loses_nothing(tmp_path: Path, clock: Clock) -> None:
    spool = small(tmp_path, clock)
    taken = fill(spool)
    assert spool.is_full() and 300 < taken == spool.depth()
    assert reopened(spool).depth() == taken
    spool.close()


def test_stored_taps_make_room_for_new_ones(tmp_path: Path, clock: Clock) -> None:
    spool = small(tmp_path, clock)
    fill(spool)
    spool.done([tap.id for tap in spool.unsent(limit=100)])
    before = spool.depth()
    assert not spool.is_full()
    assert len(put(spool, 5)) == 5 and spool.depth() == before + 5
    spool.close()


@contextmanager
def no_larger_files(size: int) -> Iterator[None]:
    """The kernel refuses to let files grow, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_takes_no_more_is_an_error_and_not_a_tap(spool: Spool) -> None:
    (first,) = put(spool, 1)
    wal = Path(f"{spool.path}-wal").stat().st_size
    with no_larger_files(wal), pytest.raises(NotStored):
        put(spool, 40)
    assert on_disk(spool.path) == [first.id]
    assert put(spool, 1)[0].seq == 2  # the refused ones have used no numbers


def test_the_reserve_is_given_up_for_a_tap(spool: Spool) -> None:
    reserve = spool.path.with_suffix(".reserve")
    assert reserve.exists()
    with no_larger_files(Path(f"{spool.path}-wal").stat().st_size), pytest.raises(NotStored):
        put(spool, 40)
    assert not reserve.exists()
    reopened(spool)
    assert reserve.exists()


def test_a_disk_that_takes_no_marks_does_not_stop_the_gate(spool: Spool) -> None:
    taps = put(spool, 60)
    spool.done([tap.id for tap in taps])
    with no_larger_files(Path(f"{spool.path}-wal").stat().st_size):
        spool.settle(module.time.monotonic() + 10)
    assert spool.depth() == 60


def test_the_wal_is_emptied_when_nothing_happens(spool: Spool) -> None:
    put(spool, 10)
    wal = Path(f"{spool.path}-wal")
    spool.settle(module.time.monotonic() + 1)
    assert wal.stat().st_size > 0
    spool.settle(module.time.monotonic() + module.IDLE_S + 1)
    assert wal.stat().st_size == 0


def test_two_gateways_on_one_spool_are_refused(spool: Spool, clock: Clock) -> None:
    with pytest.raises(SpoolUnusable, match=r"in use by another gateway \(process \d+\): stop it first"):
        Spool(spool.path, gateway=GATE, clock=clock).open()
    spool.close()
    other = Spool(spool.path, gateway=GATE, clock=clock)
    other.open()
    other.close()


def test_a_newer_format_is_left_alone(spool: Spool) -> None:
    spool._db.execute("PRAGMA user_version = 9")
    with pytest.raises(SpoolUnusable, match="newer gateway"):
        reopened(spool)
    assert spool.path.exists() and not list(spool.path.parent.glob("*.bad-*"))


def test_a_folder_that_is_none_is_named(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolUnusable, match="file cannot be used: .*; data_dir must be a folder"):
        Spool(tmp_path / "file" / "spool.db", gateway=GATE, clock=clock).open()


def test_a_file_that_cannot_be_opened_is_not_set_aside(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "spool.db").mkdir()
    with pytest.raises(SpoolUnusable, match="cannot be opened"):
        Spool(tmp_path / "spool.db", gateway=GATE, clock=clock).open()
    assert (tmp_path / "spool.db").is_dir()
