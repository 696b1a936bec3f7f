"""Terms, single days that differ, and the bell times of each timetable."""

import datetime as dt
import uuid
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Date, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.db import Base, Encrypted, UtcDateTime, new_id, school_column


class Term(Base):
    """A span of dates with lessons; outside every term no day is a school day."""

    __tablename__ = "term"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    name: Mapped[str] = mapped_column(String(40))
    starts: Mapped[dt.date] = mapped_column(Date)
    ends: Mapped[dt.date] = mapped_column(Date)  # the last day, included


class DayKind(StrEnum):
    """What a single day is, against its weekday."""

    SCHOOL = "school"
    OFF = "off"
    HALF = "half"  # nothing begins from `until` on
    EXAM = "exam"  # with bells of its own


class CalendarDay(Base):
    """A day that is not what its weekday says: a holiday, a make-up day (调休), a half day, or a day of exams."""

    __tablename__ = "calendar_day"
    __table_args__ = (UniqueConstraint("school_id", "date"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    date: Mapped[dt.date] = mapped_column(Date)
    kind: Mapped[DayKind] = mapped_column(String(10))
    label: Mapped[str] = mapped_column(String(60), default="")
    as_weekday: Mapped[int | None] = mapped_column(Integer)  # 0 Monday ... 6 Sunday
    until: Mapped[int | None] = mapped_column(Integer)  # seconds after midnight
    bells: Mapped[list[Any]] = mapped_column(JSON, default=list)  # [timetable or "" for all, session, starts, ends]


class DayProposal(Base):
    """What a kept list of holidays or an imported file says of a date; it counts for nothing until staff take it."""

    __tablename__ = "day_proposal"
    __table_args__ = (UniqueConstraint("school_id", "date"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    date: Mapped[dt.date] = mapped_column(Date)
    kind: Mapped[DayKind] = mapped_column(String(10))
    label: Mapped[str] = mapped_column(String(60), default="")
    as_weekday: Mapped[int | None] = mapped_column(Integer)
    until: Mapped[int | None] = mapped_column(Integer)
    bells: Mapped[list[Any]] = mapped_column(JSON, default=list)


class CalendarChange(Base):
    """One change of the calendar by a person, with what stood before and after it, so that it can be undone."""

    __tablename__ = "calendar_change"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    part: Mapped[str] = mapped_column(String(8))  # changes.Part
    before: Mapped[dict[str, Any]] = mapped_column(JSON)
    after: Mapped[dict[str, Any]] = mapped_column(JSON)
    made_by: Mapped[uuid.UUID]  # user_account.id
    made_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    undone_by: Mapped[uuid.UUID | None]
    undone_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)


class CalendarFeed(Base):
    """Under which address anybody who knows it may subscribe to a school's calendar; a new one ends the old one."""

    __tablename__ = "calendar_feed"
    __table_args__ = (UniqueConstraint("school_id"), UniqueConstraint("token_hash"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    token: Mapped[str] = mapped_column(Encrypted)
    token_hash: Mapped[str] = mapped_column(String(64))  # crypt.look_up(token)
    made_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)


class BellTime(Base):
    """When one session of one timetable begins and ends, seconds after the school's midnight, on given weekdays."""

    __tablename__ = "bell_time"
    __table_args__ = (UniqueConstraint("school_id", "timetable", "session", "since"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    timetable: Mapped[str] = mapped_column(String(32), default="default")
    session: Mapped[str] = mapped_column(String(16))  # am, pm ...
    starts: Mapped[int] = mapped_column(Integer)
    ends: Mapped[int] = mapped_column(Integer)
    weekdays: Mapped[int] = mapped_column(Integer, default=0b0011111)  # bit 0 is Monday
    since: Mapped[dt.date] = mapped_column(Date)  # counts from this date on, until a later row of the same session


class StaleDay(Base):
    """A date whose facts beside the taps have changed since it was judged: of one pupil, or of the whole school."""

    __tablename__ = "stale_day"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    date: Mapped[dt.date] = mapped_column(Date)
    pupil_id: Mapped[uuid.UUID | None]  # pupil.id; no foreign key: who is gone needs no verdict
