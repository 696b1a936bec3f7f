"""What a school's staff may change: a policy dataclass beside each feature gives the defaults, a row holds the rest.

The range of a field stands in its metadata: `field(default=5, metadata={"least": 0, "most": 240})`.
"""

import dataclasses
import difflib
import logging
from typing import Any, TypeVar

import msgspec
from sqlalchemy.orm import Session

from server import clock
from server.db import db
from server.errors import Refused
from server.schools.models import SchoolPolicy

Policy = TypeVar("Policy")
log = logging.getLogger(__name__)


class BadPolicy(Refused):
    """A setting cannot have this value; the text names the setting and what it may be."""


def policy(school_id: str, kind: type[Policy]) -> Policy:
    """The school's policy of one feature: what staff have chosen over the defaults of the dataclass."""
    row = db.session.get(SchoolPolicy, (school_id, feature_of(kind)))
    return _made(kind, _known(kind, row.chosen)) if row else kind()


def set_policy(session: Session, school_id: str, kind: type[Policy], **chosen: Any) -> Policy:
    """Choose some settings of one feature; the others stay. Raises BadPolicy and changes nothing then."""
    for name in chosen.keys() - _fields(kind).keys():
        raise BadPolicy(f"{feature_of(kind)} has no setting {name!r}{_hint(name, kind)}")
    row = session.get(SchoolPolicy, (school_id, feature_of(kind)))
    kept = _known(kind, row.chosen) if row else {}
    made = _made(kind, kept | chosen)
    for name, limits in _fields(kind).items():
        _check_range(name, getattr(made, name), limits)
    values = {name: msgspec.to_builtins(getattr(made, name)) for name in kept | chosen}
    if row is None:
        row = SchoolPolicy(school_id=school_id, feature=feature_of(kind))
        session.add(row)
    row.chosen, row.since = values, clock.now()
    return made


def feature_of(kind: type[Any]) -> str:
    """The feature beside which a policy stands: `server.attendance.rules` -> attendance."""
    return kind.__module__.split(".")[1]


def _fields(kind: Any) -> dict[str, Any]:
    return {field.name: field.metadata for field in dataclasses.fields(kind)}


def _known(kind: type[Any], chosen: dict[str, Any]) -> dict[str, Any]:
    """A row may hold settings of an older or newer version: they are left where they are and not used."""
    unknown = chosen.keys() - _fields(kind).keys()
    if unknown:
        log.warning("settings of %s that this version does not know: %s", feature_of(kind), ", ".join(sorted(unknown)))
    return {name: value for name, value in chosen.items() if name not in unknown}


def _made(kind: type[Policy], chosen: dict[str, Any]) -> Policy:
    try:
        return msgspec.convert(chosen, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadPolicy(f"setting of {feature_of(kind)}: {error}") from None


def _check_range(name: str, value: Any, limits: Any) -> None:
    least, most = limits.get("least"), limits.get("most")
    if (least is not None and value < least) or (most is not None and value > most):
        raise BadPolicy(f"{name} is {value}; it must be between {least} and {most}")


def _hint(name: str, kind: type[Any]) -> str:
    close = difflib.get_close_matches(name, list(_fields(kind)), 1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(_fields(kind))}"
