"""Which provider gets the next text where several share the work: by weights, lowered by trouble, drifting back. Pure.

After GOV.UK Notify's rule: a provider in trouble loses ten points of its share at a time and gets them back slowly,
so that a bad afternoon does not end in a school that sends nothing by it for ever.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from server.outbox import rules
from server.outbox.rules import Outcome

TROUBLE = frozenset({Outcome.RETRY_SAME, Outcome.RETRY_OTHER, Outcome.UNKNOWN})


@dataclass(frozen=True)
class ShareSettings:
    """`errors` within `window` seconds, or `undelivered` of the texts, cost `step` points; one comes each `drift` s."""

    errors: int = 50
    window: float = 60.0
    undelivered: float = 0.15
    step: float = 10.0
    drift: float = 90.0
    least: float = 1.0  # so that we notice when it is well again


class Shares:
    """The weights of one sender's providers, in points of a hundred; without weights the first in order takes all."""

    def __init__(
        self, names: Sequence[str], weights: Mapping[str, int], settings: ShareSettings = ShareSettings()
    ) -> None:
        total = sum(weights.get(name, 0) for name in names)
        self.names, self.settings = names, settings
        self.full = {name: 100.0 * weights.get(name, 0) / total for name in names} if total else {}
        self.now = dict(self.full)
        self.errors: dict[str, deque[float]] = {name: deque() for name in names}
        self.drifted_at = 0.0

    def choose(self, wanted: str | None, admitted: Collection[str], draw: float) -> str | None:
        """The provider for a text: the wanted one, else by weight with `draw` from 0 to 1, among those not cut off."""
        sharing = [name for name in self.names if name in admitted and self.now.get(name)]
        if wanted in admitted or not sharing:
            return rules.choose(self.names, wanted, admitted)
        point = draw * sum(self.now[name] for name in sharing)
        for name in sharing:
            point -= self.now[name]
            if point < 0:
                return name
        return sharing[-1]

    def told(self, name: str, outcome: Outcome, at: float) -> None:
        """Learn from an outcome at `at` (monotonic seconds)."""
        if outcome not in TROUBLE or name not in self.errors:
            return
        errors = self.errors[name]
        errors.append(at)
        while errors[0] < at - self.settings.window:
            errors.popleft()
        if len(errors) > self.settings.errors:
            errors.clear()
            self._lower(name)

    def undelivered(self, shares: Mapping[str, float]) -> None:
        """Learn which share of each provider's newest texts has not arrived."""
        for name, share in shares.items():
            if share >= self.settings.undelivered:
                self._lower(name)

    def drift(self, at: float) -> None:
        """Give back what was lost, a point after so many seconds."""
        points = (at - self.drifted_at) / self.settings.drift if self.drifted_at else 0.0
        self.drifted_at = at
        self.now = {name: min(self.full[name], points + value) for name, value in self.now.items()}

    def _lower(self, name: str) -> None:
        if self.now.get(name):
            self.now[name] = min(self.now[name], max(self.settings.least, self.now[name] - self.settings.step))
