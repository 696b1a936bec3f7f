"""A backup of a live database comes back whole, and a drill says when it would not."""

import importlib.util
import json
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import func, select
from sqlalchemy.engine import make_url

from server import clock, config
from server.db import db, transaction
from server.taps.models import Tap
from tests import sample, services
from tests.server.site import Site

FOLDER = Path(__file__).parents[2] / "deploy" / "backup"


def module(name: str) -> ModuleType:
    """A script of deploy/backup."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec and spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


backup, drill = module("backup"), module("restore_drill")


class Server:
    """The sample school's database, its configuration file, and a folder for backups."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder, self.key = url, folder, folder / "key"
        self.toml = folder / "gatebell.toml"
        self.toml.write_text(f'[database]\nurl = "{url}"\n[secrets]\nkey_file = "{self.key}"\n')
        self.backups = folder / "backups"
        self.site = Site(
            config.Config(
                database=config.Database(url=url), secrets=config.Secrets(key_file=str(self.key)), run_dir=str(folder)
            )
        )

    def back_up(self, *options: str) -> int:
        return int(backup.main(["--config", str(self.toml), "--folder", str(self.backups), *options]))

    def drill(self, *options: str, key: Path | None = None) -> int:
        words = ["--folder", str(self.backups), "--key-file", str(key or self.key), *options]
        if self.url.startswith("postgresql"):
            words += ["--server", make_url(self.url).set(database="postgres").render_as_string(hide_password=False)]
        return int(drill.main(words))

    def note(self) -> dict[str, object]:
        return dict(json.loads(max(self.backups.glob("*.json")).read_text()))

    def taps(self) -> int:
        with self.site.app.app_context():
            return int(db.session.scalar(select(func.count()).select_from(Tap)) or 0)


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[Server]:
    """On SQLite and on PostgreSQL."""
    server = Server(database_url, tmp_path)
    yield server
    server.site.close()


@pytest.fixture
def small(sqlite_template: Path, tmp_path: Path) -> Iterator[Server]:
    """On SQLite, for what is the same on both."""
    shutil.copy(sqlite_template, tmp_path / "gatebell.db")
    server = Server(f"sqlite:///{tmp_path}/gatebell.db", tmp_path)
    yield server
    server.site.close()


def pgp(folder: Path) -> tuple[Path, Path]:
    """Private and public key of gpg, made in a folder of their own."""
    if not shutil.which("gpg"):
        services.missing("gnupg")
    home = folder / "home"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback"]
    subprocess.run([*gpg, "--quick-generate-key", "school", "future-default"], check=True, capture_output=True)
    keys = folder / "private.asc", folder / "public.asc"
    for path, export in zip(keys, ("--export-secret-keys", "--export"), strict=True):
        path.write_bytes(subprocess.run([*gpg, "--armor", export], check=True, capture_output=True).stdout)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)
    return keys


