"""A Bayesian reading beside the verdicts: how likely better, equivalent and worse are, given the differences alone.

The posterior of the mean difference under a flat prior is a t distribution around the mean: the correlated t-test of
Corani and Benavoli (2015), whose correlation is 0 for seeds. It knows nothing of other arms and of earlier looks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

from scipy import special

from ablate.errors import AblateError
from ablate.report.statistics.model import Bayes, Comparison, Lint, Row


@dataclass(frozen=True)
class Posterior:
    """Chances that add up to 1."""

    better: float
    equivalent: float | None
    """That the difference lies within the margin; None without one."""
    worse: float


def posterior(mean: float, se: float, df: float, margin: float | None = None) -> Posterior:
    """Return where the true improvement lies, given t-distributed knowledge of it: `mean`, scale `se` > 0, `df`.

    With a margin, better begins above it and worse below minus it; without one, both begin at 0.
    """
    limit = 0.0 if margin is None else margin
    worse = float(special.stdtr(df, (-limit - mean) / se))
    better = float(special.stdtr(df, (mean - limit) / se))
    return Posterior(better, None if margin is None else max(0.0, 1.0 - better - worse), worse)


def widened(se: float, n: int, test_share: float) -> float:
    """Return the standard error of the mean of `n` differences whose correlation is `test_share` (0 up to 1).

    Folds of a cross-validation share training data. Their correlation cannot be estimated; the share of the data that
    a fold tests on is what Nadeau and Bengio (2003) put in its place.
    """
    return se * sqrt(1 + n * test_share / (1 - test_share))


def bayes_of(*, bayes: bool, test_share: float = 0.0) -> Bayes | None:
    """Return what options ask for; AblateError for a test share without a Bayesian reading."""
    if test_share and not bayes:
        raise AblateError("a test share belongs to the Bayesian reading", hint="ask for it too: --bayes, or bayes=True")
    return Bayes(test_share) if bayes else None


def with_posterior(comparison: Comparison, bayes: Bayes) -> Comparison:
    """Return `comparison` with a posterior beside every interval; its verdicts are the same.

    A row without an interval, or without seed noise, has none: nothing says how uncertain its difference is. Neither
    has an arm that is better in one block and worse in another: its mean over all of them describes none.
    Raises AblateError for a share of test data where seeds are not shared, or where blocks take their place.
    """
    if bayes.test_share and comparison.test == "welch":
        raise AblateError("a test share is that of shared folds, not of test welch", hint="leave out one of them")
    if bayes.test_share and comparison.blocks is not None and comparison.blocks.kind == "random":
        raise AblateError("a test share is that of folds, and random blocks are none", hint="leave out one of them")
    none = _contradicted(comparison)
    rows = {key: row if key in none else _with(row, bayes) for key, row in comparison.rows.items()}
    lints = (*comparison.lints, *([_folds(bayes, comparison)] if bayes.test_share else []))
    return replace(comparison, rows=rows, bayes=bayes, lints=lints)


def _with(row: Row, bayes: Bayes) -> Row:
    if row.ci_low is None or row.improvement is None or row.df is None or not row.se:
        return row
    found = posterior(row.improvement, widened(row.se, row.pairs, bayes.test_share), row.df, row.margin)
    return replace(
        row, posterior_better=found.better, posterior_equivalent=found.equivalent, posterior_worse=found.worse
    )


def _contradicted(comparison: Comparison) -> set[tuple[str, str]]:
    if comparison.blocks is None:
        return set()
    return {(arm, comparison.primary.name) for arm, own in comparison.blocks.arms.items() if own.opposite}


def _folds(bayes: Bayes, comparison: Comparison) -> Lint:
    folds = max((row.pairs for row in comparison.rows.values()), default=0)
    wider = widened(1.0, folds, bayes.test_share)
    return Lint(
        "folds",
        f"with a test share of {bayes.test_share:g} the rows are folds that share training data. Verdicts and "
        f"intervals take them for independent seeds and are too sure: of {folds} folds the standard error is about "
        f"{wider:.2g} times as large. Only the posterior counts on that",
    )
