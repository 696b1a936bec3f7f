"""Serving the pages: gunicorn with one worker of many threads, so that a page's open stream costs only a thread."""

import errno
import socket
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from server.config import Config

GRACE = 2  # seconds that requests may take to end when the server stops; open streams never do


class PortBusy(RuntimeError):
    """The pages cannot be served at the configured address; the text says which and what to do."""


class Server(BaseApplication):
    """gunicorn, told by our configuration instead of by its command line."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        super().__init__()  # type: ignore[no-untyped-call]

    def load_config(self) -> None:
        """What gunicorn asks first."""
        settings: Config = self.app.extensions["gatebell"]
        options: dict[str, Any] = {
            "bind": f"{settings.web.host}:{settings.web.port}",
            "workers": 1,
            "worker_class": "gthread",
            "threads": settings.web.threads,
            "timeout": 60,
            "graceful_timeout": GRACE,
            "keepalive": 5,
            "proc_name": "gatebell web",
            "control_socket_disable": True,
        }
        for name, value in options.items():
            self.cfg.set(name, value)  # type: ignore[union-attr]

    def load(self) -> Flask:
        """The application to serve."""
        return self.app


def serve(app: Flask) -> None:
    """Serve until SIGTERM. Raises PortBusy."""
    settings: Config = app.extensions["gatebell"]
    claim(settings.web.host, settings.web.port).close()
    Server(app).run()  # type: ignore[no-untyped-call]


def claim(host: str, port: int) -> socket.socket:
    """Bind the address to see whether it is free. Raises PortBusy."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    probe = socket.socket(family, socket.SOCK_STREAM)
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((host, port))
    except OSError as error:
        probe.close()
        if error.errno == errno.EADDRINUSE:
            raise PortBusy(f"port {port} on {host} is taken by another program; stop it or set web.port") from None
        raise PortBusy(f"pages cannot be served at {host}:{port}: {error.strerror}; look at web.host") from None
    return probe
