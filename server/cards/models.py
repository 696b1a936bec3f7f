"""Cards and their holders, cards that prove themselves, and what these showed."""

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Boolean, ForeignKey, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.db import Base, UtcDateTime, new_id, school_column


class CardState(StrEnum):
    """A lost card's taps are kept and shown, but prove nothing of its former holder."""

    ACTIVE = "active"
    LOST = "lost"
    BLOCKED = "blocked"


class Card(Base):
    """One card of one school, by its canonical text (`em4100:67003B51C6`)."""

    __tablename__ = "card"
    __table_args__ = (UniqueConstraint("school_id", "text"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    text: Mapped[str] = mapped_column(String(80))
    pupil_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("pupil.id", ondelete="SET NULL"), index=True)
    state: Mapped[CardState] = mapped_column(String(10), default=CardState.ACTIVE)
    since: Mapped[datetime] = mapped_column(UtcDateTime)


class ProvingCard(Base):
    """A card with keys of ours in it: how it writes, and the highest counter accepted of it. No key stands here."""

    __tablename__ = "proving_card"

    card_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("card.id", ondelete="CASCADE"), primary_key=True)
    school_id: Mapped[str] = school_column()
    mode: Mapped[str] = mapped_column(String(3))  # AES, LRP
    layout: Mapped[str] = mapped_column(String(9))  # sunlink.Layout
    version: Mapped[int] = mapped_column(Integer, default=1)  # of its keys
    must: Mapped[bool] = mapped_column(Boolean, default=False)  # its number alone proves nothing
    last_counter: Mapped[int] = mapped_column(Integer, default=-1)
    since: Mapped[datetime] = mapped_column(UtcDateTime)


class SunReading(Base):
    """What was shown with one tap and what came of it; a counter that was used stands here once and never again."""

    __tablename__ = "sun_reading"
    __table_args__ = (UniqueConstraint("card_id", "counter"),)

    tap_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    school_id: Mapped[str] = school_column()
    card_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("card.id", ondelete="CASCADE"))
    counter: Mapped[int | None] = mapped_column(Integer)  # only of what was accepted or came late
    verdict: Mapped[str] = mapped_column(String(9))
    at: Mapped[datetime] = mapped_column(UtcDateTime)  # of the tap
    timed: Mapped[bool] = mapped_column(Boolean)  # its gate's clock was set
    message: Mapped[str] = mapped_column(String(512), default="")  # of what was refused, to look into
