"""Brings the words of templates and code into server/translations and compiles them: run it after changing a string.

`--check` writes nothing and says what is missing, doubtful, left over or not compiled; the tests call the same check.
"""

import io
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

SERVER = Path(__file__).parents[1] / "server"
FOLDER = SERVER / "translations" / "zh_Hans_CN" / "LC_MESSAGES"
METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
OPTIONS = {"**/templates/**.html": {"trimmed": "true", "silent": "false"}}
WRITTEN = datetime(2026, 11, 25, tzinfo=UTC)  # the files change only when their words do
KEYWORDS = {
    "_": None,
    "gettext": None,
    "lazy_gettext": None,
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
}


def main() -> int:
    """Update and compile, or only check."""
    if "--check" in sys.argv[1:]:
        faults = list(check())
        print("\n".join(faults) or "translations are complete")
        return bool(faults)
    catalog = updated()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "messages.po").open("wb") as file:
        write_po(file, catalog, width=120, no_location=True, sort_output=True, omit_header=False)
    (FOLDER / "messages.mo").write_bytes(compiled(committed()))
    print("\n".join(check()) or "translations are complete")
    return 0


def source() -> Catalog:
    """All strings of the server that people read."""
    catalog = Catalog()
    found = extract_from_dir(SERVER, method_map=METHODS, options_map=OPTIONS, keywords=KEYWORDS, callback=None)
    for _name, _line, message, _comments, context in found:
        catalog.add(message, context=context)
    return catalog


def committed() -> Catalog:
    """The translations as they stand in the repository."""
    path = FOLDER / "messages.po"
    if not path.exists():
        return Catalog(locale="zh_Hans_CN")
    with path.open("rb") as file:
        return read_po(file, locale="zh_Hans_CN")


def updated() -> Catalog:
    """The committed translations for today's strings; what is gone from the source is gone here too."""
    known = committed()
    fresh = Catalog("zh_Hans_CN", project="Gatebell", version="1", fuzzy=False, header_comment="# Gatebell")
    fresh.last_translator = fresh.language_team = fresh.msgid_bugs_address = "-"
    fresh.creation_date = fresh.revision_date = WRITTEN
    for message in source():
        if message.id:
            old = known.get(message.id, context=message.context)
            kept = old.string if old and old.id == message.id else None
            fresh.add(message.id, kept, context=message.context, flags=message.flags)
    return fresh


def compiled(catalog: Catalog) -> bytes:
    """The catalog as gettext reads it."""
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def check() -> Iterator[str]:
    """Every fault of the committed translations."""
    known, wanted = committed(), {(message.id, message.context) for message in source() if message.id}
    for message in known:
        strings = message.string if isinstance(message.string, tuple) else (message.string,)
        if message.id and not all(strings):
            yield f"not translated: {message.id}"
        if message.id and message.fuzzy:
            yield f"doubtful: {message.id}"
        yield from (f"{message.id}: {error}" for error in message.check(known))
    have = {(message.id, message.context) for message in known if message.id}
    yield from (f"missing: {message}" for message, _ in wanted - have)
    yield from (f"no longer used: {message}" for message, _ in have - wanted)
    mo = FOLDER / "messages.mo"
    if not mo.exists() or mo.read_bytes() != compiled(known):
        yield "messages.mo is not what messages.po says: run deploy/translations.py"


if __name__ == "__main__":
    sys.exit(main())
