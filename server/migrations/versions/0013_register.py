"""What the guard wrote down, class registers, and slips and passes."""

import sqlalchemy as sa
from alembic import op

import server.db

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

UTC = server.db.UtcDateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "manual_passage",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(32), nullable=False),
        sa.Column("pupil_id", sa.Uuid(), nullable=False),
        sa.Column("direction", sa.String(4), nullable=False),
        sa.Column("at", UTC, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("note", sa.String(200), nullable=False),
        sa.Column("made_by", sa.Uuid(), nullable=False),
        sa.Column("made_at", UTC, nullable=False),
        *_keys("manual_passage", "pupil"),
    )
    op.create_table(
        "class_register",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(32), nullable=False),
        sa.Column("class_id", sa.Uuid(), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("session", sa.String(16), nullable=False),
        sa.Column("opened_by", sa.Uuid(), nullable=False),
        sa.Column("opened_at", UTC, nullable=False),
        sa.Column("finished_by", sa.Uuid(), nullable=True),
        sa.Column("finished_at", UTC, nullable=True),
        sa.Column("changed_at", UTC, nullable=False),
        *_keys("class_register", ("class_id", "school_class")),
        sa.UniqueConstraint(
            "school_id", "class_id", "date", "session", name=op.f("uq_class_register_school_id_class_id_date_session")
        ),
    )
    op.create_table(
        "register_entry",
        sa.Column("register_id", sa.Uuid(), nullable=False),
        sa.Column("pupil_id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(32), nullable=False),
        sa.Column("found", sa.String(10), nullable=False),
        sa.ForeignKeyConstraint(
            ["register_id"], ["class_register.id"], name=op.f("fk_register_entry_register_id"), ondelete="CASCADE"
        ),
        *_keys("register_entry", "pupil", primary=("register_id", "pupil_id")),
    )
    op.create_table(
        "gate_pass",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(32), nullable=False),
        sa.Column("pupil_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("cause", sa.String(40), nullable=False),
        sa.Column("leave_id", sa.Uuid(), nullable=True),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("valid_from", UTC, nullable=False),
        sa.Column("valid_until", UTC, nullable=False),
        sa.Column("made_by", sa.Uuid(), nullable=False),
        sa.Column("made_at", UTC, nullable=False),
        sa.Column("used_by", sa.Uuid(), nullable=True),
        sa.Column("used_at", UTC, nullable=True),
        *_keys("gate_pass", "pupil"),
        sa.UniqueConstraint(
            "school_id", "pupil_id", "kind", "cause", name=op.f("uq_gate_pass_school_id_pupil_id_kind_cause")
        ),
    )
    for table, columns in (
        ("manual_passage", ["school_id"]),
        ("manual_passage", ["school_id", "day"]),
        ("manual_passage", ["pupil_id", "day"]),
        ("manual_passage", ["school_id", "made_at"]),
        ("class_register", ["school_id"]),
        ("class_register", ["school_id", "date"]),
        ("class_register", ["school_id", "changed_at"]),
        ("register_entry", ["school_id"]),
        ("register_entry", ["pupil_id"]),
        ("gate_pass", ["school_id"]),
        ("gate_pass", ["school_id", "made_at"]),
    ):
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, columns)


def _keys(table: str, of: str | tuple[str, str], primary: tuple[str, ...] = ("id",)) -> list[sa.Constraint]:
    column, other = (f"{of}_id", of) if isinstance(of, str) else of
    return [
        sa.ForeignKeyConstraint(["school_id"], ["school.id"], name=op.f(f"fk_{table}_school_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint([column], [f"{other}.id"], name=op.f(f"fk_{table}_{column}"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint(*primary, name=op.f(f"pk_{table}")),
    ]


def downgrade() -> None:
    for table in ("gate_pass", "register_entry", "class_register", "manual_passage"):
        op.drop_table(table)
