"""Texts, the attempts to send them, what they cost, and the receipts that came back."""

import datetime as dt
import uuid

from sqlalchemy import Date, Float, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.db import Base, Encrypted, EncryptedJson, EncryptedText, UtcDateTime, new_id, school_column
from server.outbox.rules import Lane, TextState


class OutboxText(Base):
    """One text to one number. The unique key makes any repeat of its cause harmless."""

    __tablename__ = "outbox_text"
    __table_args__ = (
        UniqueConstraint("school_id", "pupil_id", "day", "kind", "n", "recipient"),
        Index(None, "state", "lane_rank", "next_attempt_at"),
        Index(None, "school_id", "day", "state"),
        Index(None, "school_id", "created_at"),
        Index(None, "school_id", "changed_at"),
        Index(None, "recipient", "created_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    pupil_id: Mapped[uuid.UUID] = mapped_column(index=True)
    guardian_id: Mapped[uuid.UUID]
    day: Mapped[dt.date] = mapped_column(Date)
    kind: Mapped[str] = mapped_column(String(20))  # in, out ...: one event of the day, however it is worded
    n: Mapped[int] = mapped_column(Integer)
    recipient: Mapped[str] = mapped_column(String(32))  # crypt.look_up(phone)
    phone: Mapped[str] = mapped_column(Encrypted)
    lane: Mapped[Lane] = mapped_column(String(8))
    lane_rank: Mapped[int] = mapped_column(Integer)  # 0 gate ... 3 bulk, for the index
    wording: Mapped[str] = mapped_column(String(20))  # arrived, late, left ...: which template
    body: Mapped[str] = mapped_column(Text)  # with 【sign】
    segments: Mapped[int] = mapped_column(Integer)
    event_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    changed_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    next_attempt_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    state: Mapped[TextState] = mapped_column(String(10), default=TextState.QUEUED)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    lease_until: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    provider: Mapped[str | None] = mapped_column(String(20))
    reference: Mapped[str | None] = mapped_column(String(100), index=True)
    sent_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    settled_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    error: Mapped[str | None] = mapped_column(String(200))
    values: Mapped[dict[str, str] | None] = mapped_column(EncryptedJson)  # what fills the wording's placeholders
    late_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)  # from then on it is not sent as if it were fresh
    late_body: Mapped[str | None] = mapped_column(Text)  # but so; none: it is not sent at all
    held: Mapped[str | None] = mapped_column(String(16))  # rules.Held: why it waits, or was not sent


class Attempt(Base):
    """One try of one text at one provider."""

    __tablename__ = "outbox_attempt"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    text_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("outbox_text.id", ondelete="CASCADE"), index=True)
    n: Mapped[int] = mapped_column(Integer)
    provider: Mapped[str] = mapped_column(String(20))
    started_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    outcome: Mapped[str | None] = mapped_column(String(20))  # accepted, retry_same, fail_number ... (providers.base)
    detail: Mapped[str] = mapped_column(String(200), default="")


class Receipt(Base):
    """What a provider said later of a text it took; appended as it came, early, twice or out of order."""

    __tablename__ = "outbox_receipt"
    __table_args__ = (Index(None, "provider", "key"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    text_id: Mapped[uuid.UUID | None] = mapped_column(index=True)
    provider: Mapped[str] = mapped_column(String(20))
    reference: Mapped[str] = mapped_column(String(100), default="")
    key: Mapped[str] = mapped_column(String(100), default="")  # references.key(reference)
    state: Mapped[str] = mapped_column(String(10))
    raw: Mapped[str] = mapped_column(String(400))
    received_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    match_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, index=True)  # still looks for its text, then


class Segment(Base):
    """One message of a text under its provider's own number, by which receipts name it."""

    __tablename__ = "outbox_segment"
    __table_args__ = (Index(None, "provider", "key"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    school_id: Mapped[str] = school_column()
    text_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("outbox_text.id", ondelete="CASCADE"), index=True)
    attempt_n: Mapped[int] = mapped_column(Integer)
    n: Mapped[int] = mapped_column(Integer)
    provider: Mapped[str] = mapped_column(String(20))
    reference: Mapped[str] = mapped_column(String(100))  # as the provider wrote it
    key: Mapped[str] = mapped_column(String(100))  # references.key(reference)
    state: Mapped[str] = mapped_column(String(10))
    changed_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)


class Bucket(Base):
    """What is left of a provider's rate; one row for all senders, because the provider counts them as one."""

    __tablename__ = "outbox_bucket"

    provider: Mapped[str] = mapped_column(String(20), primary_key=True)
    tokens: Mapped[float] = mapped_column(Float)
    filled_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)


class Spend(Base):
    """What a school has sent on one of its days by one provider, in the messages that are billed."""

    __tablename__ = "outbox_spend"

    school_id: Mapped[str] = mapped_column(String(32), ForeignKey("school.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    provider: Mapped[str] = mapped_column(String(20), primary_key=True)
    texts: Mapped[int] = mapped_column(Integer)
    segments: Mapped[int] = mapped_column(Integer)


class InboundText(Base):
    """What somebody wrote back; kept whatever it says. `handled_as` says who took it: stop, absence, leave, read ..."""

    __tablename__ = "inbound_text"
    __table_args__ = (
        Index(None, "provider", "reference", unique=True),
        Index(None, "school_id", "received_at"),
        Index(None, "handled_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    # empty when several schools could be meant: nobody there has been texted, so nobody is shown it
    school_id: Mapped[str | None] = mapped_column(ForeignKey("school.id", ondelete="CASCADE"), index=True)
    provider: Mapped[str] = mapped_column(String(20))
    reference: Mapped[str] = mapped_column(String(100))  # the provider's own id, or one made of sender, words and time
    sender: Mapped[str] = mapped_column(String(32))  # crypt.look_up(phone)
    phone: Mapped[str] = mapped_column(Encrypted)
    body: Mapped[str] = mapped_column(EncryptedText)
    answers: Mapped[uuid.UUID | None]  # outbox_text.id: the newest text that this number had got
    received_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    handled_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    handled_as: Mapped[str] = mapped_column(String(20), default="")
    handled_by: Mapped[uuid.UUID | None]  # user_account.id, when a person did


class PhoneText(Base):
    """What the demo's phones have received, a row for every send, doubles and all; written by provider `phone`."""

    __tablename__ = "phone_text"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    text_id: Mapped[uuid.UUID] = mapped_column(index=True)
    recipient: Mapped[str] = mapped_column(String(32), index=True)
    phone: Mapped[str] = mapped_column(Encrypted)
    body: Mapped[str] = mapped_column(Text)
    received_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
