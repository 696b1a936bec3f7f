"""What every provider is: it sends one text to one number, and maps the answers of its service to our few outcomes.

A provider file holds one subclass and names it `PROVIDER`. It may be used by several threads at once. Waiting,
trying again, changing to another provider and keeping count belong to the sender, not here.
"""

import datetime as dt
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from werkzeug.datastructures import Headers

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
    wording: str = ""  # which of our templates: arrived, late, left ...
    values: Mapping[str, str] = field(default_factory=dict)  # what stands in its placeholders, for approved templates


@dataclass(frozen=True)
class Doubtful:
    """A text that a provider may have taken: what it can be asked by."""

    text_id: uuid.UUID
    phone: str  # E.164
    tried_at: dt.datetime


@dataclass(frozen=True)
class Accepted:
    """The provider has the text; `reference` is its own number for it, if it gave one.

    `references` where each part of a long text has a number of its own: the text is delivered when all parts are.
    """

    reference: str | None = None
    references: tuple[str, ...] = ()


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


@dataclass(frozen=True)
class Report:
    """A receipt for one text; `text_id` where the provider echoes it, else the text is found by `news.reference`."""

    news: News
    text_id: uuid.UUID | None = None


@dataclass(frozen=True)
class Brought:
    """All that a provider brought at once; some bring a hundred receipts in one request."""

    reports: Sequence[Report] = ()
    heard: Sequence[Heard] = ()


@dataclass(frozen=True)
class Incoming:
    """A provider's request as it came; `url` is whole, with its query, as the provider was told it."""

    method: str
    url: str
    headers: Headers  # looked up in any case
    query: Mapping[str, str]
    form: Mapping[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, str]:
        """Query and form together, for providers that may be told to use either."""
        return {**self.form, **self.query}


class Forged(Exception):
    """A request that bears no signature of this provider, or a wrong one."""


# Keeps what was brought, and returns only when it is committed: then the provider may be told that we have it.
Sink = Callable[[Brought], None]


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

    def ask(self, text: Doubtful) -> Answer:
        """Whether the provider has a text of which we do not know. NOT_TAKEN must be certain: it is sent again."""
        return Answer.CANNOT_SAY

    def take(self, request: Incoming) -> Brought:
        """Read a request that came to one of our callback addresses.

        Raises Forged when its signature is wrong, ValueError when it is none of this provider's.
        """
        raise ValueError(f"{self.name} brings nothing")

    def acknowledgement(self) -> tuple[str, str]:
        """Body and content type by which this provider knows that we have what it brought."""
        return "", "text/plain"

    def start(self, sink: Sink) -> None:
        """Open what stays open (a bound connection, a watched folder); receipts and replies go to `sink`."""

    def stop(self) -> None:
        """Close it; what is under way may be lost, what was handed to the sink is not."""

    def check(self) -> list[str]:
        """What is wrong with it now, in sentences for the operator."""
        return []

    def lacks(self, wordings: Collection[str]) -> list[str]:
        """Which of our wordings this provider has no approved template for, in sentences."""
        return []
