"""Reader protocols, one file each, found by file name: `load("rdm6300")` is `gateway/readers/rdm6300.py`."""

import importlib
from pathlib import Path

from gateway.readers.base import Reader


class UnknownReader(ValueError):
    """No protocol file of that name; the text lists the known ones."""


def names() -> list[str]:
    """All protocol names, as in the data files and firmware-config (`ascii-line`), sorted."""
    files = (file.stem for file in Path(__file__).parent.glob("*.py"))
    return sorted(name.replace("_", "-") for name in files if name != "base" and not name.startswith("_"))


def load(name: str) -> type[Reader]:
    """The Reader class of a protocol. Raises UnknownReader."""
    if name not in names():
        raise UnknownReader(f"unknown reader {name!r}; known: {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    reader: type[Reader] = module.PROTOCOL
    return reader
