"""What the tests of the long connections share: a text, a sink, a wait."""

import threading
import time
import uuid
from collections.abc import Callable

from server.outbox.providers.base import Brought, Outgoing

CHINESE = "【育才学校】您的孩子王小明已于07:41到校。"


def outgoing(phone: str = "+8613800000001", body: str = CHINESE) -> Outgoing:
    """A text that may be sent now."""
    return Outgoing(uuid.uuid4(), phone, body, 600.0, False, "", time.monotonic() + 10)


class Kept:
    """A sink; it fails `fails` times first, as a database that is away does."""

    def __init__(self) -> None:
        self.fails = 0
        self.brought: list[Brought] = []
        self.lock = threading.Lock()

    def __call__(self, brought: Brought) -> None:
        with self.lock:
            if self.fails:
                self.fails -= 1
                raise RuntimeError("the database is away")
            self.brought.append(brought)

    def news(self) -> list[tuple[str, str | None]]:
        return [(r.news.reference, r.news.state) for b in self.brought for r in b.reports]

    def heard(self) -> list[tuple[str, str]]:
        return [(h.phone, h.body) for b in self.brought for h in b.heard]


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for it. Raises AssertionError."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
