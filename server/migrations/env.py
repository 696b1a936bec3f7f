"""How Alembic reaches our database; own file, because Flask-Migrate's template warns and misses batch mode."""

from alembic import context
from flask import current_app

database = current_app.extensions["migrate"].db


def run() -> None:
    """Run the migrations on the application's engine; SQLite tables are rebuilt in batch mode."""
    with database.engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=database.metadata,
            render_as_batch=True,
            compare_type=True,
            user_module_prefix="server.db.",
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()


run()
