"""paho's client without its heaviest part, urllib.request, which only a SOCKS proxy needs.

It brings http, email, tempfile and what they bring: 2 MB of a gate's 28. Where PySocks is installed, it is
loaded as always.
"""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import TYPE_CHECKING

__all__ = ["mqtt"]

UNUSED = "urllib.request"


def _load() -> ModuleType:
    """Import paho while an empty module stands in; afterwards the name is free for who wants the real one."""
    if UNUSED in sys.modules or importlib.util.find_spec("socks"):
        return importlib.import_module("paho.mqtt.client")
    sys.modules[UNUSED] = ModuleType(UNUSED)
    try:
        return importlib.import_module("paho.mqtt.client")
    finally:
        del sys.modules[UNUSED]


if TYPE_CHECKING:
    from paho.mqtt import client as mqtt
else:
    mqtt = _load()
