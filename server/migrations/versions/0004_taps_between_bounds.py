"""Taps of a boot without a time lie between two times, and a gap may be known to be lost.

Revision ID: 0004
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

from server.db import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Both are empty for what is there."""
    op.add_column("tap", sa.Column("earliest", UtcDateTime(timezone=True), nullable=True))
    op.add_column("tap", sa.Column("latest", UtcDateTime(timezone=True), nullable=True))
    op.add_column("spool_gap", sa.Column("lost_at", UtcDateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Without bounds and losses."""
    op.drop_column("spool_gap", "lost_at")
    op.drop_column("tap", "latest")
    op.drop_column("tap", "earliest")
