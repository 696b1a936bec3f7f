"""What becomes of a text: states, outcomes of a try, waiting times, whose turn it is. No clock, no database.

Seconds are real seconds (a demo's fast clock does not shorten them); the caller turns them into moments.
"""

import math
import unicodedata
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Lane(StrEnum):
    """Order of sending: a gate text never waits for a notice."""

    GATE = "gate"
    ALERT = "alert"
    DIRECT = "direct"
    BULK = "bulk"


class TextState(StrEnum):
    """Forward only. `unknown`: the provider may have taken it; a receipt or a question settles it, no blind resend."""

    QUEUED = "queued"
    CLAIMED = "claimed"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    SUPPRESSED = "suppressed"  # we did not send it, on purpose: `Held` says why


class Held(StrEnum):
    """Why a text waits although it is due, or was never sent."""

    LATE = "late"  # the school does not want what comes too late
    OVERTAKEN = "overtaken"  # a newer event of its kind was told instead
    PUPIL = "pupil"  # too many texts about one child within an hour: a stuck reader, or a card played with
    NUMBER = "number"  # the number has had its texts of the day
    WORDING = "wording"  # ... of this wording
    MONEY = "money"  # the school's money of the day is spent; gate and alert texts go on
    MONEY_HARD = "money_hard"  # nothing goes out any more


# The word by which pages show each state.
SHOWN = {
    TextState.FAILED: "failed",
    TextState.EXPIRED: "expired",
    TextState.SUPPRESSED: "held",
    TextState.UNKNOWN: "waiting",
    TextState.QUEUED: "queued",
    TextState.CLAIMED: "queued",
    TextState.SENT: "sent",
    TextState.DELIVERED: "delivered",
}


class Outcome(StrEnum):
    """What one try came to; every provider maps its own answers to these."""

    ACCEPTED = "accepted"
    RETRY_SAME = "retry_same"  # surely not taken; the same provider may take it later
    RETRY_OTHER = "retry_other"  # surely not taken; trouble with this route: account, quota, sign, no connection
    FAIL_NUMBER = "fail_number"
    FAIL_CONTENT = "fail_content"
    FAIL_OPTOUT = "fail_optout"
    UNKNOWN = "unknown"  # the request may have been taken


# What operators tell people to write, and Twilio's defaults.
_STOP_WORDS = "TD T R N STOP STOPALL UNSUBSCRIBE END QUIT REVOKE OPTOUT CANCEL 退订 退訂 取消 拒收"


class Answer(StrEnum):
    """What a provider says when it is asked about a text of which we do not know."""

    TAKEN = "taken"
    NOT_TAKEN = "not_taken"
    CANNOT_SAY = "cannot_say"


LANES = tuple(Lane)
DELAYED = "_delayed"  # ends the name of a wording that says that it comes late
FINAL = frozenset({TextState.DELIVERED, TextState.FAILED, TextState.EXPIRED, TextState.SUPPRESSED})
FRESH_CLAIM = 3.0  # a claim that waited longer for its turn is handed back, not sent: its lease may be over
LEASE = 15.0  # longer than that wait and a request together (providers wait 3 s to connect and 8 s for an answer)
DOUBT = 60.0  # how long a receipt may settle an unknown text before it is sent a second time
ASK_AGAIN = (5.0, 15.0, 40.0, 60.0)
BACK_OFF = (5.0, 15.0, 60.0, 300.0)

# An operator's "delivered" is a fact that later bad news of a second copy does not undo.
_RANK = {
    TextState.QUEUED: 0,
    TextState.CLAIMED: 1,
    TextState.UNKNOWN: 2,
    TextState.SENT: 3,
    TextState.EXPIRED: 4,
    TextState.SUPPRESSED: 4,
    TextState.FAILED: 4,
    TextState.DELIVERED: 5,
}
_FAILURES = frozenset({Outcome.FAIL_NUMBER, Outcome.FAIL_CONTENT, Outcome.FAIL_OPTOUT})


@dataclass(frozen=True)
class Step:
    """What a text does next: its state, in how many seconds it is due, and by which provider (None: any)."""

    state: TextState
    due_in: float = 0.0
    provider: str | None = None


def is_stop(body: str) -> bool:
    """Whether a reply asks for no more texts: the whole of it, in any width, without its full stop."""
    return unicodedata.normalize("NFKC", body).strip(" \t\r\n.。!！").upper() in _STOP_WORDS.split()


def rank(lane: Lane) -> int:
    """0 for the lane that goes first."""
    return LANES.index(lane)


def forward(old: TextState, new: TextState) -> bool:
    """Whether news may change a state: receipts come early, twice, late and out of order, and only ever move it on."""
    return _RANK[new] > _RANK[old]


def of_parts(parts: Sequence[TextState]) -> TextState:
    """What a text has come to by its messages: delivered when all are, failed or expired when one is, else sent."""
    if all(part is TextState.DELIVERED for part in parts):
        return TextState.DELIVERED
    lost = (part for part in parts if part in {TextState.FAILED, TextState.EXPIRED})
    return next(lost, TextState.SENT)


