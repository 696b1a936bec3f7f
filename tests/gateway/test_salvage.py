"""A damaged spool: what is whole comes back, what is not is seen, nothing is altered and nothing deleted."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import salvage
from gateway.clock import Clock
from gateway.seal import Seal
from gateway.spool import Spool
from tests.gateway.ends import GATE
from tests.gateway.test_spool import put


def made(folder: Path, clock: Clock, *, taps: int = 30, stored: int = 0, crash: bool = False) -> dict[str, str]:
    """A spool in `folder`, closed or left as by a crash; gives the cards of the unsent taps by id."""
    spool = Spool(folder / "spool.db", gateway=GATE, clock=clock)
    spool.open()
    made = [tap for _ in range(taps) for tap in put(spool, 1)]
    spool.done([tap.id for tap in made[:stored]])
    spool._commit()
    files = {name: (folder / name).read_bytes() for name in ("spool.db", "spool.db-wal")}
    spool.close()
    if crash:
        for name, raw in files.items():
            (folder / name).write_bytes(raw)
    return {tap.id: tap.card for tap in made[stored:]}


def cards(folder: Path, clock: Clock) -> dict[str, str]:
    """What a gateway that starts on this folder would send."""
    spool = Spool(folder / "spool.db", gateway=GATE, clock=clock)
    spool.open()
    found = {tap.id: tap.card for tap in spool.unsent(limit=1000)}
    numbers = [(tap.spool, tap.seq) for tap in spool.unsent(limit=1000)]
    assert len(set(numbers)) == len(numbers) and spool.next_seq > max((seq for _, seq in numbers), default=0)
    spool.close()
    return found


def test_a_file_that_is_no_database_is_set_aside_under_a_new_id(tmp_path: Path, clock: Clock) -> None:
    made(tmp_path, clock)
    (tmp_path / "spool.db").write_bytes(b"not a database, " * 500)
    assert cards(tmp_path, clock) == {}
    (aside,) = [file for file in tmp_path.glob("spool.db.bad-*") if file.suffix != "-wal"]
    assert aside.read_bytes().startswith(b"not a database")


def test_rows_of_a_damaged_file_come_back_under_their_own_ids(tmp_path: Path, clock: Clock) -> None:
    expected = made(tmp_path, clock, stored=10)
    file = tmp_path / "spool.db"
    raw = bytearray(file.read_bytes())
    raw[4096 * 2 : 4096 * 2 + 8] = b"\xff" * 8  # the header of the page that holds the tree of taps
    with closing(sqlite3.connect(file)) as healthy:
        (before,) = healthy.execute("SELECT value FROM meta").fetchone()
    raw[100:108] = b"\xff" * 8  # the page that holds the schema
    file.write_bytes(raw)
    spool = Spool(file, gateway=GATE, clock=clock)
    spool.open()
    taps = spool.unsent(limit=100)
    assert {tap.id: tap.card for tap in taps} == expected
    assert spool.id != before and {tap.spool for tap in taps} == {spool.id}
    assert [tap.seq for tap in taps] == list(range(1, 21))
    spool.close()


@pytest.mark.parametrize("crash", [False, True], ids=["closed", "crashed"])
def test_damage_anywhere_hides_only_the_rows_it_hits(tmp_path: Path, clock: Clock, crash: bool) -> None:
    """50 spots in turn, a bit or a sector: every other tap is sent, none with another card."""
    expected = made(tmp_path / "whole", clock, taps=12, crash=crash)
    files = {file.name: file.read_bytes() for file in (tmp_path / "whole").glob("spool.db*")}
    chance = random.Random(7)
    for number in range(50):
        folder = tmp_path / str(number)
        folder.mkdir()
        hit = chance.choice([name for name, raw in files.items() if raw])
        at, sector = chance.randrange(len(files[hit])), chance.random() < 0.2
        for name, raw in files.items():
            (folder / name).write_bytes(_damaged(raw, at, sector=sector) if name == hit else raw)
        found = cards(folder, clock)
        assert found.items() <= expected.items()
        lost = len(expected) - len(found)
        assert lost <= (3 if sector else 1), f"{number}: {lost} lost by damage at {at} of {hit}"


def _damaged(raw: bytes, at: int, *, sector: bool) -> bytes:
    torn = bytearray(raw)
    if sector:
        torn[at : at + 512] = bytes(len(torn[at : at + 512]))
    else:
        torn[at] ^= 1 << at % 8
    return bytes(torn)


def test_a_flipped_bit_in_the_wal_does_not_drop_all_that_follows(tmp_path: Path, clock: Clock) -> None:
    expected = made(tmp_path, clock, crash=True)
    wal = tmp_path / "spool.db-wal"
    raw = bytearray(wal.read_bytes())
    raw[len(raw) // 3] ^= 4
    wal.write_bytes(raw)
    with closing(sqlite3.connect(f"file:{tmp_path}/spool.db?mode=ro", uri=True)) as plain:
        seen = plain.execute("SELECT count(*) FROM tap").fetchone()[0]
    wal.write_bytes(raw)
    assert seen < 20  # SQLite alone would have lost the rest
    assert cards(tmp_path, clock) == expected


def test_a_rotten_row_is_kept_apart_and_leaves_a_gap(spool: Spool) -> None:
    first, second, third = put(spool, 3)
    spool._db.execute("UPDATE tap SET body = replace(body, ?, '0') WHERE seq = 2", (second.id,))
    assert spool.unsent(limit=10) == [first, third]
    assert spool._db.execute("SELECT seq FROM bad").fetchall() == [(2,)]


def test_stored_rows_are_not_sent_again_after_damage(tmp_path: Path, clock: Clock) -> None:
    expected = made(tmp_path, clock, taps=20, stored=15)
    file = tmp_path / "spool.db"
    raw = bytearray(file.read_bytes())
    raw[100:108] = b"\xff" * 8
    file.write_bytes(raw)
    assert cards(tmp_path, clock) == expected


@settings(deadline=None)
@given(st.binary(max_size=400), st.integers(0, 7), st.data())
def test_a_row_is_found_in_any_bytes_and_never_with_a_wrong_bit(noise: bytes, bit: int, data: st.DataObject) -> None:
    row = ROW
    body = salvage.body(row, SEAL).encode()
    assert row in salvage.rows(noise + body + noise, SEAL)
    at = data.draw(st.integers(1, len(body) - 1))
    broken = body[:at] + bytes([body[at] ^ 1 << bit]) + body[at + 1 :]
    assert salvage.rows(noise + broken, SEAL) == []


SEAL = Seal(Path("/nowhere"))
ROW = salvage.Row(
    salvage._tap.decode(
        b'{"id":"01a20746-4e96-7fb4-9018-bfa83c4fccf9","spool":"80d55a9164a3c675","seq":1,"gateway":"gate-1",'
        b'"reader":"east","direction":"in","card":"em4100:67003B51C6","at":1795418377878,"clock":"synced",'
        b'"boot":"b1","ticks":2544903,"late":false}'
    ),
    stored=False,
)
