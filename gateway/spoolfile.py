"""What is done to the spool's file before anybody uses it: locked, checked, claimed for this machine, set aside."""

import fcntl
import logging
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import IO

from gateway import salvage
from gateway.salvage import Row
from gateway.seal import Foreign, Seal
from gateway.wire import Locked

log = logging.getLogger("gateway.spool")

FORMAT = 2  # 1: cards were not sealed
CHUNK = 500  # rows that are sealed at once when an old file is upgraded
SAMPLE = 50  # rows that are tried when the mark of the machine is gone
CLAIM = "this spool is this machine's"
NOT_THE_FILE = {  # errors that say nothing against the file: it is not set aside for them
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}


class NotStored(Exception):
    """The tap is not on disk, so the light stays red; the text says why."""


class SpoolFull(NotStored):
    """The spool has reached its limit with taps that the server has not stored yet, or the disk is full."""


class SpoolUnusable(Exception):
    """The spool cannot be opened; the text says what to do."""


class OtherMachine(Exception):
    """The spool's cards are sealed by another machine; nothing is wrong with the file."""


def not_stored(error: sqlite3.OperationalError) -> NotStored:
    """What an error of SQLite means for the tap."""
    if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
        return SpoolFull(f"no room on the disk: {error}")
    return NotStored(f"the disk does not take the tap: {error}")


def is_blamed(error: sqlite3.DatabaseError) -> bool:
    """Whether an error speaks against the file."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF not in NOT_THE_FILE


def text(raw: bytes) -> str:
    """Any bytes as text: a rotten row is found by its crc, not by an exception."""
    return raw.decode("utf-8", "replace")


def wal(path: Path) -> bytes:
    """The bytes of the log beside a file."""
    try:
        return path.with_name(path.name + "-wal").read_bytes()
    except FileNotFoundError:
        return b""


def lock(path: Path) -> IO[str]:
    """Hold this folder alone. Raises SpoolUnusable when another process has it."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise SpoolUnusable(f"{path.parent} is in use by another gateway (process {owner}): stop it first") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


# a file that cannot be used here


def set_aside(path: Path, error: sqlite3.DatabaseError, rescued: list[Row], seal: Seal) -> list[Row]:
    """Rename a bad file, never delete it; gives the rows that can be read from it and that the server has not."""
    aside = _renamed(path, "bad")
    found = salvage.merge([*salvage.rows(aside.read_bytes(), seal), *salvage.rows(wal(aside), seal), *rescued])
    log.error("spool is damaged (%s): set aside as %s, %d taps can be read", error, aside.name, len(found))
    return [row for row in found if not row.stored]


def lock_away(path: Path, error: OtherMachine) -> list[Row]:
    """Rename a file that another machine has sealed; it is opened again when it is back in that one."""
    aside = _renamed(path, "locked")
    log.critical(
        "%s: its taps cannot be read here and are missing at the school. They are kept as %s: put the disk back into"
        " the machine that it came from, or give this one that machine's machine_key_file, and they are sent",
        error,
        aside.name,
    )
    return []


def _renamed(path: Path, why: str) -> Path:
    name = f"{path.name}.{why}-{time.strftime('%Y%m%d-%H%M%S')}"
    aside = next(file for n in count(os.getpid()) if not (file := path.with_name(f"{name}-{n}")).exists())
    path.rename(aside)
    for tail in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + tail).rename(aside.with_name(aside.name + tail))
    return aside


def locked(path: Path) -> list[Locked]:
    """What lies beside the spool, sealed by other machines."""
    found = []
    for file in _aside(path, "locked"):
        with suppress(sqlite3.DatabaseError), closing(_look_into(file)) as db:
            spool = db.execute("SELECT value FROM meta WHERE key = 'spool'").fetchone()[0]
            last = db.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'tap'").fetchone()[0]
            depth = db.execute("SELECT count(*) FROM tap WHERE stored_at IS NULL").fetchone()[0]
            found.append(Locked(spool=spool, next_seq=last + 1, depth=depth))
    return found[:16]


