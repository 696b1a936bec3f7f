"""Schools, and what their staff have set."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from server.db import Base, UtcDateTime


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
    """One feature's policy as staff have set it; what is not in `chosen` is the default beside the feature."""

    __tablename__ = "school_policy"

    school_id: Mapped[str] = mapped_column(ForeignKey("school.id", ondelete="CASCADE"), primary_key=True)
    feature: Mapped[str] = mapped_column(String(32), primary_key=True)
    chosen: Mapped[dict[str, Any]] = mapped_column(JSON)
    since: Mapped[datetime] = mapped_column(UtcDateTime)
