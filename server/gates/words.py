"""What is wrong with a gate and what to do about it, in the words of who has the key to it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext, lazy_gettext

from gateway import wire
from server.gates import rules

_ = lazy_gettext


@dataclass(frozen=True)
class Words:
    """A fault and its remedy, each a sentence without its full stop."""

    fault: str
    remedy: str


PLUG = _("plug its cable in again; another cable, another adapter")
READERS: dict[str, tuple[Any, Any]] = {
    "missing": (_("reader %(reader)s is not connected"), PLUG),
    "lost": (_("reader %(reader)s was cut off"), PLUG),
    "denied": (_("reader %(reader)s may not be opened"), _("add the gateway's user to the group dialout")),
    "held": (_("reader %(reader)s is taken by the program %(about)s"), _("have that program removed from the Pi")),
    "no-answer": (_("reader %(reader)s does not answer"), _("look at its power and its two data wires")),
    "stuck": (_("reader %(reader)s hangs"), _("unplug the gate's power, wait ten seconds, plug it in")),
    "level": (_("reader %(reader)s sends nothing that can be read"), _("look at ground and voltage of its wires")),
    "inverted": (_("reader %(reader)s is on the wrong wire"), _("connect its D0 (TTL) output instead of D1")),
    "baud": (_("reader %(reader)s has another speed"), _("set its speed to %(about)s in the gate's file")),
    "parity": (_("reader %(reader)s sends a parity bit"), _("set the reader to 8N1")),
    "profile": (_("reader %(reader)s is of another kind"), _("set its profile to %(about)s in the gate's file")),
    "console": (_("the Pi's console uses the wires of reader %(reader)s"), _("switch the serial console off")),
    "check": (_("reader %(reader)s garbles its cards"), _("a shorter cable, a better power supply")),
    "faults": (_("reader %(reader)s garbles its cards"), _("a shorter cable, a better power supply")),
    "unframed": (_("reader %(reader)s sends nothing that can be read"), _("look at its wires, speed and profile")),
}
OTHER_READER = (_("reader %(reader)s does not work"), _("look at its cable and power"))
PARTS: dict[str, tuple[Any, Any]] = {
    "spool unwritten": (_("the gate cannot write to its disk"), _("replace its SD card; its taps are not kept")),
    "room full": (_("the gate's disk is full"), _("have the operator make room; taps are refused")),
    "room low": (_("the gate's disk is almost full"), _("have the operator make room")),
    "server waiting": (_("its taps do not reach the server"), _("have the operator look at the server")),
    "clock unsynced": (_("the gate's clock is not set"), _("look at its network; times are unsure until then")),
    "clock wrong": (_("the gate's clock is wrong"), _("have the operator set it; times are unsure until then")),
    "power weak": (_("the gate's power supply is too weak"), _("give it a better power supply and cable")),
    "answer none": (_("the gate does not answer"), _("look at its power and network")),
    "answer unasked": (_("the gates could not be asked"), _("have the operator look at server and broker")),
}
OTHER_PART = (_("the gate reports a fault: %(about)s"), _("have the operator look at it"))


def sentence(text: str) -> str:
    """With a capital, where the language has them."""
    return text[:1].upper() + text[1:]


def remedy(said: Words) -> str:
    """What to do, as a sentence."""
    return gettext("%(remedy)s.", remedy=sentence(said.remedy))


def in_full(said: Words) -> str:
    """What is wrong and what to do, as two sentences."""
    return gettext("%(fault)s. %(remedy)s.", fault=sentence(said.fault), remedy=sentence(said.remedy))


def of_fault(part: str, found: str) -> Words:
    """The words for what a self-test found, in the language of the moment."""
    word, about = rules.word_of(part, found)
    kind, _blank, reader = part.partition(" ")
    if kind == "reader":
        return _filled(READERS.get(word, OTHER_READER), reader=reader, about=about)
    return _filled(PARTS.get(f"{kind} {word}", OTHER_PART), reader="", about=f"{part} {found}")


def of_reader(state: wire.ReaderState) -> Words | None:
    """The words for what a reader's State says; None when all is well."""
    why = str(state.why or "")
    if state.health == wire.ReaderHealth.UP and not why:
        return None
    return of_fault(f"reader {state.reader}", f"{state.health} {why}".strip() if why else str(state.health))


def of_readers(states: Iterable[wire.ReaderState]) -> list[Words]:
    """The words for all readers that are not well."""
    return [words for state in states if (words := of_reader(state))]


def _filled(pair: tuple[Any, Any], **names: str) -> Words:
    return Words(str(pair[0]) % names, str(pair[1]) % names)
