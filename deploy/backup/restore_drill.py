#!/usr/bin/env python3
"""Proves that a backup can be brought back: restores the newest one beside the server, looks at it, throws it away.

    restore_drill.py --folder DIR --key-file COPY [--identity FILE] [--server postgresql://…/postgres]

COPY is the copy of secrets.key_file that you would use in the bad case; --identity is the private key of age or gpg.
Run it where that key lives, not on the server. Prints one JSON object; exit code 1 when the backup would not help you.
"""

import argparse
import contextlib
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from cryptography.exceptions import InvalidTag
from sqlalchemy import func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from server import check, config, create_app, crypt
from server.db import Base, Encrypted, db


class DrillFailed(RuntimeError):
    """This backup would not help; the text says why."""


def main(argv: list[str] | None = None) -> int:
    """One drill."""
    parser = argparse.ArgumentParser(description="Prove that Gatebell's newest backup can be brought back.")
    parser.add_argument("--folder", type=Path, required=True, help="where backups are kept")
    parser.add_argument("--key-file", type=Path, required=True, help="the copy of secrets.key_file")
    parser.add_argument("--identity", type=Path, help="private key of age or gpg")
    parser.add_argument("--server", help="a PostgreSQL server to restore into, for backups of PostgreSQL")
    args = parser.parse_args(argv)
    began = time.monotonic()
    try:
        note = newest(args.folder)
        with tempfile.TemporaryDirectory(prefix="gatebell-drill-") as work:
            plain = opened(args.folder / note["file"], note, args.identity, Path(work))
            with restored(plain, args.server) as url:
                found = look(url, note, args.key_file)
    except (DrillFailed, OSError, SQLAlchemyError, psycopg.Error, crypt.KeyMissing) as error:
        print(f"restore_drill.py: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"backup": note["file"], "made": note["made"], **found, "seconds": _since(began)}))
    return 0


def _since(began: float) -> float:
    return round(time.monotonic() - began, 1)


def newest(folder: Path) -> dict[str, Any]:
    """What the newest whole backup says of itself."""
    notes = sorted(folder.glob("gatebell-*.json"))
    if not notes:
        raise DrillFailed(f"{folder} holds no backup; does gatebell-backup.timer run?")
    return dict(json.loads(notes[-1].read_text()))


def opened(file: Path, note: dict[str, Any], identity: Path | None, work: Path) -> Path:
    """The database's file or dump, decrypted and unpacked into a folder that goes away."""
    if not file.exists() or hashlib.sha256(file.read_bytes()).hexdigest() != note["sha256"]:
        raise DrillFailed(f"{file} is missing, or not what was written: the disk or somebody changed it")
    packed = work / file.name
    if file.suffix in (".age", ".gpg"):
        packed = packed.with_suffix("")
        decrypt(file, packed, identity)
    else:
        shutil.copy(file, packed)
    run(["gzip", "--decompress", str(packed)])
    return packed.with_suffix("")


def decrypt(file: Path, target: Path, identity: Path | None) -> None:
    """By age or gpg. Raises DrillFailed."""
    if identity is None:
        raise DrillFailed(f"{file.name} is encrypted: give the private key with --identity")
    if file.suffix == ".age":
        run(["age", "--decrypt", "--identity", str(identity), "--output", str(target), str(file)])
        return
    gpg = ["gpg", "--homedir", str(target.parent), "--batch", "--quiet"]
    run([*gpg, "--import", str(identity)])
    run([*gpg, "--pinentry-mode", "loopback", "--passphrase", "", "--output", str(target), "--decrypt", str(file)])
    subprocess.run(["gpgconf", "--homedir", str(target.parent), "--kill", "all"], check=False, capture_output=True)


def run(command: list[str], **options: dict[str, str]) -> None:
    """Raises DrillFailed with what the program said."""
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, **options)
    except FileNotFoundError:
        raise DrillFailed(f"{command[0]} is missing: apt install {command[0]}") from None
    except subprocess.CalledProcessError as error:
        raise DrillFailed(f"{command[0]}: {error.stderr.strip()}") from None


@contextlib.contextmanager
def restored(plain: Path, server: str | None) -> Iterator[str]:
    """The URL of a database that holds the backup, for as long as the block lasts."""
    if plain.suffix == ".sqlite":
        yield f"sqlite:///{plain}"
        return
    if server is None:
        raise DrillFailed("this is a backup of PostgreSQL: give a server with --server postgresql://…/postgres")
    name = f"gatebell_drill_{secrets.token_hex(4)}"
    url = make_url(server)
    environment = os.environ | ({"PGPASSWORD": url.password} if url.password else {})
    address = url.set(drivername="postgresql", password=None)
    with psycopg.connect(address.render_as_string(), password=url.password, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")  # type: ignore[call-overload]
        try:
            target = address.set(database=name).render_as_string()
            run(["pg_restore", "--exit-on-error", "--no-owner", f"--dbname={target}", str(plain)], env=environment)
            yield url.set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]


def look(url: str, note: dict[str, Any], key_file: Path) -> dict[str, Any]:
    """What the restored database holds. Raises DrillFailed when it is not what was backed up, or cannot be used."""
    if not key_file.exists():
        raise DrillFailed(f"{key_file} is missing: without the key no number can be read, whatever the backup holds")
    run_dir = tempfile.gettempdir()
    secret = config.Secrets(key_file=str(key_file))
    app = create_app(config.Config(database=config.Database(url=url), secrets=secret, run_dir=run_dir))
    with app.app_context():
        try:
            whole(note)
            return {
                "rows": sum(note["rows"].values()),
                "taps": note["rows"].get("tap", 0),
                "newest_tap": note["newest_tap"],
                "numbers_read": numbers_read(),
                "version": note["version"],
                "program": check.head(),
            }
        finally:
            db.session.remove()
            db.engine.dispose()


def whole(note: dict[str, Any]) -> None:
    """Every row is there, and the file is sound."""
    with db.engine.connect() as connection:
        if db.engine.dialect.name == "sqlite":
            faults = [str(row[0]) for row in connection.execute(text("PRAGMA integrity_check")) if row[0] != "ok"]
            faults += [f"{row[0]} points nowhere" for row in connection.execute(text("PRAGMA foreign_key_check"))]
            if faults:
                raise DrillFailed(f"the restored file is damaged: {faults[0]}")
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        if version != note["version"]:
            raise DrillFailed(f"tables of version {version}, but {note['version']} was backed up")
        for name, wanted in note["rows"].items():
            there = connection.execute(select(func.count()).select_from(text(f'"{name}"'))).scalar_one()
            if there != wanted:
                raise DrillFailed(f"{name} has {there} rows, but {wanted} were backed up")


def numbers_read() -> int:
    """How many encrypted values the key opens: all of them. Raises DrillFailed."""
    read = 0
    for table in Base.metadata.sorted_tables:
        for column in (column for column in table.columns if isinstance(column.type, Encrypted)):
            try:
                values = db.session.scalars(select(column).where(column.is_not(None)))
                read += sum(1 for _ in values)
            except (InvalidTag, ValueError):
                raise DrillFailed(f"the key does not open {table.name}.{column.name}: it is another key") from None
    return read


if __name__ == "__main__":
    sys.exit(main())
