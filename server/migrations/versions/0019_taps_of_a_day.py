"""Taps of a day in their order: without it SQLite read all taps of a school by their time.

Revision ID: 0019
Revises: 0018
"""

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_index("ix_tap_school_id_day_at", "tap", ["school_id", "day", "at"])


def downgrade() -> None:
    op.drop_index("ix_tap_school_id_day_at", "tap")
