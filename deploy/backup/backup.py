#!/usr/bin/env python3
"""One backup of the running server's database: whole, of one moment, encrypted for a key that is not on this machine.

    backup.py --folder DIR [--config gatebell.toml] [--recipient FILE] [--keep-days 30]

Writes gatebell-<time>.<sqlite|dump>.gz[.age|.gpg] and beside it a .json that says what is in it: rows of each table,
the version of the tables, the newest tap, the file's SHA-256. restore_drill.py proves that it can be brought back.
The key of the numbers (secrets.key_file) is not in it; keep its copy elsewhere.
"""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL, make_url

from server import config

KEPT_ANYWAY = 3  # however old: a machine that was off all summer keeps what it has


class BackupFailed(RuntimeError):
    """There is no new backup; the text says why and what to do."""


def main(argv: list[str] | None = None) -> int:
    """Make one backup and let go of old ones."""
    parser = argparse.ArgumentParser(description="One backup of Gatebell's database.")
    parser.add_argument("--config", type=Path, default=os.environ.get("GATEBELL_CONFIG"), help="gatebell.toml")
    parser.add_argument("--folder", type=Path, required=True, help="where backups are kept")
    parser.add_argument("--recipient", type=Path, help="file with a public key of age, ssh or gpg")
    parser.add_argument("--keep-days", type=int, default=30, help="older ones go (default: 30)")
    args = parser.parse_args(argv)
    try:
        url = make_url(config.load(args.config).database.url)
        made = backup(url, args.folder, args.recipient)
        gone = let_go(args.folder, timedelta(days=args.keep_days))
    except (BackupFailed, config.ConfigError, OSError, sqlite3.Error, psycopg.Error) as error:
        print(f"backup.py: no backup was made: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"backup": str(made), "bytes": made.stat().st_size, "let_go": gone}))
    return 0


def backup(url: URL, folder: Path, recipient: Path | None = None) -> Path:
    """The new backup's file. Raises BackupFailed."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = datetime.now(UTC).strftime("gatebell-%Y%m%dT%H%M%SZ")
    sqlite = url.get_backend_name() == "sqlite"
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as work:
        plain = Path(work, f"{name}.{'sqlite' if sqlite else 'dump'}")
        rows, version, newest = copy_sqlite(url, plain) if sqlite else dump_postgresql(url, plain)
        sealed = seal(compress(plain), recipient)
        told = {
            "file": sealed.name,
            "sha256": hashlib.sha256(sealed.read_bytes()).hexdigest(),
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "version": version,
            "newest_tap": newest,
            "rows": rows,
        }
        keep(sealed, folder / sealed.name)
        note = Path(work, f"{name}.json")
        note.write_text(json.dumps(told, indent=1) + "\n")
        keep(note, folder / note.name)  # last: where it is, the backup is whole
    return folder / sealed.name


def copy_sqlite(url: URL, target: Path) -> tuple[dict[str, int], str, str | None]:
    """SQLite's own online copy, while others write."""
    if not url.database or not Path(url.database).exists():
        raise BackupFailed(f"{url.database}: no such database; look at database.url")
    source = sqlite3.connect(f"file:{url.database}?mode=ro", uri=True, timeout=60)
    copy = sqlite3.connect(target)
    with contextlib.closing(source), contextlib.closing(copy):
        source.backup(copy)
        fault = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
        if fault != "ok":
            raise BackupFailed(f"the database is damaged ({fault}); keep the older backups and ask for help")
        tables = copy.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        rows = {name: copy.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for (name,) in tables.fetchall()}
        version = copy.execute("SELECT version_num FROM alembic_version").fetchone()[0]
        newest = copy.execute("SELECT max(at) FROM tap").fetchone()[0]
    return rows, version, newest


def dump_postgresql(url: URL, target: Path) -> tuple[dict[str, int], str, str | None]:
    """pg_dump, and the rows counted in the very snapshot that it dumps."""
    if not shutil.which("pg_dump"):
        raise BackupFailed("pg_dump is missing: apt install postgresql-client")
    address, environment = libpq(url)
    with psycopg.connect(address, password=url.password) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        snapshot = one(connection, sql.SQL("SELECT pg_export_snapshot()"))
        command = ["pg_dump", "--format=custom", "--compress=0", "--no-owner", "--no-privileges"]
        command += [f"--snapshot={snapshot}", f"--file={target}", address]
        run(command, env=environment)
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        count = sql.SQL("SELECT count(*) FROM {}")
        rows = {name: int(one(connection, count.format(sql.Identifier(name)))) for (name,) in names}
        version = one(connection, sql.SQL("SELECT version_num FROM alembic_version"))
        newest = one(connection, sql.SQL("SELECT max(at)::text FROM tap"))
    return rows, version, newest


def libpq(url: URL) -> tuple[str, dict[str, str]]:
    """The address for PostgreSQL's own programs; the password in the environment, where no `ps` shows it."""
    address = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    return address, os.environ | ({"PGPASSWORD": url.password} if url.password else {})


def one(connection: psycopg.Connection[tuple[object, ...]], statement: sql.Composable) -> str:
    """The one value that a statement gives."""
    row = connection.execute(statement).fetchone()
    return row[0] if row else None  # type: ignore[return-value]


def compress(plain: Path) -> Path:
    """gzip, without its own name and time in it."""
    run(["gzip", "--no-name", "--force", str(plain)])
    return plain.with_name(plain.name + ".gz")


def seal(plain: Path, recipient: Path | None) -> Path:
    """Encrypted for a public key; as it is without one."""
    if recipient is None:
        return plain
    gpg = "BEGIN PGP PUBLIC KEY BLOCK" in recipient.read_text(errors="replace")
    sealed = plain.with_name(f"{plain.name}.{'gpg' if gpg else 'age'}")
    if gpg:
        home = plain.with_name("gnupg")
        home.mkdir(mode=0o700)
        command = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--trust-model", "always", "--encrypt"]
        run([*command, "--recipient-file", str(recipient), "--output", str(sealed), str(plain)])
    else:
        run(["age", "--recipients-file", str(recipient), "--output", str(sealed), str(plain)])
    plain.unlink()
    return sealed


def run(command: list[str], **options: dict[str, str]) -> None:
    """Raises BackupFailed with what the program said."""
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, **options)
    except FileNotFoundError:
        raise BackupFailed(f"{command[0]} is missing: apt install {command[0]}") from None
    except subprocess.CalledProcessError as error:
        raise BackupFailed(f"{command[0]}: {error.stderr.strip()}") from None


def keep(new: Path, target: Path) -> None:
    """On the disk under its own name, or not there at all."""
    new.chmod(0o600)
    for path in (new, target.parent):
        if path == target.parent:
            new.rename(target)
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def notes(folder: Path) -> Iterator[Path]:
    """What tells of each whole backup, the newest first."""
    yield from sorted(folder.glob("gatebell-*.json"), reverse=True)


def let_go(folder: Path, age: timedelta) -> int:
    """Remove backups older than that, never the newest few."""
    limit = (datetime.now(UTC) - age).strftime("gatebell-%Y%m%dT%H%M%SZ")
    old = [note for note in list(notes(folder))[KEPT_ANYWAY:] if note.stem < limit]
    for note in old:
        note.unlink()
        for file in folder.glob(f"{note.stem}.*"):
            file.unlink()
    return len(old)


if __name__ == "__main__":
    sys.exit(main())
