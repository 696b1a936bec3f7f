"""The database layer: migrations equal the models, times are UTC, a writer's failure leaves nothing behind."""

from datetime import datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from sqlalchemy.exc import StatementError

from server import clock
from server.db import db, transaction
from server.schools.models import School


def test_migrations_make_what_the_models_say(app: Flask) -> None:
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, db.metadata) == []


def test_a_failed_transaction_leaves_nothing(app: Flask) -> None:
    with pytest.raises(RuntimeError), transaction() as session:
        session.add(School(id="mingde", name="x", sign="x", created_at=clock.now()))
        session.flush()
        raise RuntimeError
    assert db.session.get(School, "mingde") is None


def test_a_naive_time_is_refused(app: Flask) -> None:
    with pytest.raises(StatementError, match="naive datetime"), transaction() as session:
        session.add(School(id="mingde", name="x", sign="x", created_at=datetime(2026, 11, 25)))
