"""Classes, pupils, guardians and how these belong together."""

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Boolean, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.db import Base, Encrypted, UtcDateTime, new_id, school_column


class SchoolClass(Base):
    """A class of pupils (班级); `timetable` names the bell times it keeps."""

    __tablename__ = "school_class"
    __table_args__ = (UniqueConstraint("school_id", "name"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    name: Mapped[str] = mapped_column(String(40))
    grade: Mapped[int] = mapped_column(Integer)
    timetable: Mapped[str] = mapped_column(String(32), default="default")


class Pupil(Base):
    """A child at the school; `number` is the school's own (学号), `seat` the place in the class list."""

    __tablename__ = "pupil"
    __table_args__ = (UniqueConstraint("school_id", "number"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    class_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("school_class.id"), index=True)
    number: Mapped[str] = mapped_column(String(40))
    name: Mapped[str] = mapped_column(String(80))
    seat: Mapped[int] = mapped_column(Integer, default=0)
    active: Mapped[bool] = mapped_column(Boolean, default=True)
    boarder: Mapped[bool] = mapped_column(Boolean, default=False)  # sleeps at school; see also BoardingPolicy
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Relation(StrEnum):
    """What a guardian is to a pupil."""

    MOTHER = "mother"
    FATHER = "father"
    GRANDMOTHER = "grandmother"
    GRANDFATHER = "grandfather"
    OTHER = "other"


class Guardian(Base):
    """A person who answers for a pupil. No text goes to a number that is not verified."""

    __tablename__ = "guardian"
    __table_args__ = (Index(None, "school_id", "phone_hash"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    name: Mapped[str] = mapped_column(String(80))
    phone: Mapped[str | None] = mapped_column(Encrypted)  # E.164
    phone_hash: Mapped[str | None] = mapped_column(String(32))  # crypt.look_up(phone)
    verified_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    locale: Mapped[str] = mapped_column(String(16), default="zh_Hans_CN")


class Guardianship(Base):
    """One guardian of one pupil: relation, place in the order of contacts, and which texts are wanted."""

    __tablename__ = "guardianship"
    __table_args__ = (UniqueConstraint("pupil_id", "guardian_id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    pupil_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pupil.id", ondelete="CASCADE"), index=True)
    guardian_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("guardian.id", ondelete="CASCADE"), index=True)
    relation: Mapped[Relation] = mapped_column(String(16))
    rank: Mapped[int] = mapped_column(Integer)  # 1 is asked first
    gate_texts: Mapped[bool] = mapped_column(Boolean, default=True)  # wants arrived / late / left
    barred: Mapped[bool] = mapped_column(Boolean, default=False)  # may learn nothing of this pupil
