"""The same comparison at equal compute, from the learning curves: equal updates, images, seconds or epochs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ablate.report.statistics.compare import compare
from ablate.report.statistics.model import Row
from ablate.report.statistics.significance import Floats
from ablate.report.statistics.spent import BUDGETS, Budget, spending
from ablate.study.spec import MetricSpec, Study
from ablate.study.verdict_method import Test

UNEQUAL: dict[Budget, float] = {"updates": 1.01, "images": 1.01, "seconds": 1.1, "epochs": 1.01}
"""Ratio of budgets from which they are called unequal; measured seconds differ a little anyway."""
MOST_ARMS = 100
"""Arms up to which equal budgets are compared."""
Curves = Mapping[tuple[str, int], pd.DataFrame]
"""(arm, seed) -> its curve, in order of the budget."""


@dataclass(frozen=True)
class Equal:
    """One arm against the baseline where both had spent the same."""

    arm: str
    budget: Budget
    amount: float
    """The mean over seeds of what the cheaper of the two spent in all, in the budget's unit."""
    ratio: float
    """Arm's whole budget / baseline's, geometric mean over shared seeds: how unequal the ordinary comparison is."""
    row: Row
    """Verdict at equal budgets; exploratory."""


def equal_budgets(
    study: Study,
    points: Sequence[tuple[str, int, int, str, float]],
    left_out: Collection[tuple[str, int]] = (),
) -> tuple[Equal, ...]:
    """Return the primary metric at every equal budget, for arms that spent more or less of it than the baseline.

    `left_out` are trials (arm, seed) that say nothing: a diverged one's curve is that of a training that failed.
    Nothing for studies of more than `MOST_ARMS` arms, where one comparison per arm takes longer than the rest of the
    report; the lint that says by how much budgets differ is there for any number.
    """
    if len(study.arms) > MOST_ARMS:
        return ()
    table = spending(study, [point for point in points if point[:2] not in left_out])
    found = (
        at_equal_budget(table, study.primary, study.baseline.name, budget, alpha=study.alpha, test=study.method.test)
        for budget in BUDGETS
    )
    return tuple(equal for own in found for equal in own)


def at_equal_budget(
    curves: pd.DataFrame,
    metric: MetricSpec,
    baseline: str,
    budget: Budget = "images",
    *,
    alpha: float = 0.05,
    test: Test = "paired",
) -> tuple[Equal, ...]:
    """Compare every arm whose budget differs from the baseline's, each seed at the smaller of the two budgets.

    `curves` has arm, seed, value and a column called as the budget. Values between points are interpolated linearly;
    an arm whose curve has no point at or before the smaller budget is left out. Every arm is compared by itself,
    without correction: these verdicts are exploratory.
    """
    parts = by_trial(curves, budget)
    found = []
    for arm in dict.fromkeys(arm for arm, _ in parts):
        if arm == baseline:
            continue
        spent = _spent(arm, parts, baseline, budget)
        if spent is None or max(spent.ratio, 1 / spent.ratio) < UNEQUAL[budget]:
            continue
        frame = pd.DataFrame(spent.rows, columns=["arm", "seed", metric.name])
        primary = replace(metric, primary=True)
        comparison = compare(frame, baseline=baseline, metrics=[primary], alpha=alpha, arms=[arm], test=test)
        row = replace(comparison.row(arm), exploratory=True)
        found.append(Equal(arm, budget, spent.amount, spent.ratio, row))
    return tuple(found)


def by_trial(curves: pd.DataFrame, budget: Budget) -> Curves:
    """Return every trial's curve in order of the budget; points at which it is not known are left out."""
    return {
        (str(part["arm"].iloc[0]), int(part["seed"].iloc[0])): part.sort_values(budget)
        for _, part in curves.dropna(subset=[budget, "value"]).groupby(["arm", "seed"], sort=False)
    }


@dataclass(frozen=True)
class _Spent:
    amount: float
    ratio: float
    rows: list[tuple[str, int, float]]
    """Arm, seed, value where both had spent the same."""


def _spent(arm: str, parts: Curves, baseline: str, budget: Budget) -> _Spent | None:
    rows: list[tuple[str, int, float]] = []
    amounts, ratios = [], []
    for seed in shared_seeds(arm, parts, baseline):
        own, base = parts[(arm, seed)], parts[(baseline, seed)]
        ends = float(own[budget].iloc[-1]), float(base[budget].iloc[-1])
        if min(ends) <= 0:
            continue
        values = [float(heights(part, budget, np.array([min(ends)]))[0]) for part in (own, base)]
        if not np.isfinite(values).all():
            continue
        amounts.append(min(ends))
        ratios.append(ends[0] / ends[1])
        rows += [(name, seed, value) for name, value in zip((arm, baseline), values, strict=True)]
    if not rows:
        return None
    return _Spent(float(np.mean(amounts)), float(np.exp(np.mean(np.log(ratios)))), rows)


def shared_seeds(arm: str, parts: Curves, baseline: str) -> list[int]:
    """Return the seeds that have a curve in both."""
    return sorted(seed for name, seed in parts if name == arm and (baseline, seed) in parts)


def heights(part: pd.DataFrame, budget: Budget, amounts: Floats) -> Floats:
    """Return a curve's heights at `amounts` of the budget, NaN before its first point and after its last."""
    at: Floats = part[budget].to_numpy(dtype=np.float64)
    values: Floats = part["value"].to_numpy(dtype=np.float64)
    if len(at) == 0:
        return np.full_like(amounts, np.nan)
    return np.interp(amounts, at, values, left=np.nan, right=np.nan)
