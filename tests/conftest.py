"""Fixtures of all tests: no outside world, both databases, real services started once."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import services

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def no_outside_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches beyond this machine fails."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> object:
        host = address[0] if isinstance(address, tuple) else ""
        if self.family != socket.AF_UNIX and not (str(host).startswith("127.") or host in {"localhost", "::1"}):
            raise AssertionError(f"a test tried to reach {address!r}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def postgres() -> Iterator[services.Postgres]:
    """One real PostgreSQL server of our own for the whole run, in a folder that its user may reach."""
    if not services.Postgres.available():
        services.missing("postgresql")
    # Not under pytest's own folder: for root that one is closed to everyone else, again at each new run.
    with tempfile.TemporaryDirectory(prefix="gatebell-postgres-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with services.Postgres(Path(folder)) as server:
            yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite database to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    services.migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty migrated database: each test that takes it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "gatebell.db")
        return f"sqlite:///{tmp_path}/gatebell.db"
    server: services.Postgres = request.getfixturevalue("postgres")
    return server.fresh_database()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[services.Mosquitto]:
    """A real broker on a free port of this machine."""
    if not services.Mosquitto.available():
        services.missing("mosquitto")
    with services.Mosquitto(tmp_path / "mosquitto") as broker:
        yield broker


@pytest.fixture(scope="session", autouse=True)
def quiet_environment() -> None:
    """Tests do not depend on what the caller's shell says."""
    for name in [name for name in os.environ if name.startswith("GATEBELL_") and name != "GATEBELL_TEST_PARTS"]:
        del os.environ[name]
