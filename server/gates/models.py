"""Gateways, what they prove themselves with, their readers, and the times and numbers that are missing."""

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Date, Index, String, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from server.db import Base, Encrypted, UtcDateTime, new_id, school_column


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
    resting: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())  # switched off on purpose
    blocked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # revoked: nothing is taken from it any more


class Credential(Base):
    """What a gateway proves itself with: a certificate (`serial`, `print`) or, without one, a password (`secret`)."""

    __tablename__ = "gate_credential"
    __table_args__ = (Index(None, "school_id", "gateway_id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    gateway_id: Mapped[str] = mapped_column(String(32))
    serial: Mapped[str] = mapped_column(String(40), default="")  # hex, as the list of revoked ones has it
    print: Mapped[str] = mapped_column(String(16), default="")  # begin of its SHA-256, as the gateway's State names it
    secret: Mapped[str] = mapped_column(String(200), default="")  # hash, as the broker's password file has it
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ListKey(Base):
    """The key with which a gateway's list names cards: its own, so that one gate's list says nothing of another's."""

    __tablename__ = "gate_list_key"

    school_id: Mapped[str] = school_column(primary_key=True)
    gateway_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    key: Mapped[str] = mapped_column(Encrypted)  # hex


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


class GateTest(Base):
    """One self-test of one gateway: wanted, sent by ingest, answered in a State, judged by a job."""

    __tablename__ = "gate_test"
    __table_args__ = (UniqueConstraint("school_id", "gateway_id", "day", "cause"), Index(None, "judged_at"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)  # in hex it is the command's number
    school_id: Mapped[str] = school_column()
    gateway_id: Mapped[str] = mapped_column(String(32))
    day: Mapped[date] = mapped_column(Date)  # the school's
    cause: Mapped[str] = mapped_column(String(40))  # bell, or who asked and how often
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    judged_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    checks: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)  # wire.Tested.checks


class GateFault(Base):
    """One part of a gateway that failed its self-test on a day; told once, and once that it works again."""

    __tablename__ = "gate_fault"
    __table_args__ = (UniqueConstraint("school_id", "gateway_id", "day", "part"), Index(None, "school_id", "day"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    gateway_id: Mapped[str] = mapped_column(String(32))
    day: Mapped[date] = mapped_column(Date)
    part: Mapped[str] = mapped_column(String(64))  # a check of wire.Tested, or `answer`
    found: Mapped[str] = mapped_column(String(64))  # its words
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    mended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    told_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    mended_told_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Caretaker(Base):
    """Who is told when a gate fails: whoever has the key to it."""

    __tablename__ = "caretaker"
    __table_args__ = (UniqueConstraint("school_id", "phone_hash"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    name: Mapped[str] = mapped_column(String(64))
    phone: Mapped[str] = mapped_column(Encrypted)
    phone_hash: Mapped[str] = mapped_column(String(32))  # crypt.look_up(phone)
    locale: Mapped[str] = mapped_column(String(16))
