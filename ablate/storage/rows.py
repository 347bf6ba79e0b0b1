"""What readers of the storage get: frozen copies that cannot write anything back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ablate.outcome import OutcomeKind
from ablate.recipe import Scalar


@dataclass(frozen=True)
class TrialRow:
    """One Optuna trial of a study.

    `outcome` is None while the trial runs. `curve` maps images seen to the primary metric, in order.
    """

    number: int
    arm: str
    seed: int
    state: str
    """Optuna's word: RUNNING, COMPLETE, PRUNED, FAIL."""
    outcome: OutcomeKind | None
    metrics: Mapping[str, float]
    seconds: float | None
    device: str
    recipe_digest: str
    params: Mapping[str, Scalar] = field(default_factory=dict)
    curve: tuple[tuple[int, float], ...] = ()
    attributes: Mapping[str, object] = field(default_factory=dict)
    """Every user attribute, JSON values: error, log, samples, commit, ..."""
    started_at: str | None = None
    """ISO 8601, UTC."""
    finished_at: str | None = None


@dataclass(frozen=True)
class StudyRow:
    """A study as stored: its name and its user attributes (``ablate.plan`` holds `Study.to_dict` as JSON text)."""

    name: str
    attributes: Mapping[str, object]
