"""Class registers, what each of them found of each pupil, and slips and passes on paper."""

import datetime as dt
import uuid

from sqlalchemy import Date, ForeignKey, Index, Integer, String, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from server.db import Base, UtcDateTime, new_id, school_column


class ClassRegister(Base):
    """One class in one session of one date: who looked first, and who said that all have been looked at."""

    __tablename__ = "class_register"
    __table_args__ = (
        UniqueConstraint("school_id", "class_id", "date", "session"),
        Index(None, "school_id", "date"),
        Index(None, "school_id", "changed_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    class_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("school_class.id", ondelete="CASCADE"))
    date: Mapped[dt.date] = mapped_column(Date)
    session: Mapped[str] = mapped_column(String(16))
    opened_by: Mapped[uuid.UUID]  # user_account.id
    opened_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    finished_by: Mapped[uuid.UUID | None]
    finished_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    changed_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)  # of any mark too: open pages ask for it


class RegisterEntry(Base):
    """What a finished register found of one pupil; never presence that nobody saw."""

    __tablename__ = "register_entry"

    register_id: Mapped[uuid.UUID] = mapped_column(
        Uuid, ForeignKey("class_register.id", ondelete="CASCADE"), primary_key=True
    )
    pupil_id: Mapped[uuid.UUID] = mapped_column(
        Uuid, ForeignKey("pupil.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    school_id: Mapped[str] = school_column()
    found: Mapped[str] = mapped_column(String(10))  # rules.Found


class GatePass(Base):
    """A slip or pass on paper; its code is made from the id, and who guesses ids cannot make one."""

    __tablename__ = "gate_pass"
    __table_args__ = (UniqueConstraint("school_id", "pupil_id", "kind", "cause"), Index(None, "school_id", "made_at"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    pupil_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("pupil.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(8))  # rules.PassKind
    cause: Mapped[str] = mapped_column(String(40))  # the date, or the leave: printed twice, it is one pass
    leave_id: Mapped[uuid.UUID | None]  # of an exit pass; what is not approved any more lets nobody out
    minutes: Mapped[int] = mapped_column(Integer, default=0)  # of a late slip
    valid_from: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    valid_until: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    made_by: Mapped[uuid.UUID]
    made_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    used_by: Mapped[uuid.UUID | None]
    used_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
