"""A real gateway in a process of its own, to be killed: `python -m tests.durability.gate_child <toml> <fd> [mutant]`.

Each light that promises a stored tap is a line `<tap id> <card> <when>` on a pipe, written where the product would
light it; `when` is CLOCK_MONOTONIC in nanoseconds, which all processes of a machine share.
"""

import logging
import os
import sys
import threading
import time
from pathlib import Path

from gateway import app, config, feedback
from gateway.__main__ import end_process
from tests.durability import mutants


class Lamp(feedback.Silent):
    """Green, or what else says stored, is a line on the pipe."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.spool: mutants.Watched | None = None

    def accepted(self) -> None:
        assert self.spool is not None
        tap = self.spool.new.popleft()
        os.write(self.fd, f"{tap.id} {tap.card} {time.monotonic_ns()}\n".encode())

    strange = no_pass = accepted  # other lights, the same promise: the tap is on disk


def main(path: str, fd: str, mutant: str = "") -> None:
    """Take taps until SIGTERM."""
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    threading.excepthook = end_process
    lamp = Lamp(int(fd))
    app.Spool = mutants.choose_spool(mutant)
    feedback.load = lambda pins: lamp
    gateway = app.Gateway(config.load(Path(path), {}))
    lamp.spool = gateway.spool
    gateway.stop_on_signals()
    gateway.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
