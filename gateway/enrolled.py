"""What this gate was enrolled with, as `gatebell-gateway enrol` left it beside the configuration."""

import tomllib
from pathlib import Path
from typing import Any

DROP_IN = "enrolment.toml"


def over(config: Path, tables: dict[str, Any]) -> dict[str, Any]:
    """The gateway's tables with what it was enrolled with above them. Raises OSError and TOMLDecodeError."""
    drop_in = config.absolute().with_name(DROP_IN)
    if not drop_in.exists():
        return tables
    enrolled = tomllib.loads(drop_in.read_text("utf-8"))
    written = tables.get("mqtt", {})
    mqtt = written | enrolled["mqtt"] if isinstance(written, dict) else written  # else the check says what is wrong
    return tables | enrolled | {"mqtt": mqtt}
