"""What a tracker is told: trials, points of their curves, outcomes, verdicts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ablate.json_values import JsonValue, thaw
from ablate.outcome import OutcomeKind
from ablate.paths import StudyPaths

CURVE = "curve/"
"""Prefix of a curve's values: a point on the way is not the outcome, even where both have a metric's name."""
WORDS = frozenset({"outcome", "error", "copied_from"})
"""What is said of an outcome in words."""
KINDS = ("mlflow", "tensorboard", "wandb")
"""Trackers that there are."""


@dataclass(frozen=True)
class TrackedStudy:
    """What a tracker needs to know of a study."""

    name: str
    paths: StudyPaths
    curve_over: str
    """What a learning curve counts: ``images``, ``epoch``, ``step``."""
    params_of: Mapping[str, Mapping[str, JsonValue]]
    """Arm -> its level of every factor."""


@dataclass(frozen=True)
class TrackedTrial:
    """One replicate. A retry, or a trial that resumes, goes on in the run of the replicate."""

    arm: str
    seed: int
    """Index of the seed."""
    params: Mapping[str, JsonValue]
    trial: int
    """Number of the Optuna trial that computes it now."""

    @property
    def key(self) -> tuple[str, int]:
        """Arm and seed."""
        return (self.arm, self.seed)

    @property
    def name(self) -> str:
        """What people read."""
        return f"{self.arm} s{self.seed}"


@dataclass(frozen=True)
class Point:
    """A point of a learning curve. `at` is seconds since 1970 (UTC)."""

    at: float
    images: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class TrackedOutcome:
    """What a trial gave."""

    kind: OutcomeKind
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    images_seen: int = 0
    error: str | None = None
    copied_from: str | None = None
    """The arm with the same recipe that was computed instead."""

    @property
    def numbers(self) -> dict[str, float]:
        """The metrics, and `seconds` and `images_seen` (unless that is 0) where no metric is called so."""
        seen = {"images_seen": float(self.images_seen)} if self.images_seen else {}
        return {"seconds": self.seconds, **seen, **self.metrics}

    @property
    def words(self) -> dict[str, str]:
        """What is not a number, without what is empty."""
        words = {"outcome": self.kind.value, "error": self.error, "copied_from": self.copied_from}
        return {name: word for name, word in words.items() if word}


@dataclass(frozen=True)
class ArmVerdict:
    """The verdict on an arm, by the primary metric."""

    verdict: str
    sentence: str
    """Why: difference, interval and number of seeds."""


class Tracker(Protocol):
    """One place that runs are reported to. Used by one thread only.

    Whatever a method raises counts as a failure of the tracker, for that trial: the run goes on.
    """

    kind: str
    place: str
    """Where the runs go, as messages name it: without any password."""

    def begin(self, trial: TrackedTrial) -> None:
        """Begin the run of a replicate, or go on with the one it has."""

    def curve(self, key: tuple[str, int], points: Sequence[Point]) -> None:
        """Add points to the curves of a run. Points it has already are left out."""

    def end(self, key: tuple[str, int], outcome: TrackedOutcome) -> None:
        """End a run with its outcome."""

    def verdict(self, arm: str, verdict: ArmVerdict) -> None:
        """Mark every run of an arm, also those of earlier calls, with the verdict."""

    def close(self) -> None:
        """End what is open: those trials were stopped."""

    def hint(self) -> str:
        """What to type to see the runs, or empty."""


def text_of(value: JsonValue) -> str:
    """Return a level as text: words as they are, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(thaw(value), ensure_ascii=False)
