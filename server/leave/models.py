"""Leave of absence, from the asking to the decision."""

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from server.db import Base, EncryptedText, UtcDateTime, new_id, school_column


class LeaveKind(StrEnum):
    """Why a pupil is away."""

    SICK = "sick"
    PERSONAL = "personal"
    OFFICIAL = "official"
    TRIP = "trip"


class LeaveState(StrEnum):
    """Only approved leave excuses anybody."""

    ASKED = "asked"
    APPROVED = "approved"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class Leave(Base):
    """One pupil's leave, from <= t < to; the reason is a child's health more often than not, so it is encrypted."""

    __tablename__ = "leave"
    __table_args__ = (Index(None, "school_id", "ends_at"), Index(None, "pupil_id", "ends_at"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    # Uuid is said: else a statement built before people.models was imported would not know the type
    pupil_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("pupil.id", ondelete="CASCADE"))
    starts_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime] = mapped_column(UtcDateTime)
    kind: Mapped[LeaveKind] = mapped_column(String(12))
    state: Mapped[LeaveState] = mapped_column(String(12), default=LeaveState.ASKED)
    reason: Mapped[str | None] = mapped_column(EncryptedText)
    guardian_id: Mapped[uuid.UUID | None] = mapped_column(
        Uuid, ForeignKey("guardian.id", ondelete="SET NULL")
    )  # who excuses
    asked_by: Mapped[uuid.UUID | None]  # the user who wrote it down; empty when a guardian did it alone
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decided_by: Mapped[uuid.UUID | None]
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    note: Mapped[str] = mapped_column(String(200), default="")  # of who decided
