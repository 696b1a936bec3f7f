"""The database session of all server processes: SQLite or PostgreSQL by URL, one transaction() for every writer."""

import fcntl
import json
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime, Dialect, Engine, ForeignKey, LargeBinary, MetaData, String, Table, Text, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column
from sqlalchemy.types import TypeDecorator

from server import config, crypt

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
# The database is gone, locked or full: nothing is wrong with the facts, they are to be tried again later.
DATABASE_AWAY = (OperationalError, InterfaceError, InternalError, PoolTimeout)


class Base(DeclarativeBase):
    """All tables; the naming convention lets Alembic drop constraints on both databases."""

    metadata = MetaData(naming_convention=NAMES)


db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False})
migrate = Migrate()  # type: ignore[no-untyped-call]


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime on every database; a naive one is refused, so no local time can slip in."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime {value!r}: times in the database are UTC")
        return value if value.tzinfo is UTC else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Encrypted(TypeDecorator[str]):
    """Text that stands in the database only encrypted (AES-GCM); look it up by its keyed hash beside it."""

    impl = String(512)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else crypt.seal(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else crypt.unseal(value)


class EncryptedText(Encrypted):
    """The same for words of any length."""

    impl = Text  # type: ignore[assignment]
    cache_ok = True


class EncryptedBytes(TypeDecorator[bytes]):
    """A file that stands in the database only encrypted."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> bytes | None:
        return None if value is None else crypt.seal_bytes(value)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> bytes | None:
        return None if value is None else crypt.unseal_bytes(value)


class EncryptedJson(TypeDecorator[dict[str, str]]):
    """Named words of any length, encrypted together."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: dict[str, str] | None, dialect: Dialect) -> str | None:
        return None if value is None else crypt.seal(json.dumps(value, ensure_ascii=False))

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[str, str] | None:
        return None if value is None else json.loads(crypt.unseal(value))


def new_id() -> uuid.UUID:
    """A random primary key: ids in URLs cannot be guessed."""
    return uuid.UUID(bytes=secrets.token_bytes(16), version=4)


def school_column(**options: Any) -> Any:
    """The `school_id` that every table with a person or a fact carries."""
    return mapped_column(String(32), ForeignKey("school.id", ondelete="CASCADE"), index=True, **options)


class TransactionMisused(RuntimeError):
    """transaction() was entered inside another, or with changes of this session still unsaved."""


@contextmanager
def transaction() -> Iterator[Session]:
    """Commit at the end or roll back; on SQLite the write lock is taken first, so no reader's snapshot goes stale.

    Whatever was read before in this session is given back first: what a writer decides on, it reads inside.
    Raises TransactionMisused rather than throw away somebody's work.
    """
    session = db.session()
    if session.info.get("writing"):
        raise TransactionMisused("transaction() inside transaction(): a service leaves it to its caller")
    if session.new or session.dirty or session.deleted:
        raise TransactionMisused("this session holds changes made outside transaction(); make them inside")
    session.rollback()
    session.info["writing"] = True
    try:
        with _turn_to_write():
            session.connection(execution_options={"gatebell_begin": "BEGIN IMMEDIATE"})
            yield session
            session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.info["writing"] = False


@contextmanager
def _turn_to_write() -> Iterator[None]:
    """Queue for SQLite's write lock, which by itself lets those who wait sleep and try again, the unlucky for seconds.

    A lock on a file beside the database wakes them at once, threads and processes alike, and dies with its holder.
    """
    path = db.engine.url.database
    if db.engine.dialect.name != "sqlite" or not path or path == ":memory:":
        yield
        return
    with open(f"{path}-turn", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def table(model: type[Base]) -> Table:
    """The table of a model, for statements that make no objects.

    What runs for every batch is built once, at the head of its module: building costs four times as much as running.
    """
    return cast(Table, model.__table__)


def insert(table: Any) -> Any:
    """INSERT that knows ON CONFLICT, in the dialect of the database in use."""
    return (sqlite if db.engine.dialect.name == "sqlite" else postgresql).insert(table)


def insert_new(table: Table, *returning: Any) -> Any:
    """INSERT that leaves alone what is there, and returns these columns of what was not; built once per database."""
    return _insert_new(db.engine.dialect.name, table, returning)


@cache
def _insert_new(_dialect: str, table: Table, returning: tuple[Any, ...]) -> Any:
    statement = insert(table).on_conflict_do_nothing()
    return statement.returning(*returning) if returning else statement


def absolute(url: str) -> str:
    """A relative SQLite path counts from the working folder (Flask-SQLAlchemy's habit is a folder of its own).

    Raises ConfigError for what is no address of a database that we know.
    """
    try:
        parsed = make_url(url)
        known = parsed.get_dialect().name in {"sqlite", "postgresql"}
    except ArgumentError:  # its words may hold the password
        known = False
    if not known:
        raise config.ConfigError("database.url: write sqlite:///path or postgresql://user@host/name")
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return url
    return parsed.set(database=str(Path(parsed.database).absolute())).render_as_string(hide_password=False)


def engine_options(url: str) -> dict[str, Any]:
    """Pool for a web process of many threads; a connection that a PostgreSQL restart broke is noticed before use."""
    options: dict[str, Any] = {"pool_size": 10, "max_overflow": 40, "pool_timeout": 10, "hide_parameters": True}
    if make_url(url).get_backend_name() == "postgresql":
        options |= {"pool_pre_ping": True, "connect_args": {"connect_timeout": 5}}
    return options


def tune(engine: Engine) -> None:
    """Make a commit survive a power cut, whatever the database's own defaults are."""
    if engine.dialect.name == "sqlite":
        _tune_sqlite(engine)
    else:
        _tune_postgresql(engine)


def _tune_postgresql(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') IN ('off', 'local')"
        )
        connection.commit()


def _tune_sqlite(engine: Engine) -> None:
    """WAL, synchronous=FULL, foreign keys on, and BEGIN left to transaction()."""

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("gatebell_begin", "BEGIN"))
