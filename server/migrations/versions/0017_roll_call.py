"""Roll calls with entries, ticks and posts; staff with their badges; visits."""

import sqlalchemy as sa
from alembic import op

import server.db

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

UTC = server.db.UtcDateTime(timezone=True)


def upgrade() -> None:
    _table(
        "roll_call",
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("open_for", sa.String(32), nullable=True),
        sa.Column("started_at", UTC, nullable=False),
        sa.Column("started_by", sa.String(64), nullable=False),
        sa.Column("ended_at", UTC, nullable=True),
        sa.Column("ended_by", sa.String(64), nullable=False),
        sa.Column("changed_at", UTC, nullable=False),
        sa.UniqueConstraint("open_for", name=op.f("uq_roll_call_open_for")),
        indexes=(["school_id", "started_at"],),
    )
    _table(
        "roll_entry",
        sa.Column("roll_id", sa.Uuid(), nullable=False),
        sa.Column("part", sa.String(36), nullable=False),
        sa.Column("person", sa.String(48), nullable=False),
        sa.Column("pupil_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("seat", sa.Integer(), nullable=False),
        sa.Column("standing", sa.String(12), nullable=False),
        sa.Column("seen_at", UTC, nullable=True),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("added_at", UTC, nullable=False),
        sa.Column("there", sa.Boolean(), nullable=False),
        sa.Column("said_at", UTC, nullable=True),
        sa.Column("said_by", sa.Uuid(), nullable=True),
        sa.Column("said_name", sa.String(64), nullable=False),
        _belongs("roll_entry", "roll_id", "roll_call.id"),
        _belongs("roll_entry", "pupil_id", "pupil.id"),
        sa.UniqueConstraint("roll_id", "person", name=op.f("uq_roll_entry_roll_id_person")),
        indexes=(["roll_id", "part"], ["pupil_id"]),
    )
    _table(
        "roll_tick",
        sa.Column("roll_id", sa.Uuid(), nullable=False),
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("there", sa.Boolean(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("at", UTC, nullable=False),
        sa.Column("received_at", UTC, nullable=False),
        _belongs("roll_tick", "roll_id", "roll_call.id"),
        _belongs("roll_tick", "entry_id", "roll_entry.id"),
        indexes=(["roll_id", "at"], ["entry_id"]),
    )
    _table(
        "roll_post",
        sa.Column("roll_id", sa.Uuid(), nullable=False),
        sa.Column("part", sa.String(36), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("sent_at", UTC, nullable=False),
        _belongs("roll_post", "roll_id", "roll_call.id"),
        _belongs("roll_post", "user_id", "user_account.id"),
        sa.UniqueConstraint("roll_id", "part", "user_id", name=op.f("uq_roll_post_roll_id_part_user_id")),
        indexes=(["user_id"],),
    )
    _table(
        "staff_member",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("card", sa.String(80), nullable=True),
        sa.Column("phone", sa.String(512), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("signed_in", sa.Boolean(), nullable=False),
        sa.Column("signed_at", UTC, nullable=True),
        _belongs("staff_member", "user_id", "user_account.id", "SET NULL"),
        sa.UniqueConstraint("school_id", "card", name=op.f("uq_staff_member_school_id_card")),
    )
    _table(
        "visit",
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("purpose", sa.String(80), nullable=False),
        sa.Column("badge", sa.String(16), nullable=False),
        sa.Column("host_id", sa.Uuid(), nullable=True),
        sa.Column("host_name", sa.String(64), nullable=False),
        sa.Column("texted", sa.Boolean(), nullable=False),
        sa.Column("arrived_at", UTC, nullable=False),
        sa.Column("left_at", UTC, nullable=True),
        sa.Column("changed_at", UTC, nullable=False),
        _belongs("visit", "host_id", "staff_member.id", "SET NULL"),
        indexes=(["school_id", "left_at"], ["school_id", "changed_at"]),
    )


def _table(name: str, *parts: sa.schema.SchemaItem, indexes: tuple[list[str], ...] = ()) -> None:
    op.create_table(
        name,
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(32), nullable=False),
        *parts,
        _belongs(name, "school_id", "school.id"),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
    )
    for columns in (["school_id"], *indexes):
        op.create_index(op.f(f"ix_{name}_{'_'.join(columns)}"), name, columns)


def _belongs(name: str, column: str, other: str, then: str = "CASCADE") -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [other], name=op.f(f"fk_{name}_{column}"), ondelete=then)


def downgrade() -> None:
    for table in ("visit", "staff_member", "roll_post", "roll_tick", "roll_entry", "roll_call"):
        op.drop_table(table)
