"""How a leave was asked for, its files, texts that wait for their confirmation, and warnings about absence."""

import sqlalchemy as sa
from alembic import op

import server.db

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

UTC = server.db.UtcDateTime(timezone=True)


def upgrade() -> None:
    op.add_column("leave", sa.Column("source", sa.String(8), nullable=False, server_default="text"))
    op.add_column("leave", sa.Column("called", sa.Text(), nullable=True))
    op.add_column("leave", sa.Column("once", sa.String(40), nullable=True))
    op.add_column("leave", sa.Column("school_days", sa.Integer(), nullable=False, server_default="1"))
    op.create_index(op.f("ix_leave_school_id_pupil_id_once"), "leave", ["school_id", "pupil_id", "once"], unique=True)
    _files()
    _wishes()
    _warnings()


def _files() -> None:
    op.create_table(
        "leave_file",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(32), nullable=False),
        sa.Column("leave_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.String(20), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("added_by", sa.Uuid(), nullable=True),
        sa.Column("added_at", UTC, nullable=False),
        sa.ForeignKeyConstraint(["school_id"], ["school.id"], name=op.f("fk_leave_file_school_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["leave_id"], ["leave.id"], name=op.f("fk_leave_file_leave_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leave_file")),
    )
    for column in ("school_id", "leave_id"):
        op.create_index(op.f(f"ix_leave_file_{column}"), "leave_file", [column])


def _wishes() -> None:
    op.create_table(
        "leave_wish",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(32), nullable=False),
        sa.Column("pupil_id", sa.Uuid(), nullable=False),
        sa.Column("guardian_id", sa.Uuid(), nullable=False),
        sa.Column("sender", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("starts_at", UTC, nullable=False),
        sa.Column("ends_at", UTC, nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("asked_at", UTC, nullable=False),
        sa.Column("settled_at", UTC, nullable=True),
        sa.ForeignKeyConstraint(["school_id"], ["school.id"], name=op.f("fk_leave_wish_school_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["pupil_id"], ["pupil.id"], name=op.f("fk_leave_wish_pupil_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["guardian_id"], ["guardian.id"], name=op.f("fk_leave_wish_guardian_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leave_wish")),
    )
    for columns in (["school_id"], ["school_id", "sender"]):
        op.create_index(op.f(f"ix_leave_wish_{'_'.join(columns)}"), "leave_wish", columns)


def _warnings() -> None:
    op.create_table(
        "absence_warning",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(32), nullable=False),
        sa.Column("pupil_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("made_at", UTC, nullable=False),
        sa.Column("seen_by", sa.Uuid(), nullable=True),
        sa.Column("seen_at", UTC, nullable=True),
        sa.ForeignKeyConstraint(
            ["school_id"], ["school.id"], name=op.f("fk_absence_warning_school_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["pupil_id"], ["pupil.id"], name=op.f("fk_absence_warning_pupil_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_absence_warning")),
        sa.UniqueConstraint(
            "pupil_id", "kind", "count", "since", name=op.f("uq_absence_warning_pupil_id_kind_count_since")
        ),
    )
    for columns in (["school_id"], ["school_id", "seen_at"]):
        op.create_index(op.f(f"ix_absence_warning_{'_'.join(columns)}"), "absence_warning", columns)


def downgrade() -> None:
    for table in ("absence_warning", "leave_wish", "leave_file"):
        op.drop_table(table)
    op.drop_index(op.f("ix_leave_school_id_pupil_id_once"), "leave")
    for column in ("school_days", "once", "called", "source"):
        op.drop_column("leave", column)
