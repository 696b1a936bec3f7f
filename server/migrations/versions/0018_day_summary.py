"""A pupil's day in one short line beside its verdict, so that reports count it in the database."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

LETTERS = {"present": "P", "late": "L", "absent": "A", "excused": "E", "pending": "W", "unconfirmed": "U"}
CHUNK = 1000


def upgrade() -> None:
    with op.batch_alter_table("pupil_day") as table:
        table.add_column(sa.Column("summary", sa.String(400), nullable=False, server_default=""))
    fill()
    columns = ["school_id", "date", "pupil_id", "summary", "first_in"]
    op.create_index("ix_pupil_day_report", "pupil_day", columns)


def fill() -> None:
    """Of days that were judged before; the kind of an old leave is not said (a new judgement says it)."""
    connection = op.get_bind()
    columns = [sa.column("pupil_id", sa.Uuid), sa.column("date", sa.Date), sa.column("verdict", sa.JSON)]
    day = sa.table("pupil_day", *columns, sa.column("summary", sa.String))
    dates = connection.scalars(sa.select(day.c.date).distinct()).all()
    keep = sa.update(day).where(day.c.pupil_id == sa.bindparam("of_pupil"), day.c.date == sa.bindparam("of_date"))
    keep = keep.values(summary=sa.bindparam("line"))
    for date in dates:
        rows = connection.execute(sa.select(day.c.pupil_id, day.c.verdict).where(day.c.date == date)).all()
        lines = [{"of_pupil": pupil, "of_date": date, "line": line_of(verdict)} for pupil, verdict in rows if verdict]
        for start in range(0, len(lines), CHUNK):
            connection.execute(keep, lines[start : start + CHUNK])


def line_of(verdict: Any) -> str:
    verdict = json.loads(verdict) if isinstance(verdict, str) else verdict
    return "|".join(part(name, said) for name, said in verdict.get("sessions", {}).items())


def part(name: str, said: dict[str, Any]) -> str:
    late, early = said.get("late"), said.get("early")
    minutes = (f"+{late}" if late else "") + (f"-{early}" if early else "")
    return f"{LETTERS[said['state']]}{minutes}:{name.replace('|', '/')}"


def downgrade() -> None:
    op.drop_index("ix_pupil_day_report", "pupil_day")
    with op.batch_alter_table("pupil_day") as table:
        table.drop_column("summary")
