"""A sender in a process of its own, to be killed: `python -m tests.server.outbox_child <database url> <folder>`."""

import signal
import sys
import threading

from server import config, create_app
from server.outbox import providers, rules
from server.outbox.sender import Sender


def main(url: str, folder: str) -> None:
    """Send by the phone provider until SIGTERM, with leases short enough for a test."""
    rules.LEASE, rules.FRESH_CLAIM = 1.0, 0.5
    settings = config.Config(
        database=config.Database(url=url),
        secrets=config.Secrets(key_file=f"{folder}/key"),
        outbox=config.Outbox(providers=("phone",)),
        run_dir=folder,
        demo=True,
    )
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    Sender(create_app(settings), providers.opened(settings)).run(stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
