"""Half days, exam days, proposals, undo and the feed of a calendar; pupils who board."""

import sqlalchemy as sa
from alembic import op

import server.db

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

UTC = server.db.UtcDateTime(timezone=True)


def upgrade() -> None:
    op.add_column("calendar_day", sa.Column("until", sa.Integer(), nullable=True))
    op.add_column("calendar_day", sa.Column("bells", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("pupil", sa.Column("boarder", sa.Boolean(), nullable=False, server_default=sa.false()))
    _table(
        "day_proposal",
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("label", sa.String(60), nullable=False),
        sa.Column("as_weekday", sa.Integer(), nullable=True),
        sa.Column("until", sa.Integer(), nullable=True),
        sa.Column("bells", sa.JSON(), nullable=False),
        sa.UniqueConstraint("school_id", "date", name=op.f("uq_day_proposal_school_id_date")),
    )
    _table(
        "calendar_change",
        sa.Column("part", sa.String(8), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.Column("made_by", sa.Uuid(), nullable=False),
        sa.Column("made_at", UTC, nullable=False),
        sa.Column("undone_by", sa.Uuid(), nullable=True),
        sa.Column("undone_at", UTC, nullable=True),
    )
    _table(
        "calendar_feed",
        sa.Column("token", server.db.Encrypted(512), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("made_at", UTC, nullable=False),
        sa.UniqueConstraint("school_id", name=op.f("uq_calendar_feed_school_id")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_calendar_feed_token_hash")),
    )


def _table(name: str, *more: sa.schema.SchemaItem) -> None:
    op.create_table(
        name,
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(32), nullable=False),
        *more,
        sa.ForeignKeyConstraint(["school_id"], ["school.id"], name=op.f(f"fk_{name}_school_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
    )
    op.create_index(op.f(f"ix_{name}_school_id"), name, ["school_id"])


def downgrade() -> None:
    for table in ("calendar_feed", "calendar_change", "day_proposal"):
        op.drop_table(table)
    for table, column in (("pupil", "boarder"), ("calendar_day", "bells"), ("calendar_day", "until")):
        with op.batch_alter_table(table) as batch:
            batch.drop_column(column)
