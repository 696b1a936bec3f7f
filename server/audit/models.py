"""The audit trail: rows are added, never changed."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from server.db import Base, UtcDateTime, new_id, school_column


class AuditEntry(Base):
    """One act or look-up by one user on one subject."""

    __tablename__ = "audit_entry"
    __table_args__ = (Index(None, "school_id", "subject", "at"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    user_id: Mapped[uuid.UUID | None]
    action: Mapped[str] = mapped_column(String(40))  # pupil.viewed, card.assigned ...
    subject: Mapped[str] = mapped_column(String(64), default="")  # pupil:<id>, class:<id> ...
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
