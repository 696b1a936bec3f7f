"""Tell the senders of this machine at once that there is something to send: a datagram, and nobody need be listening.

Every listener binds its own socket in a folder, so that several sender processes are all woken.
"""

import contextlib
import hashlib
import os
import select
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

PATTERN = "wake-*.sock"
CALL = b"!"
LONGEST = 100  # a Unix socket's path may have 107 bytes (unix(7))


def folder(run_dir: str | Path) -> Path:
    """Where the sockets are: the run folder, or one in the temporary folder when that path is too long."""
    path = Path(run_dir).resolve()
    if len(os.fsencode(path)) + len("/wake-4194304-140000000000000.sock") <= LONGEST:
        return path
    return Path(tempfile.gettempdir()) / f"gatebell-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}"


def notify(run_dir: str | Path) -> None:
    """Wake all senders of this machine; never waits and never fails: they also look by themselves."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        for path in folder(run_dir).glob(PATTERN):
            _send(sender, path)


def _send(sender: socket.socket, path: Path) -> None:
    try:
        sender.sendto(CALL, str(path))
    except ConnectionRefusedError:  # its process was killed
        path.unlink(missing_ok=True)
    except OSError:  # a full queue is a listener that will wake anyway
        pass


class Listener:
    """One sender's ear: wait() returns early when notify() is called."""

    def __init__(self, run_dir: str | Path) -> None:
        self.path = folder(run_dir) / f"wake-{os.getpid()}-{id(self):x}.sock"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds, less when called; whether the call came from notify()."""
        calls = b""
        ready, _, _ = select.select([self.socket], [], [], max(0.0, timeout))
        while ready:
            try:
                calls += self.socket.recv(16)
            except BlockingIOError:
                break
        return CALL in calls

    def wake(self) -> None:
        """End this listener's wait from any thread of its process."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(b".", str(self.path))

    def __enter__(self) -> Self:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self.socket.setblocking(False)
        self.socket.bind(str(self.path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()
        self.path.unlink(missing_ok=True)
