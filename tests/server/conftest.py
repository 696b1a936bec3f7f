"""A school on a real database, for the server's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from server import clock, config, create_app
from server.db import db, transaction
from server.schools.models import School


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