def test_what_is_backed_up_comes_back_whole_and_its_numbers_can_be_read(
    server: Server, age: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    private, public = age
    assert server.back_up("--recipient", str(public)) == 0
    assert server.drill("--identity", str(private)) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["taps"] == server.taps() > 0 and told["numbers_read"] > 10
    assert told["version"] == told["program"] and told["newest_tap"]


def test_gpg_does_as_well(small: Server, tmp_path: Path) -> None:
    private, public = pgp(tmp_path)
    assert small.back_up("--recipient", str(public)) == 0
    assert small.drill("--identity", str(private)) == 0
    assert str(small.note()["file"]).endswith(".gpg")


def test_an_encrypted_backup_shows_no_name_and_is_for_its_owner_alone(small: Server, age: tuple[Path, Path]) -> None:
    assert small.back_up("--recipient", str(age[1])) == 0
    assert small.back_up() == 0
    for file in small.backups.iterdir():
        assert file.stat().st_mode & 0o077 == 0
        assert not (file.suffix == ".age" and "明德".encode() in file.read_bytes())
    assert {file.suffix for file in small.backups.iterdir()} <= {".age", ".gz", ".json"}


def test_a_backup_while_taps_are_stored_is_of_one_moment(server: Server) -> None:
    stop = threading.Event()

    def write() -> None:
        seq = 100_000
        while not stop.is_set():
            with server.site.app.app_context(), transaction() as session:
                session.add(sample.tap(clock.now(), seq=(seq := seq + 1)))
            db_remove(server)

    writer = threading.Thread(target=write)
    before = server.taps()
    writer.start()
    try:
        while server.taps() < before + 5:
            time.sleep(0.02)
        assert server.back_up() == 0
    finally:
        stop.set()
        writer.join(30)
    assert server.taps() > before + 5
    assert server.drill() == 0


def db_remove(server: Server) -> None:
    """Give the thread's connection back."""
    with server.site.app.app_context():
        db.session.remove()


def spoil(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda server: spoil(server.backups / str(server.note()["file"])), "not what was written"),
        (lambda server: (server.backups / str(server.note()["file"])).unlink(), "missing"),
        (lambda server: server.key.unlink(), "without the key no number can be read"),
        (lambda server: server.key.write_text("k" * 44), "it is another key"),
        (lambda server: [path.unlink() for path in server.backups.iterdir()], "holds no backup"),
    ],
)
def test_a_drill_says_why_a_backup_would_not_help(
    small: Server, damage: Callable[[Server], object], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert small.back_up() == 0
    damage(small)
    assert small.drill() == 1
    assert says in capsys.readouterr().err


def test_a_drill_counts_what_came_back(small: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert small.back_up() == 0
    path, note = max(small.backups.glob("*.json")), small.note()
    note["rows"]["pupil"] += 1  # type: ignore[index]
    path.write_text(json.dumps(note))
    assert small.drill() == 1
    assert "pupil has" in capsys.readouterr().err


def test_an_encrypted_backup_needs_the_right_private_key(
    small: Server, age: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert small.back_up("--recipient", str(age[1])) == 0
    other = tmp_path / "other.key"
    subprocess.run(["age-keygen", "-o", other], check=True, capture_output=True)
    assert small.drill() == 1 and small.drill("--identity", str(other)) == 1
    told = capsys.readouterr().err
    assert "give the private key with --identity" in told and "no identity matched" in told


def test_a_damaged_database_is_no_backup_and_the_older_ones_stay(
    sqlite_template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(sqlite_template, tmp_path / "gatebell.db")
    server = Server(f"sqlite:///{tmp_path}/gatebell.db", tmp_path)
    server.site.close()
    assert server.back_up() == 0
    with sqlite3.connect(tmp_path / "gatebell.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'pupil'").fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    with (tmp_path / "gatebell.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(os.urandom(size))
    before = sorted(server.backups.iterdir())
    assert server.back_up() == 1
    assert "no backup was made" in capsys.readouterr().err
    assert sorted(server.backups.iterdir()) == before


def test_old_backups_go_and_the_newest_three_stay(small: Server) -> None:
    small.backups.mkdir()
    for day in range(1, 10):
        for tail in (".json", ".sqlite.gz"):
            (small.backups / f"gatebell-2020010{day}T000000Z{tail}").write_text("{}")
    assert small.back_up("--keep-days", "30") == 0
    kept = sorted(path.stem for path in small.backups.glob("*.json"))
    assert kept[:2] == ["gatebell-20200108T000000Z", "gatebell-20200109T000000Z"] and len(kept) == 3
    assert not list(small.backups.glob("gatebell-20200101*"))


def test_what_cannot_be_done_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gatebell.toml").write_text(f'[database]\nurl = "sqlite:///{tmp_path}/nothing.db"\n')
    assert backup.main(["--config", str(tmp_path / "gatebell.toml"), "--folder", str(tmp_path / "backups")]) == 1
    assert "nothing.db: no such database; look at database.url" in capsys.readouterr().err
    assert list((tmp_path / "backups").iterdir()) == []
