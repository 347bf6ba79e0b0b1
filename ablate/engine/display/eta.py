"""How long the rest of a run will take: the list schedule of what is left, simulated with observed variation."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from ablate.engine.display.display_events import Estimate
from ablate.engine.rules.events_actions import Planned

_FIRST_SIGN = 0.05
"""Nothing is said before the first trial has passed this fraction."""
_DRAWS = 500
_WORK = 40_000
"""Trials placed over all simulations, so that a long plan costs no more than a short one."""


class Pace:
    """How fast one trial goes, by its own progress; work that it found done already is left out."""

    def __init__(self) -> None:
        self.fraction = 0.0
        """Of the whole trial, 0 to 1."""
        self._stage = ""
        self._from: tuple[float, float] | None = None
        self._last_at = 0.0

    def update(self, at: float, stage: str, fraction: float) -> None:
        """Take note that the trial has reached `fraction`; a jump on entering a stage is reused work."""
        entered = stage != self._stage
        if self._from is None or (entered and fraction - self.fraction > _FIRST_SIGN) or fraction < self.fraction:
            self._from = (at, fraction)
        self._stage, self.fraction, self._last_at = stage, fraction, at

    def left_s(self, at: float) -> float | None:
        """Return the seconds left at the time `at`; None before 5 % of the trial were seen to pass."""
        if self._from is None or self.fraction - self._from[1] < _FIRST_SIGN:
            return None
        per_unit = (self._last_at - self._from[0]) / (self.fraction - self._from[1])
        return max(0.0, (1.0 - self.fraction) * per_unit - (at - self._last_at))


def fraction_of(planned: Planned, stage: str, done: int, total: int) -> float:
    """Return how much of the whole trial is done when `stage` is `done` of `total`, by the costs of its stages."""
    share = min(1.0, max(0.0, done / total)) if total > 0 else 0.0
    names = [one.name for one in planned.stages]
    if stage not in names:
        return share if not names else 0.0
    index = names.index(stage)
    return (sum(one.cost for one in planned.stages[:index]) + planned.stages[index].cost * share) / planned.cost


@dataclass(frozen=True)
class Running:
    """A trial that is being computed."""

    planned: Planned
    elapsed_s: float
    left_s: float | None
    """By its own progress; None before that says anything."""

    @property
    def total_s(self) -> float | None:
        """Seconds it will have taken."""
        return None if self.left_s is None else self.elapsed_s + self.left_s


@dataclass
class Attempt:
    """A running trial, as the loop sees it."""

    planned: Planned
    number: int
    """Of its Optuna trial."""
    slot: int
    since: float
    """When it was placed, by the clock of the events."""
    lone: bool
    """The only one of its batch: its time on the slot is its own."""
    pace: Pace = field(default_factory=Pace)
    images: int = 0
    """Training images that its learning curve shows, those of earlier attempts included."""

    def running(self, now: float) -> Running:
        """Return how it stands."""
        return Running(self.planned, now - self.since, self.pace.left_s(now))


@dataclass
class History:
    """Seconds that slots were busy with finished trials, by arm, and how far single trials were off."""

    by_arm: dict[str, list[float]] = field(default_factory=dict)
    per_cost: list[float] = field(default_factory=list)
    """Seconds per unit of declared cost."""

    def add(self, planned: Planned, busy_s: float) -> None:
        """Take note of a trial that occupied its slot for `busy_s`."""
        self.by_arm.setdefault(planned.key[0], []).append(busy_s)
        self.per_cost.append(busy_s / planned.cost)

    def expected_s(self, planned: Planned, running: Sequence[Running] = ()) -> float | None:
        """Return what `planned` should take: its arm's median, else by cost, else by a running trial's progress."""
        if planned.key[0] in self.by_arm:
            return median(self.by_arm[planned.key[0]])
        rates = self.per_cost or [one.total_s / one.planned.cost for one in running if one.total_s is not None]
        return planned.cost * median(rates) if rates else None

    def ratios(self) -> list[float]:
        """Return observed seconds over expected seconds of every finished trial, 1 where an arm ran once."""
        return [
            value / median(seconds) if median(seconds) > 0 else 1.0
            for seconds in self.by_arm.values()
            for value in seconds
        ]


def estimate(
    waiting: Sequence[Planned], running: Sequence[Running], history: History, slots: int, *, seed: int = 0
) -> Estimate | None:
    """Return when everything is done, in seconds from now; None before the first trial passes 5 %."""
    if not history.by_arm and not any(one.total_s is not None for one in running):
        return None
    expected = [history.expected_s(planned, running) or 0.0 for planned in waiting]
    left = [_left(one, history, running) for one in running]
    spread = history.ratios() or [1.0]
    varies = min(spread) < max(spread)
    draws = max(20, min(_DRAWS, _WORK // max(1, len(waiting)))) if varies else 1
    source = random.Random(seed)  # noqa: S311 - a simulation, no secret
    ends = sorted(_makespan(expected, left, spread, max(1, slots), source) for _ in range(draws))
    return Estimate(mid_s=ends[draws // 2], low_s=ends[draws // 10], high_s=ends[(draws * 9) // 10])


def _left(one: Running, history: History, running: Sequence[Running]) -> float:
    """Seconds a running trial still needs."""
    if one.left_s is not None:
        return one.left_s
    return max(0.0, (history.expected_s(one.planned, running) or 0.0) - one.elapsed_s)


def _makespan(
    expected: Sequence[float], left: Sequence[float], spread: Sequence[float], slots: int, source: random.Random
) -> float:
    """One simulated end: every trial goes to the slot that is free first, in order."""
    free = [seconds * source.choice(spread) for seconds in left]
    free += [0.0] * (slots - len(free))
    heapq.heapify(free)
    end = max(free)
    for seconds in expected:
        done = heapq.heappop(free) + seconds * source.choice(spread)
        heapq.heappush(free, done)
        end = max(end, done)
    return end
