"""Stand-ins of our own, where no real program can be made to misbehave on demand."""

import threading
import uuid
from collections.abc import Callable, Iterable

from server.outbox.providers.base import Accepted, Doubtful, Outgoing, Provider, SendFailed
from server.outbox.rules import Answer

Reply = Accepted | SendFailed | RuntimeError


class ScriptedProvider(Provider):
    """A provider that answers as told, then accepts; it remembers what it was given."""

    name = "scripted"

    def __init__(self, replies: Iterable[Reply] = (), *, name: str = "scripted", delivers: bool = False) -> None:
        super().__init__(None)
        self.name = name  # type: ignore[misc]
        self.delivers = delivers  # type: ignore[misc]
        self.replies = list(replies)
        self.sent: list[Outgoing] = []
        self.answer = Answer.CANNOT_SAY
        self.asked: list[uuid.UUID] = []
        self.before: Callable[[Outgoing], None] = lambda text: None
        self.lock = threading.Lock()

    def send(self, text: Outgoing) -> Accepted:
        """The next scripted reply."""
        self.before(text)
        with self.lock:
            self.sent.append(text)
            reply = self.replies.pop(0) if self.replies else Accepted(f"ref-{len(self.sent)}")
        if isinstance(reply, Exception):
            raise reply
        return reply

    def ask(self, text: Doubtful) -> Answer:
        """The scripted answer."""
        self.asked.append(text.text_id)
        return self.answer
