"""What people write back."""

import sqlalchemy as sa
from alembic import op

import server.db

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

UTC = server.db.UtcDateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "inbound_text",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(32), nullable=True),
        sa.Column("provider", sa.String(20), nullable=False),
        sa.Column("reference", sa.String(100), nullable=False),
        sa.Column("sender", sa.String(32), nullable=False),
        sa.Column("phone", sa.String(512), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("answers", sa.Uuid(), nullable=True),
        sa.Column("received_at", UTC, nullable=False),
        sa.Column("handled_at", UTC, nullable=True),
        sa.Column("handled_as", sa.String(20), nullable=False),
        sa.Column("handled_by", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["school_id"], ["school.id"], name=op.f("fk_inbound_text_school_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbound_text")),
    )
    op.create_index(op.f("ix_inbound_text_school_id"), "inbound_text", ["school_id"])
    op.create_index(op.f("ix_inbound_text_handled_at"), "inbound_text", ["handled_at"])
    op.create_index(op.f("ix_inbound_text_school_id_received_at"), "inbound_text", ["school_id", "received_at"])
    op.create_index(op.f("ix_inbound_text_provider_reference"), "inbound_text", ["provider", "reference"], unique=True)


def downgrade() -> None:
    op.drop_table("inbound_text")
