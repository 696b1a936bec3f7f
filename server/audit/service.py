"""Who did what and who looked at whom: written once, read on the pupil's page."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from server.accounts.models import User
from server.audit.models import AuditEntry
from server.db import db

ONE_LOOK = timedelta(minutes=10)  # a page that refreshes itself is one look, not a hundred


@dataclass(frozen=True)
class Viewer:
    """Someone who looked at a subject, and when last."""

    name: str
    at: datetime


def record(user: User, action: str, subject: str, now: datetime, detail: Mapping[str, Any] | None = None) -> None:
    """Add one entry to the trail."""
    db.session.add(
        AuditEntry(
            school_id=user.school_id,
            user_id=user.id,
            action=action,
            subject=subject,
            at=now,
            detail=dict(detail or {}),
        )
    )


def looked_lately(user: User, action: str, subject: str, now: datetime) -> bool:
    """Whether this look is already in the trail."""
    query = select(AuditEntry.id).where(
        AuditEntry.school_id == user.school_id,
        AuditEntry.subject == subject,
        AuditEntry.at > now - ONE_LOOK,
        AuditEntry.user_id == user.id,
        AuditEntry.action == action,
    )
    return db.session.scalar(query.limit(1)) is not None


def viewers(school_id: str, subject: str, since: datetime) -> list[Viewer]:
    """Who looked at a subject since then, the newest look first."""
    newest = func.max(AuditEntry.at)
    query = (
        select(AuditEntry.user_id, newest)
        .where(AuditEntry.school_id == school_id, AuditEntry.subject == subject, AuditEntry.at >= since)
        .group_by(AuditEntry.user_id)
        .order_by(newest.desc())
    )
    rows = db.session.execute(query).all()
    names = _names([user_id for user_id, _ in rows if user_id])
    return [Viewer(names.get(user_id, "?"), at) for user_id, at in rows if user_id]


def _names(ids: list[uuid.UUID]) -> dict[uuid.UUID, str]:
    return {i: name for i, name in db.session.execute(select(User.id, User.name).where(User.id.in_(ids)))}
