"""Leave of absence, from the asking to the decision."""

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, Integer, String, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from server.db import Base, EncryptedBytes, EncryptedText, UtcDateTime, new_id, school_column


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


class LeaveSource(StrEnum):
    """By which way it was asked for."""

    TEXT = "text"  # a guardian wrote back
    LINK = "link"  # a guardian's page
    STAFF = "staff"


class Leave(Base):
    """One pupil's leave, from <= t < to; the reason is a child's health more often than not, so it is encrypted."""

    __tablename__ = "leave"
    __table_args__ = (
        Index(None, "school_id", "ends_at"),
        Index(None, "pupil_id", "ends_at"),
        Index(None, "school_id", "pupil_id", "once", unique=True),
    )

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
    source: Mapped[LeaveSource] = mapped_column(String(8), default=LeaveSource.TEXT)
    called: Mapped[str | None] = mapped_column(EncryptedText)  # how staff heard it from the guardian
    once: Mapped[str | None] = mapped_column(String(40))  # the form or reply that asked: sent twice, it is one leave
    school_days: Mapped[int] = mapped_column(Integer, default=1)  # with lessons for this pupil, when it was asked for


class LeaveFile(Base):
    """A doctor's note or the like, as a picture or PDF; it stands in the database only encrypted."""

    __tablename__ = "leave_file"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    leave_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("leave.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(EncryptedText)
    type: Mapped[str] = mapped_column(String(20))  # as its first bytes say
    size: Mapped[int] = mapped_column(Integer)
    content: Mapped[bytes] = mapped_column(EncryptedBytes, deferred=True)
    added_by: Mapped[uuid.UUID | None]  # user_account.id; empty: the guardian
    added_at: Mapped[datetime] = mapped_column(UtcDateTime)


class LeaveWish(Base):
    """What a guardian's text was understood to ask for, until the guardian says that it was understood rightly."""

    __tablename__ = "leave_wish"
    __table_args__ = (Index(None, "school_id", "sender"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    pupil_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("pupil.id", ondelete="CASCADE"))
    guardian_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("guardian.id", ondelete="CASCADE"))
    sender: Mapped[str] = mapped_column(String(32))  # crypt.look_up(phone)
    kind: Mapped[LeaveKind] = mapped_column(String(12))
    starts_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime] = mapped_column(UtcDateTime)
    words: Mapped[str] = mapped_column(EncryptedText)  # as the guardian wrote them
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    settled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # confirmed, refused or overtaken
