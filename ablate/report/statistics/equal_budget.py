"""The same comparison at equal compute, from the learning curves: equal updates, images, seconds or epochs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ablate.report.statistics.compare import compare_trials
from ablate.report.statistics.model import Row
from ablate.report.statistics.significance import Floats
from ablate.report.statistics.spent import BUDGETS, Budget, spending
from ablate.report.statistics.trial_matrix import Trials
from ablate.study.spec import MetricSpec, Study
from ablate.study.verdict_method import Method, Test

UNEQUAL: dict[Budget, float] = {"updates": 1.01, "images": 1.01, "seconds": 1.1, "epochs": 1.01}
"""Ratio of budgets from which they are called unequal; measured seconds differ a little anyway."""
MOST_ARMS = 100
"""Arms up to which equal budgets are compared."""


@dataclass(frozen=True)
class Curve:
    """One trial's learning curve, in order of the budget; vectors over its points, one at least."""

    spent: Floats
    value: Floats

    @property
    def end(self) -> float:
        """The whole budget."""
        return float(self.spent[-1])

    def heights(self, amounts: Floats) -> Floats:
        """Return the values at `amounts` of the budget, NaN before the first point and after the last."""
        return np.interp(amounts, self.spent, self.value, left=np.nan, right=np.nan)


Curves = Mapping[str, Mapping[int, Curve]]
"""Arm -> seed -> its curve."""


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
    base = parts.get(baseline, {})
    found = []
    for arm, own in parts.items():
        if arm == baseline:
            continue
        spent = _spent(own, base, metric)
        if spent is None or max(spent.ratio, 1 / spent.ratio) < UNEQUAL[budget]:
            continue
        row = compare_trials(
            _trials(arm, baseline, spent, metric), (replace(metric, primary=True),), Method(test), alpha=alpha
        ).row(arm)
        found.append(Equal(arm, budget, spent.amount, spent.ratio, replace(row, exploratory=True)))
    return tuple(found)


def by_trial(curves: pd.DataFrame, budget: Budget) -> Curves:
    """Return every trial's curve, arms as they first appear; points whose budget or value is not known are left out."""
    known = curves.dropna(subset=[budget, "value"])
    spent = known[budget].to_numpy(dtype=np.float64)
    trial = known.groupby(["arm", "seed"], sort=False).ngroup().to_numpy(dtype=np.int64)
    order = np.lexsort((spent, trial))
    starts = np.flatnonzero(np.diff(trial[order], prepend=-1))
    arms, seeds = known["arm"].to_numpy()[order[starts]], known["seed"].to_numpy()[order[starts]]
    parts = zip(
        np.split(spent[order], starts[1:]),
        np.split(known["value"].to_numpy(dtype=np.float64)[order], starts[1:]),
        strict=True,
    )
    found: dict[str, dict[int, Curve]] = {}
    for arm, seed, (at, value) in zip(arms, seeds, parts, strict=False):
        found.setdefault(str(arm), {})[int(seed)] = Curve(at, value)
    return found


@dataclass(frozen=True)
class _Spent:
    amount: float
    ratio: float
    seeds: tuple[int, ...]
    values: Floats
    """[2, seeds]: the baseline's and the arm's value where both had spent the same."""


def _spent(own: Mapping[int, Curve], base: Mapping[int, Curve], metric: MetricSpec) -> _Spent | None:
    seeds, values, ends = [], [], []
    for seed in shared_seeds(own, base):
        pair = own[seed].end, base[seed].end
        if min(pair) <= 0:
            continue
        there = [_height(curve[seed], min(pair)) for curve in (base, own)]
        if not np.isfinite(there).all() or (metric.scale == "log" and min(there) <= 0):
            continue
        seeds.append(seed)
        values.append(there)
        ends.append(pair)
    if not seeds:
        return None
    amounts, ratios = [min(pair) for pair in ends], [pair[0] / pair[1] for pair in ends]
    ratio = float(np.exp(np.mean(np.log(ratios))))
    return _Spent(float(np.mean(amounts)), ratio, tuple(seeds), np.array(values).T)


def _height(curve: Curve, amount: float) -> float:
    """One of two curves ends there."""
    return float(curve.value[-1] if curve.end == amount else curve.heights(np.array([amount]))[0])


def _trials(arm: str, baseline: str, spent: _Spent, metric: MetricSpec) -> Trials:
    """Both as a table of results: every seed is measured."""
    measured = np.ones(spent.values.shape, dtype=np.bool_)
    nowhere = np.zeros_like(measured)
    partner = np.zeros(2, dtype=np.int64)
    values = {metric.name: spent.values}
    return Trials((baseline, arm), spent.seeds, measured, nowhere, nowhere, values, partner=partner)


def shared_seeds(own: Mapping[int, Curve], base: Mapping[int, Curve]) -> list[int]:
    """Return the seeds that have a curve in both."""
    return sorted(own.keys() & base.keys())
