"""Settings with their history, leave, teachers' marks, and days to judge again."""

import datetime
import json
import uuid
from typing import Any

import sqlalchemy as sa
from alembic import op

import server.db

revision = "0010"
down_revision = "0006"
branch_labels = None
depends_on = None

UTC = server.db.UtcDateTime(timezone=True)
NAMES = {"attendance": "attendance.Policy", "notify": "notify.GatePolicy"}


def upgrade() -> None:
    _settings_with_history()
    op.create_table(
        "stale_day",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(32), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("pupil_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["school_id"], ["school.id"], name=op.f("fk_stale_day_school_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stale_day")),
    )
    op.create_index(op.f("ix_stale_day_school_id"), "stale_day", ["school_id"])
    op.create_table(
        "leave",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(32), nullable=False),
        sa.Column("pupil_id", sa.Uuid(), nullable=False),
        sa.Column("starts_at", UTC, nullable=False),
        sa.Column("ends_at", UTC, nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("guardian_id", sa.Uuid(), nullable=True),
        sa.Column("asked_by", sa.Uuid(), nullable=True),
        sa.Column("asked_at", UTC, nullable=False),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("decided_at", UTC, nullable=True),
        sa.Column("note", sa.String(200), nullable=False),
        sa.ForeignKeyConstraint(["school_id"], ["school.id"], name=op.f("fk_leave_school_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["pupil_id"], ["pupil.id"], name=op.f("fk_leave_pupil_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["guardian_id"], ["guardian.id"], name=op.f("fk_leave_guardian_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leave")),
    )
    for columns in (["school_id"], ["school_id", "ends_at"], ["pupil_id", "ends_at"]):
        op.create_index(op.f(f"ix_leave_{'_'.join(columns)}"), "leave", columns)
    op.create_table(
        "teacher_mark",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(32), nullable=False),
        sa.Column("pupil_id", sa.Uuid(), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("session", sa.String(16), nullable=False),
        sa.Column("mark", sa.String(8), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("made_by", sa.Uuid(), nullable=False),
        sa.Column("made_at", UTC, nullable=False),
        sa.Column("undone_by", sa.Uuid(), nullable=True),
        sa.Column("undone_at", UTC, nullable=True),
        sa.ForeignKeyConstraint(
            ["school_id"], ["school.id"], name=op.f("fk_teacher_mark_school_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["pupil_id"], ["pupil.id"], name=op.f("fk_teacher_mark_pupil_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_teacher_mark")),
    )
    for columns in (["school_id"], ["school_id", "date"], ["pupil_id", "date"]):
        op.create_index(op.f(f"ix_teacher_mark_{'_'.join(columns)}"), "teacher_mark", columns)


def _settings_with_history() -> None:
    """One row a feature becomes the first of a history; it counted from whenever it was set, or a little before."""
    old = sa.table("school_policy", *map(sa.column, ("school_id", "feature", "chosen", "since")))
    connection = op.get_bind()
    kept = connection.execute(sa.text("SELECT school_id, feature, chosen, since FROM school_policy")).all()
    op.drop_table(old.name)
    new = op.create_table(
        "school_policy",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("school_id", sa.String(32), nullable=False),
        sa.Column("feature", sa.String(64), nullable=False),
        sa.Column("chosen", sa.JSON(), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("set_at", UTC, nullable=False),
        sa.Column("set_by", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["school_id"], ["school.id"], name=op.f("fk_school_policy_school_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_school_policy")),
    )
    for columns in (["school_id"], ["school_id", "feature"]):
        op.create_index(op.f(f"ix_school_policy_{'_'.join(columns)}"), "school_policy", columns)
    rows = [_moved(*row) for row in kept]
    if rows:
        op.bulk_insert(new, rows)


def _moved(school_id: str, feature: str, chosen: Any, since: Any) -> dict[str, Any]:
    chosen = json.loads(chosen) if isinstance(chosen, str) else chosen
    since = datetime.datetime.fromisoformat(since) if isinstance(since, str) else since
    since = since.replace(tzinfo=datetime.UTC) if since.tzinfo is None else since
    row = {"id": uuid.uuid4(), "school_id": school_id, "feature": NAMES.get(feature, feature), "chosen": chosen}
    return row | {"since": (since - datetime.timedelta(days=1)).date(), "set_at": since, "set_by": None}


def downgrade() -> None:
    for table in ("teacher_mark", "leave", "stale_day"):
        op.drop_table(table)
    op.drop_table("school_policy")
    op.create_table(
        "school_policy",
        sa.Column("school_id", sa.String(32), nullable=False),
        sa.Column("feature", sa.String(32), nullable=False),
        sa.Column("chosen", sa.JSON(), nullable=False),
        sa.Column("since", UTC, nullable=False),
        sa.ForeignKeyConstraint(
            ["school_id"], ["school.id"], name=op.f("fk_school_policy_school_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("school_id", "feature", name=op.f("pk_school_policy")),
    )
