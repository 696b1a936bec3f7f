"""The link by which a guardian asks for a pupil's leave without a login: signed, and it ends by itself."""

import base64
import binascii
import hmac
import struct
import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from server import clock, crypt
from server.errors import NotFound
from server.people.models import Guardian, Guardianship, Pupil, SchoolClass
from server.schools.models import School

_HEAD = struct.Struct(">16s16sI")  # guardian, pupil, end in seconds
_SIGN = 16


@dataclass(frozen=True)
class Holder:
    """Whom a link belongs to, and of which child."""

    guardian: Guardian
    relation: str
    pupil: Pupil
    room: SchoolClass
    school: School


def token(guardian: Guardian, pupil_id: uuid.UUID, ends: datetime) -> str:
    """The unguessable part of a link. With another number of the guardian it is worth nothing any more."""
    head = _HEAD.pack(guardian.id.bytes, pupil_id.bytes, clock.to_millis(ends) // 1000)
    return _written(head + _signature(head, guardian))


def _written(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def holder(session: Session, text: str, now: datetime) -> Holder:
    """Who holds this link now. Raises NotFound when it is not ours, has ended, or its guardian may not use it."""
    head, sign = _parts(text)
    guardian_id, pupil_id, ends = _HEAD.unpack(head)
    if clock.to_millis(now) >= ends * 1000:
        raise NotFound
    query = (
        select(Guardian, Guardianship.relation, Pupil, SchoolClass, School)
        .join(Guardianship, Guardianship.guardian_id == Guardian.id)
        .join(Pupil, Pupil.id == Guardianship.pupil_id)
        .join(SchoolClass, SchoolClass.id == Pupil.class_id)
        .join(School, School.id == Pupil.school_id)
        .where(Guardian.id == uuid.UUID(bytes=guardian_id), Pupil.id == uuid.UUID(bytes=pupil_id), Pupil.active)
        .where(Guardianship.barred.is_(False), Guardian.verified_at.is_not(None))
    )
    row = session.execute(query).first()
    if row is None or not hmac.compare_digest(sign, _signature(head, row[0])):
        raise NotFound
    return Holder(row[0], str(row[1]), row[2], row[3], row[4])


def _parts(text: str) -> tuple[bytes, bytes]:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise NotFound from None
    if len(raw) != _HEAD.size + _SIGN or _written(raw) != text:
        raise NotFound
    return raw[: _HEAD.size], raw[_HEAD.size :]


def _signature(head: bytes, guardian: Guardian) -> bytes:
    return bytes.fromhex(crypt.look_up(f"leave link 1 {head.hex()} {guardian.phone_hash}"))[:_SIGN]
