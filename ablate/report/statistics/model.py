"""The result of a comparison as plain data: what statistics computes and everything else only shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from html import escape
from typing import TYPE_CHECKING

from ablate.errors import AblateError, NothingComparableError
from ablate.study.spec import MetricSpec
from ablate.study.verdict_method import FUTILITY, Boundaries, Correction, Method, Noise, Test

if TYPE_CHECKING:
    import pandas as pd

    from ablate.report.statistics.blocks.findings import BlockFindings


ARM_COLUMNS = (
    "arm",
    "metric",
    "n",
    "diverged",
    "mean",
    "sd",
    "diff",
    "ci_low",
    "ci_high",
    "p",
    "p_holm",
    "verdict",
    "note",
)
"""The first columns of arms.csv, in this order."""
MORE_COLUMNS = (
    "runs",
    "pairs",
    "half_width",
    "percent",
    "holm_low",
    "holm_high",
    "repeated_low",
    "repeated_high",
    "improvement",
    "sd_diff",
    "effect",
    "seed_sds",
    "se",
    "df",
    "p_plain",
    "p_equivalence",
    "p_equivalence_holm",
    "margin",
    "alpha",
    "more_seeds",
    "stopped",
    "chance",
    "could_show",
    "wins",
    "rho",
    "exploratory",
    "posterior_better",
    "posterior_equivalent",
    "posterior_worse",
)
"""Columns of arms.csv that follow."""


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
class Bayes:
    """A Bayesian reading that was asked for. Raises AblateError for a share that is none."""

    test_share: float = 0.0
    """Correlation of the differences: 0 for seeds; for folds of a cross-validation the share of the data that each
    tests on."""

    def __post_init__(self) -> None:
        if not 0 <= self.test_share < 1:
            raise AblateError(f"a test share lies from 0 to below 1; got {self.test_share!r}")


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
    An arm with half or more of its runs diverged has neither mean nor difference: its survivors stand for nothing.
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
    repeated_low: float | None = None
    """Interval of `diff` that holds at every look at once, with probability 95 %: stopping early does not spoil it."""
    repeated_high: float | None = None
    improvement: float | None = None
    sd_diff: float | None = None
    effect: float | None = None
    """`improvement` in units of the paired differences' standard deviation."""
    seed_sds: float | None = None
    """`improvement` in units of one arm's seed standard deviation: root mean square of arm's and baseline's."""
    percent: float | None = None
    """`diff` in per cent of the baseline's mean over the shared seeds."""
    se: float | None = None
    """Standard error of `improvement`, as the test sees it."""
    df: float | None = None
    """Degrees of freedom of the t distribution behind `p` and the intervals."""
    p: float | None = None
    p_plain: float | None = None
    """p of the plain paired t-test, whatever test and noise model `p` comes from; None for unshared seeds."""
    p_holm: float | None = None
    """`p` over all looks, corrected over all tested arms (by Holm unless the comparison says otherwise); primary
    metric only."""
    p_equivalence: float | None = None
    p_equivalence_holm: float | None = None
    """`p_equivalence` over all looks and tested arms, where the study corrects it; primary metric only."""
    margin: float | None = None
    """Half-width of the equivalence zone around no difference, on the test's own scale."""
    alpha: float | None = None
    """Level that `p_holm` and `p_equivalence_holm` are held against at this arm's look."""
    verdict: Verdict | None = None
    """None for the baseline and when the baseline gives nothing to compare with; exploratory for secondary metrics."""
    exploratory: bool = False
    """True on secondary metrics: no correction for multiple comparisons."""
    note: str = ""
    more_seeds: int | None = None
    """How many more seeds would probably decide an undecided arm (80 % power)."""
    stopped: bool = False
    """True for an undecided arm that the seeds up to the last look would hardly decide."""
    chance: float | None = None
    """Chance that an undecided arm is decided by the last look, given what was seen."""
    could_show: float | None = None
    """Smallest true difference that the last look would show with 80 % power, in the unit of `diff`."""
    wins: int | None = None
    rho: float | None = None
    """Correlation over seeds between arm and baseline: what common random numbers bought."""
    posterior_better: float | None = None
    """Chance that the true difference is an improvement of more than the margin, given these seeds and a flat prior;
    None where no Bayesian reading was asked for."""
    posterior_equivalent: float | None = None
    """Chance that it is within the margin; None without one."""
    posterior_worse: float | None = None
    values: Mapping[int, float] = field(default_factory=dict)
    """Seed -> value of this arm."""
    differences: Mapping[int, float] = field(default_factory=dict)
    """Seed -> arm minus baseline, in the same unit as `diff`."""


