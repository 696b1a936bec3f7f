"""a key for each gate's list of cards"""

import sqlalchemy as sa
from alembic import op

import server.db

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gate_list_key",
        sa.Column("school_id", sa.String(length=32), nullable=False),
        sa.Column("gateway_id", sa.String(length=32), nullable=False),
        sa.Column("key", server.db.Encrypted(length=512), nullable=False),
        sa.ForeignKeyConstraint(
            ["school_id"], ["school.id"], name=op.f("fk_gate_list_key_school_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("school_id", "gateway_id", name=op.f("pk_gate_list_key")),
    )
    with op.batch_alter_table("gate_list_key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_gate_list_key_school_id"), ["school_id"], unique=False)


def downgrade() -> None:
    op.drop_table("gate_list_key")
