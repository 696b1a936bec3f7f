"""A stolen disk: no card in any file, whatever happened before; and a moved disk: no tap is lost, none is read."""

import logging
import random
import signal
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from gateway import salvage, wire
from gateway import spool as module
from gateway.clock import Clock
from gateway.salvage import Row
from gateway.seal import Seal
from gateway.spool import Limits, Spool
from gateway.wire import Kind, Tap
from tests import services
from tests.gateway.conftest import Write
from tests.gateway.ends import GATE, Cable, School, until
from tests.gateway.listing import many, packed, parts
from tests.gateway.test_gateway import is_listening, process
from tests.gateway.test_seal import seal_of
from tests.gateway.test_spool import no_larger_files, put

CARDS = many(24, seed=4711)
SMALL = Limits(reserve=1)


def spellings(card: str) -> list[bytes]:
    """What of a card could stand in a file, in letters and in bytes."""
    digits = card.partition(":")[2]
    number, raw = int(digits, 16), bytes.fromhex(digits)
    words = [digits, digits.lower(), str(number), f"{number & 0xFFFFFFFF:010d}", f"{number & 0xFFFFFF:08d}"]
    letters = [word.encode(code) for word in words for code in ("ascii", "utf-16-le", "utf-16-be")]
    return [*letters, raw, raw[::-1], raw[1:], raw[:0:-1]]


def found_in(folder: Path, cards: list[str]) -> set[str]:
    """Files that hold a card in any spelling."""
    found = set()
    for file in [file for file in folder.rglob("*") if file.is_file()]:
        raw = file.read_bytes()
        if any(spelt in raw for card in cards for spelt in spellings(card)):
            found.add(file.name)
    return found


def test_a_killed_gateways_disk_names_no_card(
    write: Write, mosquitto: services.Mosquitto, school: School, cable: Cable, tmp_path: Path
) -> None:
    """Taps stored, taps waiting, a list, a damaged file set aside: every file of a disk that was torn out."""
    (tmp_path / "stick").write_bytes(random.Random(1).randbytes(32))
    path, data = write(mosquitto.url, top=f'machine_key_file = "{tmp_path}/stick"'), tmp_path / "data"
    said = ""
    for damaged in (False, True):
        with process(path) as child:
            until(lambda: [s for s in school.states if s.online])
            is_listening(school)
            for part in parts(packed(CARDS, lost=many(2))):
                school.say(Kind.COMMAND, wire.encode(part))
            until(lambda: school.states[-1].lists and len(school.states[-1].lists) == 3)
            for number, card in enumerate(CARDS[12:] if damaged else CARDS[:12]):
                school.answering = number < 6
                cable.touch(card)
                until(lambda card=card: card in {tap.card for tap in school.taps})
            child.send_signal(signal.SIGKILL)
            said += child.communicate()[1]
        assert {"spool.db", "spool.db-wal", "cards.list", "seal.salt"} <= {file.name for file in data.iterdir()}
        assert found_in(data, CARDS) == set()
        for name, at in (("spool.db", 100), ("spool.db-wal", 0)):  # the schema, and what SQLite knows a WAL by
            with (data / name).open("r+b") as file:
                file.seek(at)
                file.write(b"\xff" * 8)
    assert [file for file in data.iterdir() if ".bad-" in file.name]
    assert not [card for card in CARDS if card[-10:] in said] and "tap #12" in said
    assert len({tap.card for tap in school.taps}) == 24


def plain(tap: Tap, *, stored: bool = False) -> str:
    """A body of the first format."""
    text = msgspec.json.encode(tap)
    return f"{'S' if stored else 'U'}{zlib.crc32(text):08x}{text.decode()}"


def first_format(folder: Path, seal: Seal, clock: Clock, *, crash: bool = False, more: int = 0) -> list[Tap]:
    """A spool as the first version wrote it: 12 taps, 4 of them stored, one rotten; gives those that wait."""
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(salvage, "body", lambda row, seal: plain(row.tap, stored=row.stored))
        patch.setattr(module, "SCHEMA", module.SCHEMA.replace("user_version = 2", "user_version = 1"))
        patch.setattr(module.spoolfile, "claim", lambda db, seal: None)
        spool = Spool(folder / "spool.db", gateway=GATE, clock=clock, limits=SMALL, seal=seal)
        spool.open()
        taps = [tap for card in CARDS[:12] for tap in spool.put([_touch(card)])]
        spool.done([tap.id for tap in taps[:4]])
        spool._db.execute("UPDATE tap SET body = replace(body, '\"late\"', '\"laid\"') WHERE seq = 12")
        spool._db.execute("INSERT INTO bad VALUES (99, ?, 0)", (plain(taps[0]),))
        spool._commit()
        taps += spool.put([_touch(card) for card in CARDS[12:] * more])
        files = {name: (folder / name).read_bytes() for name in ("spool.db", "spool.db-wal")}
        spool.close()
    if crash:
        for name, raw in files.items():
            (folder / name).write_bytes(raw)
    return taps[4:11] + taps[12:]


def _touch(card: str) -> module.Touch:
    return module.Touch("east", wire.Direction.IN, card, 1_795_000_000_000, wire.ClockState.SYNCED, 1)


