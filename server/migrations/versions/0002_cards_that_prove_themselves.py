"""cards that prove themselves, what they showed, and odd uses of cards"""

import sqlalchemy as sa
from alembic import op

import server.db


revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Three new tables; nothing that was there is changed."""
    _make(
        "proving_card",
        sa.Column("card_id", sa.Uuid(), nullable=False),
        sa.Column("mode", sa.String(length=3), nullable=False),
        sa.Column("layout", sa.String(length=9), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("must", sa.Boolean(), nullable=False),
        sa.Column("last_counter", sa.Integer(), nullable=False),
        sa.Column("since", server.db.UtcDateTime(timezone=True), nullable=False),
        _points("proving_card", "card_id", "card"),
        sa.PrimaryKeyConstraint("card_id", name=op.f("pk_proving_card")),
    )
    _make(
        "sun_reading",
        sa.Column("tap_id", sa.Uuid(), nullable=False),
        sa.Column("card_id", sa.Uuid(), nullable=True),
        sa.Column("counter", sa.Integer(), nullable=True),
        sa.Column("verdict", sa.String(length=9), nullable=False),
        sa.Column("at", server.db.UtcDateTime(timezone=True), nullable=False),
        sa.Column("timed", sa.Boolean(), nullable=False),
        sa.Column("message", sa.String(length=512), nullable=False),
        _points("sun_reading", "card_id", "card"),
        sa.PrimaryKeyConstraint("tap_id", name=op.f("pk_sun_reading")),
        sa.UniqueConstraint("card_id", "counter", name=op.f("uq_sun_reading_card_id_counter")),
    )
    _make(
        "odd_use",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("pupil_id", sa.Uuid(), nullable=True),
        sa.Column("other_id", sa.Uuid(), nullable=True),
        sa.Column("card", sa.String(length=80), nullable=False),
        sa.Column("gate", sa.String(length=32), nullable=False),
        sa.Column("other_gate", sa.String(length=32), nullable=False),
        sa.Column("before", server.db.UtcDateTime(timezone=True), nullable=True),
        sa.Column("at", server.db.UtcDateTime(timezone=True), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("noticed_at", server.db.UtcDateTime(timezone=True), nullable=False),
        sa.Column("seen_at", server.db.UtcDateTime(timezone=True), nullable=True),
        sa.Column("seen_by", sa.Uuid(), nullable=True),
        _points("odd_use", "pupil_id", "pupil"),
        _points("odd_use", "other_id", "pupil"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_odd_use")),
        sa.UniqueConstraint(
            "school_id", "day", "kind", "subject", name=op.f("uq_odd_use_school_id_day_kind_subject")
        ),
    )
    for columns in (["pupil_id"], ["other_id"], ["school_id", "seen_at", "at"]):
        op.create_index(op.f(f"ix_odd_use_{'_'.join(columns)}"), "odd_use", columns)


def _make(table: str, *parts: sa.schema.SchemaItem) -> None:
    school = sa.Column("school_id", sa.String(length=32), nullable=False)
    op.create_table(table, school, *parts, _points(table, "school_id", "school"))
    op.create_index(op.f(f"ix_{table}_school_id"), table, ["school_id"])


def _points(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=op.f(f"fk_{table}_{column}"), ondelete="CASCADE")


def downgrade() -> None:
    """Forget them."""
    for table in ("odd_use", "sun_reading", "proving_card"):
        op.drop_table(table)
