"""Who carries texts, one file each, found by file name: `load("kannel")` is `server/outbox/providers/kannel.py`."""

import importlib
import pkgutil
from typing import Any

from server import config
from server.outbox.providers.base import Provider


class UnknownProvider(config.ConfigError):
    """No provider file of that name; the text lists the known ones."""


def names() -> list[str]:
    """All provider names, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")


def load(name: str) -> type[Provider]:
    """The Provider class of a name. Raises UnknownProvider."""
    if name not in names():
        raise UnknownProvider(f"outbox.providers: unknown provider {name!r}; known: {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    provider: type[Provider] = module.PROVIDER
    return provider


def opened(settings: config.Config) -> list[Provider]:
    """The configured providers in order of preference, each with its own settings. Raises ConfigError."""
    if "phone" in settings.outbox.providers and not settings.demo:
        # Texts would count as delivered that no family ever sees.
        raise config.ConfigError('outbox.providers: `phone` is the demo\'s; name a real one, as in ["kannel"]')
    for key in ("per_second", "weights"):
        for name in getattr(settings.outbox, key).keys() - set(settings.outbox.providers):
            raise config.ConfigError(f"outbox.{key}: {name!r} is not in outbox.providers")
    return [_opened(name, settings.providers.get(name, {})) for name in settings.outbox.providers]


def one(settings: config.Config, name: str) -> Provider:
    """A provider by name, also one that no longer sends: its receipts still come. Raises ConfigError."""
    return _opened(name, settings.providers.get(name, {}))


def _opened(name: str, table: dict[str, Any]) -> Provider:
    provider = load(name)
    try:
        return provider(config.convert(provider.Settings, table))
    except config.ConfigError as error:
        raise config.ConfigError(f"[providers.{name}]: {error}") from None
