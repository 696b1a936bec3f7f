"""Warnings about pupils who are away too long or too often."""

import datetime as dt
import uuid

from sqlalchemy import Boolean, Date, ForeignKey, Index, Integer, String, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from server.db import Base, UtcDateTime, new_id, school_column
from server.leavedesk.rules import WarningKind


class AbsenceWarning(Base):
    """One thing that somebody should ask about: `count` days away, since a date; each is made once."""

    __tablename__ = "absence_warning"
    __table_args__ = (
        UniqueConstraint("pupil_id", "kind", "count", "since"),
        Index(None, "school_id", "seen_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    pupil_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("pupil.id", ondelete="CASCADE"))
    kind: Mapped[WarningKind] = mapped_column(String(12))
    count: Mapped[int] = mapped_column(Integer)
    since: Mapped[dt.date] = mapped_column(Date)
    date: Mapped[dt.date] = mapped_column(Date)  # on which it came up
    urgent: Mapped[bool] = mapped_column(Boolean)  # long or often enough for Today
    made_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    seen_by: Mapped[uuid.UUID | None]  # user_account.id: who has taken care of it
    seen_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
