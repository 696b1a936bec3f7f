"""LEDs and a buzzer on GPIO pins. Loaded only where pins are configured: gpiozero is large and lives on a Pi."""

from typing import Any

import gpiozero

from gateway.config import Feedback

_gpio: Any = gpiozero  # it comes without types


def load(pins: Feedback) -> "Lights":
    """Lights on these pins. Raises OSError when the pins cannot be driven."""
    try:
        return Lights(pins)
    except gpiozero.GPIOZeroError as error:
        raise OSError(f"{type(error).__name__}: {error}") from None


class Lights:
    """What a pupil sees: green and a beep for a tap on disk, two beeps for one we have, red for one that is refused."""

    def __init__(self, pins: Feedback) -> None:
        self.green = None if pins.green is None else _gpio.LED(pins.green)
        self.red = None if pins.red is None else _gpio.LED(pins.red)
        self.buzzer = None if pins.buzzer is None else _gpio.Buzzer(pins.buzzer)

    def accepted(self) -> None:
        """Green half a second, one beep."""
        _pulse(self.green, on=0.5)
        _pulse(self.buzzer, on=0.08)

    def again(self) -> None:
        """Green half a second, two beeps: we have it already."""
        _pulse(self.green, on=0.5)
        _pulse(self.buzzer, on=0.08, off=0.08, times=2)

    def refused(self) -> None:
        """Red a second, a long beep: touch again, nothing is stored."""
        _pulse(self.red, on=1.0)
        _pulse(self.buzzer, on=0.6)

    def close(self) -> None:
        """All off, pins back to inputs."""
        for device in (self.green, self.red, self.buzzer):
            if device is not None:
                device.close()


def _pulse(device: Any, *, on: float, off: float = 0.0, times: int = 1) -> None:
    if device is not None:
        device.blink(on_time=on, off_time=off, n=times, background=True)
