"""transaction(): the write lock comes first, work is never thrown away silently, commits are durable."""

import sqlite3
import threading
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import event, select, text

from server import clock, db
from server.schools.models import School


def test_a_writer_takes_the_lock_at_once_and_a_reader_does_not(app: Flask) -> None:
    seen: list[str] = []
    event.listen(db.db.engine, "before_cursor_execute", lambda *arguments: seen.append(arguments[2]))
    with db.transaction():
        pass
    db.db.session.scalars(select(School)).all()
    sqlite = db.db.engine.dialect.name == "sqlite"  # PostgreSQL locks rows, and its driver begins
    begun = [statement for statement in seen if statement.startswith("BEGIN")]
    assert begun == (["BEGIN IMMEDIATE", "BEGIN"] if sqlite else [])


def test_what_was_read_before_is_read_again_inside(app: Flask, school: School) -> None:
    db.db.session.scalars(select(School.name)).all()  # an old snapshot
    rename = threading.Thread(target=_rename, args=(app,))
    rename.start()
    rename.join()
    with db.transaction() as session:
        assert session.scalar(select(School.name)) == "renamed"


def _rename(app: Flask) -> None:
    with app.app_context(), db.transaction() as session:
        session.execute(School.__table__.update().values(name="renamed"))


def test_a_transaction_inside_a_transaction_is_refused(app: Flask) -> None:
    with pytest.raises(db.TransactionMisused, match="inside"), db.transaction(), db.transaction():
        pass
    with db.transaction() as session:  # and the next one works
        session.execute(text("SELECT 1"))


def test_changes_made_outside_are_refused_instead_of_lost(app: Flask) -> None:
    db.db.session.add(School(id="late", name="x", sign="x", created_at=clock.now()))
    with pytest.raises(db.TransactionMisused, match="outside"), db.transaction():
        pass
    db.db.session.rollback()


def test_a_commit_survives_a_power_cut_by_the_databases_own_settings(app: Flask) -> None:
    with db.db.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            assert connection.scalar(text("PRAGMA synchronous")) == 2
            assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        else:
            assert connection.scalar(text("SHOW synchronous_commit")) == "on"


def test_a_relative_sqlite_path_counts_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert db.absolute("sqlite:///gatebell.db") == f"sqlite:///{tmp_path}/gatebell.db"
    assert db.absolute("postgresql://u:secret@db/x") == "postgresql://u:secret@db/x"
    assert sqlite3.sqlite_version_info >= (3, 35)  # RETURNING
