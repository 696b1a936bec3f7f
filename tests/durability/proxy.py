"""A bad network between two programs of this machine: a TCP relay that can break off, refuse and fall silent."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

from tests import services


class Proxy:
    """Listens on `port` for what is meant for `target`, inside; works in threads of the test."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = services.free_port()
        self._flows = threading.Event()  # clear: nothing is relayed, and nobody is told
        self._flows.set()
        self._refuses = False
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """For the configuration of who is to come this way."""
        return f"mqtt://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Break every connection and take no new one."""
        self._refuses = True
        with self._lock:
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        """Nothing gets through, and no connection breaks."""
        self._flows.clear()

    def mend(self) -> None:
        """A good network."""
        self._refuses = False
        self._flows.set()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = None if self._refuses else self._reach()
            if far is None:
                near.close()
                continue
            with self._lock:
                self._open |= {near, far}
            if self._refuses:  # cut since it was reached
                self.cut()
            for source, sink in ((near, far), (far, near)):
                self._begin(self._relay, source, sink)

    def _reach(self) -> socket.socket | None:
        try:
            return socket.create_connection(("127.0.0.1", self.target), 2)
        except OSError:
            return None

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        source.settimeout(None)
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                self._flows.wait()
                sink.sendall(chunk)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _begin(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._begin(self._serve)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self._flows.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
        for end in self._open:
            end.close()
