"""The verdict on each pupil's day, kept so that pages need not judge."""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import JSON, Boolean, Date, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from server.db import Base, UtcDateTime, school_column


class PupilDay(Base):
    """What rules.judge said last of one pupil's day; always recomputed whole, never patched."""

    __tablename__ = "pupil_day"
    __table_args__ = (Index(None, "school_id", "date", "status"),)

    pupil_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pupil.id", ondelete="CASCADE"), primary_key=True)
    date: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    school_id: Mapped[str] = school_column()
    status: Mapped[str] = mapped_column(String(12))  # rules.Status: what a page shows now
    late_minutes: Mapped[int] = mapped_column(Integer, default=0)
    inside: Mapped[bool] = mapped_column(Boolean, default=False)
    first_in: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    last_out: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    verdict: Mapped[dict[str, Any]] = mapped_column(JSON)  # rules.Day as plain values
    judged_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
