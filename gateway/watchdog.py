"""Tells systemd that the gateway is ready and alive; does nothing where systemd did not start us."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass


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
