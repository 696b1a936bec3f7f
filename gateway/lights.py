"""LEDs and a buzzer on GPIO pins. Loaded only where pins are configured: gpiozero is large and lives on a Pi."""

import time
from typing import Any

import gpiozero

from gateway.config import Feedback
from gateway.feedback import Lasting

_gpio: Any = gpiozero  # it comes without types
LONGEST_SIGN_S = 2.0  # no sign of a tap lasts longer


def load(pins: Feedback) -> "Lights":
    """Lights on these pins. Raises OSError when the pins cannot be driven."""
    try:
        return Lights(pins)
    except gpiozero.GPIOZeroError as error:
        raise OSError(f"{type(error).__name__}: {error}") from None


class Lights:
    """What a pupil sees and hears: each sign is told from the others by light and by sound."""

    def __init__(self, pins: Feedback) -> None:
        self.green = None if pins.green is None else _gpio.LED(pins.green)
        self.red = None if pins.red is None else _gpio.LED(pins.red)
        self.amber = None if pins.amber is None else _gpio.LED(pins.amber)
        self.buzzer = None if pins.buzzer is None else _gpio.Buzzer(pins.buzzer)
        self._shown: frozenset[Lasting] | None = frozenset()  # None: a tap's sign has taken its place
        self._free = 0.0  # monotonic time at which that sign is over

    def accepted(self) -> None:
        """Green half a second, one beep."""
        _pulse(self.green, on=0.5)
        _pulse(self.buzzer, on=0.08)

    def again(self) -> None:
        """Green half a second, two beeps: we have it already."""
        _pulse(self.green, on=0.5)
        _pulse(self.buzzer, on=0.08, off=0.08, times=2)

    def strange(self) -> None:
        """Amber a second (where there is none: green and red together), two long beeps: to the office."""
        self._interrupt()
        for light in [self.green, self.red] if self.amber is None else [self.amber]:
            _pulse(light, on=1.0)
        _pulse(self.buzzer, on=0.3, off=0.15, times=2)

    def no_pass(self) -> None:
        """Red blinks four times with as many short beeps: stay in, ask the guard."""
        self._interrupt()
        _pulse(self.red, on=0.2, off=0.2, times=4)
        _pulse(self.buzzer, on=0.1, off=0.3, times=4)

    def refused(self) -> None:
        """Red a second, a long beep: touch again, nothing is stored."""
        self._interrupt()
        _pulse(self.red, on=1.0)
        _pulse(self.buzzer, on=0.6)

    def show(self, lasting: frozenset[Lasting], now: float) -> None:
        """Amber blinks slowly while there is no connection, red fast while a reader is dead."""
        if lasting == self._shown or now < self._free:
            return
        self._shown = lasting
        _blink(self.amber, on=0.2, off=1.8, while_true=Lasting.OFFLINE in lasting)
        _blink(self.red, on=0.1, off=0.1, while_true=Lasting.DEAD in lasting)

    def _interrupt(self) -> None:
        self._shown, self._free = None, time.monotonic() + LONGEST_SIGN_S

    def close(self) -> None:
        """All off, pins back to inputs."""
        for device in (self.green, self.red, self.amber, self.buzzer):
            if device is not None:
                device.close()


def _blink(device: Any, *, on: float, off: float, while_true: bool) -> None:
    if device is not None and while_true:
        device.blink(on_time=on, off_time=off, background=True)
    elif device is not None:
        device.off()


def _pulse(device: Any, *, on: float, off: float = 0.0, times: int = 1) -> None:
    if device is not None:
        device.blink(on_time=on, off_time=off, n=times, background=True)
