"""deploy/postgresql: a real server takes the settings, and the pages' role can write rows and nothing else."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from server import clock, config, create_app, pipeline
from server.db import db
from tests import services
from tests.server import gate

FOLDER = Path(__file__).parents[2] / "deploy" / "postgresql"
SETTINGS = FOLDER / "gatebell.conf"
pytestmark = pytest.mark.postgres


class Tuned(services.Postgres):
    """A cluster with an administrator of its own, whose settings include ours."""

    @property
    def admin(self) -> str:
        """URL of the maintenance database."""
        return url(self, "postgres", "postgres")

    def start(self) -> None:
        """Start it, and nothing more."""
        services.Service.start(self)

    def command(self) -> list[str]:
        """initdb as Debian does it, and postgres without any option but the port."""
        self.data = self.folder / "data"
        self.data.mkdir(mode=0o700)
        if os.getuid() == 0:
            shutil.chown(self.data, "postgres", "postgres")
        initialise = ["initdb", "-D", str(self.data), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"]
        subprocess.run(self._as_postgres(initialise), check=True, capture_output=True)
        shutil.copy(SETTINGS, self.folder / "gatebell.conf")
        (self.folder / "gatebell.conf").chmod(0o644)
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"\ninclude '{self.folder}/gatebell.conf'\nunix_socket_directories = ''\n")
        return self._as_postgres(["postgres", "-D", str(self.data), "-c", f"port={self.port}"])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Tuned]:
    """A server with our settings, roles and a migrated database."""
    if not Tuned.available():
        services.missing("postgresql")
    with tempfile.TemporaryDirectory(prefix="gatebell-tuned-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with Tuned(Path(folder)) as server:
            roles(server)
            services.migrate(url(server, "gatebell_owner"))
            roles(server)
            yield server


def url(server: services.Postgres, role: str, database: str = "gatebell") -> str:
    return f"postgresql://{role}@127.0.0.1:{server.port}/{database}"


def roles(server: services.Postgres) -> None:
    """What an operator types."""
    words = ["psql", "--quiet", "--no-psqlrc", "-f", str(FOLDER / "roles.sql"), server.admin]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"})
    assert done.returncode == 0 and "ERROR" not in done.stderr, done.stderr


def ask(server: services.Postgres, role: str, statement: str, database: str = "gatebell") -> list[tuple[object, ...]]:
    """What a role gets for a statement."""
    with psycopg.connect(url(server, role, database), autocommit=True) as connection:
        cursor = connection.execute(statement)  # type: ignore[call-overload]
        return list(cursor.fetchall()) if cursor.description else []


def ask_admin(server: services.Postgres, statement: str) -> list[tuple[object, ...]]:
    return ask(server, "postgres", statement, "postgres")


def test_a_real_server_takes_every_setting(cluster: Tuned) -> None:
    lines = [line for line in SETTINGS.read_text().splitlines() if "=" in line and line[0] != "#"]
    file = f"{cluster.folder}/gatebell.conf"
    rows = ask_admin(cluster, f"SELECT name, applied, error FROM pg_file_settings WHERE sourcefile = '{file}'")
    assert {name for name, _, _ in rows} == {line.split("=")[0].strip() for line in lines}
    assert [row for row in rows if not row[1] or row[2]] == []


def test_what_an_answered_tap_rests_on_is_on(cluster: Tuned) -> None:
    names = ("fsync", "full_page_writes", "synchronous_commit")
    assert [ask(cluster, "gatebell", f"SHOW {name}")[0][0] for name in names] == ["on"] * 3


def test_roles_may_be_written_again_and_can_do_nothing_great(cluster: Tuned) -> None:
    roles(cluster)
    asked = "SELECT rolname, rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname LIKE 'gatebell%'"
    assert sorted(ask_admin(cluster, asked)) == [(name, False, False, False) for name in ("gatebell", "gatebell_owner")]


FORBIDDEN = (
    "CREATE TABLE mine (n int)",
    "DROP TABLE pupil",
    "ALTER TABLE pupil ADD COLUMN n int",
    "TRUNCATE tap CASCADE",
    "CREATE SCHEMA mine",
    "CREATE TEMPORARY TABLE mine (n int)",
    "UPDATE alembic_version SET version_num = 'x'",
    "UPDATE audit_entry SET action = 'nothing'",
    "CREATE ROLE mine",
    "CREATE DATABASE mine",
    "COPY pupil TO PROGRAM 'cat'",
    "SELECT pg_read_file('postgresql.conf')",
)


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_pages_role_may_not(cluster: Tuned, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        ask(cluster, "gatebell", statement)


def test_others_do_not_get_in(cluster: Tuned) -> None:
    ask_admin(cluster, "CREATE ROLE stranger LOGIN")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        ask(cluster, "stranger", "SELECT 1")


def test_the_whole_way_of_a_tap_needs_no_more_than_the_pages_role(cluster: Tuned, tmp_path: Path) -> None:
    settings = config.Config(
        database=config.Database(url=url(cluster, "gatebell")),
        secrets=config.Secrets(key_file=str(tmp_path / "key")),
        run_dir=str(tmp_path),
    )
    app = create_app(settings)
    with app.app_context():
        try:
            gate.add_school(3)
            taps = [gate.tap(n + 1, clock.now() - timedelta(seconds=5), card=gate.card_of(n)) for n in range(3)]
            pipeline.handle([gate.delivery(taps, clock.now())], clock.now())
        finally:
            db.session.remove()
            db.engine.dispose()
    assert ask(cluster, "gatebell", "SELECT count(*) FROM tap") == [(3,)]
