"""Classes that were asked to look who is there, because the gate may have missed pupils: until they have looked."""

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from server.absence.models import RegisterCall
from server.register.models import ClassRegister
from server.register.service import Place


def is_answered() -> ColumnElement[bool]:
    """On RegisterCall: that class's register of that session was finished, or seen to again, after the call."""
    query = select(ClassRegister.id).where(
        ClassRegister.class_id == RegisterCall.class_id,
        ClassRegister.date == RegisterCall.date,
        ClassRegister.session == RegisterCall.session,
        ClassRegister.finished_at.is_not(None),
        ClassRegister.changed_at >= RegisterCall.called_at,
    )
    return query.exists()


def is_open(session: Session, place: Place) -> bool:
    """Whether this class is asked to look, and has not yet."""
    query = select(RegisterCall.id).where(
        RegisterCall.school_id == place.room.school_id,
        RegisterCall.class_id == place.room.id,
        RegisterCall.date == place.day,
        RegisterCall.session == place.session.name,
    )
    return session.scalar(query.where(~is_answered())) is not None
