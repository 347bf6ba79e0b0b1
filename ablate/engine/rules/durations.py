"""How long a replicate should take."""

from __future__ import annotations

import bisect
from statistics import median

from ablate.engine.rules.events_actions import Planned
from ablate.outcome import Outcome


class Expectation:
    """Seconds a replicate should take: what its arm took, else its declared cost on the same scale."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {}
        self._medians: dict[str, float] = {}
        self._ratios: list[float] = []

    def learn(self, planned: Planned, outcome: Outcome) -> bool:
        """Take note of a finished trial; return whether what is expected of its arm may have changed."""
        if not outcome.kind.is_result or outcome.seconds <= 0:
            return False
        seconds = self._seconds.setdefault(planned.key[0], [])
        bisect.insort(seconds, outcome.seconds)
        self._medians[planned.key[0]] = median(seconds)
        bisect.insort(self._ratios, outcome.seconds / planned.cost)
        return True

    def knows(self, planned: Planned) -> bool:
        """True when the arm of `planned` has been measured."""
        return planned.key[0] in self._medians

    def of(self, planned: Planned) -> float:
        """Return the expected seconds of `planned` (in reference seconds while nothing has been measured)."""
        known = self._medians.get(planned.key[0])
        return planned.cost * self.per_cost if known is None else known

    @property
    def per_cost(self) -> float:
        """Seconds per unit of declared cost, as measured so far; 1 before that."""
        count = len(self._ratios)
        return (self._ratios[(count - 1) // 2] + self._ratios[count // 2]) / 2 if count else 1.0
