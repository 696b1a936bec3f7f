"""What every provider is: it sends one text to one number, and maps the answers of its service to our few outcomes.

A provider file holds one subclass and names it `PROVIDER`. It may be used by several threads at once. Waiting,
trying again, changing to another provider and keeping count belong to the sender, not here.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from server import config
from server.outbox.rules import Answer, Outcome, TextState


@dataclass(frozen=True)
class Outgoing:
    """One text on its way out; `callback` is the URL at which this text's receipts are taken.

    After `deadline` (monotonic seconds) sending must not begin: another sender may have it by then.
    """

    text_id: uuid.UUID
    phone: str  # E.164
    body: str
    useful_for: float  # real seconds until nobody needs it any more
    urgent: bool
    callback: str
    deadline: float


@dataclass(frozen=True)
class Accepted:
    """The provider has the text; `reference` is its own number for it, if it gave one."""

    reference: str | None = None


@dataclass(frozen=True)
class News:
    """What a receipt says: the state it proves (None: nothing for us), the provider's reference, and the raw words."""

    state: TextState | None
    raw: str
    reference: str = ""


@dataclass(frozen=True)
class Heard:
    """What a person wrote to us; `reference` is the provider's own number for it, if it gave one."""

    phone: str  # as the provider writes it
    body: str
    reference: str = ""


class SendFailed(Exception):
    """The text was not accepted, or may not have been (`UNKNOWN`); `reason` is for staff and holds no number."""

    def __init__(self, outcome: Outcome, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason
        self.after = after  # seconds that the provider asks us to wait


class Provider:
    """One way out. `name` is its file's name; `delivers` is true where accepting a text is delivering it."""

    name: ClassVar[str]
    delivers: ClassVar[bool] = False

    class Settings(config.Section, frozen=True):
        """What stands in [providers.<name>]."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def send(self, text: Outgoing) -> Accepted:
        """Send it. Raises SendFailed."""
        raise NotImplementedError

    def ask(self, text_id: uuid.UUID) -> Answer:
        """Whether the provider has a text of which we do not know. NOT_TAKEN must be certain: it is sent again."""
        return Answer.CANNOT_SAY

    @classmethod
    def news(cls, fields: Mapping[str, str]) -> News:
        """Read a receipt from the fields of its request. Raises ValueError when it is none of this provider's."""
        raise ValueError(f"{cls.name} sends no receipts")

    @classmethod
    def heard(cls, fields: Mapping[str, str]) -> Heard:
        """Read what a person wrote from the fields of its request. Raises ValueError when it is no such thing."""
        raise ValueError(f"{cls.name} brings no replies")

    def check(self) -> list[str]:
        """What is wrong with it now, in sentences for the operator."""
        return []
