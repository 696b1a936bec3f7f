"""The outbox's engine: a row a message, receipts that look for their text, rates and money, late words, why one waits."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from alembic import op

import server.db

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

UTC = server.db.UtcDateTime(timezone=True)
ON_TEXTS: dict[str, Any] = {
    "values": sa.Text(),
    "late_at": UTC,
    "late_body": sa.Text(),
    "held": sa.String(16),
}


def upgrade() -> None:
    for name, kind in ON_TEXTS.items():
        op.add_column("outbox_text", sa.Column(name, kind, nullable=True))
    op.create_index(op.f("ix_outbox_text_recipient_created_at"), "outbox_text", ["recipient", "created_at"])
    op.add_column("outbox_receipt", sa.Column("key", sa.String(100), nullable=False, server_default=""))
    op.add_column("outbox_receipt", sa.Column("match_at", UTC, nullable=True))
    with op.batch_alter_table("outbox_receipt") as table:
        table.alter_column("key", server_default=None)
    op.create_index(op.f("ix_outbox_receipt_match_at"), "outbox_receipt", ["match_at"])
    op.create_index(op.f("ix_outbox_receipt_provider_key"), "outbox_receipt", ["provider", "key"])
    _segments()
    op.create_table(
        "outbox_bucket",
        sa.Column("provider", sa.String(20), nullable=False),
        sa.Column("tokens", sa.Float(), nullable=False),
        sa.Column("filled_at", UTC, nullable=False),
        sa.PrimaryKeyConstraint("provider", name=op.f("pk_outbox_bucket")),
    )
    op.create_table(
        "outbox_spend",
        sa.Column("school_id", sa.String(32), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("provider", sa.String(20), nullable=False),
        sa.Column("texts", sa.Integer(), nullable=False),
        sa.Column("segments", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["school_id"], ["school.id"], name=op.f("fk_outbox_spend_school_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("school_id", "day", "provider", name=op.f("pk_outbox_spend")),
    )


def _segments() -> None:
    op.create_table(
        "outbox_segment",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(32), nullable=False),
        sa.Column("text_id", sa.Uuid(), nullable=False),
        sa.Column("attempt_n", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(20), nullable=False),
        sa.Column("reference", sa.String(100), nullable=False),
        sa.Column("key", sa.String(100), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("changed_at", UTC, nullable=False),
        sa.ForeignKeyConstraint(
            ["school_id"], ["school.id"], name=op.f("fk_outbox_segment_school_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["text_id"], ["outbox_text.id"], name=op.f("fk_outbox_segment_text_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_segment")),
    )
    for columns in (["school_id"], ["text_id"], ["provider", "key"]):
        op.create_index(op.f(f"ix_outbox_segment_{'_'.join(columns)}"), "outbox_segment", columns)


def downgrade() -> None:
    for table in ("outbox_spend", "outbox_bucket", "outbox_segment"):
        op.drop_table(table)
    for columns in ("provider_key", "match_at"):
        op.drop_index(op.f(f"ix_outbox_receipt_{columns}"), "outbox_receipt")
    op.drop_index(op.f("ix_outbox_text_recipient_created_at"), "outbox_text")
    _drop("outbox_receipt", ("match_at", "key"))
    _drop("outbox_text", ON_TEXTS)


def _drop(name: str, columns: Iterable[str]) -> None:
    with op.batch_alter_table(name) as table:
        for column in columns:
            table.drop_column(column)
