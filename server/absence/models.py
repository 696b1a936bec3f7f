"""Missing pupils, who was asked about them, how many were missing at each cut-off, and who was called to look."""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import JSON, Date, ForeignKey, Index, Integer, String, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from server.absence.rules import CaseState
from server.db import Base, EncryptedText, UtcDateTime, new_id, school_column


class AbsenceCase(Base):
    """One pupil who was missing without a word at the cut-off of one session."""

    __tablename__ = "absence_case"
    __table_args__ = (
        UniqueConstraint("school_id", "pupil_id", "date", "session"),
        Index(None, "school_id", "date", "state"),
        Index(None, "state", "next_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    pupil_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("pupil.id", ondelete="CASCADE"))
    date: Mapped[dt.date] = mapped_column(Date)
    session: Mapped[str] = mapped_column(String(16))
    n: Mapped[int] = mapped_column(Integer)  # of the day's sessions, from 1: a part of its texts' key
    state: Mapped[CaseState] = mapped_column(String(10))
    why: Mapped[list[Any]] = mapped_column(JSON, default=list)  # rules.Why, while it is held
    opened_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    changed_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    next_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)  # when the ladder goes on
    reason: Mapped[str | None] = mapped_column(String(12))  # rules.Reason
    words: Mapped[str | None] = mapped_column(EncryptedText)  # as the family wrote them
    answered_by: Mapped[uuid.UUID | None]  # guardian.id
    leave_id: Mapped[uuid.UUID | None]  # the leave that an answer asked for
    settled_by: Mapped[uuid.UUID | None]  # user_account.id
    note: Mapped[str | None] = mapped_column(EncryptedText)  # what the person wrote who closed it
    released_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)  # a person has looked: doubt holds no more
    released_by: Mapped[uuid.UUID | None]  # user_account.id


class AbsenceStep(Base):
    """One contact who was asked."""

    __tablename__ = "absence_step"
    __table_args__ = (UniqueConstraint("case_id", "n"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    case_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("absence_case.id", ondelete="CASCADE"), index=True)
    n: Mapped[int] = mapped_column(Integer)  # from 0, in the order of contacts
    guardian_id: Mapped[uuid.UUID]
    recipient: Mapped[str] = mapped_column(String(32), index=True)  # crypt.look_up(phone): finds the answer's case
    asked_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    answered_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)


class AbsenceShare(Base):
    """How many of a class were missing without a word at one cut-off: its history, against which a day is abnormal."""

    __tablename__ = "absence_share"
    __table_args__ = (UniqueConstraint("school_id", "class_id", "date", "session"), Index(None, "school_id", "date"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    class_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("school_class.id", ondelete="CASCADE"))
    date: Mapped[dt.date] = mapped_column(Date)
    session: Mapped[str] = mapped_column(String(16))
    expected: Mapped[int] = mapped_column(Integer)
    missing: Mapped[int] = mapped_column(Integer)


class RegisterCall(Base):
    """A class that was asked to look who is there, because pupils of it are held."""

    __tablename__ = "register_call"
    __table_args__ = (UniqueConstraint("class_id", "date", "session"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    class_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("school_class.id", ondelete="CASCADE"))
    date: Mapped[dt.date] = mapped_column(Date)
    session: Mapped[str] = mapped_column(String(16))
    called_by: Mapped[uuid.UUID]  # user_account.id
    called_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
