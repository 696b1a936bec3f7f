"""Cards and their holders."""

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, String, UniqueConstraint
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
