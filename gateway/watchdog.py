"""Tells systemd that the gateway is ready and alive; does nothing where systemd did not start us."""

import os
import select
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

STDERR = 2


@dataclass
class Pulse:
    """One thread's signs of life: it beats, others look. It is late when it has not beaten for `patience` seconds."""

    name: str
    patience: float
    at: float = field(default_factory=time.monotonic)

    def beat(self) -> None:
        """Called by the thread wherever it comes by."""
        self.at = time.monotonic()

    def age(self) -> float:
        """Seconds since the last beat."""
        return time.monotonic() - self.at

    def is_late(self) -> bool:
        """Whether the thread hangs: only a new process helps then."""
        return self.age() > self.patience


def hanging(pulses: Iterable[Pulse]) -> list[str]:
    """What to say of threads that are late: `port east hangs for 35 s`."""
    return [f"{pulse.name} hangs for {pulse.age():.0f} s" for pulse in pulses if pulse.is_late()]


def can_be_heard(file: int = STDERR) -> bool:
    """Whether a line of log would be taken now; a journal that hangs would stop whoever writes the next one."""
    poll = select.poll()
    poll.register(file, select.POLLOUT)
    return bool(poll.poll(0))


@dataclass(frozen=True)
class Watchdog:
    """sd_notify(3) in a few lines. `interval` is the number of seconds between signs of life that systemd wants."""

    address: str = ""
    interval: float | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Watchdog":
        """Read NOTIFY_SOCKET and WATCHDOG_USEC; half of systemd's patience is the interval."""
        wait = int(environment.get("WATCHDOG_USEC", "0"))
        return cls(environment.get("NOTIFY_SOCKET", ""), wait / 2_000_000 or None)

    def say(self, *lines: str) -> None:
        """Send `READY=1`, `WATCHDOG=1`, `STATUS=…`, `STOPPING=1`."""
        if not self.address:
            return
        # '@' stands for the zero byte of an abstract socket
        target = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.sendto("\n".join(lines).encode(), target)
