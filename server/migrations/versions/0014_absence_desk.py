"""What staff do with missing pupils: released, closed in their own words, classes called to look."""

import sqlalchemy as sa
from alembic import op

import server.db

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

UTC = server.db.UtcDateTime(timezone=True)


def upgrade() -> None:
    op.add_column("absence_case", sa.Column("note", sa.Text(), nullable=True))
    op.add_column("absence_case", sa.Column("released_at", UTC, nullable=True))
    op.add_column("absence_case", sa.Column("released_by", sa.Uuid(), nullable=True))
    op.create_table(
        "register_call",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(32), nullable=False),
        sa.Column("class_id", sa.Uuid(), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("session", sa.String(16), nullable=False),
        sa.Column("called_by", sa.Uuid(), nullable=False),
        sa.Column("called_at", UTC, nullable=False),
        sa.ForeignKeyConstraint(
            ["school_id"], ["school.id"], name=op.f("fk_register_call_school_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["class_id"], ["school_class.id"], name=op.f("fk_register_call_class_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_register_call")),
        sa.UniqueConstraint("class_id", "date", "session", name=op.f("uq_register_call_class_id_date_session")),
    )
    op.create_index(op.f("ix_register_call_school_id"), "register_call", ["school_id"])


def downgrade() -> None:
    op.drop_table("register_call")
    with op.batch_alter_table("absence_case") as table:
        for column in ("released_by", "released_at", "note"):
            table.drop_column(column)
