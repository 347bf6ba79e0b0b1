"""The same comparison at equal compute: after equal images seen, and after equal seconds, from the learning curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from ablate.report.comparing import compare
from ablate.report.comparison import Row
from ablate.report.stats import Floats
from ablate.study.spec import MetricSpec

Budget = Literal["images", "seconds"]
UNEQUAL = {"images": 1.01, "seconds": 1.1}
"""Ratio of budgets from which they are called unequal; measured seconds differ a little anyway."""


@dataclass(frozen=True)
class Equal:
    """One arm against the baseline where both had spent the same."""

    arm: str
    budget: Budget
    amount: float
    """Images, or seconds: the mean over seeds of what the cheaper of the two spent in all."""
    ratio: float
    """Arm's whole budget / baseline's, geometric mean over shared seeds: how unequal the ordinary comparison is."""
    row: Row
    """Verdict at equal budgets; exploratory."""


def at_equal_budget(
    curves: pd.DataFrame, metric: MetricSpec, baseline: str, budget: Budget = "images", *, alpha: float = 0.05
) -> tuple[Equal, ...]:
    """Compare every arm whose budget differs from the baseline's, each seed at the smaller of the two budgets.

    `curves` has arm, seed, value and a column called as the budget. Values between points are interpolated linearly;
    an arm whose curve has no point at or before the smaller budget is left out. Every arm is compared by itself,
    without correction: these verdicts are exploratory.
    """
    parts = {
        (str(part["arm"].iloc[0]), int(part["seed"].iloc[0])): part.sort_values(budget)
        for _, part in curves.dropna(subset=[budget, "value"]).groupby(["arm", "seed"], sort=False)
    }
    found = (
        _one(arm, parts, metric, baseline, budget, alpha)
        for arm in dict.fromkeys(arm for arm, _ in parts)
        if arm != baseline
    )
    return tuple(equal for equal in found if equal is not None)


def _one(
    arm: str,
    parts: Mapping[tuple[str, int], pd.DataFrame],
    metric: MetricSpec,
    baseline: str,
    budget: Budget,
    alpha: float,
) -> Equal | None:
    rows: list[tuple[str, int, float]] = []
    amounts, ratios = [], []
    for seed in sorted(seed for name, seed in parts if name == arm and (baseline, seed) in parts):
        own, base = parts[(arm, seed)], parts[(baseline, seed)]
        ends = float(own[budget].iloc[-1]), float(base[budget].iloc[-1])
        if min(ends) <= 0:
            continue
        amount = min(ends)
        values = [_value_at(part, budget, amount) for part in (own, base)]
        if not np.isfinite(values).all():
            continue
        amounts.append(amount)
        ratios.append(ends[0] / ends[1])
        rows += [(name, seed, value) for name, value in zip((arm, baseline), values, strict=True)]
    ratio = float(np.exp(np.mean(np.log(ratios)))) if ratios else 1.0
    if not rows or max(ratio, 1 / ratio) < UNEQUAL[budget]:
        return None
    frame = pd.DataFrame(rows, columns=["arm", "seed", metric.name])
    comparison = compare(frame, baseline=baseline, metrics=[replace(metric, primary=True)], alpha=alpha, arms=[arm])
    row = replace(comparison.row(arm), exploratory=True)
    return Equal(arm, budget, float(np.mean(amounts)), ratio, row)


def _value_at(part: pd.DataFrame, budget: Budget, amount: float) -> float:
    """The curve's height at `amount`, NaN before its first point."""
    at: Floats = part[budget].to_numpy(dtype=np.float64)
    heights: Floats = part["value"].to_numpy(dtype=np.float64)
    if len(at) == 0 or at[0] > amount:
        return float("nan")
    return float(np.interp(amount, at, heights))
