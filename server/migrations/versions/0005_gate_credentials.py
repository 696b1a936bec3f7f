"""Gateways prove themselves with certificates or passwords, and can be blocked."""

import sqlalchemy as sa
from alembic import op

import server.db

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("gateway", schema=None) as batch_op:
        batch_op.add_column(sa.Column("blocked_at", server.db.UtcDateTime(timezone=True), nullable=True))
    op.create_table(
        "gate_credential",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(length=32), nullable=False),
        sa.Column("gateway_id", sa.String(length=32), nullable=False),
        sa.Column("serial", sa.String(length=40), nullable=False),
        sa.Column("print", sa.String(length=16), nullable=False),
        sa.Column("secret", sa.String(length=200), nullable=False),
        sa.Column("made_at", server.db.UtcDateTime(timezone=True), nullable=False),
        sa.Column("expires_at", server.db.UtcDateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", server.db.UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["school_id"], ["school.id"], name=op.f("fk_gate_credential_school_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gate_credential")),
    )
    with op.batch_alter_table("gate_credential", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_gate_credential_school_id"), ["school_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_gate_credential_school_id_gateway_id"), ["school_id", "gateway_id"], unique=False
        )


def downgrade() -> None:
    op.drop_table("gate_credential")
    with op.batch_alter_table("gateway", schema=None) as batch_op:
        batch_op.drop_column("blocked_at")
