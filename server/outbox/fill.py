"""Templates of requests: {placeholders} filled in as the place where they stand wants it, and never as code."""

import json
import re
from collections.abc import Callable, Collection, Mapping
from urllib.parse import quote
from xml.sax.saxutils import escape

# Lower-case letters only: JSON's own braces are left alone.
PLACE = re.compile(r"\{([a-z_]+)\}")


def names(template: str) -> list[str]:
    """The placeholders of a template."""
    return PLACE.findall(template)


def plainly(template: str, values: Mapping[str, str]) -> str:
    """As they are: whoever sends it writes it as its place wants."""
    return _filled(template, values, str)


def address(template: str, values: Mapping[str, str]) -> str:
    """In a URL, each value as one word of it."""
    return _filled(template, values, lambda value: quote(value, safe=""))


def header(template: str, values: Mapping[str, str]) -> str:
    """In a header, of one line."""
    return " ".join(_filled(template, values, str).split())


def body(template: str, values: Mapping[str, str], content_type: str) -> str:
    """In JSON inside the quotes that the template has, in XML as text, in a form as one word, else as it is."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind.endswith("json"):
        return _filled(template, values, lambda value: json.dumps(value, ensure_ascii=False)[1:-1])
    if kind.endswith("xml"):
        return _filled(template, values, lambda value: escape(_allowed(value), {'"': "&quot;", "'": "&apos;"}))
    if kind == "application/x-www-form-urlencoded":
        return address(template, values)
    return plainly(template, values)


def unknown(template: str, known: Collection[str]) -> list[str]:
    """Placeholders that we have nothing for."""
    return [name for name in names(template) if name not in known]


def _allowed(value: str) -> str:
    """XML has no word for control characters."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", value)


def _filled(template: str, values: Mapping[str, str], spelt: Callable[[str], str]) -> str:
    """In one pass: what a value holds is never taken for a placeholder."""
    return PLACE.sub(lambda found: spelt(values[found[1]]), template)
