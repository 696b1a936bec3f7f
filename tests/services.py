"""Real services for tests: PostgreSQL, mosquitto, ports. Started as children, stopped with the test."""

import contextlib
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from glob import glob
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest


def missing(program: str) -> None:
    """Skip because a real part is not installed; with CI=true that is a failure."""
    message = f"{program} is not installed; ./test installs it when it may"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def _ports() -> Iterator[int]:
    """Below those that the kernel gives to connections, and for each worker of pytest-xdist others: a port that was
    found free is still free when its server starts."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = range(12_000 + worker % 4 * 5_000, 17_000 + worker % 4 * 5_000)
    at = random.randrange(len(ports))  # another run beside this one begins elsewhere
    return itertools.cycle([*ports[at:], *ports[:at]])


PORTS = _ports()


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    for port in PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("there is always a next port")


def wait_for_port(port: int, *, seconds: float = 15) -> None:
    """Return once somebody listens on the port. Raises TimeoutError."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nobody listens on port {port} after {seconds} s")


def migrate(url: str) -> None:
    """Create all tables by the migrations, as an operator would."""
    from flask_migrate import upgrade

    from server import config, create_app
    from server.db import db

    app = create_app(config.Config(database=config.Database(url=url), secrets=config.Secrets(key_file=_key())))
    with app.app_context():
        upgrade()
        db.session.remove()
        db.engine.dispose()


def _key() -> str:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")  # two would make the same file at the same moment
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"gatebell-test-{os.getuid()}-{worker}.key"
    return str(path)


class Service:
    """A child process in its own folder; a context manager that starts and stops it."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What to run."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it listens."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, start_new_session=True)
        log.close()
        wait_for_port(self.port)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it; SIGKILL is a crash."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(20)
        self.process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Mosquitto(Service):
    """The broker with its default limits, on loopback."""

    @staticmethod
    def available() -> bool:
        """Whether mosquitto is installed."""
        return bool(_program("mosquitto"))

    @property
    def url(self) -> str:
        """For the configuration of both halves."""
        return f"mqtt://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """mosquitto with a written configuration."""
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text(
            f"listener {self.port} 127.0.0.1\nset_tcp_nodelay true\nallow_anonymous true\npersistence true\n"
            f"persistence_location {self.folder}/\nautosave_interval 30\nmax_queued_messages 200000\n"
            + ("user root\n" if os.getuid() == 0 else "")
        )
        return [_program("mosquitto") or "mosquitto", "-c", str(configuration)]


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Postgres(Service):
    """A cluster of our own, without fsync: tests of durability do not use it."""

    count = 0

    @staticmethod
    def binaries() -> str | None:
        """Folder of initdb and postgres, the newest version."""
        found = sorted(glob("/usr/lib/postgresql/*/bin/initdb")) or list(filter(None, [shutil.which("initdb")]))
        return str(Path(found[-1]).parent) if found else None

    @classmethod
    def available(cls) -> bool:
        """Whether the server programs are installed."""
        return cls.binaries() is not None

    @property
    def admin(self) -> str:
        """URL of the maintenance database."""
        return f"postgresql://gatebell@127.0.0.1:{self.port}/postgres"

    def command(self) -> list[str]:
        """initdb once, then postgres; root hands over to the postgres user, which both demand."""
        self.data = self.folder / "data"
        if not self.data.exists():
            self.data.mkdir(parents=True, mode=0o700)
            if os.getuid() == 0:
                shutil.chown(self.data, "postgres", "postgres")
            initialise = ["initdb", "-D", str(self.data), "-A", "trust", "-U", "gatebell", "-E", "UTF8", "--no-sync"]
            subprocess.run(self._as_postgres(initialise), check=True, capture_output=True)
        options = ["fsync=off", "synchronous_commit=on", "max_connections=200", f"port={self.port}"]
        options += ["listen_addresses=127.0.0.1", "unix_socket_directories="]
        return self._as_postgres(["postgres", "-D", str(self.data), *(x for o in options for x in ("-c", o))])

    def start(self) -> None:
        """Start, and make the migrated template that fresh databases are copied from."""
        super().start()
        self._execute("CREATE DATABASE gatebell_template")
        migrate(self.admin.replace("/postgres", "/gatebell_template"))

    def fresh_database(self) -> str:
        """URL of a new database with all tables and no rows."""
        Postgres.count += 1
        name = f"test_{Postgres.count}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE gatebell_template STRATEGY FILE_COPY")
        return self.admin.replace("/postgres", f"/{name}")

    def copy(self, url: str) -> str:
        """URL of a new database that is as the one at `url`, which nobody may use meanwhile."""
        Postgres.count += 1
        name = f"test_{Postgres.count}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {url.rpartition('/')[2]} STRATEGY FILE_COPY")
        return self.admin.replace("/postgres", f"/{name}")

    def _execute(self, statement: str) -> None:
        import psycopg

        until = time.monotonic() + 10
        while True:
            try:
                with psycopg.connect(self.admin, autocommit=True) as connection:
                    connection.execute(statement)  # type: ignore[call-overload]
                return
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def _as_postgres(self, command: list[str]) -> list[str]:
        command = [f"{self.binaries()}/{command[0]}", *command[1:]]
        return (
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command]
            if os.getuid() == 0
            else command
        )
