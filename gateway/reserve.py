"""Disk space kept from others beside the spool, to be given up once when the disk is full."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("gateway.spool")


@dataclass(frozen=True)
class Reserve:
    """A file of `size` bytes that holds nothing."""

    path: Path
    size: int

    def take(self) -> None:
        """Make it, if the disk has that much room."""
        if not self.size:
            return
        try:
            with self.path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self.size)
        except OSError as error:
            log.warning("cannot reserve %d bytes beside the spool: %s", self.size, error.strerror)
            self.drop()

    def give_up(self) -> bool:
        """Make room in need; False when there is nothing left to give."""
        if not self.path.exists():
            return False
        self.drop()
        log.error("the disk is full: the spool's reserve of %d bytes is given up, make room", self.size)
        return True

    def drop(self) -> None:
        """Without it for now."""
        self.path.unlink(missing_ok=True)
