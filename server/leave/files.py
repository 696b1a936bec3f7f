"""A doctor's note and the like: what it is shows its content, not its name; kept encrypted."""

import uuid
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session, undefer

from server.db import db
from server.errors import NotFound
from server.leave.models import Leave, LeaveFile

LARGEST = 4 * 1024 * 1024
MOST = 5  # of one leave

_BEGIN = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"%PDF-": "application/pdf"}
SUFFIX = {"image/jpeg": "jpg", "image/png": "png", "application/pdf": "pdf"}


class BadFile(ValueError):
    """Not a file that can be kept; the text is one of: type, size, many."""


def type_of(content: bytes) -> str | None:
    """JPEG, PNG or PDF by the first bytes; None for everything else, whatever its name says."""
    return next((kind for begin, kind in _BEGIN.items() if content.startswith(begin)), None)


def checked(content: bytes) -> str:
    """The type of a file that may be kept. Raises BadFile."""
    if len(content) > LARGEST:
        raise BadFile("size")
    found = type_of(content)
    if found is None:
        raise BadFile("type")
    return found


def add(session: Session, leave: Leave, name: str, content: bytes, by: uuid.UUID | None, now: datetime) -> LeaveFile:
    """Keep a file with its leave. Raises BadFile."""
    kind = checked(content)
    count = session.scalar(select(func.count()).select_from(LeaveFile).where(LeaveFile.leave_id == leave.id))
    if (count or 0) >= MOST:
        raise BadFile("many")
    row = LeaveFile(school_id=leave.school_id, leave_id=leave.id, name=name[:100], type=kind, size=len(content))
    row.content, row.added_by, row.added_at = content, by, now
    session.add(row)
    return row


def of(leave_id: uuid.UUID) -> list[LeaveFile]:
    """The files of a leave, without their content."""
    query = select(LeaveFile).where(LeaveFile.leave_id == leave_id).order_by(LeaveFile.added_at)
    return list(db.session.scalars(query))


def one(leave_id: uuid.UUID, file_id: uuid.UUID) -> LeaveFile:
    """One file with its content. Raises NotFound for a file of another leave."""
    query = select(LeaveFile).where(LeaveFile.id == file_id, LeaveFile.leave_id == leave_id)
    found = db.session.scalar(query.options(undefer(LeaveFile.content)))
    if found is None:
        raise NotFound
    return found
