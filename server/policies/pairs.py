"""Settings that hold a value for each of several names, as people write them: `gate-1+gate-3 = 300`."""

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

import msgspec


def read(text: str, type_: Any) -> Any:
    """The mapping that a text says, as plain values. Raises ValueError when a part is not `name = value`."""
    value_type = get_args(type_)[1]
    pairs = {}
    for part in text.replace("，", ",").replace("、", ",").split(","):
        if not part.strip():
            continue
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise ValueError(part.strip())
        pairs[name] = _value(value, value_type)
    return msgspec.to_builtins(msgspec.convert(pairs, type_, strict=False))


def _value(text: str, type_: Any) -> Any:
    if dataclasses.is_dataclass(type_):
        return dict(zip((field.name for field in dataclasses.fields(type_)), text.split(), strict=True))
    return text


def words(value: Mapping[Any, Any]) -> str:
    """The text that `read` reads."""
    plain = msgspec.to_builtins(value)
    return ", ".join(f"{name} = {_words(each)}" for name, each in plain.items())


def _words(value: Any) -> str:
    return " ".join(map(str, value.values())) if isinstance(value, dict) else str(value)
