"""docs/asyncapi.yaml is what gateway/wire.py says, and its examples are real messages."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import yaml

from gateway import wire

DOCS = Path(__file__).parents[2] / "docs"


def generator() -> ModuleType:
    """docs/asyncapi.py, which is no package."""
    spec = importlib.util.spec_from_file_location("asyncapi_generator", DOCS / "asyncapi.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_document_is_current() -> None:
    assert (DOCS / "asyncapi.yaml").read_text("utf-8") == generator().text(), "run: python docs/asyncapi.py"


def test_every_example_is_a_message_of_its_channel() -> None:
    document: dict[str, Any] = yaml.safe_load((DOCS / "asyncapi.yaml").read_text("utf-8"))
    seen = 0
    for kind, channel in document["channels"].items():
        for name in channel["messages"]:
            for example in document["components"]["messages"][name]["examples"]:
                wire.decode(wire.Kind(kind), msgspec.json.encode(example["payload"]))
                seen += 1
    assert seen >= len(wire.Kind)


def test_every_kind_and_struct_is_documented() -> None:
    document: dict[str, Any] = yaml.safe_load((DOCS / "asyncapi.yaml").read_text("utf-8"))
    assert set(document["channels"]) == {str(kind) for kind in wire.Kind}
    assert {
        "Taps",
        "Tap",
        "Stored",
        "State",
        "ReaderState",
        "Resync",
        "Announce",
        "ListPart",
        "Locked",
        "Gone",
        "Now",
    } <= set(document["components"]["schemas"])


def test_the_page_about_the_wire_names_every_kind_and_field() -> None:
    page = (DOCS / "wire.md").read_text("utf-8")
    for struct in (
        wire.Tap,
        wire.Taps,
        wire.Stored,
        wire.State,
        wire.ReaderState,
        wire.Resync,
        wire.Locked,
        wire.ListPart,
        wire.Gone,
        wire.Now,
    ):
        for field in msgspec.structs.fields(struct):
            assert f"`{field.name}`" in page, f"docs/wire.md does not explain {struct.__name__}.{field.name}"
