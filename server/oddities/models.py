"""Odd uses of cards, one row for each kind, subject and day."""

import datetime as dt
import uuid

from sqlalchemy import Date, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.db import Base, UtcDateTime, new_id, school_column


class OddUse(Base):
    """Something odd that cards were used for. `subject` says of whom or what: a pupil, two pupils, a card, a reader."""

    __tablename__ = "odd_use"
    __table_args__ = (
        UniqueConstraint("school_id", "day", "kind", "subject"),
        Index(None, "school_id", "seen_at", "at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    day: Mapped[dt.date] = mapped_column(Date)
    kind: Mapped[str] = mapped_column(String(16))  # rules.Kind
    subject: Mapped[str] = mapped_column(String(80))
    pupil_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("pupil.id", ondelete="CASCADE"), index=True)
    other_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("pupil.id", ondelete="CASCADE"), index=True)
    card: Mapped[str] = mapped_column(String(80), default="")
    gate: Mapped[str] = mapped_column(String(32))
    other_gate: Mapped[str] = mapped_column(String(32), default="")
    before: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)  # the tap that makes this one odd
    at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    times: Mapped[int] = mapped_column(Integer, default=1)  # on that day
    noticed_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    seen_by: Mapped[uuid.UUID | None]
