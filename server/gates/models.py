"""Gateways, their readers, and the times and numbers that are missing."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from server.db import Base, UtcDateTime, new_id, school_column


class Gateway(Base):
    """One Pi at one gate, with the newest State it sent."""

    __tablename__ = "gateway"

    school_id: Mapped[str] = school_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(60))  # 1号门 东门
    online: Mapped[bool] = mapped_column(Boolean, default=False)
    birth: Mapped[int] = mapped_column(BigInteger, default=0)
    heard_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # server's clock
    state: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)  # wire.State as sent


class Reader(Base):
    """One reader of a gateway, as staff call it; made from the gateway's State when it is first heard."""

    __tablename__ = "reader"

    school_id: Mapped[str] = school_column(primary_key=True)
    gateway_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(60))


class Silence(Base):
    """A time whose taps may be missing: a gateway was not heard, or holds back what it has. Nobody is absent by it.

    `covered`: the gateway was awake all the while (same boot) and has handed over every tap of it since.
    """

    __tablename__ = "gate_silence"
    __table_args__ = (Index(None, "school_id", "starts"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    gateway_id: Mapped[str] = mapped_column(String(32))
    boot: Mapped[str] = mapped_column(String(64), default="")
    starts: Mapped[datetime] = mapped_column(UtcDateTime)
    ends: Mapped[datetime | None] = mapped_column(UtcDateTime)
    covered: Mapped[bool] = mapped_column(Boolean, default=False)


class SpoolGap(Base):
    """Taps whose numbers are missing between stored ones: an incident until they arrive or the gateway says gone.

    A gap that is filled within seconds was only disorder on the way: its row is deleted.
    """

    __tablename__ = "spool_gap"
    __table_args__ = (Index(None, "school_id", "seen_at"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    gateway_id: Mapped[str] = mapped_column(String(32))
    spool: Mapped[str] = mapped_column(String(16))
    first_seq: Mapped[int] = mapped_column(BigInteger)
    last_seq: Mapped[int] = mapped_column(BigInteger)
    since: Mapped[datetime] = mapped_column(UtcDateTime)  # time of the last stored tap before the gap
    until: Mapped[datetime] = mapped_column(UtcDateTime)  # time of the first stored tap after it
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    asked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # the gateway was asked to send them again
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # nobody waits any more: all came, or they are
    lost_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # lost: the gateway has said that they are gone
