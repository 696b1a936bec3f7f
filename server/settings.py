"""What a school's staff may change: a policy dataclass beside each feature gives the defaults, a row holds the rest.

The range of a field stands in its metadata: `field(default=5, metadata={"least": 0, "most": 240})`.
"""

import dataclasses
import difflib
import logging
import uuid
from collections.abc import Sequence
from datetime import date
from typing import Any, TypeVar

import msgspec
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from server import clock
from server.db import db
from server.errors import Refused
from server.schools.models import School, SchoolPolicy

Policy = TypeVar("Policy")
log = logging.getLogger(__name__)

_CHANGES = (
    select(SchoolPolicy)
    .where(SchoolPolicy.school_id == bindparam("school"), SchoolPolicy.feature == bindparam("feature"))
    .order_by(SchoolPolicy.since, SchoolPolicy.set_at, SchoolPolicy.id)
)


class BadPolicy(Refused):
    """A setting cannot have this value; the text names the setting and what it may be."""


def policy(school_id: str, kind: type[Policy], *, on: date | None = None) -> Policy:
    """The school's policy of one feature on a date (today): what staff have chosen over the dataclass's defaults."""
    rows = _changes(db.session(), school_id, kind, on)
    return _made(kind, _known(kind, _folded(rows))) if rows else kind()


def set_policy(
    session: Session,
    school_id: str,
    kind: type[Policy],
    *,
    since: date | None = None,
    by: uuid.UUID | None = None,
    **chosen: Any,
) -> Policy:
    """Choose some settings of one feature from a date (today) on; the others stay. Raises BadPolicy.

    What was chosen for a later date still takes over then; the answer is the policy on the first date that counts.
    """
    for name in chosen.keys() - _fields(kind).keys():
        raise BadPolicy(f"{_feature(kind)} has no setting {name!r}{_hint(name, kind)}")
    first = since or _today(school_id)
    kept = _known(kind, _folded(_changes(session, school_id, kind, first)))
    made = _made(kind, kept | chosen)
    for name, limits in _fields(kind).items():
        _check_range(name, getattr(made, name), limits)
    values = {name: msgspec.to_builtins(getattr(made, name)) for name in chosen}
    row = SchoolPolicy(school_id=school_id, feature=name_of(kind), chosen=values, since=first)
    row.set_at, row.set_by = clock.now(), by
    session.add(row)
    return made


def history(school_id: str, kind: type[Any]) -> list[SchoolPolicy]:
    """Every choice that staff made for one feature, in the order in which they count."""
    return _changes(db.session(), school_id, kind, date.max)


def name_of(kind: type[Any]) -> str:
    """By what a policy is kept: the feature beside which it stands, and itself (attendance.Policy)."""
    return f"{_feature(kind)}.{kind.__name__}"


def _feature(kind: type[Any]) -> str:
    return kind.__module__.split(".")[1]


def _changes(session: Session, school_id: str, kind: type[Any], on: date | None) -> list[SchoolPolicy]:
    given = {"school": school_id, "feature": name_of(kind)}
    rows = session.scalars(_CHANGES, given).all()
    last = on or (_today(school_id) if rows else date.max)
    return [row for row in rows if row.since <= last]


def _folded(rows: Sequence[SchoolPolicy]) -> dict[str, Any]:
    return {name: value for row in rows for name, value in row.chosen.items()}


def _today(school_id: str) -> date:
    school = db.session.get_one(School, school_id)
    return clock.local_day(clock.now(), school.timezone)


def _fields(kind: Any) -> dict[str, Any]:
    return {field.name: field.metadata for field in dataclasses.fields(kind)}


def _known(kind: type[Any], chosen: dict[str, Any]) -> dict[str, Any]:
    """A row may hold settings of an older or newer version: they are left where they are and not used."""
    unknown = chosen.keys() - _fields(kind).keys()
    if unknown:
        log.warning("settings of %s that this version does not know: %s", name_of(kind), ", ".join(sorted(unknown)))
    return {name: value for name, value in chosen.items() if name not in unknown}


def _made(kind: type[Policy], chosen: dict[str, Any]) -> Policy:
    try:
        return msgspec.convert(chosen, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadPolicy(f"setting of {_feature(kind)}: {error}") from None


def _check_range(name: str, value: Any, limits: Any) -> None:
    least, most = limits.get("least"), limits.get("most")
    if (least is not None and value < least) or (most is not None and value > most):
        raise BadPolicy(f"{name} is {value}; it must be between {least} and {most}")


def _hint(name: str, kind: type[Any]) -> str:
    close = difflib.get_close_matches(name, list(_fields(kind)), 1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(_fields(kind))}"