@pytest.mark.parametrize("crash", [False, True], ids=["closed", "crashed"])
def test_an_old_spool_is_sealed_and_loses_nothing(tmp_path: Path, clock: Clock, crash: bool) -> None:
    seal = seal_of(tmp_path)
    waiting = first_format(tmp_path / "data", seal, clock, crash=crash)
    assert found_in(tmp_path / "data", CARDS)  # the search itself works
    spool = Spool(tmp_path / "data" / "spool.db", gateway=GATE, clock=clock, limits=SMALL, seal=seal)
    spool.open()
    assert found_in(tmp_path / "data", CARDS) == set()
    rescued = spool.unsent(limit=50)[len(waiting) :]  # the rotten one, from an older page in the WAL
    assert spool.unsent(limit=7) == waiting and spool.id == waiting[0].spool and len(rescued) == crash
    assert spool.resend(1) == 4 and spool.depth() == 11 + crash
    assert spool._db.execute("SELECT seq FROM bad ORDER BY seq").fetchall() == [(12,), (99,)]
    spool.close()
    assert found_in(tmp_path / "data", CARDS) == set()


def test_an_old_spool_on_a_full_disk_is_used_as_it_is(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    seal = seal_of(tmp_path)
    waiting = first_format(tmp_path / "data", seal, clock, more=30)
    spool = Spool(tmp_path / "data" / "spool.db", gateway=GATE, clock=clock, limits=SMALL, seal=seal)
    with no_larger_files(40_000):
        spool.open()
        assert spool.unsent(limit=5) == waiting[:5]
    assert "cards in it can be read" in caplog.text
    spool.close()
    spool.open()
    assert spool.depth() == len(waiting) and found_in(tmp_path / "data", CARDS) == set()
    spool.close()


def opened(folder: Path, clock: Clock, seal: Seal) -> Spool:
    """The spool of this disk in this machine."""
    spool = Spool(folder / "spool.db", gateway=GATE, clock=clock, limits=SMALL, seal=seal)
    spool.open()
    return spool


@pytest.mark.parametrize("crash", [False, True], ids=["closed", "crashed"])
def test_in_another_machine_taps_are_kept_aside_and_in_their_own_they_come_back(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture, crash: bool
) -> None:
    own, other = seal_of(tmp_path), Seal(tmp_path / "data", str(tmp_path / "other"))
    (tmp_path / "other").write_bytes(b"another machine")
    folder = tmp_path / "data"
    first = opened(folder, clock, own)
    taps = put(first, 5)
    first.done([taps[0].id])
    first._commit()
    files = {name: (folder / name).read_bytes() for name in ("spool.db", "spool.db-wal")}
    first.close()
    if crash:
        for name, raw in files.items():
            (folder / name).write_bytes(raw)

    with caplog.at_level(logging.CRITICAL):
        moved = opened(folder, clock, other)
    assert "put the disk back into the machine that it came from" in caplog.text and taps[0].spool in caplog.text
    assert moved.unsent(limit=9) == [] and moved.id != taps[0].spool
    assert [(each.spool, each.next_seq, each.depth) for each in moved.locked] == [(taps[0].spool, 6, 4)]
    (there,) = put(moved, 1)
    moved.close()
    still = opened(folder, clock, other)
    assert still.unsent(limit=9) == [there] and still.locked == moved.locked
    still.close()

    back = opened(folder, clock, own)
    assert {tap.id for tap in back.unsent(limit=9)} == {tap.id for tap in taps[1:]}
    assert {tap.card for tap in back.unsent(limit=9)} == {tap.card for tap in taps[1:]}
    assert [(each.spool, each.depth) for each in back.locked] == [(there.spool, 1)]
    assert not list(folder.glob("*.bad-*")) and len(list(folder.glob("spool.db.opened-*-[0-9]*"))) >= 1
    back.close()


def test_a_rotten_mark_does_not_make_a_spool_another_machines(tmp_path: Path, clock: Clock) -> None:
    seal = seal_of(tmp_path)
    spool = opened(tmp_path / "data", clock, seal)
    taps = put(spool, 3)
    spool._db.execute("UPDATE meta SET value = 'rotten' WHERE key = 'seal'")
    spool.close()
    spool.open()
    assert spool.unsent(limit=9) == taps and not spool.locked
    with closing(sqlite3.connect(spool.path)) as other:
        assert other.execute("SELECT value FROM meta WHERE key = 'seal'").fetchone() != ("rotten",)
    spool.close()


def test_what_a_card_says_of_itself_is_sealed_with_it(tmp_path: Path, clock: Clock) -> None:
    seal = seal_of(tmp_path)
    spool = opened(tmp_path / "data", clock, seal)
    (tap,) = put(spool, 1)
    spool.close()
    signed = msgspec.structs.replace(tap, sun="https://c.example/?d=EF963FF7828658A599F3041510671E88")
    body = salvage.body(Row(signed, stored=False), seal)
    assert "EF963" not in body and "c.example" not in body and salvage.read(body, seal) == Row(signed, stored=False)
