"""Terms, single days that differ, and the bell times of each timetable."""

import datetime as dt
import uuid
from enum import StrEnum

from sqlalchemy import Date, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.db import Base, new_id, school_column


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


class CalendarDay(Base):
    """A day that is not what its weekday says: a holiday, or a make-up day (调休) with another weekday's timetable."""

    __tablename__ = "calendar_day"
    __table_args__ = (UniqueConstraint("school_id", "date"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    date: Mapped[dt.date] = mapped_column(Date)
    kind: Mapped[DayKind] = mapped_column(String(10))
    label: Mapped[str] = mapped_column(String(60), default="")
    as_weekday: Mapped[int | None] = mapped_column(Integer)  # 0 Monday ... 6 Sunday


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