def unlocked(path: Path, seal: Seal) -> list[Row]:
    """Rows of files that were locked away and are this machine's after all: the disk is back where it was."""
    found: list[Row] = []
    for file in _aside(path, "locked"):
        with suppress(sqlite3.DatabaseError):
            with closing(_look_into(file)) as db:
                if not _is_ours(db, seal):
                    continue
            found += salvage.rows(file.read_bytes(), seal) + salvage.rows(wal(file), seal)
            opened = file.with_name(file.name.replace(".locked-", ".opened-"))
            file.rename(opened)
            log.warning("%s can be read again: kept as %s", file.name, opened.name)
    return [row for row in salvage.merge(found) if not row.stored]


def _aside(path: Path, why: str) -> list[Path]:
    return sorted(file for file in path.parent.glob(f"{path.name}.{why}-*") if re.fullmatch(r".*-\d+", file.name))


def _look_into(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    db.text_factory = text
    return db


# whose it is


def claim(db: sqlite3.Connection, seal: Seal) -> None:
    """Make sure that every card in it is sealed, and by this machine. Raises OtherMachine.

    A file of the first format is sealed in one commit; if there is no room for that, it is used as it is.
    """
    try:
        db.execute("BEGIN IMMEDIATE")
        if db.execute("PRAGMA user_version").fetchone()[0] < FORMAT:
            _seal_all(db, seal)
        elif not _is_ours(db, seal):
            raise OtherMachine(f"spool {_id(db)} was sealed by another machine")
        _mark(db, seal)
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # what was plain in the WAL is gone too
    except sqlite3.OperationalError as error:
        log.error("the spool cannot be sealed and is used as it is, cards in it can be read: %s", error)
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _id(db: sqlite3.Connection) -> str:
    return str(db.execute("SELECT value FROM meta WHERE key = 'spool'").fetchone()[0])


def _mark(db: sqlite3.Connection, seal: Seal) -> None:
    if not _is_marked(db, seal):
        mark = seal.seal_text(CLAIM, "spool")
        db.execute("INSERT OR REPLACE INTO meta VALUES ('seal', ?)", (mark,))


def _is_marked(db: sqlite3.Connection, seal: Seal) -> bool:
    row = db.execute("SELECT value FROM meta WHERE key = 'seal'").fetchone()
    with suppress(Foreign):
        return row is not None and seal.open_text(row[0], "spool") == CLAIM
    return False


def _is_ours(db: sqlite3.Connection, seal: Seal) -> bool:
    """By its mark; a mark can rot, so the rows have the last word."""
    if _is_marked(db, seal):
        return True
    bodies = [body.encode() for (body,) in db.execute("SELECT body FROM tap ORDER BY seq DESC LIMIT ?", (SAMPLE,))]
    whole = [body for body in bodies if salvage.proved(body)]
    return not whole or any(salvage.own(body, seal) is not None for body in whole)


def _seal_all(db: sqlite3.Connection, seal: Seal) -> None:
    log.warning("this spool is of a time when cards were not sealed: sealing them")
    for chunk in _chunks(db):
        rows = [(seq, salvage.own(body, seal), body) for seq, body in chunk]
        sealed = [(salvage.body(row, seal), seq) for seq, row, _ in rows if row is not None]
        db.executemany("UPDATE tap SET body = ? WHERE seq = ?", sealed)
        for seq, row, body in rows:
            if row is None:
                db.execute("INSERT OR REPLACE INTO bad VALUES (?, ?, 0)", (seq, body))
                db.execute("DELETE FROM tap WHERE seq = ?", (seq,))
    for seq, body in db.execute("SELECT seq, body FROM bad").fetchall():
        db.execute("UPDATE bad SET body = ? WHERE seq = ?", (seal.seal_text(body, f"bad {seq}"), seq))
    db.execute(f"PRAGMA user_version = {FORMAT}")


def _chunks(db: sqlite3.Connection) -> Iterator[list[tuple[int, str]]]:
    last = 0
    while chunk := db.execute("SELECT seq, body FROM tap WHERE seq > ? ORDER BY seq LIMIT ?", (last, CHUNK)).fetchall():
        last = chunk[-1][0]
        yield chunk
