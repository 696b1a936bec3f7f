"""A school on a real database, for the server's tests."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from argon2 import PasswordHasher, profiles
from flask import Flask

from server import clock, config, create_app
from server.accounts import service as accounts
from server.db import db, transaction
from server.schools.models import School
from tests import sample
from tests.server.site import Site


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> config.Config:
    """The operator's configuration of a test's server."""
    return config.Config(
        database=config.Database(url=database_url),
        secrets=config.Secrets(key_file=str(tmp_path / "key")),
        run_dir=str(tmp_path),
    )


@pytest.fixture
def app(settings: config.Config) -> Iterator[Flask]:
    """The application in its context, on SQLite and on PostgreSQL."""
    app = create_app(settings)
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def school(app: Flask) -> School:
    """An empty school."""
    school = School(id="mingde", name="明德实验学校", sign="明德学校", created_at=clock.now())
    with transaction() as session:
        session.add(school)
    return school


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same code path, without the cost that keeps guessers away."""
    monkeypatch.setattr(accounts, "hasher", PasswordHasher.from_parameters(profiles.CHEAPEST))


@pytest.fixture
def morning(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's clock shows 07:52 of the sample school's Wednesday, and goes on."""
    monkeypatch.setattr(clock, "_base", sample.clock_at(7, 52, 7))


@pytest.fixture
def site(settings: config.Config, morning: None) -> Iterator[Site]:
    """The sample school on both databases, to be visited; it has the demo's phones."""
    site = Site(msgspec.structs.replace(settings, demo=True))
    yield site
    site.close()
