"""Missing pupils, the contacts who were asked, and the shares of each cut-off."""

import sqlalchemy as sa
from alembic import op

import server.db

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

UTC = server.db.UtcDateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "absence_case",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(32), nullable=False),
        sa.Column("pupil_id", sa.Uuid(), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("session", sa.String(16), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("why", sa.JSON(), nullable=False),
        sa.Column("opened_at", UTC, nullable=False),
        sa.Column("changed_at", UTC, nullable=False),
        sa.Column("next_at", UTC, nullable=True),
        sa.Column("reason", sa.String(12), nullable=True),
        sa.Column("words", sa.Text(), nullable=True),
        sa.Column("answered_by", sa.Uuid(), nullable=True),
        sa.Column("leave_id", sa.Uuid(), nullable=True),
        sa.Column("settled_by", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["school_id"], ["school.id"], name=op.f("fk_absence_case_school_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["pupil_id"], ["pupil.id"], name=op.f("fk_absence_case_pupil_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_absence_case")),
        sa.UniqueConstraint(
            "school_id", "pupil_id", "date", "session", name=op.f("uq_absence_case_school_id_pupil_id_date_session")
        ),
    )
    for columns in (["school_id"], ["school_id", "date", "state"], ["state", "next_at"]):
        op.create_index(op.f(f"ix_absence_case_{'_'.join(columns)}"), "absence_case", columns)
    op.create_table(
        "absence_step",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(32), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("guardian_id", sa.Uuid(), nullable=False),
        sa.Column("recipient", sa.String(32), nullable=False),
        sa.Column("asked_at", UTC, nullable=False),
        sa.Column("answered_at", UTC, nullable=True),
        sa.ForeignKeyConstraint(
            ["school_id"], ["school.id"], name=op.f("fk_absence_step_school_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["case_id"], ["absence_case.id"], name=op.f("fk_absence_step_case_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_absence_step")),
        sa.UniqueConstraint("case_id", "n", name=op.f("uq_absence_step_case_id_n")),
    )
    for columns in (["school_id"], ["case_id"], ["recipient"]):
        op.create_index(op.f(f"ix_absence_step_{'_'.join(columns)}"), "absence_step", columns)
    op.create_table(
        "absence_share",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(32), nullable=False),
        sa.Column("class_id", sa.Uuid(), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("session", sa.String(16), nullable=False),
        sa.Column("expected", sa.Integer(), nullable=False),
        sa.Column("missing", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["school_id"], ["school.id"], name=op.f("fk_absence_share_school_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["class_id"], ["school_class.id"], name=op.f("fk_absence_share_class_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_absence_share")),
        sa.UniqueConstraint(
            "school_id", "class_id", "date", "session", name=op.f("uq_absence_share_school_id_class_id_date_session")
        ),
    )
    for columns in (["school_id"], ["school_id", "date"]):
        op.create_index(op.f(f"ix_absence_share_{'_'.join(columns)}"), "absence_share", columns)


def downgrade() -> None:
    for table in ("absence_share", "absence_step", "absence_case"):
        op.drop_table(table)
