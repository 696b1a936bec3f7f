"""The verdict on each pupil's day, kept so that pages need not judge."""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import JSON, Boolean, Date, ForeignKey, Index, Integer, String, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from server.db import Base, UtcDateTime, new_id, school_column


class PupilDay(Base):
    """What rules.judge said last of one pupil's day; always recomputed whole, never patched."""

    __tablename__ = "pupil_day"
    __table_args__ = (
        Index(None, "school_id", "date", "status"),
        Index("ix_pupil_day_report", "school_id", "date", "pupil_id", "summary", "first_in"),  # reports read it alone
    )

    pupil_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pupil.id", ondelete="CASCADE"), primary_key=True)
    date: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    school_id: Mapped[str] = school_column()
    status: Mapped[str] = mapped_column(String(12))  # rules.Status: what a page shows now
    late_minutes: Mapped[int] = mapped_column(Integer, default=0)
    inside: Mapped[bool] = mapped_column(Boolean, default=False)
    first_in: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    last_out: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    verdict: Mapped[dict[str, Any]] = mapped_column(JSON)  # rules.Day as plain values
    summary: Mapped[str] = mapped_column(String(400), default="")  # summary.written: its sessions, for reports
    judged_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)


class TeacherMark(Base):
    """What a person of the school saw of a pupil in one session; never edited, the newest that is not undone counts."""

    __tablename__ = "teacher_mark"
    __table_args__ = (Index(None, "school_id", "date"), Index(None, "pupil_id", "date"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    pupil_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("pupil.id", ondelete="CASCADE"))
    date: Mapped[dt.date] = mapped_column(Date)
    session: Mapped[str] = mapped_column(String(16))
    mark: Mapped[str] = mapped_column(String(8))  # rules.MarkKind
    minutes: Mapped[int] = mapped_column(Integer, default=0)  # late by so many
    reason: Mapped[str] = mapped_column(String(200), default="")
    made_by: Mapped[uuid.UUID]  # user_account.id
    made_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    undone_by: Mapped[uuid.UUID | None]
    undone_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)


class ManualPassage(Base):
    """An entry or exit that a person at the gate saw and wrote down, because no card could; judged like a tap."""

    __tablename__ = "manual_passage"
    __table_args__ = (
        Index(None, "school_id", "day"),
        Index(None, "pupil_id", "day"),
        Index(None, "school_id", "made_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)  # from the form that was sent: sent twice, it is one
    school_id: Mapped[str] = school_column()
    pupil_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("pupil.id", ondelete="CASCADE"))
    direction: Mapped[str] = mapped_column(String(4))  # in, out
    at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    day: Mapped[dt.date] = mapped_column(Date)  # the school's date at `at`
    reason: Mapped[str] = mapped_column(String(16))  # gatebook.Reason
    note: Mapped[str] = mapped_column(String(200), default="")
    made_by: Mapped[uuid.UUID]  # user_account.id
    made_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
