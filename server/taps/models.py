"""Taps as they came, and refused payloads."""

import datetime as dt
import uuid

from sqlalchemy import BigInteger, Boolean, Date, Index, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from server.db import Base, UtcDateTime, school_column


class Tap(Base):
    """One presentation of one card; `pupil_id` is who held the card when the tap was stored, empty for none."""

    __tablename__ = "tap"
    __table_args__ = (
        Index(None, "school_id", "day", "pupil_id"),
        Index(None, "school_id", "day", "at"),  # a day in its order; else SQLite reads the whole term by `at`
        Index(None, "school_id", "at"),
        Index(None, "school_id", "received_at"),
        Index(None, "spool", "seq"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    school_id: Mapped[str] = school_column()
    gateway_id: Mapped[str] = mapped_column(String(32))
    reader_id: Mapped[str] = mapped_column(String(32))
    direction: Mapped[str] = mapped_column(String(4))
    card: Mapped[str] = mapped_column(String(80))
    pupil_id: Mapped[uuid.UUID | None]
    at: Mapped[dt.datetime] = mapped_column(UtcDateTime)  # mended when the gateway's clock was not set
    day: Mapped[dt.date] = mapped_column(Date)  # the school's date at `at`
    clock: Mapped[str] = mapped_column(String(8))  # synced, rtc, unsynced (its time proves nothing)
    earliest: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)  # of an unsynced one: it lies behind this,
    latest: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)  # and before this, as far as is known
    spool: Mapped[str] = mapped_column(String(16))
    seq: Mapped[int] = mapped_column(BigInteger)
    boot: Mapped[str] = mapped_column(String(64))
    ticks: Mapped[int] = mapped_column(BigInteger)
    late: Mapped[bool] = mapped_column(Boolean)
    sent_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)  # `at` as the gateway said it
    received_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)


class RefusedPayload(Base):
    """A message that could not be understood: kept raw once, counted when it comes again."""

    __tablename__ = "refused_payload"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)  # sha256 of topic and payload
    topic: Mapped[str] = mapped_column(String(255), index=True)
    payload: Mapped[bytes] = mapped_column(LargeBinary)  # first 16 kB
    size: Mapped[int] = mapped_column(Integer)
    reason: Mapped[str] = mapped_column(String(400))
    count: Mapped[int] = mapped_column(Integer, default=1)
    first_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    last_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
