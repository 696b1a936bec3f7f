"""self-tests of the gates, their faults, and the caretakers who are told"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from server.db import Encrypted, UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("gateway") as table:
        table.add_column(sa.Column("resting", sa.Boolean(), nullable=False, server_default=sa.false()))
    _create(
        "gate_test",
        sa.Column("gateway_id", sa.String(32), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("cause", sa.String(40), nullable=False),
        sa.Column("asked_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("sent_at", UtcDateTime(timezone=True)),
        sa.Column("answered_at", UtcDateTime(timezone=True)),
        sa.Column("judged_at", UtcDateTime(timezone=True)),
        sa.Column("checks", sa.JSON(), nullable=False),
        unique=["school_id", "gateway_id", "day", "cause"],
    )
    op.create_index(op.f("ix_gate_test_judged_at"), "gate_test", ["judged_at"])
    _create(
        "gate_fault",
        sa.Column("gateway_id", sa.String(32), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("part", sa.String(64), nullable=False),
        sa.Column("found", sa.String(64), nullable=False),
        sa.Column("seen_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("mended_at", UtcDateTime(timezone=True)),
        sa.Column("told_at", UtcDateTime(timezone=True)),
        sa.Column("mended_told_at", UtcDateTime(timezone=True)),
        unique=["school_id", "gateway_id", "day", "part"],
    )
    op.create_index(op.f("ix_gate_fault_school_id_day"), "gate_fault", ["school_id", "day"])
    _create(
        "caretaker",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("phone", Encrypted(length=512), nullable=False),
        sa.Column("phone_hash", sa.String(32), nullable=False),
        sa.Column("locale", sa.String(16), nullable=False),
        unique=["school_id", "phone_hash"],
    )


def _create(name: str, *columns: sa.Column[Any], unique: list[str]) -> None:
    """A table of a school's, with a random key."""
    op.create_table(
        name,
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(32), nullable=False),
        *columns,
        sa.ForeignKeyConstraint(["school_id"], ["school.id"], name=op.f(f"fk_{name}_school_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
        sa.UniqueConstraint(*unique, name=op.f(f"uq_{name}_{'_'.join(unique)}")),
    )
    op.create_index(op.f(f"ix_{name}_school_id"), name, ["school_id"])


def downgrade() -> None:
    for name in ("caretaker", "gate_fault", "gate_test"):
        op.drop_table(name)
    with op.batch_alter_table("gateway") as table:
        table.drop_column("resting")
