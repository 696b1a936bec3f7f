"""firmware-config/readers as a folder: one schema that is closed everywhere, and a page that tells every key of it."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.gateway.readers.test_profiles import Profile

FOLDER = Path(__file__).parents[2] / "firmware-config" / "readers"
SCHEMA = json.loads((FOLDER / "schema.json").read_text())["$defs"]
PROFILES = sorted(FOLDER.glob("*.toml"))


def tables(profile: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every table of a profile by its place, the profile itself first."""
    yield "", profile
    for name, value in profile.items():
        for number, table in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(table, dict):
                yield f"{name}[{number}]", table


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_misspelt_key_in_any_table_of_any_profile_is_refused(path: Path) -> None:
    places = [place for place, _ in tables(tomllib.loads(path.read_text()))]
    for place in places:
        spoilt = tomllib.loads(path.read_text())
        dict(tables(spoilt))[place]["bauds"] = 9600
        with pytest.raises(msgspec.ValidationError, match="bauds"):
            msgspec.convert(spoilt, Profile)
    assert len(places) >= 5


@pytest.mark.parametrize("kind", SCHEMA)
def test_the_schema_is_closed(kind: str) -> None:
    assert SCHEMA[kind]["additionalProperties"] is False


def test_the_page_tells_every_key_and_no_other() -> None:
    page = (FOLDER / "README.md").read_text().partition("\n## Readers from afar")[0]  # other tables follow
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    first = [re.match(r"\| `(\w+)`", row) for row in rows]
    assert [found[1] for found in first if found] == list(SCHEMA["Profile"]["properties"])
    for kind, declared in SCHEMA.items():
        row = next((row for row in rows if row.startswith((f"| `{kind.lower()}`", f"| `{kind.lower()}s`"))), page)
        assert [key for key in declared["properties"] if f"`{key}`" not in row] == []
