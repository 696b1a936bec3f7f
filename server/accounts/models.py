"""Users, the roles they hold over a part of the school, their sessions, and failed logins."""

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Boolean, ForeignKey, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from server.db import Base, UtcDateTime, new_id, school_column


class Role(StrEnum):
    """What a person is at a school; the scope stands beside it in the grant."""

    CLASS_TEACHER = "class_teacher"
    SUBJECT_TEACHER = "subject_teacher"
    GRADE_HEAD = "grade_head"
    COUNSELLOR = "counsellor"
    GUARD = "guard"
    OFFICE = "office"
    HEAD = "head"
    OPERATOR = "operator"


class User(Base):
    """Someone who logs in."""

    __tablename__ = "user_account"
    __table_args__ = (UniqueConstraint("login"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    login: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(64))
    password: Mapped[str] = mapped_column(String(200))  # argon2id
    locale: Mapped[str] = mapped_column(String(16), default="zh_Hans_CN")
    active: Mapped[bool] = mapped_column(Boolean, default=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    grants: Mapped[list["RoleGrant"]] = relationship(lazy="selectin", cascade="all, delete-orphan")


class RoleGrant(Base):
    """One role over one scope: a class, a grade, or (both empty) the whole school."""

    __tablename__ = "role_grant"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"), index=True)
    role: Mapped[Role] = mapped_column(String(20))
    grade: Mapped[int | None] = mapped_column(Integer)
    class_id: Mapped[uuid.UUID | None]  # school_class.id; no foreign key: people come after accounts


class LoginSession(Base):
    """A browser that is logged in; the cookie holds the id, the table only its hash. Deleting the row ends it."""

    __tablename__ = "login_session"

    id_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    school_id: Mapped[str] = school_column()
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    agent: Mapped[str] = mapped_column(String(200), default="")


class LoginFailure(Base):
    """Failed logins of one name or one address; outlives a restart, unlike a counter in memory."""

    __tablename__ = "login_failure"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)  # keyed hash of login or address
    count: Mapped[int] = mapped_column(Integer, default=0)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)
