"""Test vectors of cards: tests/frames holds copies; where ../shared/data stands beside the clone, its own are added."""

import json
from pathlib import Path
from typing import Any

from tests.conftest import SHARED

OWN = Path(__file__).parent / "frames"


def vectors(name: str) -> list[dict[str, Any]]:
    """All entries of a file of vectors, ours first, none twice."""
    found: list[dict[str, Any]] = json.loads((OWN / name).read_text())
    if (SHARED / name).exists():
        found += [entry for entry in json.loads((SHARED / name).read_text()) if entry not in found]
    return found
