"""Schools, and what their staff have set."""

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, Date, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from server.db import Base, UtcDateTime, new_id, school_column


class School(Base):
    """One school; its id is the short name in topics and URLs (a-z, 0-9, '-')."""

    __tablename__ = "school"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    sign: Mapped[str] = mapped_column(String(20))  # stands in 【】 before every text
    timezone: Mapped[str] = mapped_column(String(40), default="Asia/Shanghai")
    locale: Mapped[str] = mapped_column(String(16), default="zh_Hans_CN")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SchoolPolicy(Base):
    """Settings of one feature that staff chose, from a date on; never edited: together they are its history."""

    __tablename__ = "school_policy"
    __table_args__ = (Index(None, "school_id", "feature"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    feature: Mapped[str] = mapped_column(String(64))  # attendance.Policy: the feature and its dataclass
    chosen: Mapped[dict[str, Any]] = mapped_column(JSON)
    since: Mapped[date] = mapped_column(Date)
    set_at: Mapped[datetime] = mapped_column(UtcDateTime)
    set_by: Mapped[uuid.UUID | None]  # user_account.id; no foreign key: accounts come after schools