@dataclass(frozen=True)
class Stability:
    """How often an arm diverged. Shares are exact binomial (Clopper-Pearson) 95 % intervals."""

    arm: str
    diverged: int
    runs: int
    """Measured + diverged."""
    low: float | None
    high: float | None
    p: float | None
    """Boschloo's exact test of this arm's share against the baseline's; None for the baseline or without runs."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """Every arm on every metric. `rows` is keyed by (arm, metric name); arms are in study-file order."""

    baseline: str
    """Name of the arm, or of the other study, that the arms are compared with."""
    arms: tuple[str, ...]
    metrics: tuple[MetricSpec, ...]
    rows: Mapping[tuple[str, str], Row]
    alpha: float
    """Level that corrected p values are held against; where looks split it, each row has its own `alpha`."""
    look: int
    """Seeds per arm this comparison is made at: the declared look, or else the most seeds any arm has."""
    tested: int
    """Comparisons Holm's procedure corrects for: arms other than the baseline with a test on the primary metric."""
    lints: tuple[Lint, ...] = ()
    study_alpha: float = 0.05
    """Level of the whole study; `alpha` is the part of it that this look may spend."""
    looks: tuple[int, ...] = ()
    """Declared looks, seeds per arm; empty when none were declared."""
    test: Test = "paired"
    noise: Noise = "own"
    correct: Correction = "holm"
    equivalence: Correction = "holm"
    boundaries: Boundaries = "spending"
    futility: float = FUTILITY
    look_level: float = 0.05
    """Level of a single test at the furthest look, before any correction for the number of arms."""
    declared: Method | None = None
    """What the study declared, where this comparison was made in another way."""
    stability: Mapping[str, Stability] = field(default_factory=dict)
    """Arm -> how often it diverged."""
    bayes: Bayes | None = None
    """The Bayesian reading beside the verdicts, or None."""
    reference: str = "the baseline"
    """What a difference is taken to, in words."""
    problem: str | None = None
    """Why nothing can be compared, or None. The rows still show every number there is."""
    blocks: BlockFindings | None = None
    """Of a comparison over several blocks: what every block says, and where they contradict each other."""

    def check_comparable(self) -> None:
        """Raise NothingComparableError when no verdict is possible."""
        if self.problem is not None:
            raise NothingComparableError(self.problem)

    @property
    def method(self) -> Method:
        """How this comparison was made."""
        return Method(self.test, self.noise, self.correct, self.equivalence, self.boundaries, self.futility)

    @property
    def changed(self) -> str:
        """What differs from the declared method, in words; empty where nothing does."""
        if self.declared is None:
            return ""
        changes = self.method.changes(self.declared)
        return ", ".join(f"{word} {here} (declared: {before})" for word, (before, here) in changes.items())

    @property
    def primary(self) -> MetricSpec:
        """The metric that verdicts are about."""
        return next(metric for metric in self.metrics if metric.primary)

    def row(self, arm: str, metric: str | None = None) -> Row:
        """The row of `arm` on `metric` (default: the primary one); raises KeyError when there is none."""
        return self.rows[(arm, metric if metric is not None else self.primary.name)]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per arm and metric with every number, in the columns of arms.csv; empty where not computed."""
        import pandas as pd

        columns = [*ARM_COLUMNS, *MORE_COLUMNS]
        rows = [self.row(arm, metric.name) for arm in self.arms for metric in self.metrics]
        records = [{name: getattr(row, name) for name in columns} | {"verdict": str(row.verdict or "")} for row in rows]
        frame = pd.DataFrame.from_records(records, columns=columns)
        return frame.astype({"more_seeds": "Int64", "wins": "Int64"})

    def __repr__(self) -> str:
        others = [arm for arm in self.arms if arm != self.baseline]
        head = f"<Comparison of {len(others)} arm{'s' * (len(others) != 1)} with {self.baseline!r}"
        if self.problem is not None:
            return f"{head}: {self.problem}>"
        counts = Counter(self.row(arm).verdict for arm in others)
        words = ", ".join(f"{word.value} {counts[word]}" for word in Verdict if counts[word])
        return f"{head} on {self.primary.name}, {self.look} seeds: {words or 'no verdict'}>"

    def _repr_html_(self) -> str:
        """A table of the primary metric for a notebook: verdict, mean, difference with its interval, corrected p."""
        head = ("arm", "verdict", "n", f"{self.primary.name} mean", "difference", "95 % interval", "p (corrected)", "")
        cells = [_html_cells(self.row(arm), self.primary.digits) for arm in self.arms]
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in cells)
        columns = "".join(f"<th>{escape(name)}</th>" for name in head)
        return f"<p>{escape(repr(self)[1:-1])}</p><table><tr>{columns}</tr>{rows}</table>"


def _html_cells(row: Row, digits: int) -> tuple[str, ...]:
    def number(value: float | None, sign: str = "") -> str:
        return "" if value is None else f"{value:{sign}.{digits}f}"

    interval = "" if row.ci_low is None else f"{number(row.ci_low, '+')} to {number(row.ci_high, '+')}"
    p = "" if row.p_holm is None else f"{row.p_holm:.3g}"
    return row.arm, str(row.verdict or ""), str(row.n), number(row.mean), number(row.diff, "+"), interval, p, row.note
