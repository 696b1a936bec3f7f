"""Approved templates: services that take a template's code and values instead of words, and what they refuse in them.

    [providers.aliyun.templates]
    arrived = { code = "SMS_1", params = ["name", "time"] }
    left = { code = "SMS_2", params = { child = "name", at = "time", place = "gate|校门" } }

The key is one of our wordings. A list names our placeholders in the order of the template's variables; a table says
which placeholder stands in which variable. `gate|校门`: these words where we do not know the gate.
"""

import re
from collections.abc import Callable, Collection, Mapping

from server import config
from server.outbox.providers.base import Outgoing, SendFailed
from server.outbox.rules import Outcome

TEXT = "text"  # the whole text without its sign, for templates that consist of one variable
PLACEHOLDERS = frozenset({"name", "time", "minutes", "gate", "fault", "remedy", TEXT})

_SIGN = re.compile(r"\s*【([^【】]*)】\s*")
_LINK = re.compile(r"://|\bwww\.|\b[a-z0-9-]{2,}\.(com|cn|net|org|top|cc|vip|xyz|info|io|me|ly)\b", re.IGNORECASE)


class Template(config.Section, frozen=True):
    """The service's own code of a template, and what stands in its variables."""

    code: str
    params: tuple[str, ...] | dict[str, str] = ()

    @property
    def named(self) -> dict[str, str]:
        """Variable -> placeholder, in order; a list's variables are called as the placeholders in it."""
        if isinstance(self.params, dict):
            return self.params
        return {_placeholder(param): param for param in self.params}


def chosen(service: str, templates: Mapping[str, Template], text: Outgoing) -> Template:
    """The template of a text's wording. Raises SendFailed(RETRY_OTHER) without one: another provider may send it."""
    if text.wording not in templates:
        wording = text.wording or "free words"
        raise SendFailed(Outcome.RETRY_OTHER, f"{service} has no template for {wording}; order one and enter its code")
    return templates[text.wording]


def filled(service: str, template: Template, text: Outgoing, longest: Callable[[str], int]) -> dict[str, str]:
    """Variable -> its words, in order; `longest` is the most characters that the service takes in a variable.

    Raises SendFailed(FAIL_CONTENT) for a value that the service would refuse, naming the value but not its words.
    """
    known = {**text.values, TEXT: unsigned(text.body)}
    return {variable: _checked(service, param, known, longest(variable)) for variable, param in template.named.items()}


def _checked(service: str, param: str, known: Mapping[str, str], longest: int) -> str:
    name, _, otherwise = param.partition("|")
    value = known.get(name, "") or otherwise
    if not isinstance(value, str):
        raise SendFailed(Outcome.FAIL_CONTENT, f"{name} is no text")
    value = " ".join(value.split())  # a line break is refused, and so is a variable of nothing but spaces
    for wrong, why in (
        (not value, "is empty, and its template has no words in its place"),
        (len(value) > longest, f"has {len(value)} characters, {service} takes {longest}; shorten it"),
        (_LINK.search(value), f"holds a web address, which {service} takes in no value"),
        ("【" in value or "】" in value, "holds 【 or 】, by which operators find the sign"),
        (not value.isprintable(), "holds characters that cannot be printed"),
    ):
        if wrong:
            raise SendFailed(Outcome.FAIL_CONTENT, f"{name} {why}")
    return value


def sign(body: str) -> str:
    """The sign at the front of a text, without its brackets; empty when there is none."""
    found = _SIGN.match(body)
    return found[1].strip() if found else ""


def unsigned(body: str) -> str:
    """The text without the sign at its front, for services that put it there themselves."""
    return _SIGN.sub("", body, count=1) if _SIGN.match(body) else body.strip()


def sign_for(service: str, approved: str, text: Outgoing) -> str:
    """The service's approved sign, else the text's own. Raises SendFailed when neither is there."""
    found = (sign(approved) or approved.strip()) or sign(text.body)
    if not found:
        raise SendFailed(Outcome.RETRY_OTHER, f"{service} sends nothing without a sign; enter the approved one")
    return found


def problems(provider: str, templates: Mapping[str, Template], *, ordered: bool = False) -> list[str]:
    """What is wrong with the templates of the settings, in sentences; `ordered`: the service knows no names."""
    found = []
    for wording, template in templates.items():
        where = f"[providers.{provider}.templates] {wording}"
        if not template.code.strip():
            found.append(f"{where}: code is empty; enter the code that the service gave the template")
        if ordered and isinstance(template.params, dict):
            found.append(f'{where}: params must be a list in the order of the variables, as in ["name", "time"]')
        if len(template.named) < len(template.params):
            found.append(f"{where}: a placeholder stands twice; write params as a table")
        unknown = sorted({_placeholder(param) for param in template.named.values()} - PLACEHOLDERS)
        if unknown:
            known = ", ".join(sorted(PLACEHOLDERS))
            found.append(f"{where}: nobody knows the placeholder {', '.join(unknown)}; there are: {known}")
    return found


def lacks(provider: str, templates: Mapping[str, Template], wordings: Collection[str]) -> list[str]:
    """Which of our wordings have no template, in sentences; a template for no wording of ours is a misspelt one."""
    missing = [
        f"[providers.{provider}.templates] lacks {wording}: such texts cannot go out by {provider}"
        for wording in sorted(set(wordings) - set(templates))
    ]
    known = ", ".join(sorted(wordings))
    return missing + [
        f"[providers.{provider}.templates] {wording}: no text of ours is called so; there are: {known}"
        for wording in sorted(set(templates) - set(wordings))
    ]


def _placeholder(param: str) -> str:
    return param.partition("|")[0]
