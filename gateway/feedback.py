"""What the pupil sees and hears; silent where no pin is configured."""

import importlib
from enum import StrEnum
from typing import Protocol, cast

import msgspec

from gateway import config


class FeedbackError(RuntimeError):
    """Pins are configured and cannot be driven; the text says what to do."""


class Lasting(StrEnum):
    """What stays true between two taps."""

    OFFLINE = "offline"  # no connection: taps wait here
    DEAD = "dead"  # a reader takes no cards


class Feedback(Protocol):
    """Called by the main thread; must return at once. Only `refused` asks for another touch."""

    def accepted(self) -> None:
        """The tap is on disk."""

    def again(self) -> None:
        """The tap is on disk since the last presentation."""

    def strange(self) -> None:
        """The tap is on disk, and the school does not know the card, or it was reported lost."""

    def no_pass(self) -> None:
        """The tap is on disk, and its pupil may not leave now."""

    def refused(self) -> None:
        """The tap is not stored."""

    def show(self, lasting: frozenset[Lasting], now: float) -> None:
        """What is to be seen while no tap's sign is; called every second or so. `now` is monotonic."""

    def close(self) -> None:
        """Everything off."""


class Silent:
    """No pins: nothing to show."""

    def accepted(self) -> None:
        """Nothing."""

    again = strange = no_pass = refused = close = accepted

    def show(self, lasting: frozenset[Lasting], now: float) -> None:
        """Nothing."""


def load(pins: config.Feedback) -> Feedback:
    """Lights for the configured pins. Raises FeedbackError."""
    if not any(pin is not None for pin in msgspec.structs.astuple(pins)):
        return Silent()
    try:
        return cast(Feedback, importlib.import_module("gateway.lights").load(pins))
    except ModuleNotFoundError as error:
        raise FeedbackError(f"[feedback] names pins, but {error.name} is missing: pip install gatebell[gpio]") from None
    except OSError as error:
        raise FeedbackError(f"[feedback] pins cannot be driven: {error}; remove the section to go without") from None
