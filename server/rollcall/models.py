"""Roll calls with their entries and ticks, visits, and staff with their badges."""

import uuid
from datetime import datetime

from sqlalchemy import Boolean, ForeignKey, Index, Integer, String, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from server.db import Base, Encrypted, UtcDateTime, new_id, school_column


class RollCall(Base):
    """One alarm, drill or real. `open_for` is the school's id while it runs: unique, so a school has one at a time."""

    __tablename__ = "roll_call"
    __table_args__ = (UniqueConstraint("open_for"), Index(None, "school_id", "started_at"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    kind: Mapped[str] = mapped_column(String(8))  # rules.RollKind
    open_for: Mapped[str | None] = mapped_column(String(32))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_by: Mapped[str] = mapped_column(String(64))  # the name, which the log keeps when the account is gone
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_by: Mapped[str] = mapped_column(String(64), default="")
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class RollEntry(Base):
    """One person to be found. What was known at the alarm is never changed; `there` is what was said last."""

    __tablename__ = "roll_entry"
    __table_args__ = (UniqueConstraint("roll_id", "person"), Index(None, "roll_id", "part"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    roll_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("roll_call.id", ondelete="CASCADE"))
    part: Mapped[str] = mapped_column(String(36))  # a class's id, visitors, staff
    person: Mapped[str] = mapped_column(String(48))  # pupil:<id>, visitor:<id>, staff:<id>
    pupil_id: Mapped[uuid.UUID | None] = mapped_column(Uuid, ForeignKey("pupil.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(80))  # empty once a visitor's data are deleted
    seat: Mapped[int] = mapped_column(Integer, default=0)
    standing: Mapped[str] = mapped_column(String(12))  # rules.Standing
    seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    place: Mapped[str] = mapped_column(String(64), default="")  # the gate, the host, the purpose
    added_at: Mapped[datetime] = mapped_column(UtcDateTime)  # the alarm, or when somebody came in later
    there: Mapped[bool] = mapped_column(Boolean, default=False)
    said_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    said_by: Mapped[uuid.UUID | None]
    said_name: Mapped[str] = mapped_column(String(64), default="")


class RollTick(Base):
    """Somebody ticked a person, or took that back. The phone makes the id, so that sending it again is harmless."""

    __tablename__ = "roll_tick"
    __table_args__ = (Index(None, "roll_id", "at"), Index(None, "entry_id"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    roll_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("roll_call.id", ondelete="CASCADE"))
    entry_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("roll_entry.id", ondelete="CASCADE"))
    there: Mapped[bool] = mapped_column(Boolean)
    user_id: Mapped[uuid.UUID]
    name: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcDateTime)  # when the finger touched, also without a network
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)


class RollPost(Base):
    """Somebody was sent to a class (派人), and may tick it for as long as this roll call runs."""

    __tablename__ = "roll_post"
    __table_args__ = (UniqueConstraint("roll_id", "part", "user_id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    roll_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("roll_call.id", ondelete="CASCADE"))
    part: Mapped[str] = mapped_column(String(36))
    user_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("user_account.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(64))
    sent_at: Mapped[datetime] = mapped_column(UtcDateTime)


class StaffMember(Base):
    """Who works at the school, by name, with a badge or without; `signed_in` is what the desk wrote down last."""

    __tablename__ = "staff_member"
    __table_args__ = (UniqueConstraint("school_id", "card"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    name: Mapped[str] = mapped_column(String(64))
    card: Mapped[str | None] = mapped_column(String(80))  # canonical, em4100:67003B51C6
    phone: Mapped[str | None] = mapped_column(Encrypted)  # where a host is told; E.164
    user_id: Mapped[uuid.UUID | None] = mapped_column(Uuid, ForeignKey("user_account.id", ondelete="SET NULL"))
    active: Mapped[bool] = mapped_column(Boolean, default=True)
    signed_in: Mapped[bool] = mapped_column(Boolean, default=False)
    signed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Visit(Base):
    """A visitor from sign-in to sign-out; deleted after the days of rules.DeskPolicy."""

    __tablename__ = "visit"
    __table_args__ = (Index(None, "school_id", "left_at"), Index(None, "school_id", "changed_at"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    name: Mapped[str] = mapped_column(String(80))
    purpose: Mapped[str] = mapped_column(String(80), default="")
    badge: Mapped[str] = mapped_column(String(16), default="")
    host_id: Mapped[uuid.UUID | None] = mapped_column(Uuid, ForeignKey("staff_member.id", ondelete="SET NULL"))
    host_name: Mapped[str] = mapped_column(String(64), default="")
    texted: Mapped[bool] = mapped_column(Boolean, default=False)  # the host was told by text; else Today says it
    arrived_at: Mapped[datetime] = mapped_column(UtcDateTime)
    left_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
