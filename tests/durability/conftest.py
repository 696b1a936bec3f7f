"""A small school in a SQLite file, for children that are killed."""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from server import create_app
from server.db import db
from tests.durability.server_child import settings
from tests.server import gate

School = Callable[..., Path]


@pytest.fixture
def school(sqlite_template: Path, tmp_path: Path) -> School:
    """Writes a school: `school(database, pupils=3)`; its key lies in the test's folder."""

    def write(database: Path, *, pupils: int = 3) -> Path:
        shutil.copy(sqlite_template, database)
        app = create_app(settings(str(tmp_path), f"sqlite:///{database}", ""))
        with app.app_context(), contextlib.ExitStack() as after:
            after.callback(db.engine.dispose)
            after.callback(db.session.remove)
            gate.add_school(pupils)
        return database

    return write
