"""A sender in a process of its own, to be killed: `python -m tests.server.outbox_child <database> <folder> [options]`.

`--at <point>` makes it kill itself with SIGKILL when it comes to that point for the first time (see POINTS).
"""

import argparse
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from server import config, create_app
from server.outbox import claims, providers, queue, rules, sender
from server.outbox.providers.base import Provider
from server.outbox.sender import Sender


def die(*_words: Any, **_more: Any) -> None:
    """As a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, when: Callable[..., Any] = lambda *words: True) -> None:
    """Die when this function is called, with something to do."""
    done: Callable[..., Any] = getattr(owner, name)
    setattr(owner, name, lambda *words, **more: die() if when(*words) else done(*words, **more))


def after(owner: Any, name: str, when: Callable[..., Any] = lambda *words: True) -> None:
    """Die when this function has done its work."""
    done: Callable[..., Any] = getattr(owner, name)

    def then_die(*words: Any, **more: Any) -> Any:
        found = done(*words, **more)
        return die() if when(*words) else found

    setattr(owner, name, then_die)


def results(_session: Any, landed: Any) -> bool:
    """Whether there is a result to record."""
    return bool(landed)


def landed(sender: Sender) -> bool:
    """Whether a result was recorded."""
    return bool(sender.landed)


# In the order of a text's way. A claim and its attempt row are one transaction, so are a result and what follows.
POINTS: dict[str, Callable[[type[Provider]], None]] = {
    "claim written, not committed": lambda provider: after(claims, "_begin"),
    "claim committed": lambda provider: before(Sender, "_start"),
    "request about to leave": lambda provider: before(provider, "send"),
    "answer there": lambda provider: after(provider, "send"),
    "before record": lambda provider: before(queue, "record", results),
    "record written, not committed": lambda provider: after(queue, "record", results),
    "record committed": lambda provider: before(Sender, "_written", landed),
    "swept, not committed": lambda provider: after(queue, "sweep"),
    "asked": lambda provider: after(provider, "ask"),
    "settled, not committed": lambda provider: after(queue, "settle"),
}


def main() -> None:
    """Send until SIGTERM, with leases and doubts short enough for a test."""
    words = argparse.ArgumentParser()
    words.add_argument("url")
    words.add_argument("folder")
    words.add_argument("--at", choices=POINTS)
    words.add_argument("--smsbox", default="")
    given = words.parse_args()
    rules.LEASE, rules.FRESH_CLAIM, rules.DOUBT, rules.ASK_AGAIN = 1.0, 0.5, 0.5, (0.1, 0.5)
    sender.SWEEP = 0.1
    name = "kannel" if given.smsbox else "phone"
    settings = config.Config(
        database=config.Database(url=given.url),
        secrets=config.Secrets(key_file=f"{given.folder}/key"),
        outbox=config.Outbox(providers=(name,)),
        providers={"kannel": {"url": given.smsbox, "username": "school", "password": "x"}},
        run_dir=given.folder,
        demo=True,
    )
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if given.at:
        POINTS[given.at](providers.load(name))
    Sender(create_app(settings), providers.opened(settings)).run(stop)


if __name__ == "__main__":
    main()