def back_off(tries: int, draw: float) -> float:
    """Seconds until the next try after `tries` of them, between 75 and 125 %, by `draw` from 0 to 1."""
    return BACK_OFF[min(max(tries, 1), len(BACK_OFF)) - 1] * (0.75 + draw / 2)


def after_try(
    outcome: Outcome,
    *,
    tries: int,
    provider: str,
    names: Sequence[str],
    left: float,
    wanted: float | None = None,
    draw: float = 0.5,
) -> Step:
    """The step after a try that was not accepted.

    `tries` counts this one, `left` is the time until expiry, `wanted` the wait that the provider asked for.
    """
    if outcome in _FAILURES:
        return Step(TextState.FAILED, provider=provider)
    if outcome is Outcome.UNKNOWN:
        return Step(TextState.UNKNOWN, ASK_AGAIN[0], provider)
    if left <= 0:
        return Step(TextState.EXPIRED, provider=provider)
    following = _next(provider, names) if outcome is Outcome.RETRY_OTHER else provider
    if outcome is Outcome.RETRY_OTHER and names.index(following) > 0:
        return Step(TextState.QUEUED, 0.0, following)  # a provider that this round has not asked yet
    wait = max(wanted or 0.0, back_off(tries, draw))
    return Step(TextState.QUEUED, min(wait, max(1.0, left / 2)), following)  # more tries as its end comes near


def settle(answer: Answer, *, lane: Lane, age: float, doubtful: int, expired: bool) -> Step:
    """What a text of unknown fate does: `age` seconds since the last try, `doubtful` tries without an outcome so far.

    For the gate a double is a nuisance and a miss an alarm: it is sent once more. All else stays unknown.
    """
    if answer is Answer.TAKEN:
        return Step(TextState.SENT)
    if answer is Answer.NOT_TAKEN:
        return Step(TextState.EXPIRED if expired else TextState.QUEUED)
    if expired or (age >= DOUBT and not may_double(lane, doubtful)):
        return Step(TextState.UNKNOWN, math.inf)
    if age >= DOUBT:
        return Step(TextState.QUEUED)
    return Step(TextState.UNKNOWN, next(at for at in ASK_AGAIN if at > age) - age)


def may_double(lane: Lane, doubtful: int) -> bool:
    """Whether a text that the provider may have taken is worth a second copy: once, and only at the gate."""
    return lane is Lane.GATE and doubtful < 2


def room(workers: int, flying: Sequence[Lane]) -> tuple[int, int]:
    """How many more texts may go out now: of any lane, and of lanes other than the gate's.

    A third of the connections, at least two where there are that many to spare, is kept for the gate.
    """
    kept = 0 if workers == 1 else min(max(2, math.ceil(workers * 0.3)), workers - 1)
    free = workers - len(flying)
    others = workers - kept - sum(lane is not Lane.GATE for lane in flying)
    return free, max(0, min(free, others))


def choose(names: Sequence[str], wanted: str | None, admitted: Collection[str]) -> str | None:
    """The provider for a text: the wanted one, else the first in order of preference that is not cut off."""
    if wanted in admitted:
        return wanted
    return next((name for name in names if name in admitted), None)


def _next(name: str, names: Sequence[str]) -> str:
    return names[(names.index(name) + 1) % len(names)] if name in names else names[0]


@dataclass(frozen=True)
class BreakerSettings:
    """`failures` within `window` seconds cut a provider off for `pause` seconds; then one text is its probe."""

    failures: int = 5
    window: float = 30.0
    pause: float = 10.0


class Breaker:
    """One provider's circuit breaker. Its own trouble counts, a refused number does not."""

    def __init__(self, settings: BreakerSettings = BreakerSettings()) -> None:
        self.settings = settings
        self.failed: deque[float] = deque()
        self.open_until: float | None = None

    def admits(self, now: float) -> bool:
        """Whether a text may be given to the provider at `now` (monotonic seconds)."""
        return self.open_until is None or now >= self.open_until

    def given(self, now: float) -> None:
        """A text was given; after the pause that one is the probe, and the next waits for another pause."""
        if self.open_until is not None:
            self.open_until = now + self.settings.pause

    def told(self, outcome: Outcome, now: float) -> None:
        """Learn from an outcome."""
        if outcome not in {Outcome.RETRY_SAME, Outcome.RETRY_OTHER, Outcome.UNKNOWN}:
            self.failed.clear()
            self.open_until = None
            return
        self.failed.append(now)
        while self.failed[0] < now - self.settings.window:
            self.failed.popleft()
        if self.open_until is not None or len(self.failed) >= self.settings.failures:
            self.open_until = now + self.settings.pause


def percentiles(values: Sequence[float], wanted: Sequence[int]) -> Mapping[int, float]:
    """Nearest-rank percentiles of values that need not be sorted; nothing for no values."""
    ordered = sorted(values)
    return {p: ordered[max(0, math.ceil(len(ordered) * p / 100) - 1)] for p in wanted} if ordered else {}
