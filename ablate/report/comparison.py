"""The result of a comparison as plain data: what statistics computes and everything else only shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ablate.study.spec import MetricSpec


class Verdict(StrEnum):
    """What may be said about an arm against the baseline."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"
    UNDECIDED = "undecided"
    DIVERGED = "diverged"

    @property
    def symbol(self) -> str:
        """One character that never stands without the word in its reach."""
        return {"better": "^", "worse": "v", "equivalent": "=", "undecided": "?", "diverged": "x"}[self.value]


@dataclass(frozen=True)
class Lint:
    """A warning about the design or the data, found before any number is computed."""

    code: str
    message: str
    arm: str | None = None


@dataclass(frozen=True)
class Row:
    """One arm on one metric, against the baseline.

    `diff` and its interval are arm minus baseline as read by a user: in the metric's unit on the identity scale, as
    a fraction of the baseline (0.93 = 93 % more) on the log scale. `improvement` is the mean paired difference on the
    test's own scale with the sign turned so that positive is better. Fields are None where they cannot be computed.
    """

    arm: str
    metric: str
    n: int
    """Seeds measured in this arm (for `diff`: in arm and baseline, see `pairs`)."""
    runs: int
    """Seeds that gave a result: measured + diverged."""
    diverged: int
    pairs: int
    mean: float | None
    sd: float | None
    half_width: float | None
    """Half-width of the 95 % t-interval of `mean`."""
    diff: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    holm_low: float | None = None
    """Interval at the level where Holm's procedure decided this arm: it excludes 0 exactly when p_holm <= alpha."""
    holm_high: float | None = None
    improvement: float | None = None
    sd_diff: float | None = None
    effect: float | None = None
    """`improvement` in units of the paired differences' standard deviation."""
    p: float | None = None
    p_holm: float | None = None
    p_equivalence: float | None = None
    verdict: Verdict | None = None
    """None for the baseline; for secondary metrics the verdict is exploratory (no correction)."""
    note: str = ""
    more_seeds: int | None = None
    """How many more seeds would probably decide an undecided arm (80 % power)."""
    wins: int | None = None
    rho: float | None = None
    """Correlation over seeds between arm and baseline: what common random numbers bought."""
    values: Mapping[int, float] = field(default_factory=dict)
    """Seed -> value of this arm."""
    differences: Mapping[int, float] = field(default_factory=dict)
    """Seed -> arm minus baseline, in the same unit as `diff`."""


@dataclass(frozen=True)
class Comparison:
    """Every arm on every metric. `rows` is keyed by (arm, metric name); arms are in study-file order."""

    baseline: str
    arms: tuple[str, ...]
    metrics: tuple[MetricSpec, ...]
    rows: Mapping[tuple[str, str], Row]
    alpha: float
    """Level used at this look."""
    look: int
    """Seeds per arm this comparison is made at."""
    tested: int
    """Comparisons Holm's procedure corrects for: arms other than the baseline with a test on the primary metric."""
    lints: tuple[Lint, ...] = ()

    @property
    def primary(self) -> MetricSpec:
        """The metric that verdicts are about."""
        return next(metric for metric in self.metrics if metric.primary)

    def row(self, arm: str, metric: str | None = None) -> Row:
        """The row of `arm` on `metric` (default: the primary one); raises KeyError when there is none."""
        return self.rows[(arm, metric if metric is not None else self.primary.name)]
